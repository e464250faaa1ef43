"""Predictions on pages: as their file has them, held against verdicts by the claims' rule."""

from __future__ import annotations

import tomllib

import pytest
from test_pages import shown

from fluxlens import expected
from fluxlens._read_verdicts import NULL, Verdict
from fluxlens.claims import PREDICTIONS

COLORS = ("red", "orange", "yellow", "green", "blue", "purple")


def outcomes(share: float) -> dict[str, Verdict]:
    """Verdicts on sixty tasks, the same share of each color."""
    ids = [(f"solid_{color}_mug_s{n}", n) for color in COLORS for n in range(10)]
    return {entity: Verdict(entity, n < 10 * share) for entity, n in ids}


def one(wiring: str, recipe: str, variant: str) -> expected.Expectation:
    for e in expected.expectations(wiring, recipe):
        if (e.family, e.variant) == ("color", variant):
            return e
    raise AssertionError


def test_every_row_of_the_file_is_there_once():
    rows = tomllib.loads(PREDICTIONS.read_text(encoding="utf-8"))["wiring"]
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    for wiring in ("bound", "direct"):
        mine = [row for row in rows if row["wiring"] == wiring]
        made = expected.expectations(wiring, *recipes)
        assert len(made) == sum(len(row["families"]) * len(row["variants"]) for row in mine)
        assert {e.why for e in made} == {row["why"] for row in mine}


def test_of_no_wiring_nothing_is_expected():
    assert expected.expectations(None, "i2i_patch") == []
    assert shown(expected.before({"klein": None}, "i2i_patch"))[1][-1] == "no wiring is known"
    assert "no wiring is known" in repr(expected.after({"k": None}, {"k": {}}, "i2i_patch"))


@pytest.mark.parametrize(
    ("variant", "share", "said"),
    [
        ("all", 0.9, "as expected"),  # predicted to move in most pairs
        ("all", 0.1, "not as expected"),
        ("content", 0.1, "as expected"),  # predicted to move no more than by itself
        ("content", 0.9, "not as expected"),
    ],
)
def test_a_prediction_is_held_against_half_or_null(variant, share, said):
    e = one("bound", "i2i_patch", variant)
    cell, name = e.asked
    verdicts = {name: outcomes(share), cell.judge + NULL: outcomes(0.1)}
    assert expected.found(e, verdicts, draws=200) == said


def test_a_control_is_held_against_the_null_of_its_sibling():
    e = one("bound", "attention_knockout", "ref->text[template]")
    cell, name = e.asked
    assert name != cell.judge
    verdicts = {name: outcomes(0.8), cell.judge + NULL: outcomes(0.1)}
    assert expected.found(e, verdicts, draws=200) == "not as expected"
    whole = {cell.judge: outcomes(0.8), cell.judge + NULL: outcomes(0.1)}
    assert expected.found(e, whole, draws=200) == "not judged"


def test_before_and_after_speak_of_the_models_on_the_page():
    wirings = {"mini": "bound", "other": "direct"}
    before = shown(expected.before(wirings, "i2i_patch"))
    assert {line[0] for line in before[1:]} == set(wirings)
    after = shown(expected.after(wirings, {"mini": {}, "other": {}}, "i2i_patch", variants=["all"]))
    assert after[0][1:] == ["mini, expected", "found", "other, expected", "found"]
    assert [line[0] for line in after[1:]] == [
        f"i2i_patch, {family}, all" for family in ("color", "style", "people")
    ]
    assert {line[2] for line in after[1:]} == {"not judged"}


def test_differences_are_those_of_the_claims():
    verdicts = {"m": {"ko_color_ref_to_text": outcomes(0.9), "ko_color_ref_to_image": {}}}
    lines = shown(expected.differences(verdicts, "4.3", "attention_knockout"))[1:]
    found = {(line[1], line[2]): line[3] for line in lines}
    assert found["KO ref->text, Color Transfer", "one task in two"].startswith("+40.0 [+40, +40]")
    assert found["KO ref->text, Color Transfer", "KO ref->image, Color Transfer"] == "not judged"
    assert all("lens" not in line[1].lower() for line in lines)
