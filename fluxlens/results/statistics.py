"""Rates with honest intervals, paired tests and agreement between judges.

>>> printed(276, 320)  # as the paper prints Table 2
'86.2 +3.3 −4.2'

The paper (Section 3, Evaluation) pools all verdicts of a cell and gives the 95 % Wilson interval.
Verdicts about one color, subject or person are not independent, so `cluster_interval` stands beside
it. Everything here takes counts and booleans and gives shares from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from fluxlens.optional import optional

with optional("study", "rates and intervals"):
    from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
    from statsmodels.stats.inter_rater import cohens_kappa
    from statsmodels.stats.proportion import proportion_confint

__all__ = ["DRAWS", "Kappa", "Paired", "cluster_interval", "kappa", "paired", "printed", "wilson"]

DRAWS = 10_000


@overload
def wilson(k: float, n: int) -> tuple[float, float]: ...
@overload
def wilson(k: np.ndarray, n: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]: ...
def wilson(k: Any, n: Any) -> tuple[Any, Any]:
    """Bound the rate of k in n by the 95 % Wilson score interval (Section 3, Evaluation).

    Counts or arrays of them; shares from 0 to 1. `ValueError` where k is not within 0 and n, or n
    is 0.

    >>> low, high = wilson(276, 320)
    >>> round(low, 3), round(high, 3)
    (0.82, 0.896)
    """
    if not np.all((np.asarray(k) >= 0) & (np.asarray(k) <= n)) or not np.all(n):
        raise ValueError(f"a rate needs 0 <= k <= n and n > 0, not {k} of {n}")
    low, high = proportion_confint(k, n, alpha=0.05, method="wilson")
    share = np.divide(k, n)
    # at the ends the formula gives 0 or 1 but for the last bit
    low, high = np.clip(low, 0.0, share), np.clip(high, share, 1.0)
    return (low, high) if np.ndim(low) else (float(low), float(high))


def printed(k: int, n: int) -> str:
    """Print the rate of k in n as the paper's tables do (Table 1).

    >>> printed(0, 90)
    '0.0 +4.1 −0.0'
    """
    low, high = wilson(k, n)
    rate = 100 * k / n
    return f"{rate:.1f} +{100 * high - rate:.1f} −{abs(rate - 100 * low):.1f}"


def cluster_interval(
    outcomes: Sequence[float],
    clusters: Sequence[Hashable],
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float] | None:
    """``cluster_interval([1, 1, 0, 1], ["red", "red", "blue", "blue"])`` (beside Tables 1 to D1).

    The 95 % percentile interval of the mean (of booleans, the rate) when whole clusters are drawn
    with replacement. None where drawing again can show nothing: a single cluster, or outcomes that
    all agree. Few clusters (8 colors, 10 people) make it too narrow rather than too wide.
    """
    if len(outcomes) != len(clusters):
        raise ValueError(f"{len(outcomes)} outcomes, {len(clusters)} clusters")
    if len(set(clusters)) < 2 or len(set(outcomes)) < 2:
        return None
    index = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    where = np.array([index[cluster] for cluster in clusters])
    size = np.bincount(where).astype(float)
    hits = np.bincount(where, weights=np.asarray(outcomes, dtype=float))
    rng = np.random.default_rng(seed)
    rates = np.empty(draws)
    for start in range(0, draws, 1000):  # a thousand at a time, for the memory's sake
        part = rates[start : start + 1000]
        drawn = rng.integers(len(size), size=(len(part), len(size)))
        part[:] = hits[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)


@dataclass(frozen=True)
class Paired:
    """``paired(pairs).p``: two outcomes on the same items, and McNemar's exact test of them."""

    both: int
    first_only: int
    second_only: int
    neither: int
    p: float

    @property
    def n(self) -> int:
        return self.both + self.first_only + self.second_only + self.neither


def _counts(pairs: Iterable[tuple[bool, bool]]) -> tuple[int, int, int, int]:
    count = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for a, b in pairs:
        count[bool(a), bool(b)] += 1
    return count[True, True], count[True, False], count[False, True], count[False, False]


def paired(pairs: Iterable[tuple[bool, bool]]) -> Paired:
    """``paired([(True, False), (True, True)])``: is one outcome more frequent? (Sections 4.3, 4.4)

    McNemar's exact test, two-sided: only the items where the two differ tell anything. It takes
    items as independent; read it beside the intervals by cluster.
    """
    both, first, second, neither = _counts(pairs)
    p = float(_mcnemar([[both, first], [second, neither]], exact=True).pvalue)
    return Paired(both, first, second, neither, min(p, 1.0))


@dataclass(frozen=True)
class Kappa:
    """``kappa(pairs).value``: how far two judges agree beyond chance (Appendix E).

    `value`, `low` and `high` are None where both judges always gave the same single answer: there
    is no chance agreement to compare with.
    """

    n: int
    agree: int
    value: float | None
    low: float | None
    high: float | None


def kappa(pairs: Iterable[tuple[bool, bool]]) -> Kappa:
    """``kappa([(True, True), (False, False)]).value == 1``: Cohen's κ with 95 % interval."""
    both, first, second, neither = _counts(pairs)
    n, agree = both + first + second + neither, both + neither
    if n in (both, neither):
        return Kappa(n, agree, None, None, None)
    with np.errstate(invalid="ignore"):  # a test statistic that nobody asks for
        found = cohens_kappa(np.array([[both, first], [second, neither]], dtype=float))
    low, high = max(-1.0, float(found.kappa_low)), min(1.0, float(found.kappa_upp))
    return Kappa(n, agree, float(found.kappa), low, high)
