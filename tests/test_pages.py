"""Tables on pages: printed as shown, the paper's numbers marked, gaps left as gaps."""

from __future__ import annotations

import re
from html import unescape

import pytest

from fluxlens import pages
from fluxlens.judge import NULL, Verdict
from fluxlens.results import load_paper

EVIL = '<script>alert("x")</script> & more'
PLANS = {plan.judge: plan for plan in load_paper().cells}


def verdicts_of(rates, count=12):
    """For each question, verdicts of which the given share makes the table's outcome."""
    made = {}
    for name, share in rates.items():
        passes = PLANS[name.removesuffix(NULL)].counts == "pass"
        ids = [f"solid_{('red', 'blue', 'pink')[n % 3]}_mug_s{n}" for n in range(count)]
        made[name] = {e: Verdict((n < share * count) == passes) for n, e in enumerate(ids)}
    return made


CUTS = verdicts_of(
    {
        "ko_color_ref_to_text": 0.75,
        "ko_color_ref_to_image": 0.25,
        "ko_color_ref_to_image" + NULL: 0.5,
    }
)


def shown(page):
    """The rows of a page's table, from its HTML."""
    lines = re.findall(r"<tr>(.*?)</tr>", page.html)
    return [
        [
            unescape(re.sub(r"</?span[^>]*>", "", word))
            for word in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)
        ]
        for line in lines
    ]


EVERY = {
    "rows": lambda v: pages.rows(["a", EVIL], [[EVIL, "b"]], EVIL),
    "table": lambda v: pages.table("2", {EVIL: v, "other": {}}, EVIL),
    "by_group": lambda v: pages.by_group("2", {EVIL: v, "other": {}}, "cluster", EVIL),
    "compared": lambda v: pages.compared({EVIL: v, "other": {}}, "attention_knockout", EVIL),
    "where_shown": lambda v: pages.where_shown({EVIL: v}, "attention_knockout", EVIL),
    "claims": lambda v: pages.claims({EVIL: v}, "4.4", EVIL),
}


@pytest.mark.parametrize("name", EVERY)
def test_the_words_are_those_of_the_table_and_none_becomes_markup(name):
    page = EVERY[name](CUTS)
    assert "<script" not in page.html
    assert repr(page) == "\n".join(" | ".join(line) for line in shown(page))
    assert len(shown(page)) > 1
    assert len({len(line) for line in shown(page)}) == 1


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"a row of 1 for 2 columns"):
        pages.rows(["a", "b"], [["c"]])


def test_what_was_not_judged_is_said_and_is_no_number():
    head, *lines = shown(pages.table("2", {"mini": CUTS}))
    assert head[-1] == "paper, klein-9B"
    by_name = {line[0]: line for line in lines}
    assert by_name["KO ref->text, Color Transfer"][1].startswith("75.0 ")
    assert by_name["KO ref->image, Color Transfer"][2] == "50.0"
    assert by_name["KO ref->text, Style Transfer"][1:4] == ["not judged", "—", "—"]
    assert all(line[-1].split(", n = ")[0] != "—" for line in lines)


def test_the_papers_numbers_stand_in_their_own_column_and_released_ones_say_so():
    published = PLANS["ko_color_ref_to_text"].published.printed
    (line,) = [
        x for x in shown(pages.table("2", {"m": {}})) if x[0] == "KO ref->text, Color Transfer"
    ]
    assert line[-1] == f"{published}, n = 320"
    _, *released = shown(pages.table("unpublished", {"m": {}}))
    assert released
    assert all("(released)" in line[-1] for line in released)


def test_a_caption_bears_the_tables_number_if_it_has_one():
    assert "Table D1. " in pages.table("D1", {"m": {}}).html
    assert "Table unpublished" not in pages.table("unpublished", {"m": {}}).html


def test_a_table_of_one_row_calls_its_cells_by_their_columns():
    names = [line[0] for line in shown(pages.table("1", {"m": {}}))[1:]]
    assert names[0] == "Color Transfer"


def test_found_says_what_the_table_says():
    names = ["ko_color_ref_to_text", "ko_color_ref_to_image", "i2i_unc_style_text_lens_content"]
    printed = pages.found(names, {"mini": CUTS, "other": {}})
    assert max(map(len, printed.splitlines())) <= 76
    said = printed.replace("\n    ", " ").splitlines()
    assert len(said) == 3
    assert "mini 75.0 % [" in said[0]
    assert "n = 12" in said[0]
    assert "other was not judged" in said[0]
    assert "the paper, klein-9B: 86.2 %, n = 320" in said[0]
    assert "(nothing done: 50.0 %)" in said[1]
    assert "its authors' files, klein-9B: 44.0 %, n = 450" in said[2]


def test_groups_are_the_clusters_of_the_judged():
    groups = {line[1] for line in shown(pages.by_group("2", {"mini": CUTS}, "cluster"))[1:]}
    assert groups == {"red", "blue", "pink"}


def test_a_comparison_counts_the_tasks_where_two_cuts_differ():
    (line,) = [
        x
        for x in shown(pages.compared({"mini": CUTS}, "attention_knockout"))[1:]
        if "KO ref->image" in x[0]
    ]
    assert line[1:7] == ["mini", "12", "75.0 %", "25.0 %", "6", "0"]
    page = pages.compared({"mini": CUTS}, "attention_knockout", only="content against all")
    assert shown(page)[1][0] == "not judged"


def test_without_verdicts_nothing_is_compared():
    page = pages.compared({"mini": {}}, "i2i_patch")
    assert shown(page)[1][0] == "not judged"


def test_tasks_whose_edit_lacks_the_property_can_be_left_out():
    lines = {line[0]: line for line in shown(pages.where_shown({"m": CUTS}, "attention_knockout"))}
    assert lines["KO ref->text, Color Transfer"][1].endswith("n = 12")
    assert lines["KO ref->text, Color Transfer"][2].endswith("n = 6")
    assert lines["KO ref->text, Style Transfer"][1:] == ["not judged", "—"]


def test_claims_of_one_section():
    every, some = shown(pages.claims({"m": {}})), shown(pages.claims({"m": {}}, "4.4"))
    assert 1 < len(some) < len(every)
    assert all("4.4" in line[2] for line in some[1:])
    assert {line[-1] for line in every[1:]} == {"missing"}
