"""Tables as text, Markdown, LaTeX or JSON.

>>> print(report(verdicts, ["2"], "markdown"))

What comes out of verdict files (entity ids, model names) is untrusted and cleaned here; a judge's
reasons are never shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from fluxlens.files import printable
from fluxlens.judge import Verdicts
from fluxlens.results.paired_tests import agreement, comparisons
from fluxlens.results.paper import Table, load_paper
from fluxlens.results.statistics import DRAWS
from fluxlens.results.tables import breakdown, records, table

__all__ = [
    "FORMATS", "Format", "report", "report_agreement", "report_comparisons", "report_parts",
]  # fmt: skip

Format = Literal["text", "markdown", "latex", "json"]
FORMATS: tuple[Format, ...] = ("text", "markdown", "latex", "json")
DASH = "—"
LONGEST = 80  # letters of what a file says
NOTE = (
    "Rates in percent with 95 % Wilson intervals, as the paper prints them. By cluster: 95 % "
    f"percentile interval of {DRAWS:,} bootstrap draws of whole clusters; {DASH} where all "
    "verdicts agree, since drawing again cannot vary them; few clusters make it too narrow."
)

LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    ">": r"\textgreater{}", "<": r"\textless{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}",
    "−": "$-$", "—": "---", "κ": r"$\kappa$", "·": r"$\cdot$", "…": r"\ldots{}",
})  # fmt: skip
MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]|~"} | {"&": "&amp;", "<": "&lt;"})


def latex(text: str) -> str:
    return text.translate(LATEX)


def markdown(text: str) -> str:
    return text.translate(MARKDOWN)


# --- one table of words, three ways --------------------------------------------------------------


def _section(title: str, words: pd.DataFrame, notes: Sequence[str], form: Format) -> str:
    """A title, a table of words and the lines that stand under it."""
    notes = [note for note in notes if note]
    if form == "latex":
        escaped = words.map(latex).rename(columns=latex)
        return _latex_table(title, escaped, notes)
    options: dict[str, Any] = {"index": False, "disable_numparse": True, "stralign": "left"}
    if form == "text":
        body = words.to_markdown(tablefmt="simple", **options)
        lines = [line.rstrip() for line in body.splitlines()]
        return "\n".join([title, "", *lines, "", *notes])
    body = words.map(markdown).rename(columns=markdown).to_markdown(tablefmt="pipe", **options)
    under = [line for note in notes for line in ("", markdown(note))]
    return "\n".join([f"**{markdown(title)}**", "", body, *under])


def _latex_table(title: str, words: pd.DataFrame, notes: Sequence[str], label: str = "") -> str:
    """A table whose words are LaTeX already."""
    style = words.style.hide(axis="index")
    body = style.to_latex(
        hrules=True, environment="table", position_float="centering", caption=latex(title),
        label=label or None, column_format="l" * len(words.columns),
    )  # fmt: skip
    under = "".join(f"\\par {latex(note)}\n" for note in notes if note)
    return body.replace("\\end{table}", f"{under}\\end{{table}}").rstrip()


def _json(*tables: pd.DataFrame) -> str:
    rows = [row._asdict() for data in tables for row in records(data)]
    return json.dumps(rows, indent=2)


# --- the paper's tables -------------------------------------------------------------------------


def _span(low: float | None, high: float | None, digits: int = 1) -> str:
    if low is None or high is None:
        return DASH
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else format(value, form).replace("-", "−")


def _words(cell: Any) -> dict[str, str]:
    span = _span(cell.cluster_lo, cell.cluster_hi)
    return {
        "row": cell.row,
        "column": cell.column,
        "here": cell.printed or "missing",
        "count": f"{cell.k}/{cell.n}" if cell.n else DASH,
        "by cluster": f"{span} of {cell.clusters}" if cell.n else DASH,
        "paper": cell.paper_printed or f"not printed (released: {cell.released or DASH})",
        "paper's n": str(cell.paper_n),
        "difference": _number(cell.difference, "+.1f"),
    }


def _null_line(cells: Sequence[Any]) -> str:
    said = [
        f"{c.row}, {c.column}: {c.null_rate:.1f} {_span(c.null_lo, c.null_hi)} of {c.null_n}"
        for c in cells
        if c.null_rate is not None
    ]
    if not said:
        return "Where nothing was done (null controls): not judged."
    return "Where nothing was done (null controls) the same count gives: " + "; ".join(said) + "."


def _models(cells: Sequence[Any]) -> str:
    models = sorted({printable(model, LONGEST) for cell in cells for model in cell.models})
    return f"Judged by {', '.join(models[:5])}{' …' * (len(models) > 5)}." if models else ""


def _paper_words(value: str | None) -> str:
    """``86.2 +3.3 −4.2`` as the paper sets it."""
    if value is None:
        return "---"
    rate, above, below = value.split()
    return f"${rate}^{{{above}}}_{{{below.replace('−', '-')}}}$"


def _as_the_paper(cells: Sequence[Any]) -> pd.DataFrame:
    """The paper's own layout: rows and columns, with the paper's value under each of ours."""
    at = {(cell.row, cell.column): cell for cell in cells}
    columns = list(dict.fromkeys(cell.column for cell in cells))
    lines = []
    for row in dict.fromkeys(cell.row for cell in cells):
        line = [at.get((row, column)) for column in columns]
        ours = [
            "---" if c is None else r"\textit{missing}" if not c.n else _paper_words(c.printed)
            for c in line
        ]
        lines.append([latex(row), *ours])
        lines.append([r"\quad the paper", *(_paper_words(c and c.paper_printed) for c in line)])
    return pd.DataFrame(lines, columns=["", *(latex(f"{column} (%)") for column in columns)])


def _table(plan: Table, cells: Sequence[Any], form: Format) -> str:
    name = f"Table {plan.name}. " if plan.name[-1].isdigit() else ""
    title = f"{name}{plan.title}: how often {plan.counts}"
    notes = [_null_line(cells), _models(cells)]
    if form == "latex":
        return _latex_table(title, _as_the_paper(cells), [*notes, NOTE], f"tab:{plan.name}")
    return _section(title, pd.DataFrame(map(_words, cells)), notes, form)


def report(verdicts: Verdicts, names: Sequence[str], form: Format = "text") -> str:
    """Print the paper's tables from verdicts: ``report(verdicts, ["2"])`` (Tables 1, 2, 3, D1)."""
    tables = {name: table(name, verdicts) for name in names}
    if form == "json":
        return _json(*tables.values())
    paper = load_paper()
    parts = [_table(paper.table(name), records(cells), form) for name, cells in tables.items()]
    return "\n\n".join([*parts, *([] if form == "latex" else [NOTE])])


# --- what stands beside them --------------------------------------------------------------------


def report_parts(
    verdicts: Verdicts, names: Sequence[str], by: Literal["cluster", "dataset"], form: Format
) -> str:
    """Print the tables taken apart: ``report_parts(verdicts, ["1"], "dataset", "text")`` (4.1)."""
    parts = {name: breakdown(name, verdicts, by) for name in names}
    if form == "json":
        return _json(*parts.values())
    out = []
    for name, data in parts.items():
        words = [
            (p.row, p.column, printable(p.group, LONGEST), p.printed, f"{p.k}/{p.n}")
            for p in records(data)
        ]
        head = ["row", "column", by, "here", "count"]
        note = [] if words else ["No verdicts: missing."]
        out.append(_section(f"Table {name} by {by}", pd.DataFrame(words, columns=head), note, form))
    return "\n\n".join(out)


def _test(c: Any) -> list[str]:
    if c.p is None:
        return ["missing", DASH, DASH, DASH, DASH]
    rates = f"{c.first_rate:.1f} against {c.second_rate:.1f}"
    return [str(c.n), rates, str(c.first_only), str(c.second_only), f"{c.p:.2g}"]


def report_comparisons(verdicts: Verdicts, form: Format = "text") -> str:
    """Print variants against each other by McNemar's exact test (4.3.1, 4.4)."""
    data = comparisons(verdicts)
    if form == "json":
        return _json(data)
    head = ["comparison", "column", "first", "second", "n", "rates", "only first", "only second",
            "p"]  # fmt: skip
    rows = [[c.name, c.column, c.first, c.second, *_test(c)] for c in records(data)]
    note = "McNemar's exact test, two-sided, on the tasks where both variants were judged."
    return _section("Paired comparisons", pd.DataFrame(rows, columns=head), [note], form)


def report_agreement(first: Verdicts, second: Verdicts, form: Format = "text") -> str:
    """Print how far two judges agree, question by question (Appendix E)."""
    data = agreement(first, second)
    if form == "json":
        return _json(data)
    head = ["question", "n", "agree %", "κ", "95 %", "first counts %", "second counts %"]
    rows = [
        [printable(a.judge, LONGEST), str(a.n), _number(a.percent, ".1f"), _number(a.kappa, ".2f"),
         _span(a.kappa_lo, a.kappa_hi, 2).replace("-", "−"), _number(a.first_rate, ".1f"),
         _number(a.second_rate, ".1f")]
        for a in records(data)
    ]  # fmt: skip
    note = (
        "Agreement on the outcome that the table counts (observed, destroyed, transferred). "
        f"Cohen's κ: {DASH} where both judges always gave the same one answer."
    )
    return _section("Agreement of two judges", pd.DataFrame(rows, columns=head), [note], form)
