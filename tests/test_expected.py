"""Predictions on pages: as their file has them, held against verdicts by the claims' rule."""

from __future__ import annotations

import pytest
from test_pages import shown

from fluxlens.judge import NULL, Verdict
from fluxlens.pages import prediction_tables as expected
from fluxlens.results import predictions

COLORS = ("red", "orange", "yellow", "green", "blue", "purple")


def outcomes(share: float) -> dict[str, Verdict]:
    """Verdicts on sixty tasks, the same share of each color."""
    ids = [(f"solid_{color}_mug_s{n}", n) for color in COLORS for n in range(10)]
    return {entity: Verdict(n < 10 * share) for entity, n in ids}


def found(recipe: str, variant: str, verdicts) -> str:
    page = expected.after({"m": "bound"}, {"m": verdicts}, recipe, variants=[variant])
    (line,) = [line for line in shown(page) if line[0] == f"{recipe}, color, {variant}"]
    return line[2]


def test_every_row_of_the_file_stands_on_a_page_once():
    written = predictions()["wiring"]
    recipes = list(dict.fromkeys(row["recipe"] for row in written))
    lines = shown(expected.before({"b": "bound", "d": "direct"}, *recipes))[1:]
    told = {(*line[1:4], line[5]) for line in lines}
    assert len(lines) == len(told) == len(written)
    assert told == {
        (
            row["recipe"],
            ", ".join(row["families"]),
            ", ".join(row["variants"]),
            f"{row['why']} ({row['because']})",
        )
        for row in written
    }


def test_of_no_wiring_nothing_is_expected():
    assert shown(expected.before({"klein": None}, "i2i_patch"))[1][-1] == "no wiring is known"
    assert "no wiring is known" in repr(expected.after({"k": None}, {"k": {}}, "i2i_patch"))


@pytest.mark.parametrize(
    ("recipe", "variant", "name", "null"),
    [
        ("i2i_patch", "all", "i2i2i_color", "i2i2i_color"),
        # a control has its own verdicts and its sibling's null
        (
            "attention_knockout",
            "ref->text[pad]",
            "ko_color_ref_to_text__ref_to_text.pad",
            "ko_color_ref_to_text",
        ),
    ],
)
def test_a_prediction_is_held_against_its_verdicts(recipe, variant, name, null):
    nothing = {null + NULL: outcomes(0.1)}
    assert found(recipe, variant, {name: outcomes(0.9), **nothing}).endswith(": as expected")
    few = found(recipe, variant, {name: outcomes(0.2), **nothing})
    assert few == "20 % [12, 32], n = 60 (nothing done: 10 %): not as expected"
    assert found(recipe, variant, nothing) == "not judged"


def test_before_and_after_speak_of_the_models_on_the_page():
    wirings = {"mini": "bound", "other": "direct"}
    before = shown(expected.before(wirings, "i2i_patch"))
    assert {line[0] for line in before[1:]} == set(wirings)
    after = shown(expected.after(wirings, {"mini": {}, "other": {}}, "i2i_patch", variants=["all"]))
    assert after[0][1:] == ["mini, expected", "found", "other, expected", "found"]
    families = [f"i2i_patch, {family}, all" for family in ("color", "style", "people")]
    assert [line[0] for line in after[1:]] == [*families, "as expected"]
    assert {line[2] for line in after[1:-1]} == {"not judged"}
    assert after[-1][2] == "0 of 0 that were tested"


def test_differences_are_those_of_the_claims():
    verdicts = {"m": {"ko_color_ref_to_text": outcomes(0.9), "ko_color_ref_to_image": {}}}
    lines = shown(expected.differences(verdicts, "4.3", "attention_knockout"))[1:]
    found = {(line[1], line[2]): line[3] for line in lines}
    assert found["KO ref->text, Color Transfer", "one task in two"].startswith("+40.0 [+40, +40]")
    assert found["KO ref->text, Color Transfer", "KO ref->image, Color Transfer"] == "not judged"
    assert all("lens" not in line[1].lower() for line in lines)
