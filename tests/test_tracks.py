"""Every intervention beside its clean run: what must hold whatever the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from study_fixtures import folder, small  # noqa: F401

import fluxlens as fl
from fluxlens.study import tracks as module
from fluxlens.study.reading import Study
from fluxlens.study.tracks import REGIONS, Tracks, tracks

N = 3


@pytest.fixture(scope="session")
def study(small: fl.Editor, tmp_path_factory) -> Study:  # noqa: F811
    """mini's tasks, painted by a tiny random model."""
    made = Study("mini", "oracle", Path(tmp_path_factory.mktemp("tracks")))
    vars(made)["flux"] = small
    return made


@pytest.fixture(scope="session")
def found(study: Study) -> Tracks:
    return tracks(study, limit=N)


def test_every_intervention_runs_on_its_families(found: Tracks) -> None:
    runs = {what: len(found.at(what, "text", "cosine")) for what in found.names}
    assert runs == {
        **{"clean": 5 * N, "another seed": 3 * N, "another task": 3 * N},
        **{"generation": 3 * N, "empty prompt": 3 * N, "T2I Lens": 2 * N, "color lens": N},
        **dict.fromkeys(module.CUTS, 3 * N),
        **{f"patch {tokens}": 3 * N for tokens in ("all", "padding", "content")},
        "reference drop": 3 * N,
    }
    with pytest.raises(ValueError, match="no 'magic' of text against edits; there are clean"):
        found.at("magic", "text", "cosine")


@pytest.mark.parametrize("region", REGIONS)
def test_clean_runs_have_every_percentile_alike(found: Tracks, region: str) -> None:
    for step in range(4):
        for block in ("double.0", "last"):
            values = found.at("clean", region, "percentile", block, step).reshape(-1, N)
            np.testing.assert_allclose(np.sort(values), np.tile([0, 50, 100], (len(values), 1)))
    assert found.at("clean", region, "same", "last", -1).all()
    np.testing.assert_allclose(found.at("clean", region, "cosine", "last", -1), 1, atol=1e-6)
    assert (found.at("clean", region, "ratio") == 1).all()
    generated = found.at("generation", region, "percentile", against="generations")
    np.testing.assert_allclose(np.sort(generated.reshape(-1, N))[0], [0, 50, 100])


def test_a_patch_changes_nothing_before_its_block_in_the_first_step(found: Tracks) -> None:
    for tokens in ("all", "padding", "content"):
        # behind the patched block itself, images have not yet read what was written
        assert found.at(f"patch {tokens}", "image", "same").all()
        assert not found.at(f"patch {tokens}", "image", "same", "last").any()
        assert not found.at(f"patch {tokens}", "text", "same").any()
    assert found.at("patch content", "text[padding]", "same").all()
    assert found.at("patch padding", "text[content]", "same").all()
    assert found.at("color lens", "image", "same").all()


def test_a_cut_of_one_part_of_the_text_leaves_the_other_alone_in_the_first_block(found) -> None:
    assert found.at("ref->text[padding]", "text[content]", "same", "double.0").all()
    assert found.at("ref->text[content]", "text[padding]", "same", "double.0").all()
    assert found.at("ref->image", "text", "same", "double.0").all()
    assert found.at("ref->text", "image", "same", "double.0").all()
    assert not found.at("ref->image", "image", "same", "double.0").any()


def test_a_reference_drop_is_the_cut_of_the_image_up_to_its_block(found: Tracks) -> None:
    for region in REGIONS:
        drop = found.at("reference drop", region, "distance")
        np.testing.assert_allclose(drop, found.at("ref->image", region, "distance"), rtol=1e-4)


def test_a_lens_writes_what_the_edit_held(study: Study, found: Tracks) -> None:
    """Behind the block of a color lens text is the edit's: its distance and percentile too."""
    (clean,) = (
        t for t in found.tracks if (t.family, t.what, t.region) == ("color", "clean", "text")
    )
    at = clean.blocks.index(clean.binding)
    for quantity in ("distance", "percentile"):
        lens = found.at("color lens", "text", quantity)
        np.testing.assert_allclose(lens, getattr(clean, quantity)[at, 0], rtol=1e-6)


def test_a_row_at_a_time_gives_the_same_numbers(study: Study, found: Tracks, monkeypatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)
    monkeypatch.setattr(module, "EDITED", ("color",))
    monkeypatch.setattr(module, "PATCHED", {"color": "color"})
    alone = tracks(study, limit=N)
    assert alone.families == ("color",)
    for what in ("clean", "ref->text", "patch padding", "another task"):
        for quantity in ("ratio", "cosine", "distance"):
            one = alone.at(what, "image", quantity, "last", -1)
            two = found.at(what, "image", quantity, "last", -1)[:N]
            np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


def test_no_two_tasks_of_a_family_share_a_seed(study: Study) -> None:
    """Held-out runs with the seeds of fitted ones would lie nearer than any other clean run."""
    for family in ("color", "style", "manual", "people", "people_shared"):
        tasks = [entity.task for entity in study.entities(family)]
        seeded = module._seeded(tasks)
        assert len({task.noise_seed for task in seeded}) == len(tasks)
        assert (seeded == tasks) == (not family.startswith("people"))
        assert [task.task_id for task in seeded] == [task.task_id for task in tasks]
    one = [found.task for found in study.entities("people")][:2]
    assert module._seeded([one[0], one[0]]) == [one[0], one[0]]  # one task twice is no clash


def test_one_family_of_all(found: Tracks) -> None:
    parts = [found.at("clean", "text", "ratio", family=family) for family in found.families]
    assert [len(part) for part in parts] == [N] * 5
    with pytest.raises(ValueError, match="no 'color lens'"):
        found.at("color lens", "text", "ratio", family="style")


def test_too_few_tasks_are_refused(study: Study) -> None:
    with pytest.raises(ValueError, match="at least 2 tasks"):
        tracks(study, limit=1)
