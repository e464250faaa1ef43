"""What was expected, written before any verdict, and what became of it.

```python
from fluxlens.expected import expectations
expectations("bound", "attention_knockout")[0].outcome      # "yes": destroyed in most tasks
```
Of the two wirings: the ``[[wiring]]`` rows of ``predictions.toml`` (Sections 4.2 to 4.4). Of the
paper: the comparisons behind its claims, which stand in the same file (`fluxlens.claims`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ._page import Html
from ._read_verdicts import NULL, Verdicts
from .claims import Comparison, _compare, _predictions, claims
from .pages import DASH, EMPTY, called, rows
from .paper import CellPlan, load_paper
from .study.asked import named

__all__ = ["Expectation", "Found", "after", "before", "differences", "expectations", "found"]

Found = Literal["as expected", "not as expected", "undecided", "not judged"]
WORDS = {"yes": "in most tasks", "no": "no more than by itself", "open": "open"}
DRAWS = 2_000


@dataclass(frozen=True)
class Expectation:
    """A row for one family and one variant: ``expectations("bound", "t2i_lens")[0].why``.

    `outcome` is ``yes`` (what the table counts is expected in most tasks), ``no`` (in no more than
    where nothing was done) or ``open``; `because` says whether training planted it or a trial
    showed it.
    """

    wiring: str
    family: str
    recipe: str
    variant: str
    outcome: Literal["yes", "no", "open"]
    because: str
    why: str

    @property
    def asked(self) -> tuple[CellPlan, str] | None:
        """Who tests it: a cell of the tables, or the cell whose question a control is asked, and
        the name under which the verdicts stand. None where nobody asks."""
        one = named(self.family, self.recipe, self.variant)
        if one is None:
            return None
        return (one, one.judge) if isinstance(one, CellPlan) else (one.cell, one.name)


def expectations(wiring: str | None, *recipes: str) -> list[Expectation]:
    """``expectations("bound", "i2i_patch")``: a wiring's rows; none for a model of no known wiring.

    The recipes in the order given, families and variants in that of the file.
    """
    return [
        Expectation(
            row["wiring"], family, row["recipe"], variant,
            row["outcome"], row["because"], row["why"],
        )
        for row in _rows(wiring, recipes)
        for family in row["families"]
        for variant in row["variants"]
    ]  # fmt: skip


def _rows(wiring: str | None, recipes: Sequence[str]) -> list[Mapping[str, Any]]:
    written = _predictions()["wiring"]
    return [w for r in recipes for w in written if (w["wiring"], w["recipe"]) == (wiring, r)]


def found(expectation: Expectation, verdicts: Verdicts, draws: int = DRAWS) -> Found:
    """``found(expectation, study.verdicts)``: what the verdicts say of it.

    The rule is that of the claims: the 95 % interval, by cluster, of the difference to one task in
    two (``yes``) or to the same question where nothing was done (``no``) lies above zero, leaves no
    room for ten points, or decides nothing.
    """
    if expectation.asked is None:
        return EMPTY
    wanted = expectation.outcome == "yes"
    cell, name = expectation.asked
    # as if they were the cell's own: what was done differs, question and null do not
    own = {
        cell.judge: verdicts.get(name, {}),
        cell.judge + NULL: verdicts.get(cell.judge + NULL, {}),
    }
    said = _compare(cell.judge, "half" if wanted else "null", own, draws).outcome
    if said == "missing":
        return EMPTY
    if said == "undecided" or expectation.outcome == "open":
        return "undecided"
    return "as expected" if (said == "holds") == wanted else "not as expected"


def before(wirings: Mapping[str, str | None], *recipes: str, caption: str = "") -> Html:
    """What a page expects before it runs: ``before({"mini": "bound"}, "t2i_lens", "color_lens")``.

    A line for each prediction: of which model, families and variants, what, and why.
    """
    body = [
        [
            name,
            ", ".join(row["families"]),
            ", ".join(row["variants"]),
            WORDS[row["outcome"]],
            f"{row['why']} ({row['because']})",
        ]
        for name, wiring in wirings.items()
        for row in _rows(wiring, recipes)
    ]
    head = ["model", "families", "variants", "expected", "because"]
    none = [[", ".join(wirings), DASH, DASH, "open", "no wiring is known"]]
    return rows(head, body or none, caption)


def after(
    wirings: Mapping[str, str | None],
    verdicts: Mapping[str, Verdicts],
    *recipes: str,
    variants: Sequence[str] = (),
    caption: str = "",
) -> Html:
    """What became of it: ``after({"mini": "bound"}, {"mini": study.verdicts}, "t2i_lens")``.

    A line for each recipe, family and variant that a question is asked about; `variants` leaves
    some of them.
    """
    made = {
        name: {
            (e.recipe, e.family, e.variant): e
            for e in expectations(wiring, *recipes)
            if e.asked and (not variants or e.variant in variants)
        }
        for name, wiring in wirings.items()
    }
    body = []
    for place in dict.fromkeys(place for some in made.values() for place in some):
        line = [", ".join(place)]
        for name, some in made.items():
            e = some.get(place)
            line += [DASH, DASH] if e is None else [WORDS[e.outcome], found(e, verdicts[name])]
        body.append(line)
    head = ["", *(word for name in made for word in (f"{name}, expected", "found"))]
    return rows(head, body or [["no wiring is known", *(DASH for _ in head[1:])]], caption)


def differences(
    verdicts: Mapping[str, Verdicts], section: str = "", recipe: str = "", caption: str = ""
) -> Html:
    """The comparisons that the paper's claims stand on: ``differences({"mini": verdicts}, "4.4")``.

    The difference in percent points with its 95 % interval by cluster, and what follows from it.
    `section` and `recipe` leave those of one section of the paper, or with one of its recipes.
    """
    plans = {plan.judge: plan for plan in load_paper().cells}
    words = {name: called(p.tables[0], p.row, p.column) for name, p in plans.items()}
    words |= {"null": "the same where nothing was done", "half": "one task in two"}
    body = []
    for line in zip(*(claims(some) for some in verdicts.values()), strict=True):
        for sides in zip(*(claim.comparisons for claim in line), strict=True):
            named = [plans[n].recipe for n in (sides[0].more, sides[0].than) if n in plans]
            if section in line[0].section and (not recipe or recipe in named):
                more, than = words[sides[0].more], words[sides[0].than]
                body.append([line[0].name, more, than, *map(_difference, sides)])
    return rows(["claim", "more often", "than", *verdicts], body, caption)


def _difference(c: Comparison) -> str:
    if c.difference is None:
        return EMPTY
    span = "" if c.lo is None or c.hi is None else f" [{c.lo:+.0f}, {c.hi:+.0f}]"
    return f"{c.difference:+.1f}{span}, n = {c.n}: {c.outcome}"
