"""Verdicts become the paper's tables: rates with honest intervals, beside the paper's own numbers.

>>> cells = table("2", read_verdicts("results/mini/verdicts/oracle"))
>>> cells[["row", "column", "printed", "paper_printed"]]

Tables 1, 2, 3 (Sections 4.2 to 4.4) and D1 (Appendix D), as DataFrames. Rates, bounds and
differences are in **percent**, as the paper prints them. Two intervals stand beside every rate: the
paper's 95 % Wilson interval of the pooled verdicts (`lo`, `hi`), and a bootstrap over clusters
(`cluster_lo`, `cluster_hi`). What was not judged is missing, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from fluxlens.judge import NULL, Verdicts
from fluxlens.results.paper import CellPlan, load_paper
from fluxlens.results.statistics import DRAWS, cluster_interval, printed, wilson

__all__ = ["TABLES", "breakdown", "cells", "counted", "frame", "place", "records", "table"]

TABLES = ("1", "2", "3", "D1")
SCENE = re.compile(r"(?:add|remove)_([^_]+)_(.+?)__.+")
COLOR = re.compile(r"solid_([^_]+)_.+")
PERSON = re.compile(r"customize_(.+?)_(?:live_subject_)?human(?:_shared)?_(\d+)(?:_.*)?")
STYLE = re.compile(r"customize_property_style_[^_]+_(.+)_s\d+")
REAL = re.compile(r"manual_[^_]+_(.+?)_real_.+")
PLAN = ("row", "column", "family", "recipe", "variant", "judge", "counts")
WHOLE = {"k", "n", "null_k", "null_n", "paper_n", "both", "first_only", "second_only", "neither",
         "agree", "clusters"}  # fmt: skip


def place(entity_id: str) -> tuple[str, str]:
    """Tell an entity's dataset and cluster from its id (Section 4.1).

    The cluster is the color, the style subject, the person or the scene category; of a patching
    pair (``source__target``), the source's. An id of another form is its own cluster. Datasets bear
    the names that ids give them: ``sun397``, ``dreambench_plus``, and ``drawn`` for mini's scenes.

    >>> place("solid_red_mug_s0")
    ('solid colors', 'red')
    """
    if found := SCENE.fullmatch(entity_id):
        return found[1], found[2]
    source = entity_id.split("__")[0]
    if found := COLOR.fullmatch(source):
        return "solid colors", found[1]
    if found := PERSON.fullmatch(source):
        return found[1], f"person {found[2]}"
    if found := REAL.fullmatch(source):
        return "real photographs", found[1]
    if found := STYLE.fullmatch(source):
        subjects = [s for s in load_paper().subjects if found[1].startswith(f"{s}_")]
        return "style references", max(subjects, key=len, default=found[1])
    return "other", entity_id


def counted(plan: CellPlan, verdicts: Verdicts, suffix: str = "") -> dict[str, bool]:
    """Say of each entity of a cell whether the table counts its verdict.

    `suffix` names a sibling: `NULL` for the pictures where nothing was done.
    """
    found = verdicts.get(plan.judge + suffix, {})
    return {entity: verdict.makes_outcome(plan.counts) for entity, verdict in found.items()}


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Put rows into a DataFrame whose counts stay whole numbers where some are missing."""
    data = pd.DataFrame(list(rows))
    return data.astype({name: "Int64" for name in data.columns if name in WHOLE})


def records(data: pd.DataFrame) -> list[Any]:
    """List a DataFrame's rows as named tuples, with None for what is missing."""
    plain = data.astype(object).where(data.notna(), None)
    return list(plain.itertuples(index=False, name="Row"))


class Rate(NamedTuple):
    """A count and its share in percent, with Wilson's bounds; nothing of no verdicts."""

    n: int
    k: int | None = None
    rate: float | None = None
    lo: float | None = None
    hi: float | None = None

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> Rate:
        values = list(outcomes)
        n, k = len(values), sum(values)
        if not n:
            return cls(0)
        low, high = wilson(k, n)
        return cls(n, k, 100 * k / n, 100 * low, 100 * high)

    @property
    def printed(self) -> str | None:
        return None if self.k is None else printed(self.k, self.n)


def _cell(name: str, plan: CellPlan, verdicts: Verdicts, draws: int, seed: int) -> dict[str, Any]:
    ours = counted(plan, verdicts)
    groups = [place(entity)[1] for entity in ours]
    bounds = cluster_interval(list(ours.values()), groups, draws, seed) or (None, None)
    rate, public = Rate.of(ours.values()), plan.published
    null = Rate.of(counted(plan, verdicts, NULL).values())
    lo, hi = (None if bound is None else 100 * bound for bound in bounds)
    difference = None
    if rate.printed is not None and public is not None:
        difference = round(float(rate.printed.split()[0]) - public.rate, 1) + 0.0
    return {
        "table": name,
        **{key: getattr(plan, key) for key in PLAN},
        **rate._asdict(),
        "printed": rate.printed,
        "clusters": len(set(groups)),
        "cluster_lo": lo,
        "cluster_hi": hi,
        "paper_n": plan.n,
        "paper_rate": public and public.rate,
        "paper_lo": public and round(public.rate - public.below, 1),
        "paper_hi": public and round(public.rate + public.above, 1),
        "paper_printed": public and public.printed,
        "released": None if plan.released is None else printed(plan.released, plan.n),
        "difference": difference,
        **{f"null_{key}": value for key, value in null._asdict().items()},
        "models": tuple(sorted({v.model for v in verdicts.get(plan.judge, {}).values()} - {""})),
    }


def table(name: str, verdicts: Verdicts, *, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Count every cell of Table 1, 2, 3 or D1, a row each, in the paper's order.

    ``"unpublished"`` names the lens on padding or content only (Section 4.4), which the authors had
    judged and do not print. `k` of the `n` verdicts count, those that `counts` says, "pass" or
    "fail"; `rate` has Wilson's `lo` and `hi`. `cluster_lo` and `cluster_hi` are missing where
    clusters cannot tell (one cluster, or all verdicts agree). `paper_…` is the published value and
    its n; where the paper prints none, `released` is the rate of the authors' released verdicts.
    `difference` is between the printed values. `null_…` is the same count on images where nothing
    was done. `draws` of the bootstrap begin with `seed`.
    """
    return cells(verdicts, [name], draws=draws, seed=seed)


def cells(
    verdicts: Verdicts, names: Sequence[str] = TABLES, *, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Count the cells of several tables, of all four unless told otherwise.

    The two rows of Table 2 are also rows of Table D1 and appear in both.
    """
    return frame(
        _cell(name, plan, verdicts, draws, seed)
        for name in names
        for plan in load_paper().cells_of(name)
    )


def breakdown(
    name: str, verdicts: Verdicts, by: Literal["cluster", "dataset"] = "cluster"
) -> pd.DataFrame:
    """Take a table's cells apart (Section 4.1): a row for each `group`, with its rate.

    By cluster: each cell by color, style subject, person or scene category. By dataset: the cells
    of a row pooled where their references come from the same set (addition and removal: SUN397).
    """
    if by not in ("cluster", "dataset"):
        raise ValueError(f"by is cluster or dataset, not {by!r}")
    groups: dict[tuple[str, str, str], list[bool]] = {}
    columns: dict[tuple[str, str], dict[str, None]] = {}
    for plan in load_paper().cells_of(name):
        for entity, counts in counted(plan, verdicts).items():
            dataset, cluster = place(entity)
            key = (plan.row, "", dataset) if by == "dataset" else (plan.row, plan.column, cluster)
            groups.setdefault(key, []).append(counts)
            columns.setdefault((plan.row, key[2]), {})[plan.column] = None
    rows = []
    for (row, column, group), outcomes in groups.items():
        rate, pooled = Rate.of(outcomes), " and ".join(columns[row, group])
        rows.append({
            "table": name, "row": row, "column": column or pooled, "group": group,
            **rate._asdict(), "printed": rate.printed,
        })  # fmt: skip
    names = ("table", "row", "column", "group", *Rate._fields, "printed")
    return frame(rows).reindex(columns=names)
