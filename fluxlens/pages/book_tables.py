"""Tables of several models, beside the paper's: rates, comparisons, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, Literal

from fluxlens import results
from fluxlens.html import Html
from fluxlens.html_table import DASH, EMPTY, rows
from fluxlens.judge import Verdicts, load_questions
from fluxlens.results import CellPlan, load_paper, records

__all__ = ["by_group", "called", "claims", "compared", "found", "rows", "table", "where_shown"]


def called(name: str, row: str, column: str) -> str:
    """What a cell of a table is called: by its column alone where the table has but one row."""
    one = len({plan.row for plan in load_paper().cells_of(name)}) == 1
    return column if one else ", ".join(word for word in (row, column) if word)


def table(name: str, verdicts: Mapping[str, Verdicts], caption: str = "") -> Html:
    """One of the paper's tables for several models: ``table("1", {"mini": verdicts})``.

    A line a cell: for each model the rate in percent with its 95 % Wilson interval as the paper
    prints it and n; the same question where nothing was done (*null*), which is what the rate has
    to exceed; and the 95 % interval over whole clusters. Last the paper's value for klein-9B.
    """
    found_cells = {m: records(results.table(name, some)) for m, some in verdicts.items()}
    head = ["", *(word for m in verdicts for word in (m, "null", "by cluster")), "paper, klein-9B"]
    body = []
    for line in zip(*found_cells.values(), strict=True):
        first = line[0]
        paper = first.paper_printed or (first.released and f"{first.released} (released)") or DASH
        ours = [word for cell in line for word in _words(cell)]
        body.append([called(name, first.row, first.column), *ours, f"{paper}, n = {first.paper_n}"])
    plan = load_paper().table(name)
    said = f"{plan.title}: how often {plan.counts}, in percent. {caption}".strip()
    number = f"Table {name}. " if name[-1].isdigit() else ""
    return rows(head, body, number + said)


def _words(cell: Any) -> list[str]:
    if not cell.n:
        return [EMPTY, DASH, DASH]
    null = DASH if cell.null_rate is None else f"{cell.null_rate:.1f}"
    by = DASH
    if cell.cluster_lo is not None and cell.cluster_hi is not None:
        by = f"[{cell.cluster_lo:.0f}, {cell.cluster_hi:.0f}]"
    return [f"{cell.printed}, n = {cell.n}", null, by]


def by_group(
    name: str,
    verdicts: Mapping[str, Verdicts],
    by: Literal["cluster", "dataset"] = "dataset",
    caption: str = "",
) -> Html:
    """A table taken apart (Section 4.1): ``by_group("2", {"mini": verdicts}, by="cluster")``.

    A line for each dataset or cluster that one of the models has.
    """
    parts = {
        model: {(p.row, p.column, p.group): f"{p.printed}, n = {p.n}" for p in found_parts}
        for model, some in verdicts.items()
        for found_parts in [records(results.breakdown(name, some, by))]
    }
    keys = list(dict.fromkeys(key for some in parts.values() for key in some))
    cells = [key[:2] for key in keys]
    keys.sort(key=lambda key: (cells.index(key[:2]), key[2]))  # not as verdicts happened to come
    body = [
        [
            called(name, row, column),
            group,
            *(some.get((row, column, group), DASH) for some in parts.values()),
        ]
        for row, column, group in keys
    ]
    return rows(["", by, *parts], body or [[EMPTY, DASH, *(DASH for _ in parts)]], caption)


def found(names: Sequence[str], verdicts: Mapping[str, Verdicts]) -> str:
    """What was found, in sentences: ``print(found(["ko_color_ref_to_text"], verdicts))``.

    `names` are judges' names; a sentence for each of them and each model, the paper's at the end.
    """
    plans = {plan.judge: plan for plan in load_paper().cells}
    cells = {
        (model, number): {c.judge: c for c in records(results.table(number, some))}
        for model, some in verdicts.items()
        for number in dict.fromkeys(plans[name].tables[0] for name in names)
    }
    out = []
    for name in names:
        plan = plans[name]
        said = []
        for model in verdicts:
            cell = cells[model, plan.tables[0]][name]
            if not cell.n:
                said.append(f"{model} was not judged")
                continue
            null = "" if cell.null_rate is None else f" (nothing done: {cell.null_rate:.1f} %)"
            span = f"[{cell.lo:.1f}, {cell.hi:.1f}]"
            said.append(f"{model} {cell.rate:.1f} % {span}, n = {cell.n}{null}")
        if plan.published:
            said.append(f"the paper, klein-9B: {plan.published.rate:.1f} %, n = {plan.n}")
        elif plan.released is not None:
            share = 100 * plan.released / plan.n
            said.append(f"its authors' files, klein-9B: {share:.1f} %, n = {plan.n}")
        what = f"{called(plan.tables[0], plan.row, plan.column)} ({_outcome(plan)})"
        words = f"{what}: {'; '.join(said)}.".replace(" %", "\xa0%").replace(" = ", "\xa0=\xa0")
        out.append(fill(words, 76, subsequent_indent="    ").replace("\xa0", " "))
    return "\n".join(out)


def _outcome(plan: CellPlan) -> str:
    return load_questions()[plan.judge].outcome


def where_shown(verdicts: Mapping[str, Verdicts], recipe: str, caption: str = "") -> Html:
    """Rates over all tasks, and over those whose plain edit shows the property at all.

    ``where_shown({"mini": verdicts}, "attention_knockout")``: see `baseline_conditioned_rates`.
    """
    found_cells = {
        name: {c.judge: c for c in records(results.baseline_conditioned_rates(some))}
        for name, some in verdicts.items()
    }
    body = []
    for plan in (plan for plan in load_paper().cells if plan.recipe == recipe):
        line = [some.get(plan.judge) for some in found_cells.values()]
        words = [word for c in line for word in ((c.all, c.shown) if c else (EMPTY, DASH))]
        body.append([called(plan.tables[0], plan.row, plan.column), *words])
    head = ["", *(word for name in verdicts for word in (f"{name}, all", "edit shows it"))]
    return rows(head, body, caption)


def compared(
    verdicts: Mapping[str, Verdicts], recipe: str, caption: str = "", only: str = ""
) -> Html:
    """Two variants on the same tasks, by McNemar's exact test (Sections 4.3.1 and 4.4).

    ``compared({"mini": verdicts}, "i2i_patch")``: a line for each comparison of ``paper.toml``, or
    ``only="text against image"``, and each model.
    """
    head = ["", "model", "n", "first", "second", "only first", "only second", "p (McNemar)"]
    lines = zip(*(records(results.comparisons(v)) for v in verdicts.values()), strict=True)
    body = [
        [f"{c.column}: {c.first} against {c.second}", model, *_numbers(c)]
        for line in lines
        for model, c in zip(verdicts, line, strict=True)
        if c.recipe == recipe and c.n and only in c.name
    ]
    return rows(head, body or [[EMPTY, *(DASH for _ in head[1:])]], caption)


def _numbers(c: Any) -> list[str]:
    rates = [DASH if r is None else f"{r:.1f} %" for r in (c.first_rate, c.second_rate)]
    p = DASH if c.p is None else "< 0.001" if c.p < 0.001 else f"{c.p:.3f}"
    return [str(c.n), *rates, str(c.first_only), str(c.second_only), p]


def claims(verdicts: Mapping[str, Verdicts], section: str = "", caption: str = "") -> Html:
    """Each claim with its falsifier and its outcome for every model: ``claims(verdicts, "4.4")``.

    `section` leaves those of one section of the paper.
    """
    tested = [records(results.claims(some)) for some in verdicts.values()]
    body = [
        [line[0].says, line[0].refuted_by, line[0].section, *(claim.outcome for claim in line)]
        for line in zip(*tested, strict=True)
        if section in line[0].section
    ]
    return rows(["the paper's claim", "refuted by", "section", *verdicts], body, caption)
