"""The judges' questions: all 28, the polarity of each, and what the loader refuses."""

from __future__ import annotations

import hashlib
import re

import pytest

from fluxlens.judge.questions import QuestionError, load_questions, read_questions

PAPER = load_questions()
BLIND = load_questions("blind")

# sha256 of the texts as the paper's Appendix E prints them, line breaks taken as spaces.
QUOTED = {
    "system": "1652963bfa388884",
    "i2i_unc_color_text_lens": "d1a47dfcd085ea56",
    "i2i_unc_style_text_lens": "2f068d5f11d364d3",
    "i2i_unc_dreambench_human_identity": "b942abfd02cf462e",
    "i2i_unc_add": "b8cfcf02fdbd397a",
    "ko_color_ref_to_text": "fe5a2ff066d2b8e5",
    "ko_style_ref_to_text": "9f98d3a7b9ee458b",
    "ko_dreambench_human_ref_to_text": "ae7fd8bc163fd276",
    "i2i2i_color": "0abc800d5d803c46",
    "i2i2i_style": "5e4749a0e4d5822d",
    "i2i2i_dreambench_humans": "f223c17cfc469c44",
}


def test_the_28_judges():
    assert len(PAPER) == len(BLIND) == 28
    assert list(PAPER) == list(BLIND)
    assert sum(question.n for question in PAPER.values()) == 10_759
    recipes = [question.recipe for question in PAPER.values()]
    assert [recipes.count(recipe) for recipe in ("lens", "knockout", "patch")] == [7, 12, 9]
    for question in PAPER.values():
        assert (
            len(question.images) == len(question.labels) == (4 if question.recipe == "patch" else 3)
        )
        assert question.outcome == {"lens": "observed", "knockout": "destroyed"}.get(
            question.recipe, "transferred"
        )


def test_quoted_word_for_word():
    found = {name: PAPER[name].text for name in QUOTED if name != "system"}
    found["system"] = PAPER["i2i_unc_add"].system
    hashes = {
        name: hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]
        for name, text in found.items()
    }
    assert hashes == QUOTED
    assert all(PAPER[name].source == "quoted" for name in QUOTED if name != "system")
    assert PAPER["i2i_unc_add"].system.count("\n") == 7  # its lines as printed


def test_sources():
    """19 quoted (variants share questions), 6 by the appendix's replacement, 3 written by us."""
    sources = [question.source for question in PAPER.values()]
    assert {source: sources.count(source) for source in sources} == {
        "quoted": 19,
        "derived": 6,
        "ours": 3,
    }
    assert {question.source for question in BLIND.values()} == {"ours"}
    assert all(question.appendix.startswith("E.") for question in PAPER.values())
    assert not any(question.appendix for question in BLIND.values())


def test_replacements():
    for part in ("padding", "content"):
        derived = PAPER[f"ko_style_ref_to_text_{part}"]
        full = PAPER["ko_style_ref_to_text"]
        assert derived.text == full.text.replace("ref->text", f"ref->text[{part}]")
        assert f"ref->text[{part}] attention path" in derived.labels[2]
        assert derived.labels[:2] == full.labels[:2]
        patched = PAPER[f"i2i2i_color_text_{part}"]
        assert patched.text == PAPER["i2i2i_color"].text
        assert f"source's {part} text tokens" in patched.labels[3]


def test_polarity():
    """As the tables count: 1 − p for the ref→image rows and the people's lens, p for all others."""
    inverted = {name for name, question in PAPER.items() if question.counts == "fail"}
    assert inverted == {
        "i2i_unc_dreambench_human_identity",
        "ko_color_ref_to_image",
        "ko_style_ref_to_image",
        "ko_dreambench_human_ref_to_image",
    }
    assert PAPER["i2i_unc_dreambench_human_identity"].outcome_of(False)
    assert not PAPER["i2i2i_color"].outcome_of(False)


def test_the_blind_set_tells_nothing():
    words = (
        r"patch|block|attention|token|ref->|reference|source|target|baseline|condition|LOST|STILL"
    )
    for question in BLIND.values():
        sent = " ".join([question.system, *question.labels, question.text])
        assert not re.search(words, sent), question.name
        assert "predict" not in sent
    # One question whichever path was cut, so that the rows of a table compare.
    for family in ("color", "style", "dreambench_human"):
        rows = [question for name, question in BLIND.items() if name.startswith(f"ko_{family}")]
        assert len(rows) == 4
        assert len({(question.text, question.labels, question.counts) for question in rows}) == 1


def test_digests_tell_wordings_apart():
    digests = {question.digest for question in PAPER.values()}
    assert len(digests) == 27  # add and remove are asked the same
    assert PAPER["i2i_unc_add"].digest == PAPER["i2i_unc_remove"].digest
    assert not digests & {question.digest for question in BLIND.values()}


GOOD = """
[sets.paper]
system = "Judge."
[sets.paper.questions.q]
source = "quoted"
appendix = "E.1"
counts = "pass"
labels = ["Image 1:", "Image 2 (of x):"]
text = "Is it?"
[[judges]]
name = "a"
family = "color"
recipe = "lens"
variant = "all"
n = 3
outcome = "observed"
images = ["reference", "lens"]
questions = { paper = "q" }
"""


def test_a_file_of_ones_own():
    assert read_questions(GOOD, "paper")["a"].text == "Is it?"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("n = 3", "n = true", "questions: judges.a.n: Input should be a valid integer, not True"),
        ("n = 3", "n = 0", "judges.a.n: Input should be greater than 0, not 0"),
        ("n = 3", "n = 3\nmm = 1", "judges.a.mm: Extra inputs are not permitted"),
        ('family = "color"', 'family = "colour"', "judges.a.family: Input should be 'color', 's"),
        ('variant = "all"', 'variant = "ref->text"', "judges.a: 'variant' is one of"),
        ('"reference", "lens"', '"reference", "lens", "t2i"', "2 labels for 3 images"),
        ('"reference", "lens"', '"lens", "lens"', "different roles"),
        ('"reference", "lens"', '"lens", "face"', "judges.a.images.1: Input should be 'reference'"),
        ('paper = "q"', 'paper = "r"', "a: there is no [sets.paper.questions.r]"),
        ('paper = "q"', 'blind = "q"', "a: there is no [sets.paper.questions.]"),
        ("Is it?", " ", "sets.paper.questions.q.text: String should match"),
        ('"Image 2 (of x):"', '"Image 3:"', "label 2 does not begin with 'Image 2'"),
        ('counts = "pass"', 'counts = "yes"', "q.counts: Input should be 'pass' or 'fail', not 'y"),
        ("n = 3", 'n = 3\nreplace = { "zz" = "y" }', "finds no 'zz'"),
        ('name = "a"', 'name = "a', "not TOML"),
        ("system", "systen", "sets.paper.system: Field required"),
    ],
)
def test_errors_name_the_row(old, new, says):
    assert old in GOOD
    with pytest.raises(QuestionError, match=re.escape(says)):
        read_questions(GOOD.replace(old, new, 1), "paper")


def test_two_of_a_name():
    twice = GOOD + GOOD[GOOD.index("[[judges]]") :]
    with pytest.raises(QuestionError, match="two judges of one name"):
        read_questions(twice, "paper")


def test_unknown_set():
    with pytest.raises(QuestionError, match="'paper' and 'blind'"):
        load_questions("mine")
