"""What would settle it: each claim of the paper with its falsifier, tested on a study's verdicts.

>>> claims(read_verdicts("results/mini/verdicts/oracle"))[["name", "outcome"]]

The claims (Sections 4.2 to 4.4; the paper's review asks for their falsifiers) were written down in
``predictions.toml`` before any study was judged. Differences are in percent points.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import pandas as pd

from fluxlens.judge import NULL, Verdicts
from fluxlens.results.paper import load_paper
from fluxlens.results.statistics import DRAWS, cluster_interval
from fluxlens.results.tables import counted, frame, place

__all__ = ["claim_outcome", "claim_tests", "claims", "decide", "predictions"]

# A difference that an interval must leave room for, or the comparison has failed.
ROOM = 10.0

Outcome = Literal["holds", "fails", "undecided", "missing"]


@cache
def predictions() -> Mapping[str, Any]:
    """Load ``predictions.toml``: ``predictions()["reading"]`` is the rule of reading."""
    text = resources.files("fluxlens.results").joinpath("predictions.toml").read_text("utf-8")
    return tomllib.loads(text)


def decide(difference: float | None, lo: float | None, hi: float | None) -> Outcome:
    """Decide a comparison: it ``holds`` above zero, ``fails`` without room for ten points."""
    if difference is None:
        return "missing"
    if lo is None or hi is None:
        return "undecided"
    if lo > 0:
        return "holds"
    return "fails" if hi < ROOM else "undecided"


def claim_outcome(tests: set[Outcome]) -> Literal["holds", "refuted", "undecided", "missing"]:
    """Decide a claim: it is ``refuted`` as soon as one comparison fails, ``holds`` if all do."""
    if "fails" in tests:
        return "refuted"
    return "holds" if tests == {"holds"} else "missing" if "missing" in tests else "undecided"


def _rates(name: str, other: str, verdicts: Verdicts) -> dict[str, float] | None:
    """Entity → what the table counts, 0 or 1; of ``null``, where nothing was done for `other`.

    None is one task in two.
    """
    if name == "half":
        return None
    plans = {plan.judge: plan for plan in load_paper().cells}
    plan, suffix = (plans[other], NULL) if name == "null" else (plans[name], "")
    return {entity: float(hit) for entity, hit in counted(plan, verdicts, suffix).items()}


def _test(more: str, than: str, verdicts: Verdicts, draws: int) -> dict[str, Any]:
    sides = [_rates(more, than, verdicts), _rates(than, more, verdicts)]
    # two questions may have been asked of different tasks
    shared = sorted(set.intersection(*(set(side) for side in sides if side is not None)))
    first, second = ([0.5 if side is None else side[e] for e in shared] for side in sides)
    gaps = [100 * (a - b) for a, b in zip(first, second, strict=True)]
    mean: float | None = sum(gaps) / len(gaps) if gaps else None
    groups = [place(entity)[1] for entity in shared]
    bounds = cluster_interval(gaps, groups, draws)
    if bounds is None and mean is not None and len(set(groups)) > 1:
        bounds = mean, mean  # every task says the same
    lo, hi = bounds or (None, None)
    return {"more": more, "than": than, "n": len(shared), "difference": mean, "lo": lo, "hi": hi,
            "outcome": decide(mean, lo, hi)}  # fmt: skip


def claim_tests(verdicts: Verdicts, draws: int = DRAWS) -> pd.DataFrame:
    """Make every comparison that the paper's claims stand on, a row each.

    `claim` and `section` say whose it is. `more` and `than` are questions, ``null`` (the same
    question where nothing was done) or ``half`` (one task in two). `difference` of the `n` shared
    tasks, in percent points with its 95 % interval by cluster (`lo`, `hi`), is missing where a side
    has no verdicts. `outcome` is ``holds``, ``fails``, ``undecided`` or ``missing``.
    """
    return frame(
        {"claim": claim["name"], "section": claim["section"],
         **_test(test["more"], test["than"], verdicts, draws)}
        for claim in predictions()["claim"]
        for test in claim["comparisons"]
    )  # fmt: skip


def claims(verdicts: Verdicts, draws: int = DRAWS) -> pd.DataFrame:
    """Test every claim of ``predictions.toml``: a row each, with what it `says`, what it is
    `refuted_by` and its `outcome` on these verdicts of one model and judge.
    """
    tests = claim_tests(verdicts, draws).groupby("claim")["outcome"].agg(set)
    return pd.DataFrame(
        {**{key: claim[key] for key in ("name", "section", "says", "refuted_by")},
         "outcome": claim_outcome(tests[claim["name"]])}
        for claim in predictions()["claim"]
    )  # fmt: skip
