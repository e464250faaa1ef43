"""The paper's claims on made-up verdicts: what holds, what is refuted, what stays open."""

import pytest

from fluxlens.judge import NULL, Verdict, load_questions
from fluxlens.results import claims, load_paper, predictions
from fluxlens.results.claims import decide

COLORS = ["red", "orange", "yellow", "green", "blue", "purple"]
POLARITY = {plan.judge: plan.counts for plan in load_paper().cells}


def verdicts_of(rates):
    """For each question, verdicts of which the given share makes the table's outcome."""
    made = {}
    for name, share in rates.items():
        passes = POLARITY[name.removesuffix(NULL)] == "pass"
        made[name] = {}
        for color in COLORS:
            for n in range(10):
                entity = f"solid_{color}_mug_s{n}"
                counts = n < round(10 * share)
                made[name][entity] = Verdict(counts == passes)
    return made


def outcome(name, rates):
    return claims(verdicts_of(rates), draws=500).set_index("name").loc[name, "outcome"]


IN_TEXT = {
    "i2i_unc_color_text_lens": 1.0,
    "i2i_unc_color_text_lens" + NULL: 0.1,
    "ko_color_ref_to_text": 0.9,
    "ko_color_ref_to_image": 0.1,
    "i2i2i_color": 0.8,
}


def test_a_claim_holds_when_all_its_comparisons_do():
    assert outcome("color-in-text", IN_TEXT) == "holds"


@pytest.mark.parametrize(
    ("question", "rate"),
    [
        ("i2i_unc_color_text_lens", 0.1),  # the lens shows what the empty prompt shows
        ("ko_color_ref_to_image", 0.9),  # either cut destroys it
        ("i2i2i_color", 0.2),  # a patch seldom moves it
    ],
)
def test_one_failed_comparison_refutes(question, rate):
    assert outcome("color-in-text", IN_TEXT | {question: rate}) == "refuted"


def test_what_was_not_judged_is_missing():
    assert outcome("color-in-text", {k: v for k, v in IN_TEXT.items() if k != "i2i2i_color"}) == (
        "missing"
    )


def test_questions_that_count_failures_are_read_the_right_way_round():
    held = {
        "ko_dreambench_human_ref_to_image": 0.9,
        "ko_dreambench_human_ref_to_text": 0.2,
        "i2i_unc_dreambench_human_identity": 0.0,
        "i2i2i_dreambench_humans": 0.0,
    }
    assert outcome("identity-in-image", held) == "holds"
    assert outcome("identity-in-image", held | {"i2i_unc_dreambench_human_identity": 1.0}) == (
        "refuted"
    )


@pytest.mark.parametrize(
    ("lo", "hi", "said"),
    [
        (1.0, 30.0, "holds"),
        (-5.0, 5.0, "fails"),
        (-30.0, -20.0, "fails"),
        (-5.0, 20.0, "undecided"),
    ],
)
def test_an_interval_decides(lo, hi, said):
    assert decide((lo + hi) / 2, lo, hi) == said


def test_a_single_cluster_decides_nothing():
    verdicts = verdicts_of(IN_TEXT)
    red = {q: {e: v for e, v in some.items() if "red" in e} for q, some in verdicts.items()}
    outcomes = claims(red, draws=100).set_index("name")["outcome"]
    assert outcomes["color-in-text"] == "undecided"


def test_every_claim_compares_what_the_study_asks():
    known = set(load_questions()) | {"null", "half"}
    for entry in predictions()["claim"]:
        for comparison in entry["comparisons"]:
            assert {comparison["more"], comparison["than"]} <= known
            assert {comparison["more"], comparison["than"]} & set(load_questions())


def test_predictions_name_what_can_be_run():
    cuts = {"ref->image", "ref->text", *(f"ref->text[{t}]" for t in TOKENS)}
    known = {"attention_knockout": cuts, "drop_reference": {"binding"}}
    seen = set()
    for row in predictions()["wiring"]:
        assert row["outcome"] in ("yes", "no", "open")
        for variant in row["variants"]:
            assert variant in known.get(row["recipe"], {"all", *TOKENS})
            for family in row["families"]:
                key = (row["wiring"], family, row["recipe"], variant)
                assert key not in seen  # no two predictions of one thing
                seen.add(key)


TOKENS = ("padding", "content", "template", "pad")
