"""Rates given the plain edit: who is left out, and that nothing else changes."""

from __future__ import annotations

import pytest

from fluxlens.judge import Verdict, Verdicts
from fluxlens.results import baseline_conditioned_rates, plain_edit_shows, records

RED, BLUE, PINK = (f"solid_{name}_mug_s0" for name in ("red", "blue", "pink"))


def verdicts(**files: dict[str, bool]) -> Verdicts:
    return {
        name: {entity: Verdict(passed) for entity, passed in some.items()}
        for name, some in files.items()
    }


PLAIN = {"ko_color_ref_to_image__null": {RED: True, BLUE: False, PINK: True}}


def only(verdicts):
    (row,) = records(baseline_conditioned_rates(verdicts))
    return row


def test_a_property_that_was_never_there_cannot_be_lost():
    lost = {RED: True, BLUE: False, PINK: True}
    cell = only(verdicts(ko_color_ref_to_text=lost, **PLAIN))
    assert (cell.k, cell.n) == (2, 3)
    assert (cell.shown_k, cell.shown_n) == (2, 2)
    assert cell.judge == "ko_color_ref_to_text"
    assert cell.shown.startswith("100.0 ")


def test_polarity_is_the_table_s():
    # "does it still show the color?", yes for red alone: destroyed in two of three
    kept = {RED: True, BLUE: False, PINK: False}
    cell = only(verdicts(ko_color_ref_to_image=kept, **PLAIN))
    assert (cell.k, cell.n, cell.shown_k, cell.shown_n) == (2, 3, 1, 2)


@pytest.mark.parametrize(
    ("source", "target", "counts"), [(RED, PINK, 1), (RED, BLUE, 0), (BLUE, RED, 0)]
)
def test_a_pair_counts_where_both_of_its_edits_show_their_color(source, target, counts):
    cell = only(verdicts(i2i2i_color={f"{source}__{target}": True}, **PLAIN))
    assert (cell.n, cell.shown_n) == (1, counts)


def test_a_photographed_target_has_no_style_to_show():
    source = "customize_property_style_free_fox_snow_s0"
    pair = f"{source}__manual_free_fox_real_snow_s1"
    plain = {"ko_style_ref_to_image__null": {source: True}}
    cell = only(verdicts(i2i2i_style={pair: False}, **plain))
    assert (cell.shown_k, cell.shown_n) == (0, 1)


def test_where_every_plain_edit_shows_it_nothing_changes():
    plain = {"ko_color_ref_to_image__null": dict.fromkeys((RED, BLUE, PINK), True)}
    lost = {RED: True, BLUE: False, PINK: True}
    cell = only(verdicts(ko_color_ref_to_text=lost, **plain))
    assert cell.all == cell.shown


def test_nothing_is_said_where_nothing_was_asked():
    lost = verdicts(ko_color_ref_to_text={RED: True}, i2i_unc_add={"add_x_beach_1__y": True})
    assert baseline_conditioned_rates(lost).empty
    assert plain_edit_shows(lost, "add") == {}
    none = verdicts(ko_color_ref_to_text={RED: True}, ko_color_ref_to_image__null={RED: False})
    assert only(none).shown == "in no task"


def test_blind_questions_do_not_tell_what_a_plain_edit_shows():
    blind = {"ko_color_ref_to_image__null": {RED: Verdict(True, counts="fail")}}
    assert plain_edit_shows(blind, "color") == {}
