"""Intervals, paired tests and agreement, from counts and booleans."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxlens.results import cluster_interval, kappa, paired, printed, wilson

# --- intervals -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate(counts: tuple[int, int]) -> None:
    k, n = counts
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert high > low
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))
    rate, above, below = printed(k, n).split()
    assert (above[0], below[0]) == ("+", "−")
    assert float(rate) == pytest.approx(100 * k / n, abs=0.051)


@pytest.mark.parametrize("counts", [(1, 0), (2, 1), (-1, 3)])
def test_wilson_refuses(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(*counts)


def test_clusters_widen_the_interval_and_independence_does_not() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(20), 25)
    alike = [bool(rng.random() < p) for p in rng.choice([0.1, 0.9], 20).repeat(25)]
    apart = [bool(x) for x in rng.random(500) < 0.7]

    def widths(outcomes: list[bool], by: list[int]) -> float:
        low, high = cluster_interval(outcomes, by, draws=4000) or (0.0, 0.0)
        narrow, wide = wilson(sum(outcomes), len(outcomes))
        assert low <= np.mean(outcomes) <= high
        return (high - low) / (wide - narrow)

    assert widths(alike, cluster.tolist()) > 2.5
    assert 0.7 < widths(apart, cluster.tolist()) < 1.4
    assert 0.9 < widths(apart, list(range(500))) < 1.1


def test_cluster_interval_of_the_papers_people() -> None:
    """Identity destroyed under ref->image: the people differ, so the interval is wider."""
    destroyed = [9, 5, 6, 6, 6, 6, 9, 8, 5, 9]  # of 9 prompts each, 69 of 90 in all
    outcomes = [n < k for k in destroyed for n in range(9)]
    found = cluster_interval(outcomes, [who for who in range(10) for _ in range(9)])
    assert found == pytest.approx((0.656, 0.878), abs=0.012)


def test_cluster_interval_says_when_it_cannot_tell() -> None:
    assert cluster_interval([True] * 8, list(range(8))) is None
    assert cluster_interval([True, False], ["one", "one"]) is None
    assert cluster_interval([True, False], [1, 2], seed=3) == (0, 1)
    with pytest.raises(ValueError, match="1 outcomes, 2 clusters"):
        cluster_interval([True], [1, 2])


# --- pairs and agreement -------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(*[st.integers(0, 12)] * 4)
def test_mcnemar_is_the_binomial(both: int, first: int, second: int, neither: int) -> None:
    pairs = [(True, True)] * both + [(True, False)] * first
    pairs += [(False, True)] * second + [(False, False)] * neither
    found, n = paired(pairs), first + second
    tail = sum(comb(n, i) for i in range(min(first, second) + 1)) / 2**n
    assert found.p == pytest.approx(min(1, 2 * tail))
    assert found.n == len(pairs)


def test_kappa() -> None:
    perfect = kappa([(True, True)] * 3 + [(False, False)] * 2)
    assert (perfect.value, perfect.low, perfect.high) == (1, 1, 1)
    assert kappa([(True, False), (False, True)]).value == pytest.approx(-1)
    chance = kappa([(True, True), (True, False), (False, True), (False, False)])
    assert chance.value == pytest.approx(0)
    assert chance.low < 0 < chance.high
    assert kappa([(True, True)] * 4).value is None
    # 20 of 25 + 10 of 25: observed 0.70, by chance 0.50
    table = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10
    assert kappa(table + [(False, False)] * 15).value == pytest.approx(0.4)
