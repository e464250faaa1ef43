"""Write book/map.md: where each figure and each table of the paper has its counterpart.

    python -m tools.paper_map

What they show is said once, in fluxlens/paper.toml; which page shows it, here.
"""

from __future__ import annotations

from pathlib import Path

from fluxlens.results import FigurePlan, Table, load_paper

BOOK = Path(__file__).resolve().parent.parent / "book"
FIGURES = {
    "1": "interventions",
    "2": "../notebooks/05-t2i-lens",
    "3": "../notebooks/06-knockout",
    "4": "../notebooks/07-patching",
    "5": "../notebooks/08-padding",
    "A": "../notebooks/A-layers",
    "B": "../notebooks/B-dropping",
    "C": "../notebooks/C-examples",
}
TABLES = {
    "1": "../notebooks/05-t2i-lens",
    "2": "../notebooks/06-knockout",
    "3": "../notebooks/07-patching",
    "D1": "../notebooks/D-knockout-table",
}
PAGE = """\
# From the paper to this book

Every figure and every numbered table of the paper {{cite:p}}`ge2026binding`, and the page with its
counterpart. A counterpart bears the paper's number in its caption and shows the same thing on the
tasks of the model that its page names: here, unless the page says otherwise, mini's, which is no
evidence about FLUX.2. Section numbers are the paper's.

## Figures

{figures}

## Tables

{tables}

What its authors judged but did not print, the lens on padding or content alone for styles, is in
{{doc}}`../notebooks/08-padding`.
"""


def page_of(kind: str, name: str) -> str:
    """The page with the counterpart, from book/: ``page_of("Figure", "A3")``."""
    return TABLES[name] if kind == "Table" else FIGURES.get(name, "") or FIGURES[name[0]]


def plans() -> list[tuple[str, FigurePlan | Table]]:
    """Figures and numbered tables, in the paper's order."""
    paper = load_paper()
    tables = [("Table", table) for table in paper.tables if table.name[-1].isdigit()]
    return [*(("Figure", figure) for figure in paper.figures), *tables]


def rows(kind: str) -> str:
    """A table in Markdown, a line for each figure or table."""
    lines = [f"| {kind} | Section | what it shows | here |", "|---|---|---|---|"]
    for of, plan in plans():
        if of == kind:
            shows = plan.shows if isinstance(plan, FigurePlan) else f"{plan.title}: {plan.counts}."
            where = f"{{doc}}`{page_of(kind, plan.name)}`, {kind} {plan.name}"
            lines.append(f"| {plan.name} | {plan.section} | {shows} | {where} |")
    return "\n".join(lines)


def text() -> str:
    """The whole page."""
    return PAGE.format(figures=rows("Figure"), tables=rows("Table"))


if __name__ == "__main__":
    (BOOK / "map.md").write_text(text(), encoding="utf-8")
