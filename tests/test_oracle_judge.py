"""The oracle as a judge: every question answered from what was drawn, and its published errors."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from PIL import Image

from fluxlens.judge import read_verdict_file
from fluxlens.judge.base import Request
from fluxlens.judge.questions import load_questions
from fluxlens.judge.run import run_judge
from fluxlens.mini.cast import TEST_PEOPLE
from fluxlens.mini.drawings import Figure, Portrait, SceneView, Solid, StillLife
from fluxlens.mini.scenes import Scene
from fluxlens.mini.world import COLORS, NO_FREE, UNDYED
from fluxlens.oracle import OracleJudge, rule_of
from tools import verdict_accuracy
from tools.labelled_cases import CASES

PAPER, BLIND = load_questions(), load_questions("blind")
RED, BLUE, UNDYED_MUG = (StillLife("mug", rgb) for rgb in (COLORS["red"], COLORS["blue"], UNDYED))
BEACH = Scene("beach", "dusk", 3, 0)
CITY = Scene("street", "noon", 5, 2)


def ask(question, *drawings):
    pictures = [drawing.draw(NO_FREE) for drawing in drawings]
    images = dict(zip(question.images, pictures, strict=True))
    return OracleJudge().ask(Request("task", question, images))


@pytest.mark.parametrize(
    ("name", "drawings", "paper", "blind"),
    [
        ("i2i_unc_color_text_lens", (Solid(COLORS["red"]), UNDYED_MUG, RED), 1, 1),
        ("i2i_unc_color_text_lens", (Solid(COLORS["red"]), UNDYED_MUG, BLUE), 0, 0),
        ("i2i_unc_color_text_lens", (Solid(COLORS["red"]), RED, RED), 0, 0),  # it was there before
        ("i2i_unc_color_text_lens", (Solid(COLORS["red"]), UNDYED_MUG, SceneView(None)), 0, 0),
        ("ko_color_ref_to_text", (Solid(COLORS["red"]), RED, UNDYED_MUG), 1, 0),
        ("ko_color_ref_to_text", (Solid(COLORS["red"]), RED, RED), 0, 1),
        ("ko_color_ref_to_text", (Solid(COLORS["red"]), BLUE, UNDYED_MUG), 0, 1),  # nothing to lose
        ("ko_color_ref_to_image", (Solid(COLORS["red"]), RED, UNDYED_MUG), 0, 0),
        ("ko_color_ref_to_image", (Solid(COLORS["red"]), RED, RED), 1, 1),
        ("i2i2i_color", (Solid(COLORS["red"]), Solid(COLORS["blue"]), BLUE, RED), 1, 1),
        ("i2i2i_color", (Solid(COLORS["red"]), Solid(COLORS["blue"]), BLUE, BLUE), 0, 0),
        # Undyed is nearer to yellow than to brown, and has taken on neither.
        ("i2i2i_color", (Solid(COLORS["yellow"]), Solid(COLORS["brown"]), BLUE, UNDYED_MUG), 0, 1),
    ],
)
def test_colors(name, drawings, paper, blind):
    verdicts = [ask(questions[name], *drawings) for questions in (PAPER, BLIND)]
    assert [verdict.passed for verdict in verdicts] == [bool(paper), bool(blind)]
    for verdict in verdicts:
        assert 0 < len(verdict.reason.split()) <= 25
        assert (verdict.cost, verdict.input_tokens, verdict.model) == (0, 0, "oracle")


FOX = Figure("fox", "illustrated")
DRAWN = Figure("fox", "illustrated", "playing in snow")
PHOTO = Figure("fox", "photo", "playing in snow")


@pytest.mark.parametrize(
    ("name", "drawings", "paper", "blind"),
    [
        ("i2i_unc_style_text_lens_padding", (FOX, PHOTO, DRAWN), 1, 1),
        ("i2i_unc_style_text_lens_padding", (FOX, PHOTO, SceneView(CITY)), 0, 0),
        ("ko_style_ref_to_text", (FOX, DRAWN, PHOTO), 1, 0),
        ("ko_style_ref_to_image", (FOX, DRAWN, PHOTO), 0, 0),
        ("ko_style_ref_to_image", (FOX, DRAWN, DRAWN), 1, 1),
        ("i2i2i_style", (FOX, Figure("fox", "photo"), PHOTO, DRAWN), 1, 1),
        ("i2i2i_style", (FOX, Figure("fox", "photo"), PHOTO, PHOTO), 0, 0),
    ],
)
def test_styles(name, drawings, paper, blind):
    found = [ask(questions[name], *drawings).passed for questions in (PAPER, BLIND)]
    assert found == [bool(paper), bool(blind)]


ANN, BEN = TEST_PEOPLE["15"], TEST_PEOPLE["02"]
PORTRAITS = Portrait(ANN), Portrait(BEN)


@pytest.mark.parametrize(
    ("name", "drawings", "paper", "blind"),
    [
        ("i2i_unc_dreambench_human_identity", (PORTRAITS[0], Portrait(BEN, "forest"),
                                               Portrait(BEN, "forest")), 1, 0),
        ("i2i_unc_dreambench_human_identity", (PORTRAITS[0], Portrait(BEN, "forest"),
                                               Portrait(replace(ANN, color="white"), "office")),
         0, 1),
        # "Reply 0 only if it is the same person": a place with nobody in it does not show her.
        ("i2i_unc_dreambench_human_identity", (*PORTRAITS, SceneView(BEACH)), 1, 0),
        ("ko_dreambench_human_ref_to_text", (PORTRAITS[0], Portrait(ANN, "office"),
                                             Portrait(ANN, "office")), 0, 1),
        ("ko_dreambench_human_ref_to_image", (PORTRAITS[0], Portrait(ANN, "office"),
                                              Portrait(BEN, "office")), 0, 0),
        ("i2i2i_dreambench_humans", (*PORTRAITS, Portrait(BEN, "forest"),
                                     Portrait(ANN, "forest")), 1, 1),
        ("i2i2i_dreambench_humans", (*PORTRAITS, Portrait(BEN, "forest"),
                                     Portrait(BEN, "forest")), 0, 0),
    ],
)  # fmt: skip
def test_people(name, drawings, paper, blind):
    found = [ask(questions[name], *drawings).passed for questions in (PAPER, BLIND)]
    assert found == [bool(paper), bool(blind)]


@pytest.mark.parametrize(
    ("name", "drawings", "passed"),
    [
        ("i2i_unc_add", (SceneView(BEACH), SceneView(None, "drum"),
                         SceneView(BEACH, "drum", 1)), 1),
        ("i2i_unc_add", (SceneView(BEACH), SceneView(None, "drum"),
                         SceneView(replace(BEACH, light="noon", layout=4))), 1),
        ("i2i_unc_add", (SceneView(BEACH), SceneView(None, "drum"), SceneView(CITY, "drum", 1)), 0),
        ("i2i_unc_add", (SceneView(BEACH), SceneView(BEACH), SceneView(BEACH)), 0),
        ("i2i_unc_remove", (SceneView(BEACH, "drum", 1), SceneView(None),
                            SceneView(CITY, "drum", 0)), 1),
        ("i2i_unc_remove", (SceneView(BEACH, "drum", 1), SceneView(None), SceneView(None)), 0),
    ],
)  # fmt: skip
def test_scenes(name, drawings, passed):
    for questions in (PAPER, BLIND):
        assert ask(questions[name], *drawings).passed == bool(passed)


def test_what_cannot_be_told_is_a_no_that_says_so():
    """As the paper's system prompt has it; and never an error."""
    gray = Solid((128, 128, 128))
    for name in ("i2i2i_color", "i2i2i_dreambench_humans"):
        refs = PORTRAITS if "humans" in name else (Solid((220, 40, 40)), Solid((40, 90, 220)))
        verdict = ask(PAPER[name], *refs, gray, gray)
        assert verdict.passed is False
        assert verdict.reason.startswith("cannot determine: ")


def test_every_question_has_a_rule_and_cases():
    for question in (*PAPER.values(), *BLIND.values()):
        assert rule_of(question)
        assert (question.family, question.recipe) in CASES


def study(root, count):
    """Items of one question, as files."""
    question = PAPER["ko_color_ref_to_text"]
    items = {}
    for number in range(count):
        made = (Solid(COLORS["red"]), RED, (RED, UNDYED_MUG)[number % 2])
        images = {role: root / f"{role}-{number}.png" for role in question.images}
        for path, drawing in zip(images.values(), made, strict=True):
            drawing.draw(NO_FREE).save(path)
        items[f"task_{number}"] = images
    return question, {question.name: items}


def test_processes_answer_as_one_does(tmp_path):
    question, items = study(tmp_path, 6)
    items[question.name]["task_4"]["knockout"].write_text("no picture")
    Image.new("RGB", (64, 64)).save(items[question.name]["task_5"]["knockout"])
    rows = []
    for processes in (1, 2):
        with OracleJudge(processes) as judge:
            out = tmp_path / str(processes)
            tally = run_judge(judge, [question], items, out, concurrency=2 * processes)
        assert (tally.judged, tally.passed, tally.failed) == (4, 2, 2)
        found = read_verdict_file(out / "verdicts/oracle" / f"{question.name}.csv", failures=True)
        rows.append({id: (row.passed, row.reason, row.error) for id, row in found.items()})
    assert rows[0] == rows[1]
    assert "96x96" in rows[0]["task_5"][2]
    with pytest.raises(ValueError, match="at least 1"):
        OracleJudge(0)


def test_published_errors():
    """The table beside the oracle covers every rule, and says that most verdicts are right."""
    table = json.loads(verdict_accuracy.TABLE.read_text())
    assert table["seed"] == verdict_accuracy.SEED
    rules = {(q.family, q.recipe, q.set, q.counts) for q in (*PAPER.values(), *BLIND.values())}
    sets = {"paper": PAPER, "blind": BLIND}
    seen = set()
    for row in table["rows"]:
        q = sets[row["set"]][row["question"]]
        seen.add((q.family, q.recipe, q.set, q.counts))
        assert row["yes"] + row["no"] == table["n"]
        assert row["error"] == pytest.approx((row["missed"] + row["false_yes"]) / table["n"])
        if row["way"] == "clean":
            assert row["error"] <= 0.05, row
    assert seen == rules
