"""Verdicts become the paper's tables: rates with honest intervals, beside the paper's own numbers.

```python
from fluxlens import tables
verdicts = tables.read_verdicts("results/mini/verdicts/oracle")
tables.frame(tables.table("2", verdicts))[["row", "column", "printed", "paper_printed"]]
```
Tables 1, 2, 3 (Sections 4.2 to 4.4) and D1 (Appendix D). Rates, bounds and differences are in
**percent**, as the paper prints them, here and in the command's JSON. Two intervals stand beside
every rate: the paper's 95 % Wilson interval of the pooled verdicts (`lo`, `hi`), and a bootstrap
over clusters (`cluster_lo`, `cluster_hi`). What was not judged is missing (None), never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ._compare import Agreement, Comparison, agreement, comparisons, disagreements
from ._read_verdicts import NULL, Verdict, Verdicts, counted, place, read_verdicts
from .optional import optional
from .paper import CellPlan, Paper, load_paper
from .statistics import DRAWS, cluster_interval, printed, wilson

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "TABLES", "Agreement", "Cell", "Comparison", "Part", "Verdict", "Verdicts", "agreement",
    "breakdown", "cells", "comparisons", "disagreements", "frame", "place", "read_verdicts",
    "table",
]  # fmt: skip

TABLES = ("1", "2", "3", "D1")


@dataclass(frozen=True)
class Cell:
    """One cell of a table: ``tables.table("2", verdicts)[0].printed`` (Tables 1, 2, 3, D1).

    `k` of the `n` verdicts count (`polarity`), `rate` with Wilson's `lo` and `hi`; None where there
    is no verdict. `cluster_lo` and `cluster_hi` are None too where clusters cannot tell (one
    cluster, or all verdicts agree). `paper_…` is the published value, with the n behind it; where
    the paper prints none, `released` is the rate of the authors' released verdicts. `difference` is
    between the printed values. `null_…` is the same count on images where nothing was done.
    """

    table: str
    row: str
    column: str
    family: str
    recipe: str
    variant: str
    judge: str
    polarity: str
    n: int
    k: int | None
    rate: float | None
    lo: float | None
    hi: float | None
    printed: str | None
    clusters: int
    cluster_lo: float | None
    cluster_hi: float | None
    paper_n: int
    paper_rate: float | None
    paper_lo: float | None
    paper_hi: float | None
    paper_printed: str | None
    released: str | None
    difference: float | None
    null_n: int
    null_k: int | None
    null_rate: float | None
    null_lo: float | None
    null_hi: float | None
    models: tuple[str, ...]

    @property
    def missing(self) -> bool:
        return self.n == 0


def _rates(outcomes: Iterable[bool], prefix: str = "") -> dict[str, Any]:
    """n, k, rate and Wilson's bounds in percent."""
    values = list(outcomes)
    n, k = len(values), sum(values)
    if not n:
        return {f"{prefix}n": 0, **dict.fromkeys(f"{prefix}{key}" for key in _RATE)}
    low, high = wilson(k, n)
    found = (k, 100 * k / n, 100 * low, 100 * high)
    return {f"{prefix}n": n, **{f"{prefix}{key}": v for key, v in zip(_RATE, found, strict=True)}}


_RATE = ("k", "rate", "lo", "hi")


def _print(outcomes: Iterable[bool]) -> str | None:
    values = list(outcomes)
    return printed(sum(values), len(values)) if values else None


def _cell(name: str, plan: CellPlan, verdicts: Verdicts, draws: int, seed: int) -> Cell:
    ours = counted(plan, verdicts)
    groups = [place(entity)[1] for entity in ours]
    bounds = cluster_interval(list(ours.values()), groups, draws, seed)
    shown, public = _print(ours.values()), plan.published
    difference = None
    if shown is not None and public is not None:
        difference = round(float(shown.split()[0]) - public.rate, 1) + 0.0
    return Cell(
        table=name,
        **{key: getattr(plan, key) for key in _PLAN},
        **_rates(ours.values()),
        printed=shown,
        clusters=len(set(groups)),
        cluster_lo=None if bounds is None else 100 * bounds[0],
        cluster_hi=None if bounds is None else 100 * bounds[1],
        paper_n=plan.n,
        paper_rate=None if public is None else public.rate,
        paper_lo=None if public is None else round(public.rate - public.below, 1),
        paper_hi=None if public is None else round(public.rate + public.above, 1),
        paper_printed=None if public is None else public.printed,
        released=None if plan.released is None else printed(plan.released, plan.n),
        difference=difference,
        **_rates(counted(plan, verdicts, NULL).values(), "null_"),
        models=tuple(sorted({v.model for v in verdicts.get(plan.judge, {}).values() if v.model})),
    )


_PLAN = ("row", "column", "family", "recipe", "variant", "judge", "polarity")


def table(
    name: str,
    verdicts: Verdicts,
    *,
    paper: Paper | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Cell]:
    """``table("2", verdicts)``: every cell of Table 1, 2, 3 or D1, row by row.

    ``"unpublished"`` names the lens on padding or content only (Section 4.4), which the authors had
    judged and do not print.
    """
    plans = (paper or load_paper()).cells_of(name)
    return [_cell(name, plan, verdicts, draws, seed) for plan in plans]


def cells(
    verdicts: Verdicts,
    names: Sequence[str] = TABLES,
    *,
    paper: Paper | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Cell]:
    """``cells(verdicts)``: the cells of several tables, of all four unless told otherwise.

    The two rows of Table 2 are also rows of Table D1 and appear in both.
    """
    return [
        cell
        for name in names
        for cell in table(name, verdicts, paper=paper, draws=draws, seed=seed)
    ]


def frame(rows: Sequence[Any]) -> pd.DataFrame:
    """``frame(table("2", verdicts))``: cells, parts, comparisons or agreements as a DataFrame."""
    with optional("study", "data frames"):
        import pandas as pd

    return pd.DataFrame([asdict(row) for row in rows])


@dataclass(frozen=True)
class Part:
    """A cell's share of one cluster or dataset: ``breakdown("1", verdicts)[0].group`` (4.1)."""

    table: str
    row: str
    column: str
    group: str
    n: int
    k: int
    rate: float
    lo: float
    hi: float
    printed: str


def breakdown(
    name: str,
    verdicts: Verdicts,
    by: Literal["cluster", "dataset"] = "cluster",
    *,
    paper: Paper | None = None,
) -> list[Part]:
    """``breakdown("2", verdicts, by="dataset")``: a table's cells taken apart (Section 4.1).

    By cluster: each cell by color, style subject, person or scene category. By dataset: the cells
    of a row pooled where their references come from the same set (addition and removal: SUN397).
    """
    if by not in ("cluster", "dataset"):
        raise ValueError(f"by is cluster or dataset, not {by!r}")
    groups: dict[tuple[str, str, str], list[bool]] = {}
    columns: dict[tuple[str, str], dict[str, None]] = {}
    for plan in (paper or load_paper()).cells_of(name):
        for entity, counts in counted(plan, verdicts).items():
            dataset, cluster = place(entity)
            key = (plan.row, "", dataset) if by == "dataset" else (plan.row, plan.column, cluster)
            groups.setdefault(key, []).append(counts)
            columns.setdefault((plan.row, key[2]), {})[plan.column] = None
    return [
        Part(
            table=name,
            row=row,
            column=column or " and ".join(columns[row, group]),
            group=group,
            **_rates(outcomes),
            printed=_print(outcomes) or "",
        )
        for (row, column, group), outcomes in groups.items()
    ]
