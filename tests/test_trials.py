"""What the pages on known answers and controls say of made-up readings."""

from dataclasses import replace

import pytest
from PIL import Image

from fluxlens.pages import control_figures as trials
from fluxlens.pages.known_answers import Dose, Reading

BASE = Reading("wiring", "bound", "color", "t2i_lens", "all", "yes", "planted", "why", n=20)


def reading(recipe, variant, k, expected="yes", **more):
    return replace(BASE, recipe=recipe, variant=variant, k=k, expected=expected, **more)


def lines(page):
    return [line.split(" | ") for line in repr(page).splitlines()]


@pytest.mark.parametrize(
    ("lens", "cut", "patch", "means"),
    [
        (0, 20, 20, "the lens is blind"),
        (20, 0, 0, "held, not used"),
        (20, 0, 20, "rerouted"),
        (0, 0, 20, "rerouted"),
        (20, 20, 0, "off the track"),
        (20, 20, 20, "agree"),
        (0, 0, 0, "agree"),
        (8, 20, 20, "—"),  # "partly" decides nothing
    ],
)
def test_what_disagreements_can_mean(lens, cut, patch, means):
    found = [
        reading("t2i_lens", "pad", lens),
        reading("attention_knockout", "ref->text[pad]", cut),
        reading("i2i_patch", "pad", patch),
    ]
    said = {line[0]: line[1:] for line in lines(trials.disagreements({"mini": found}))}
    assert said["mini, color, pad"][-1] == means
    assert said["mini, style, pad"] == ["—"] * 4


def test_a_wrong_prediction_is_said_to_be_wrong():
    rows = {"mini": [reading("t2i_lens", "all", 20), reading("i2i_patch", "pad", 0)]}
    marks = [line[-1] for line in lines(trials.read(rows))[1:]]
    assert marks == ["right", "WRONG"]
    text = trials.wrong(rows)
    assert "mini: 1 of 2 came true" in text
    assert "color, i2i_patch, pad: expected yes (planted), reads no, 0 of 20" in text


def test_the_confusion_table_pools_models_where_there_are_two():
    one = {"mini": [reading("t2i_lens", "all", 20)]}
    two = one | {"mini-direct": [reading("t2i_lens", "all", 0, "no")]}
    assert not any(line[0].endswith(", all") for line in lines(trials.confused(one)))
    table = {line[0]: line[1:] for line in lines(trials.confused(two))}
    assert table["T2I Lens, mini"] == ["1 of 1: 100 % [21, 100]", "—"]
    assert table["T2I Lens, all"][1] == "1 of 1: 100 % [21, 100]"


def test_rates_stand_where_the_outcome_was_predicted_and_where_not():
    rows = {"mini": [reading("t2i_lens", "all", 15), reading("t2i_lens", "pad", 1, "no")]}
    said = repr(trials.dots(rows))
    assert "mini, T2I Lens: yes: 75 %" in said
    assert "mini, T2I Lens: no: 5 %" in said


def test_placebos_beside_the_patch():
    noise = reading("placebo", "noise-pad", 12, "no")
    same = reading("placebo", "same-run-pad", 0, "no")
    table = {line[0]: line[1] for line in lines(trials.placebos({"mini": [noise, same]}))}
    assert table["noise, pad"] == "12 of 20 (no, WRONG)"
    assert table["same-run, pad"] == "0 of 20 (no)"
    assert table["noise, all"] == "—"
    patches = {"mini": [reading("i2i_patch", "pad", 19), reading("i2i_patch", "padding", 20)]}
    said = repr(trials.transfers({"mini": [noise, same]}, patches))
    assert "color: noise: 60 %" in said
    assert "color: the patch: 95 %" in said  # the kinds of tokens that placebos have
    assert "style" not in said


def test_curves_say_what_they_show():
    said = repr(trials.curves({"mini, color": [Dose(0.5, 20, 10, 18, 9)], "mini, style": []}))
    assert "mini, color, strength 0.5: moved 10, kept 18, both 9 of 20" in said
    assert "style" not in said


@pytest.mark.parametrize("rows", [{}, {"klein-9b": []}])
def test_pages_of_a_model_of_no_known_wiring(rows):
    for page in (trials.predicted, trials.read, trials.placebos, trials.disagreements):
        assert "no wiring is known" in repr(page(rows)) or page is trials.placebos
    assert "nothing was judged" in repr(trials.dots(rows))
    assert "nothing was judged" in repr(trials.transfers(rows, rows))
    assert "nothing was judged" in repr(trials.curves({name: [] for name in rows}))


def test_levels():
    one, other = (Image.new("RGB", (4, 4), color) for color in ((10, 0, 0), (0, 3, 0)))
    assert trials.levels(one, one) == 0
    assert trials.levels(one, other) == trials.levels(other, one) == 10
