"""Rates among the tasks whose plain edit shows the property, which no table of the paper gives.

```python
from fluxlens.conditioned import conditioned
[(c.plan.judge, c.all, c.shown) for c in conditioned(study.verdicts)]
```
A property that the unhindered edit already misses cannot be destroyed by a cut, and an edit that
misses it has nothing for a lens to show or a patch to move. Whether it is there needs no new
question: where nothing was done, the one about ref->image (Section 4.3.1) asks whether the plain
edit *still* shows the property.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._read_verdicts import NULL, Verdicts, counted
from .paper import CellPlan, load_paper
from .statistics import printed

__all__ = ["Conditioned", "conditioned", "shows"]

ASKED = ("attention_knockout", "ref->image")


@dataclass(frozen=True)
class Conditioned:
    """One cell twice: of all `n` tasks `k` count; of those `shown_n` whose plain edit shows the
    property, `shown_k` do. ``conditioned(verdicts)[0].shown`` (Tables 1 to 3, D1).
    """

    plan: CellPlan
    k: int
    n: int
    shown_k: int
    shown_n: int

    @property
    def all(self) -> str:
        """The rate over all these tasks, as the paper prints it."""
        return f"{printed(self.k, self.n)}, n = {self.n}"

    @property
    def shown(self) -> str:
        """The rate where the plain edit shows the property."""
        if not self.shown_n:
            return "in no task"
        return f"{printed(self.shown_k, self.shown_n)}, n = {self.shown_n}"


def shows(verdicts: Verdicts, family: str) -> dict[str, bool]:
    """``shows(verdicts, "color")``: task id → whether its plain edit shows the property.

    Empty for families that no knockout was judged of, where the question was not put to the plain
    edits, and for the blind questions, which only ask whether two pictures are alike.
    """
    for plan in load_paper().cells:
        if (plan.recipe, plan.variant) == ASKED and plan.family == family:
            found = verdicts.get(plan.judge + NULL, {})
            if any(verdict.polarity for verdict in found.values()):
                return {}
            return {entity: not gone for entity, gone in counted(plan, verdicts, NULL).items()}
    return {}


def conditioned(verdicts: Verdicts) -> list[Conditioned]:
    """``conditioned(verdicts)``: every cell whose tasks' plain edits were judged, in table order.

    A patching pair counts where its source's plain edit shows the property, and its target's too
    where that was asked: a style pair's target is a photograph, which has none to show.
    """
    out = []
    for plan in load_paper().cells:
        plain = shows(verdicts, plan.family)
        there: dict[str, bool] = {}
        for entity in verdicts.get(plan.judge, {}):
            source, _, target = entity.partition("__")
            if source in plain:
                there[entity] = plain[source] and plain.get(target, True)
        outcomes = {e: hit for e, hit in counted(plan, verdicts).items() if e in there}
        if outcomes:
            shown = [hit for entity, hit in outcomes.items() if there[entity]]
            n, k = len(outcomes), sum(outcomes.values())
            out.append(Conditioned(plan, k, n, sum(shown), len(shown)))
    return out
