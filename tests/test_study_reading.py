"""What a page reads of a study: pictures made once, verdicts as they lie, and what is not here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
from study_tools import SHAPE, files, stamps

import fluxlens as fl
from fluxlens.results import place
from fluxlens.study import Picture, open_study
from fluxlens.study.treatments import Edit
from fluxlens.tasks import Assets, mini_tasks

TASK = mini_tasks("color")[0]
EDIT = Picture(Edit(), TASK)
CUT = Picture.named("attention_knockout", "ref->image", TASK)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A tiny model of mini's world, in a folder that is not named after it."""
    shape = replace(SHAPE, extra={"name": "mini"})
    return str(tiny.save(tmp_path_factory.mktemp("reading") / "a-copy", shape))


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> str:
    """A tiny model that is given the paper's tasks."""
    return str(tiny.save(tmp_path_factory.mktemp("reading") / "tiny", SHAPE))


def test_a_picture_is_made_where_it_is_missing_and_read_where_it_is_there(model, tmp_path):
    study = open_study(model, results=tmp_path)
    assert study.name == "mini"  # its own name, as `fluxlens run` calls the folder
    first = study.images([CUT, EDIT, CUT])
    before = stamps(tmp_path)
    assert {CUT.path(study.folder), EDIT.path(study.folder)} <= set(files(tmp_path).values())
    again = study.images([EDIT, CUT])
    assert stamps(tmp_path) == before
    one, two, three = (np.asarray(image) for image in first)
    assert np.array_equal(one, three)
    assert not np.array_equal(one, two)
    assert np.array_equal(np.asarray(again[0]), two)


def test_another_models_pictures_are_not_taken_for_its_own(model, tmp_path, monkeypatch):
    study = open_study(model, results=tmp_path)
    study.images([EDIT])
    another = open_study(model, results=tmp_path)
    monkeypatch.setattr(another.editor, "revision", "sha256:other")
    with pytest.raises(fl.study.OtherPicturesError, match="revision"):
        another.images([EDIT])


def test_what_fails_twice_is_an_error(model, tmp_path, monkeypatch):
    study = open_study(model, results=tmp_path)
    monkeypatch.setattr("fluxlens.study.make.Maker.make", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match=r"could not be made: ZeroDivisionError"):
        study.images([EDIT])


def test_the_limit_takes_the_first_of_every_family(model):
    every = open_study(model).entities("color", "i2i_patch")
    few = open_study(model, limit=3).entities("color", "i2i_patch")
    assert few == every[:3]
    with pytest.raises(ValueError, match="at least 1, not 0"):
        open_study(model, limit=0)


def test_only_what_is_here_is_listed(other):
    study = replace(open_study(other), assets=Assets())
    assert study.world == "paper"
    assert len(study.entities("color")) == 320
    # photographs that nobody has fetched, and tasks that only the authors' repository lists
    assert study.entities("people", "i2i_patch") == []
    assert study.entities("style") == []
    assert study.examples("style") == []


@pytest.mark.parametrize("family", ["color", "style", "people", "add"])
def test_examples_are_of_different_clusters_in_the_lists_order(model, family):
    study = open_study(model)
    listed = study.entities(family)
    for count in (1, 2, 5):
        found = study.examples(family, count=count)
        assert len({place(entity.id)[1] for entity in found}) == count
        assert found[0] == listed[0]
    clusters = {place(entity.id)[1] for entity in listed[:100]}
    few = open_study(model, limit=100).examples(family, count=1000)
    assert len(few) == len(clusters)


def write(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["entity_id,pass,reason,model,input_tokens,output_tokens"]
    text = "\n".join([*lines, *(f"{entity},{passed},,me,0,0" for entity, passed in rows)])
    (folder / f"{name}.csv").write_text(text + "\n")


def test_verdicts_are_read_and_cut_to_the_limit(model, tmp_path):
    ids = [entity.id for entity in open_study(model).entities("color")]
    folder = tmp_path / "mini" / "verdicts" / "oracle"
    for name in ("ko_color_ref_to_text", "ko_color_ref_to_text__null"):
        write(folder, name, [(entity, 1) for entity in reversed(ids[:5])])
    study = open_study(model, results=tmp_path)
    assert list(study.verdicts) == ["ko_color_ref_to_text", "ko_color_ref_to_text__null"]
    assert "ko_color_ref_to_text" not in study.missing
    assert "i2i2i_color" in study.missing
    few = open_study(model, results=tmp_path, limit=2).verdicts
    assert [set(some) for some in few.values()] == [set(ids[:2])] * 2


def test_the_limit_counts_what_was_judged(model, tmp_path):
    ids = [entity.id for entity in open_study(model).entities("color")]
    folder = tmp_path / "mini" / "verdicts" / "oracle"
    write(folder, "ko_color_ref_to_text", [(entity, 1) for entity in ids[7:12]])
    few = open_study(model, results=tmp_path, limit=2).verdicts
    assert list(few["ko_color_ref_to_text"]) == ids[7:9]


def test_without_the_list_the_first_that_were_judged_count(other, tmp_path):
    folder = tmp_path / open_study(other).name / "verdicts" / "claude"
    write(folder, "ko_style_ref_to_text", [("b", 1), ("a", 0), ("c", 1)])
    study = replace(open_study(other, "claude", tmp_path, limit=2), assets=Assets())
    assert list(study.verdicts["ko_style_ref_to_text"]) == ["b", "a"]


def test_a_judge_who_judged_nothing_has_no_verdicts(model, tmp_path):
    study = open_study(model, judge="nobody", results=tmp_path)
    assert study.verdicts == {}
    assert len(study.missing) == 28
