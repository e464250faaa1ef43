"""Rates among the tasks whose plain edit shows the property, which no table of the paper gives.

>>> baseline_conditioned_rates(verdicts)[["judge", "rate", "shown_rate"]]

A property that the unhindered edit already misses cannot be destroyed by a cut, and an edit that
misses it has nothing for a lens to show or a patch to move. Whether it is there needs no new
question: where nothing was done, the one about ref->image (Section 4.3.1) asks whether the plain
edit *still* shows the property.
"""

from __future__ import annotations

import pandas as pd

from fluxlens.judge import NULL, Verdicts
from fluxlens.results.paper import load_paper
from fluxlens.results.tables import Rate, counted, frame

__all__ = ["baseline_conditioned_rates", "plain_edit_shows"]

ASKED = ("attention_knockout", "ref->image")
COLUMNS = ("judge", "recipe", "n", "k", "rate", "all", "shown_n", "shown_k", "shown_rate", "shown")


def plain_edit_shows(verdicts: Verdicts, family: str) -> dict[str, bool]:
    """Say of each task whether its plain edit shows the property.

    Empty for families that no knockout was judged of, where the question was not put to the plain
    edits, and for the blind questions, which only ask whether two pictures are alike.
    """
    for plan in load_paper().cells:
        if (plan.recipe, plan.variant) == ASKED and plan.family == family:
            found = verdicts.get(plan.judge + NULL, {})
            if any(verdict.counts for verdict in found.values()):
                return {}
            return {entity: not gone for entity, gone in counted(plan, verdicts, NULL).items()}
    return {}


def baseline_conditioned_rates(verdicts: Verdicts) -> pd.DataFrame:
    """Count every cell twice: of all tasks, and of those whose plain edit shows the property.

    A row for each cell whose tasks' plain edits were judged, in table order: `k` of all `n` tasks
    count, `shown_k` of the `shown_n` whose plain edit shows it; rates in percent, and in `all` and
    `shown` as the paper prints them. A patching pair counts where its source's plain edit shows the
    property, and its target's too where that was asked: a style pair's target is a photograph,
    which has none to show.
    """
    rows = []
    for plan in load_paper().cells:
        plain = plain_edit_shows(verdicts, plan.family)
        there: dict[str, bool] = {}
        for entity in verdicts.get(plan.judge, {}):
            source, _, target = entity.partition("__")
            if source in plain:
                there[entity] = plain[source] and plain.get(target, True)
        outcomes = {e: hit for e, hit in counted(plan, verdicts).items() if e in there}
        every = Rate.of(outcomes.values())
        shown = Rate.of(hit for entity, hit in outcomes.items() if there[entity])
        if every.n:
            rows.append({
                "judge": plan.judge, "recipe": plan.recipe,
                "n": every.n, "k": every.k, "rate": every.rate, "all": _words(every),
                "shown_n": shown.n, "shown_k": sum(outcomes[e] for e in outcomes if there[e]),
                "shown_rate": shown.rate, "shown": _words(shown),
            })  # fmt: skip
    return frame(rows).reindex(columns=COLUMNS)


def _words(rate: Rate) -> str:
    return f"{rate.printed}, n = {rate.n}" if rate.n else "in no task"
