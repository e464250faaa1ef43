"""Pictures beside each other on a page: in order, under their names, with their verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
from study_tools import SHAPE

from fluxlens.judge import Verdict
from fluxlens.judge import Verdict as Answer
from fluxlens.study import open_study
from fluxlens.study.asked import named
from fluxlens.study.shown import as_columns, as_frames, ask_now, outcomes


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("shown")
    model = tiny.save(root / "mini", replace(SHAPE, extra={"name": "mini"}))
    return open_study(str(model), results=root / "results")


def test_a_cut_stands_under_the_edit_with_its_verdict(study):
    (entity,) = study.examples("color", "attention_knockout", 1)
    study.verdicts["ko_color_ref_to_image"] = {entity.id: Verdict(passed=False)}
    cuts = ["ref->image", "ref->text", "image->text"]
    (column,) = as_columns(study, [entity], "attention_knockout", cuts)
    assert list(column.pictures) == ["reference", "edit", *(f"{cut} cut" for cut in cuts)]
    assert column.title == entity.task.instruction
    # the question is whether it is still there: no means destroyed
    assert column.notes["ref->image cut"] == "destroyed"
    assert column.notes["ref->text cut"] == "not judged"
    assert len({image.tobytes() for image in column.pictures.values()}) == 5


def test_a_pair_shows_both_sides(study):
    (entity,) = study.examples("style", "i2i_patch", 1)
    study.verdicts["i2i2i_style"] = {entity.id: Verdict(passed=True)}
    (column,) = as_columns(study, [entity], "i2i_patch", ["all", "pad"])
    names = [f"{side} {what}" for what in ("reference", "edit") for side in ("source", "target")]
    assert list(column.pictures) == [*names, "patched", "patched, pad"]
    assert column.notes["patched"] == "transferred"
    source, target = study.references([entity.source, entity.task])
    assert column.pictures["source reference"].tobytes() == source.tobytes()
    assert column.pictures["target reference"].tobytes() == target.tobytes()


def test_frames_are_the_columns_cut_up(study):
    entities = study.examples("color", "color_lens", 2)
    variants = ["all", "content"]
    frames = as_frames(study, entities, "color_lens", variants)
    shown = as_columns(study, entities, "color_lens", variants)
    assert [frame.setting for frame in frames] == variants * 2
    assert len({frame.task for frame in frames}) == 2
    for column, frame in zip(shown, frames[::2], strict=True):
        assert frame.pictures["result"].tobytes() == column.pictures["color lens"].tobytes()
        assert frame.pictures["reference"].tobytes() == column.pictures["reference"].tobytes()


class Recorder:
    """A judge who writes down what it is shown, and says yes to pads."""

    name = "recorder"

    def __init__(self) -> None:
        self.seen = []

    def ask(self, request):
        last = request.images[request.question.images[-1]]
        self.seen.append({role: path.exists() for role, path in request.images.items()})
        return Answer("pad" in last.parts[-2], "", self.name)


@pytest.mark.parametrize(
    ("family", "recipe", "variants"),
    [
        ("color", "color_lens", ["template", "pad"]),
        ("style", "i2i_patch", ["template", "pad"]),
        ("color", "attention_knockout", ["ref->text[template]", "ref->text[pad]"]),
    ],
)
def test_a_question_is_asked_of_every_picture_of_a_part(study, family, recipe, variants):
    judge = Recorder()
    asked = study.examples(family, recipe, 2)
    found = ask_now(study, judge, asked, recipe, variants)
    assert found == {variants[0]: [False, False], variants[1]: [True, True]}
    assert len(judge.seen) == 4
    assert all(all(seen.values()) for seen in judge.seen)


def test_a_judge_without_an_answer_is_an_error(study):
    class Silent(Recorder):
        def ask(self, request):
            return Answer(None, "", self.name, error="no answer")

    with pytest.raises(ValueError, match="recorder has no answer about solid_red"):
        ask_now(study, Silent(), study.examples("color", "color_lens", 1), "color_lens", ["pad"])


def test_nothing_to_show_is_nothing_made(study):
    assert as_columns(study, [], "t2i_lens", ["all"]) == []
    assert as_frames(study, [], "t2i_lens", ["all"]) == []
    assert ask_now(study, Recorder(), [], "t2i_lens", ["pad"]) == {"pad": []}


def test_outcomes_are_those_of_tables_and_of_controls():
    control = named("color", "attention_knockout", "ref->text[pad]")
    verdicts = {
        control.name: {"a": Verdict(passed=True)},
        "ko_color_ref_to_image": {"a": Verdict(passed=True)},
    }
    assert outcomes(verdicts, "color", "attention_knockout", "ref->text[pad]") == {"a": True}
    assert outcomes(verdicts, "color", "attention_knockout", "ref->image") == {"a": False}
    assert outcomes(verdicts, "color", "attention_knockout", "text->image") == {}
