"""Verdicts → Tables 1, 2, 3, D1: the paper's 26 prints, intervals, paired tests, formats."""

from __future__ import annotations

import csv
import json
import random
import re
from collections import Counter
from itertools import permutations, product
from pathlib import Path

import pytest

from fluxlens import results as tables
from fluxlens.cli import main
from fluxlens.judge import Verdict, Verdicts, read_verdicts
from fluxlens.results import (
    FORMATS,
    CellPlan,
    load_paper,
    place,
    records,
    report,
    report_agreement,
    report_parts,
)  # fmt: skip
from fluxlens.results.report import latex, markdown

HEADER = "entity_id,pass,reason,model,input_tokens,output_tokens"
COLORS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
OBJECTS = ["couch", "chair", "car", "ball", "vase", "pillow", "mug", "hat"]
PEOPLE = [
    "01_man",
    "02_man",
    "04_girl",
    "07_man",
    "08_man",
    "10_man",
    "11_player",
    "15_woman",
    "18_player",
    "19_girl",
]
PAPER = load_paper()

# judge → how many of the authors' verdicts the table counts (recomputed from their release)
COUNTS = {
    "i2i_unc_color_text_lens": 320, "i2i_unc_style_text_lens": 413, "i2i_unc_add": 606,
    "i2i_unc_remove": 501, "i2i_unc_dreambench_human_identity": 0,
    "ko_color_ref_to_text": 276, "ko_style_ref_to_text": 438, "ko_dreambench_human_ref_to_text": 41,
    "ko_color_ref_to_image": 43, "ko_style_ref_to_image": 74,
    "ko_dreambench_human_ref_to_image": 69,
    "ko_color_ref_to_text_padding": 224, "ko_style_ref_to_text_padding": 283,
    "ko_dreambench_human_ref_to_text_padding": 15,
    "ko_color_ref_to_text_content": 16, "ko_style_ref_to_text_content": 124,
    "ko_dreambench_human_ref_to_text_content": 7,
    "i2i2i_color": 412, "i2i2i_style": 394, "i2i2i_dreambench_humans": 3,
    "i2i2i_color_text_padding": 381, "i2i2i_style_text_padding": 369,
    "i2i2i_dreambench_humans_text_padding": 0,
    "i2i2i_color_text_content": 2, "i2i2i_style_text_content": 13,
    "i2i2i_dreambench_humans_text_content": 2,
    "i2i_unc_style_text_lens_padding": 362, "i2i_unc_style_text_lens_content": 198,
}  # fmt: skip


def rows_of(name):
    """A function of results, as its rows."""
    return lambda *args, **options: records(getattr(tables, name)(*args, **options))


table, cells, breakdown, comparisons, agreement = map(
    rows_of, ("table", "cells", "breakdown", "comparisons", "agreement")
)


def style(subject: str, prompt: int, seed: int) -> str:
    return f"customize_property_style_free_{subject}_some_scene_{prompt}_s{seed}"


def entities(plan: CellPlan) -> list[str]:
    """Ids in the form, and in the number, of the authors' files."""
    pairs = plan.recipe == "i2i_patch"
    match plan.family:
        case "color" if pairs:
            return [
                f"solid_{a}_{o}_s0__solid_{b}_{o}_s1"
                for o in OBJECTS
                for a, b in permutations(COLORS, 2)
            ]
        case "color":
            return [f"solid_{c}_{o}_s{s}" for c, o, s in product(COLORS, OBJECTS, range(5))]
        case "style":
            rows = list(product(PAPER.subjects, range(5), range(5)))
            real = "manual_free_{}_real_some_scene_{}_s{}"
            return [
                style(a, p, s) + f"__{real.format(a, p, (s + 1) % 5)}" * pairs for a, p, s in rows
            ]
        case "people" if pairs:
            stem = "customize_dreambench_plus_human_shared"
            return [
                f"{stem}_{a[:2]}_slug_{p}__{stem}_{b[:2]}_slug_{p}"
                for p in range(5)
                for a, b in permutations(PEOPLE, 2)
            ]
        case "people":
            stem = "customize_dreambench_plus_live_subject_human"
            return [f"{stem}_{a}" + f"_p{p}" * (p > 0) for a, p in product(PEOPLE, range(9))]
    return [
        f"{plan.family}_sun397_a_some_place_{n // 2}__sun_file{n % 2}_table_lamp"
        for n in range(plan.n)
    ]


def write(path: Path, rows: list[tuple[object, ...]], header: str = HEADER) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(header.split(","))
        out.writerows(rows)


def lines(plan: CellPlan) -> list[tuple[object, ...]]:
    ids = entities(plan)
    random.Random(plan.judge).shuffle(ids)
    counted, wanted = COUNTS[plan.judge], plan.counts == "pass"
    return [
        (id_, int((n < counted) == wanted), "a reason, quoted", "claude-opus-4-7", 4434, 47)
        for n, id_ in enumerate(ids)
    ]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the authors': 28 files, 10,759 verdicts."""
    folder = tmp_path_factory.mktemp("verdicts")
    for plan in PAPER.cells:
        write(folder / f"{plan.judge}.csv", lines(plan))
    write(folder / "other.csv", [("x", "y")], "task_id,cell")  # not verdicts: left alone
    return folder


@pytest.fixture(scope="module")
def verdicts(released: Path) -> Verdicts:
    return read_verdicts(released)


def answers(*passed: bool, prefix: str = "e") -> dict[str, Verdict]:
    return {f"{prefix}{n}": Verdict(p) for n, p in enumerate(passed)}


# --- the paper as data ---------------------------------------------------------------------------


def test_paper_toml_lists_every_cell_once() -> None:
    assert len(set(PAPER.judges)) == len(PAPER.cells) == 28
    assert Counter(t for cell in PAPER.cells for t in cell.tables) == {
        "1": 5, "2": 6, "3": 9, "D1": 12, "unpublished": 2,
    }  # fmt: skip
    places = [(t, cell.row, cell.column) for cell in PAPER.cells for t in cell.tables]
    assert len(set(places)) == len(places)
    assert sum(cell.n for cell in PAPER.cells) == 10_759
    assert sum(cell.published is not None for cell in PAPER.cells) == 26
    assert {cell.judge for cell in PAPER.cells if cell.counts == "fail"} == {
        "i2i_unc_dreambench_human_identity", "ko_color_ref_to_image", "ko_style_ref_to_image",
        "ko_dreambench_human_ref_to_image",
    }  # fmt: skip
    names = [f"{n}" for n in range(1, 6)] + [f"A{n}" for n in range(1, 8)]
    names += ["B1", "B2", "B3", "C1", "C2", "C3", "C4"]
    assert [figure.name for figure in PAPER.figures] == names


def test_unknown_table_is_named() -> None:
    with pytest.raises(ValueError, match="no table '4'; tables are 1, 2, 3, D1"):
        table("4", {})


# --- the authors' tables -------------------------------------------------------------------------


@pytest.mark.parametrize("plan", PAPER.cells, ids=lambda plan: plan.judge)
def test_published_print(plan: CellPlan, verdicts: Verdicts) -> None:
    (cell,) = (c for c in table(plan.tables[0], verdicts, draws=50) if c.judge == plan.judge)
    assert (cell.k, cell.n) == (COUNTS[plan.judge], plan.n)
    if plan.published is None:
        assert cell.printed == cell.released
        assert cell.paper_rate is cell.paper_printed is cell.difference is None
    else:
        assert cell.printed == cell.paper_printed == plan.published.printed
        assert cell.difference == 0
        assert abs(cell.lo - cell.paper_lo) < 0.11
        assert abs(cell.hi - cell.paper_hi) < 0.11


def test_rounding_is_of_the_double(verdicts: Verdicts) -> None:
    cell = table("2", verdicts, draws=50)[0]
    assert cell.rate == 86.25
    assert cell.printed == "86.2 +3.3 −4.2"


def test_table_2_is_part_of_table_d1(verdicts: Verdicts) -> None:
    full = {(c.row, c.column): c.printed for c in table("D1", verdicts, draws=50)}
    for cell in table("2", verdicts, draws=50):
        assert full[cell.row, cell.column] == cell.printed
    assert len(cells(verdicts, draws=50)) == 32


# --- reading -------------------------------------------------------------------------------------


def test_a_folder_per_question_reads_the_same(released: Path, tmp_path: Path) -> None:
    for path in released.glob("*.csv"):
        if path.stem in PAPER.judges:
            rows = path.read_text().splitlines()
            for part, some in enumerate((rows[1:50], rows[50:])):
                file = tmp_path / path.stem / f"part-{part}.csv"
                file.parent.mkdir(exist_ok=True)
                file.write_text("\n".join([rows[0], *some, ""]))
    assert read_verdicts(tmp_path) == read_verdicts(released)


def test_a_judges_folder_and_its_null_beside_it(tmp_path: Path) -> None:
    judge = "i2i_unc_add"
    write(tmp_path / "oracle" / f"{judge}.csv", [("a", 1, "", "", 0, 0)])
    write(tmp_path / "oracle__null" / f"{judge}.csv", [("a", 0, "", "", 0, 0)])
    for folder in (tmp_path, tmp_path / "oracle"):
        found = read_verdicts(folder)
        assert found[judge]["a"].passed
        assert not found[f"{judge}__null"]["a"].passed
    write(tmp_path / "claude" / f"{judge}.csv", [("a", 1, "", "", 0, 0)])
    with pytest.raises(ValueError, match="several judges; name one: claude, oracle"):
        read_verdicts(tmp_path)


def test_last_verdict_wins_and_blank_is_none(tmp_path: Path) -> None:
    rows = [
        ("a", 1, "", "m", 1, 1), ("b", "", "error: 529", "m", "", ""), ("c", 0, "", "m", 1, 1),
        ("a", 0, "", "m", 1, 1), ("c", "", "error", "m", "", ""), ("d", "", "error", "m", "", ""),
        ("d", "True", "", "m", 1, 1),
    ]  # fmt: skip
    path = tmp_path / "i2i_unc_add.csv"
    write(path, rows)
    with path.open("a") as file:
        file.write("torn_li")  # a process died while it wrote
    found = read_verdicts(tmp_path)["i2i_unc_add"]
    assert {key: v.passed for key, v in found.items()} == {"a": False, "c": False, "d": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}\na,yes,,,,\n", "line 2: pass is 1, 0 or blank, not 'yes'"),
        ("entity,verdict\na,1\n", "no columns entity_id and pass"),
    ],
)
def test_what_is_not_a_verdict_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "i2i_unc_add.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_verdicts(tmp_path)


@pytest.mark.parametrize(
    ("entity", "dataset", "cluster"),
    [
        ("solid_red_couch_s4", "solid colors", "red"),
        ("solid_blue_hat_s0__solid_pink_hat_s1", "solid colors", "blue"),
        (style("cartoon_boy", 1, 2), "style references", "cartoon_boy"),
        ("customize_property_style_free_dog_chasing_ball_s0", "style references", "dog"),
        (
            style("fox", 0, 0) + "__manual_free_fox_real_some_scene_0_s1",
            "style references",
            "fox",
        ),
        ("manual_free_alice_in_wonderland_real_tea_party_s0", "real photographs",
         "alice_in_wonderland"),
        ("customize_dreambench_plus_live_subject_human_18_basketball_player_p4",
         "dreambench_plus", "person 18"),
        ("customize_dreambench_plus_human_shared_01_x__customize_dreambench_plus_human_shared_02_x",
         "dreambench_plus", "person 01"),
        ("add_sun397_a_athletic_field_outdoor__sun_avhkijjlsixqbaye_kite", "sun397",
         "a_athletic_field_outdoor"),
        ("remove_drawn_beach_morning_1__layout_1_suitcase", "drawn", "beach_morning_1"),
        ("anything", "other", "anything"),
    ],
)  # fmt: skip
def test_place(entity: str, dataset: str, cluster: str) -> None:
    assert place(entity) == (dataset, cluster)


def test_clusters_are_the_papers(verdicts: Verdicts) -> None:
    clusters = {(c.table, c.row, c.column): c.clusters for c in cells(verdicts, draws=50)}
    expected = {"Color Transfer": 8, "Style Transfer": 18, "Human Customization": 10}
    for (_, _, column), n in clusters.items():
        assert n == expected.get(column, n)
    assert clusters["1", "VLM Judge Observation Rate", "Object Addition"] == 395


# --- missing, polarity, null ---------------------------------------------------------------------


def test_missing_is_missing() -> None:
    for cell in cells({}):
        assert not cell.n
        assert cell.n == 0
        assert cell.k is cell.rate is cell.lo is cell.hi is cell.printed is cell.cluster_lo is None
        assert cell.difference is None
        assert cell.paper_rate is not None
    text = report({}, ["2"])
    assert text.count("missing") == 6
    assert "0/0" not in text
    assert "missing" in report({}, ["2"], "latex")
    assert json.loads(report({}, ["1"], "json"))[0]["rate"] is None


def test_polarity_swaps_rate_and_bounds() -> None:
    some = answers(*[True] * 30 + [False] * 10)
    found = {"ko_color_ref_to_text": some, "ko_color_ref_to_image": some}
    lost, kept = (c for c in table("2", found) if c.n)
    assert (lost.k, kept.k) == (30, 10)
    assert lost.rate + kept.rate == 100
    assert lost.lo == pytest.approx(100 - kept.hi)
    assert lost.hi == pytest.approx(100 - kept.lo)
    assert lost.cluster_lo == pytest.approx(100 - kept.cluster_hi, abs=1)


def test_blind_questions_count_the_other_way_round(tmp_path: Path) -> None:
    """Asked blind, "still as present?": a fail is what the paper's "lost?" passes."""
    judge = "ko_color_ref_to_text"
    rows = [(f"e{n}", int(n < 3), "", "", 0, 0) for n in range(10)]
    turned = [(entity, 1 - passed, *rest) for entity, passed, *rest in rows]
    for folder, some in (("oracle", rows), ("oracle-blind", turned), ("oracle-blind__null", rows)):
        write(tmp_path / folder / f"{judge}.csv", some)
    plain, blind = (read_verdicts(tmp_path / name) for name in ("oracle", "oracle-blind"))
    assert [table("2", v)[0].k for v in (plain, blind)] == [3, 3]
    assert table("2", blind)[0].null_k == 7
    assert agreement(plain, blind)[0].percent == 100
    assert tables.disagreements(plain, blind, judge) == {}
    forced = read_verdicts(tmp_path / "oracle-blind", "paper")
    assert table("2", forced)[0].k == 7
    with pytest.raises(ValueError, match="several judges"):
        read_verdicts(tmp_path)
    with pytest.raises(ValueError, match="'paper' and 'blind', not 'mine'"):
        read_verdicts(tmp_path / "oracle", "mine")


@pytest.mark.parametrize("suffix", ["", "__null", "__image_to_ref"])
def test_agreement_knows_what_counts_of_siblings(suffix: str) -> None:
    """Total agreement on the outcome where the blind question asks the opposite."""
    name = f"ko_color_ref_to_text{suffix}"
    lost = {f"e{n}": Verdict(n < 3) for n in range(10)}
    alike = {e: Verdict(not v.passed, counts="fail") for e, v in lost.items()}
    (found,) = agreement({name: lost}, {name: alike})
    assert (found.percent, found.first_rate, found.second_rate) == (100, 30, 30)
    name = f"ko_color_ref_to_image{suffix}"  # of which the paper counts the failures
    (found,) = agreement({name: alike}, {name: alike})
    kept = {e: Verdict(not v.passed) for e, v in lost.items()}
    (found,) = agreement({name: kept}, {name: alike})
    assert (found.percent, found.first_rate) == (100, 30)


def test_null_controls_stand_under_the_table() -> None:
    found = {
        "ko_color_ref_to_text": answers(True, True, False),
        "ko_color_ref_to_text__null": answers(*[True] + [False] * 19),
        "ko_color_ref_to_image__null": answers(*[True] * 18 + [False] * 2),
    }
    text, image = (c for c in table("2", found) if c.column == "Color Transfer")
    assert (text.null_k, text.null_n, text.null_rate) == (1, 20, 5)
    # asked whether the color is still there: where nothing was done, 2 of 20 count as destroyed
    assert not image.n
    assert (image.null_k, image.null_rate) == (2, 10)
    assert "KO ref->image, Color Transfer: 10.0 [2.8, 30.1] of 20" in report(found, ["2"])


def test_breakdown(verdicts: Verdicts) -> None:
    by_cluster = breakdown("2", verdicts)
    assert len(by_cluster) == 2 * (8 + 18 + 10)
    total = sum(p.k for p in by_cluster if (p.row, p.column) == ("KO ref->text", "Color Transfer"))
    assert total == 276
    by_set = {p.group: p for p in breakdown("1", verdicts, "dataset")}
    assert by_set["sun397"].column == "Object Addition and Object Removal"
    assert (by_set["sun397"].k, by_set["sun397"].n) == (606 + 501, 789 + 726)
    assert set(by_set) == {"solid colors", "style references", "sun397", "dreambench_plus"}
    assert breakdown("1", {}) == []


# --- pairs and agreement -------------------------------------------------------------------------


def test_comparisons_pair_by_task() -> None:
    found = {
        "ko_color_ref_to_text": answers(*[True] * 10),
        "ko_color_ref_to_text_padding": answers(*[True] * 2 + [False] * 8),
        "ko_color_ref_to_image": answers(*[True] * 9),  # still there: not destroyed; e9 not judged
    }
    by = {(c.name, c.first): c for c in comparisons(found) if c.p is not None}
    padding = by["padding against all", "KO ref->text[padding]"]
    assert (padding.n, padding.first_only, padding.second_only) == (10, 0, 8)
    assert padding.p == pytest.approx(2 / 2**8)
    image = by["text against image", "KO ref->text"]
    assert (image.n, image.first_rate, image.second_rate, image.first_only) == (9, 100, 0, 9)
    assert len(comparisons({})) == 17
    assert all(c.p is None and c.first_rate is None for c in comparisons({}))


def test_agreement_between_judges() -> None:
    first = {"i2i_unc_add": answers(True, True, False, False), "only_here": answers(True)}
    second = {"i2i_unc_add": answers(True, False, False)}
    (found,) = agreement(first, second)
    assert (found.n, found.agree) == (3, 2)
    assert found.percent == pytest.approx(200 / 3)
    (((entity, (a, b))),) = tables.disagreements(first, second, "i2i_unc_add").items()
    assert (entity, a.passed, b.passed) == ("e1", True, False)
    assert report_agreement(first, second).count("i2i_unc_add") == 1


# --- formats -------------------------------------------------------------------------------------

NASTY = "<script>alert(1)</script> | $x$ \\input{x} \x1b[31m\u202e"


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nasty")
    judge = "ko_color_ref_to_text"
    rows = [(f"{NASTY}{n}", n % 2, f"REASON {NASTY}", NASTY, 1, 1) for n in range(6)]
    write(folder / f"{judge}.csv", rows)
    return folder


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_judge_wrote_does_not_get_out(nasty: Path, form: str) -> None:
    found = read_verdicts(nasty)
    whole = report(found, ["2"], form) + report_parts(found, ["2"], "cluster", form)
    assert "REASON" not in whole
    assert "\x1b" not in whole
    assert "\u202e" not in whole
    if form == "markdown":
        assert "<script" not in whole
        widths = {len(line.replace("\\|", "").split("|")) for line in whole.splitlines()
                  if line.startswith("|")}  # fmt: skip
        assert widths == {10, 7}  # eight columns, and five
    if form == "latex":
        assert "\\input" not in whole
        assert "$x$" not in whole


def test_escapes() -> None:
    assert latex(r"50% of $5 & a_b #1 {x} ~^\ [p]") == (
        r"50\% of \$5 \& a\_b \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{} {[}p{]}"
    )
    assert markdown("a|b*c<d>&") == r"a\|b\*c&lt;d>&amp;"


def test_latex_is_laid_out_as_the_paper(verdicts: Verdicts) -> None:
    text = report(verdicts, ["D1"], "latex")
    assert r"& Color Transfer (\%) & Style Transfer (\%) & Human Customization (\%) \\" in text
    assert (
        r"KO ref-\textgreater{}text & $86.2^{+3.3}_{-4.2}$ & $97.3^{+1.1}_{-1.9}$"
        r" & $45.6^{+10.3}_{-9.9}$ \\"
    ) in text
    assert text.count("the paper &") == 4
    assert text.count(r"\begin{") == text.count(r"\end{") == 2


def test_markdown_has_a_row_for_each_cell(verdicts: Verdicts) -> None:
    rows = [x for x in report(verdicts, ["3"], "markdown").splitlines() if x.startswith("|")]
    assert len(rows) == 2 + 9
    assert len(rows[1].split("|")) == 2 + 8
    assert set(rows[1]) == set("|:-")
    assert re.search(r"\| 92.0 \+2.2 −2.9 +\| 412/448 +\|", rows[2])


def test_tables_are_frames_to_be_filtered(verdicts: Verdicts) -> None:
    found = tables.table("1", verdicts, draws=50)
    assert list(found["printed"]) == list(found["paper_printed"])
    assert set(found.query("rate > 80")["family"]) == {"color", "style"}
    empty = tables.table("1", {})
    assert (empty["n"] == 0).all()
    assert empty[["k", "rate", "lo", "printed", "null_k"]].isna().all(axis=None)
    assert str(found["k"].dtype) == str(empty["k"].dtype) == "Int64"


# --- the command ---------------------------------------------------------------------------------


def test_command_json(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--verdicts", str(released), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert Counter(cell["table"] for cell in found) == {"1": 5, "2": 6, "3": 9, "D1": 12}
    wanted = [
        "table",
        "row",
        "column",
        "n",
        "k",
        "rate",
        "lo",
        "hi",
        "paper_rate",
        "paper_lo",
        "paper_hi",
        "printed",
        "judge",
    ]
    for cell in found:
        assert {*wanted, "cluster_lo", "cluster_hi"} <= set(cell)
        assert cell["rate"] == pytest.approx(100 * cell["k"] / cell["n"])  # percent
        assert cell["lo"] <= cell["rate"] <= cell["hi"]
        assert cell["printed"] == cell["paper_printed"]
        if 0 < cell["k"] < cell["n"]:
            assert cell["cluster_lo"] <= cell["rate"] <= cell["cluster_hi"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "extra", [["--by", "cluster"], ["--by", "dataset"], ["--paired"], ["--against"]]
)
def test_command_in_every_form(
    released: Path, capsys: pytest.CaptureFixture[str], form: str, extra: list[str]
) -> None:
    extra = [*extra, str(released)] if extra == ["--against"] else extra
    words = ["tables", "--verdicts", str(released), "--table", "2", "--format", form, *extra]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "nan" not in out
    if form == "json":
        assert isinstance(json.loads(out), list)


def test_command_without_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--verdicts", str(tmp_path / "nowhere")]) == 1
    assert "no folder" in capsys.readouterr().err
    assert main(["tables", "--verdicts", str(tmp_path), "--table", "1"]) == 0
    said = capsys.readouterr()
    assert "every cell is missing" in said.err
    assert said.out.count("missing") == 5
