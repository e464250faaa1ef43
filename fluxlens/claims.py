"""What would settle it: each claim of the paper with its falsifier, tested on a study's verdicts.

```python
from fluxlens.claims import claims
from fluxlens.tables import read_verdicts
claims(read_verdicts("results/mini/verdicts/oracle"))[0].outcome    # "holds", "refuted" …
```
The claims (Sections 4.2 to 4.4; the paper's review asks for their falsifiers) were written down in
``predictions.toml`` before any study was judged. Differences are in percent points.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ._read_verdicts import NULL, Verdicts, counted, place
from .paper import load_paper
from .statistics import cluster_interval

__all__ = ["Claim", "Comparison", "claims", "predictions"]

PREDICTIONS = Path(__file__).with_name("predictions.toml")
# A difference that an interval must leave room for, or the comparison has failed.
ROOM = 10.0

Outcome = Literal["holds", "fails", "undecided", "missing"]


@dataclass(frozen=True)
class Comparison:
    """``Comparison("i2i2i_color", "half", …).difference``: one rate against another.

    `more` and `than` are questions, ``null`` (the same question where nothing was done) or ``half``
    (one task in two). `difference` of the `n` shared tasks, with its 95 % interval by cluster, is
    None where a side has no verdicts.
    """

    more: str
    than: str
    n: int
    difference: float | None
    lo: float | None
    hi: float | None

    @property
    def outcome(self) -> Outcome:
        """``holds`` above zero; ``fails`` without room for ten points; else ``undecided``."""
        if self.difference is None:
            return "missing"
        if self.lo is None or self.hi is None:
            return "undecided"
        if self.lo > 0:
            return "holds"
        return "fails" if self.hi < ROOM else "undecided"


@dataclass(frozen=True)
class Claim:
    """``claim.says``, what it is ``refuted_by``, and its comparisons on one study's verdicts."""

    name: str
    section: str
    says: str
    refuted_by: str
    comparisons: tuple[Comparison, ...]

    @property
    def outcome(self) -> Literal["holds", "refuted", "undecided", "missing"]:
        """``refuted`` as soon as one comparison fails, ``holds`` if all of them do."""
        found = {comparison.outcome for comparison in self.comparisons}
        if "fails" in found:
            return "refuted"
        return "holds" if found == {"holds"} else "missing" if "missing" in found else "undecided"


@cache
def predictions() -> Mapping[str, Any]:
    """Everything in ``predictions.toml``: ``predictions()["reading"]`` is the rule of reading."""
    return tomllib.loads(PREDICTIONS.read_text(encoding="utf-8"))


def _rates(name: str, other: str, verdicts: Verdicts) -> dict[str, float] | float:
    """Entity → what the table counts, 0 or 1; of ``null``, where nothing was done for `other`."""
    if name == "half":
        return 0.5
    plans = {plan.judge: plan for plan in load_paper().cells}
    plan, suffix = (plans[other], NULL) if name == "null" else (plans[name], "")
    return {entity: float(hit) for entity, hit in counted(plan, verdicts, suffix).items()}


def _compare(more: str, than: str, verdicts: Verdicts, draws: int) -> Comparison:
    first, second = _rates(more, than, verdicts), _rates(than, more, verdicts)
    entities = [
        set(side) for side in (first, second) if isinstance(side, dict)
    ]  # two questions may have been asked of different tasks
    shared = sorted(set.intersection(*entities))
    if not shared:
        return Comparison(more, than, 0, None, None, None)

    def of(side: dict[str, float] | float, entity: str) -> float:
        return side[entity] if isinstance(side, dict) else side

    gaps = [100 * (of(first, entity) - of(second, entity)) for entity in shared]
    groups = [place(entity)[1] for entity in shared]
    mean = sum(gaps) / len(gaps)
    bounds = cluster_interval(gaps, groups, draws)
    if bounds is None and len(set(groups)) > 1:
        bounds = mean, mean  # every task says the same
    lo, hi = bounds or (None, None)
    return Comparison(more, than, len(shared), mean, lo, hi)


def claims(verdicts: Verdicts, draws: int = 10_000) -> list[Claim]:
    """``claims(verdicts)``: every claim of ``predictions.toml`` with its outcome on these verdicts.

    `verdicts` are those of `fluxlens.tables.read_verdicts`, of one model and judge.
    """
    out = []
    for entry in predictions()["claim"]:
        tests = [_compare(c["more"], c["than"], verdicts, draws) for c in entry["comparisons"]]
        facts = {key: entry[key] for key in ("name", "section", "says", "refuted_by")}
        out.append(Claim(**facts, comparisons=tuple(tests)))
    return out
