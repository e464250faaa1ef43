"""Verdicts side by side: two variants on the same tasks, two judges on the same images.

```python
from fluxlens import tables
tables.comparisons(verdicts)[0].p            # padding against all, McNemar's exact test
tables.agreement(claude, oracle)[0].kappa    # Cohen's kappa, one question
```
Sections 4.3.1 and 4.4 compare variants; Appendix E has the judge. Rates are in percent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ._read_verdicts import Verdict, Verdicts, counted, counts
from .paper import CellPlan, Paper, load_paper
from .statistics import kappa, paired


@dataclass(frozen=True)
class Comparison:
    """Two variants on the same tasks: ``comparisons(verdicts)[0].p`` (Sections 4.3.1 and 4.4).

    `n` tasks have both verdicts; in `first_only` of them the table counts only the first variant.
    `p` is McNemar's exact test, two-sided, None where no task has both.
    """

    name: str
    recipe: str
    column: str
    first: str
    second: str
    n: int
    first_rate: float | None
    second_rate: float | None
    both: int
    first_only: int
    second_only: int
    neither: int
    p: float | None


def _pairs(paper: Paper) -> Iterator[tuple[str, CellPlan, CellPlan]]:
    for plan in paper.comparisons:
        for first in paper.cells:
            for second in paper.cells:
                same = (first.recipe, first.family) == (second.recipe, second.family)
                if same and first.variant in plan.first and second.variant in plan.second:
                    yield plan.name, first, second


def comparisons(verdicts: Verdicts, *, paper: Paper | None = None) -> list[Comparison]:
    """``comparisons(verdicts)``: padding against all, content against all, text against image."""
    out = []
    for name, first, second in _pairs(paper or load_paper()):
        a, b = counted(first, verdicts), counted(second, verdicts)
        shared = [(a[entity], b[entity]) for entity in a if entity in b]
        found, n = paired(shared), len(shared)
        out.append(
            Comparison(
                name=name,
                recipe=first.recipe,
                column=first.column,
                first=first.row,
                second=second.row,
                n=n,
                first_rate=100 * (found.both + found.first_only) / n if n else None,
                second_rate=100 * (found.both + found.second_only) / n if n else None,
                both=found.both,
                first_only=found.first_only,
                second_only=found.second_only,
                neither=found.neither,
                p=found.p if n else None,
            )
        )
    return out


@dataclass(frozen=True)
class Agreement:
    """Two judges on one question: ``agreement(claude, oracle)[0].kappa`` (Appendix E).

    `percent` of the `n` shared entities on which they agree, Cohen's κ with its 95 % interval
    (None where both always gave the same one answer: there is nothing to agree on by chance), and
    how often each gives the outcome that the table counts.
    """

    judge: str
    n: int
    agree: int
    percent: float | None
    kappa: float | None
    kappa_lo: float | None
    kappa_hi: float | None
    first_rate: float | None
    second_rate: float | None


def _outcomes(first: Verdicts, second: Verdicts, judge: str) -> dict[str, tuple[bool, bool]]:
    """Entity → what the table would count, by either: two question sets may ask the opposite."""
    polarity = {cell.judge: cell.polarity for cell in load_paper().cells}.get(judge, "passes")
    a, b = first.get(judge, {}), second.get(judge, {})
    return {e: (counts(a[e], polarity), counts(b[e], polarity)) for e in a if e in b}


def agreement(first: Verdicts, second: Verdicts) -> list[Agreement]:
    """``agreement(claude, oracle)``: for each question that both answered, how often they agree."""
    out = []
    for judge in (name for name in first if name in second):
        shared = _outcomes(first, second, judge).values()
        found, n = kappa(shared), len(shared)
        out.append(
            Agreement(
                judge=judge,
                n=n,
                agree=found.agree,
                percent=100 * found.agree / n if n else None,
                kappa=found.value,
                kappa_lo=found.low,
                kappa_hi=found.high,
                first_rate=100 * sum(x for x, _ in shared) / n if n else None,
                second_rate=100 * sum(y for _, y in shared) / n if n else None,
            )
        )
    return out


def disagreements(first: Verdicts, second: Verdicts, judge: str) -> list[tuple[Verdict, Verdict]]:
    """``disagreements(claude, oracle, "i2i_unc_add")``: where the two judge differently.

    The reasons in them are untrusted text: escape them wherever they are shown.
    """
    shared = _outcomes(first, second, judge)
    return [(first[judge][e], second[judge][e]) for e, (x, y) in shared.items() if x != y]
