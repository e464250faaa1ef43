"""Verdicts side by side: two variants on the same tasks, two judges on the same images.

>>> comparisons(verdicts).loc[0, "p"]  # padding against all, McNemar's exact test
>>> agreement(claude, oracle)[["judge", "kappa"]]  # Cohen's kappa, question by question

Sections 4.3.1 and 4.4 compare variants; Appendix E has the judge. Rates are in percent.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fluxlens.judge import Verdict, Verdicts, load_questions
from fluxlens.results.paper import CellPlan, load_paper
from fluxlens.results.statistics import kappa, paired
from fluxlens.results.tables import counted, frame

__all__ = ["agreement", "comparisons", "disagreements"]


def _pairs() -> Iterator[tuple[str, CellPlan, CellPlan]]:
    paper = load_paper()
    for plan in paper.comparisons:
        for first in paper.cells:
            for second in paper.cells:
                same = (first.recipe, first.family) == (second.recipe, second.family)
                if same and first.variant in plan.first and second.variant in plan.second:
                    yield plan.name, first, second


def comparisons(verdicts: Verdicts) -> pd.DataFrame:
    """Compare variants on the same tasks: padding against all, text against image (4.3.1, 4.4).

    A row for each comparison of ``paper.toml`` and family. `n` tasks have both verdicts; in
    `first_only` of them the table counts only the first variant. `p` is McNemar's exact test,
    two-sided, missing where no task has both.
    """
    rows = []
    for name, first, second in _pairs():
        a, b = counted(first, verdicts), counted(second, verdicts)
        test = paired((a[entity], b[entity]) for entity in a if entity in b)
        n = test.n
        rows.append({
            "name": name, "recipe": first.recipe, "column": first.column,
            "first": first.row, "second": second.row, "n": n,
            "first_rate": 100 * (test.both + test.first_only) / n if n else None,
            "second_rate": 100 * (test.both + test.second_only) / n if n else None,
            "both": test.both, "first_only": test.first_only, "second_only": test.second_only,
            "neither": test.neither, "p": test.p if n else None,
        })  # fmt: skip
    return frame(rows)


def _outcomes(first: Verdicts, second: Verdicts, judge: str) -> dict[str, tuple[bool, bool]]:
    """Entity → what the table would count, by either: two question sets may ask the opposite.

    A null control, or a question about another variant, counts as the question it is named after.
    """
    question = load_questions().get(judge.partition("__")[0])
    counts = "pass" if question is None else question.counts
    a, b = first.get(judge, {}), second.get(judge, {})
    return {e: (a[e].makes_outcome(counts), b[e].makes_outcome(counts)) for e in a if e in b}


def agreement(first: Verdicts, second: Verdicts) -> pd.DataFrame:
    """Say, for each question that both judges answered, how often they agree (Appendix E).

    `percent` of the `n` shared entities on which they agree, Cohen's `kappa` with its 95 % interval
    (missing where both always gave the same one answer: there is nothing to agree on by chance),
    and how often each gives the outcome that the table counts.
    """
    rows = []
    for judge in (name for name in first if name in second):
        shared = _outcomes(first, second, judge).values()
        both, n = kappa(shared), len(shared)
        rows.append({
            "judge": judge, "n": n, "agree": both.agree,
            "percent": 100 * both.agree / n if n else None,
            "kappa": both.value, "kappa_lo": both.low, "kappa_hi": both.high,
            "first_rate": 100 * sum(x for x, _ in shared) / n if n else None,
            "second_rate": 100 * sum(y for _, y in shared) / n if n else None,
        })  # fmt: skip
    names = ("judge", "n", "agree", "percent", "kappa", "kappa_lo", "kappa_hi", "first_rate",
             "second_rate")  # fmt: skip
    return frame(rows).reindex(columns=names)


def disagreements(
    first: Verdicts, second: Verdicts, judge: str
) -> dict[str, tuple[Verdict, Verdict]]:
    """Find where two judges differ on a question: entity → the two verdicts.

    The reasons in them are untrusted text: escape them wherever they are shown.
    """
    shared = _outcomes(first, second, judge)
    return {e: (first[judge][e], second[judge][e]) for e, (x, y) in shared.items() if x != y}
