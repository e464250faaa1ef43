"""Tables as text, Markdown, LaTeX or JSON.

```python
print(report(verdicts, ["2"], "markdown"))
```
What comes out of verdict files (entity ids, model names) is untrusted and cleaned here; a judge's
reasons are never shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Literal

from .paper import Table, load_paper
from .statistics import DRAWS
from .tables import Cell, Comparison, Verdicts, agreement, breakdown, comparisons, table

Format = Literal["text", "markdown", "latex", "json"]
FORMATS = ("text", "markdown", "latex", "json")
DASH = "—"
NOTE = (
    "Rates in percent with 95 % Wilson intervals, as the paper prints them. By cluster: 95 % "
    f"percentile interval of {DRAWS:,} bootstrap draws of whole clusters; {DASH} where all "
    "verdicts agree, since drawing again cannot vary them; few clusters make it too narrow."
)

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    ">": r"\textgreater{}", "<": r"\textless{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}",
    "−": "$-$", "—": "---", "κ": r"$\kappa$", "·": r"$\cdot$", "…": r"\ldots{}",
}  # fmt: skip


def clean(text: str) -> str:
    """Untrusted text on one line, without anything that does not print, and not too long."""
    return "".join(c if c.isprintable() else " " for c in text)[:80]


def latex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in text)


def markdown(text: str) -> str:
    for mark in "\\`*_[]|~":
        text = text.replace(mark, "\\" + mark)
    return text.replace("&", "&amp;").replace("<", "&lt;")


# --- one grid of words, three ways --------------------------------------------------------------

Grid = Sequence[Sequence[str]]


def _text_grid(rows: Grid) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _markdown_grid(rows: Grid) -> str:
    lines = ["| " + " | ".join(map(markdown, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _latex_grid(rows: Grid, escape: Callable[[str], str] = latex) -> str:
    lines = [" & ".join(map(escape, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{'l' * len(rows[0])}}}",
            r"\hline", lines[0], r"\hline", *lines[1:], r"\hline",
            r"\end{tabular}",
        ]
    )  # fmt: skip


def _section(title: str, rows: Grid, notes: Sequence[str], form: Format) -> str:
    """A title, a grid and the lines that stand under it."""
    notes = [note for note in notes if note]
    if form == "text":
        return "\n".join([title, "", _text_grid(rows), "", *notes])
    if form == "markdown":
        lines = [f"**{markdown(title)}**", "", _markdown_grid(rows)]
        return "\n".join(lines + [line for note in notes for line in ("", markdown(note))])
    under = "\n".join(rf"\par {latex(note)}" for note in notes)
    body = [r"\begin{table}", r"\centering", rf"\caption{{{latex(title)}}}", _latex_grid(rows)]
    return "\n".join([*body, under, r"\end{table}"])


# --- the paper's tables -------------------------------------------------------------------------


def _span(low: float | None, high: float | None, digits: int = 1) -> str:
    return DASH if low is None or high is None else f"[{low:.{digits}f}, {high:.{digits}f}]"


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else format(value, form).replace("-", "−")


def _words(cell: Cell) -> list[str]:
    paper = cell.paper_printed or f"not printed (released: {cell.released or DASH})"
    ours = [cell.printed or "missing", f"{cell.k}/{cell.n}" if cell.n else DASH]
    span = _span(cell.cluster_lo, cell.cluster_hi)
    by = f"{span} of {cell.clusters}" if cell.n else DASH
    return [cell.row, cell.column, *ours, by, paper, str(cell.paper_n),
            _number(cell.difference, "+.1f")]  # fmt: skip


HEAD = ["row", "column", "here", "count", "by cluster", "paper", "paper's n", "difference"]


def _null_line(cells: Sequence[Cell]) -> str:
    found = [
        f"{c.row}, {c.column}: {c.null_rate:.1f} {_span(c.null_lo, c.null_hi)} of {c.null_n}"
        for c in cells
        if c.null_rate is not None
    ]
    if not found:
        return "Where nothing was done (null controls): not judged."
    return "Where nothing was done (null controls) the same count gives: " + "; ".join(found) + "."


def _models(cells: Sequence[Cell]) -> str:
    models = sorted({clean(model) for cell in cells for model in cell.models})
    return f"Judged by {', '.join(models[:5])}{' …' * (len(models) > 5)}." if models else ""


def _paper_words(value: str | None) -> str:
    """``86.2 +3.3 −4.2`` as the paper sets it."""
    if value is None:
        return "---"
    rate, above, below = value.split()
    return f"${rate}^{{{above}}}_{{{below.replace('−', '-')}}}$"


def _latex_table(plan: Table, cells: Sequence[Cell], title: str) -> str:
    """The paper's own layout: rows and columns, with the paper's value under each of ours."""
    columns = list(dict.fromkeys(cell.column for cell in cells))
    rows = [["", *(latex(f"{column} (%)") for column in columns)]]
    for row in dict.fromkeys(cell.row for cell in cells):
        line = {cell.column: cell for cell in cells if cell.row == row}
        ours = [line[c].printed if c in line else None for c in columns]
        paper = [line[c].paper_printed if c in line else None for c in columns]
        shown = [r"\textit{missing}" if v is None else _paper_words(v) for v in ours]
        rows.append([latex(row), *shown])
        rows.append([r"\quad the paper", *map(_paper_words, paper)])
    notes = [latex(_null_line(cells)), latex(_models(cells)), latex(NOTE)]
    under = "\n".join(rf"\par {note}" for note in notes if note)
    return "\n".join(
        [r"\begin{table}", r"\centering", rf"\caption{{{latex(title)}}}",
         rf"\label{{tab:{plan.name}}}", _latex_grid(rows, escape=str), under, r"\end{table}"]
    )  # fmt: skip


def _table(plan: Table, cells: Sequence[Cell], form: Format) -> str:
    name = f"Table {plan.name}. " if plan.name[-1].isdigit() else ""
    title = f"{name}{plan.title}: how often {plan.counts}"
    if form == "latex":
        return _latex_table(plan, cells, title)
    notes = [_null_line(cells), _models(cells)]
    return _section(title, [HEAD, *map(_words, cells)], notes, form)


def report(verdicts: Verdicts, names: Sequence[str], form: Format = "text") -> str:
    """``report(verdicts, ["2"])``: the paper's tables from verdicts (Tables 1, 2, 3, D1)."""
    found = {name: table(name, verdicts) for name in names}
    if form == "json":
        return _json([cell for cells in found.values() for cell in cells])
    parts = [_table(load_paper().table(name), cells, form) for name, cells in found.items()]
    return "\n\n".join([*parts, *([] if form == "latex" else [NOTE])])


# --- what stands beside them --------------------------------------------------------------------


def report_parts(
    verdicts: Verdicts, names: Sequence[str], by: Literal["cluster", "dataset"], form: Format
) -> str:
    """``report_parts(verdicts, ["1"], "dataset", "text")``: the tables taken apart (4.1)."""
    parts = {name: breakdown(name, verdicts, by) for name in names}
    if form == "json":
        return _json([part for found in parts.values() for part in found])
    head = ["row", "column", by, "here", "count"]
    return "\n\n".join(
        _section(
            f"Table {name} by {by}",
            [head, *([p.row, p.column, clean(p.group), p.printed, f"{p.k}/{p.n}"] for p in found)],
            [] if found else ["No verdicts: missing."],
            form,
        )
        for name, found in parts.items()
    )


def _test(c: Comparison) -> list[str]:
    if c.p is None:
        return ["missing", DASH, DASH, DASH, DASH]
    rates = f"{c.first_rate:.1f} against {c.second_rate:.1f}"
    return [str(c.n), rates, str(c.first_only), str(c.second_only), f"{c.p:.2g}"]


def report_comparisons(verdicts: Verdicts, form: Format = "text") -> str:
    """``report_comparisons(verdicts)``: paired variants, McNemar's exact test (4.3.1, 4.4)."""
    found = comparisons(verdicts)
    if form == "json":
        return _json(found)
    head = ["comparison", "column", "first", "second", "n", "rates", "only first", "only second",
            "p"]  # fmt: skip
    rows = [[c.name, c.column, c.first, c.second, *_test(c)] for c in found]
    note = "McNemar's exact test, two-sided, on the tasks where both variants were judged."
    return _section("Paired comparisons", [head, *rows], [note], form)


def report_agreement(first: Verdicts, second: Verdicts, form: Format = "text") -> str:
    """``report_agreement(claude, oracle)``: two judges, question by question (Appendix E)."""
    found = agreement(first, second)
    if form == "json":
        return _json(found)
    head = ["question", "n", "agree %", "κ", "95 %", "first counts %", "second counts %"]
    rows = [
        [clean(a.judge), str(a.n), _number(a.percent, ".1f"), _number(a.kappa, ".2f"),
         _span(a.kappa_lo, a.kappa_hi, 2).replace("-", "−"), _number(a.first_rate, ".1f"),
         _number(a.second_rate, ".1f")]
        for a in found
    ]  # fmt: skip
    note = (
        "Agreement on the outcome that the table counts (observed, destroyed, transferred). "
        f"Cohen's κ: {DASH} where both judges always gave the same one answer."
    )
    return _section("Agreement of two judges", [head, *rows], [note], form)


def _json(rows: Sequence[Any]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2)
