"""What the paper measures, as data: the cells of its tables, its figures, its published numbers.

>>> load_paper().cells[5].published.printed  # Table 2, ref->text, color
'86.2 +3.3 −4.2'

Read from ``paper.toml``, where each cell of Tables 1, 2, 3 and D1 (Sections 4.2 to 4.4, Appendix D)
stands once: what makes its images, which judge reads them, and what the paper printed.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from pydantic import Field
from pydantic.dataclasses import dataclass

from fluxlens.files import checked
from fluxlens.judge import Counts, load_questions

__all__ = ["CellPlan", "ComparisonPlan", "FigurePlan", "Paper", "Published", "Table", "load_paper"]


@dataclass(frozen=True)
class Published:
    """A printed value: ``Published(86.2, 3.3, 4.2, "Table D1").printed`` (Section 3, Evaluation).

    `rate`, and what its 95 % Wilson interval reaches `above` and `below` it, in percent.
    """

    rate: float
    above: float
    below: float
    source: str

    @property
    def printed(self) -> str:
        return f"{self.rate:.1f} +{self.above:.1f} −{self.below:.1f}"


@dataclass(frozen=True)
class Table:
    """A table's name and what it counts: ``load_paper().table("2").title``."""

    name: str
    section: str
    title: str
    counts: str


@dataclass(frozen=True)
class CellPlan:
    """A cell and how it is measured: ``load_paper().cells[0].judge`` (Tables 1, 2, 3, D1).

    Where the paper prints nothing, `published` is None and `released` how many of the `n` verdicts
    that its authors released pass.
    """

    tables: tuple[str, ...]
    row: str
    column: str
    family: str
    recipe: str
    variant: str
    judge: str
    n: int = Field(gt=0)
    published: Published | None = None
    released: int | None = None

    @property
    def counts(self) -> Counts:
        """Which verdicts the table counts, those that "pass" or those that "fail"."""
        return load_questions()[self.judge].counts


@dataclass(frozen=True)
class ComparisonPlan:
    """Which variants stand against each other: ``load_paper().comparisons[0].name`` (4.3, 4.4)."""

    name: str
    section: str
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True)
class FigurePlan:
    """A figure and what it takes: ``load_paper().figures[1].recipe`` (Figures 1 to C4)."""

    name: str
    section: str
    recipe: str
    variants: tuple[str, ...]
    families: tuple[str, ...]
    blocks: str
    shows: str


@dataclass(frozen=True)
class Paper:
    """All of ``paper.toml``: ``load_paper().judges`` are the names of the 28 verdict files."""

    tables: tuple[Table, ...]
    cells: tuple[CellPlan, ...]
    comparisons: tuple[ComparisonPlan, ...]
    figures: tuple[FigurePlan, ...]
    subjects: tuple[str, ...]

    @property
    def judges(self) -> tuple[str, ...]:
        return tuple(cell.judge for cell in self.cells)

    def table(self, name: str) -> Table:
        """Find a table by its name; `ValueError` where there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        names = ", ".join(table.name for table in self.tables)
        raise ValueError(f"no table {name!r}; tables are {names}")

    def cells_of(self, name: str) -> tuple[CellPlan, ...]:
        """List the cells of one table, row by row: ``load_paper().cells_of("2")``."""
        return tuple(cell for cell in self.cells if self.table(name).name in cell.tables)


@cache
def load_paper() -> Paper:
    """Load the paper's cells and figures."""
    text = resources.files("fluxlens.results").joinpath("paper.toml").read_text("utf-8")
    data = tomllib.loads(text)
    names = {"table": "tables", "cell": "cells", "comparison": "comparisons", "figure": "figures"}
    parts = {plural: data[name] for name, plural in names.items()}
    return checked(Paper, {**parts, "subjects": data["clusters"]["style"]}, "paper.toml")
