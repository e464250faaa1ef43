"""What a page expects before it runs, and what became of it: predictions and claims as tables.

>>> before({"mini": "bound"}, "t2i_lens")
>>> after({"mini": "bound"}, {"mini": study.verdicts}, "t2i_lens")

The predictions were written into ``predictions.toml`` before any verdict, with the rule by which
they are read (:mod:`fluxlens.pages.known_answers`) and the comparisons behind the paper's claims
(`fluxlens.results.claim_tests`, Sections 4.2 to 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fluxlens.html import Html
from fluxlens.html_table import DASH, EMPTY, rows
from fluxlens.judge import Verdicts
from fluxlens.pages.book_tables import called
from fluxlens.pages.known_answers import Reading, readings
from fluxlens.results import claim_tests, load_paper, predictions, records

__all__ = ["after", "before", "differences"]

WORDS = {"yes": "in most tasks", "no": "no more than by itself", "open": "open"}
UNKNOWN = "no wiring is known"


def before(
    wirings: Mapping[str, str | None],
    *recipes: str,
    families: Sequence[str] = (),
    caption: str = "",
) -> Html:
    """What is expected: ``before({"mini": "bound"}, "t2i_lens", "color_lens")``.

    A line for each prediction: of which model, recipe, families and variants, what, and why.
    `families` leaves some of them.
    """
    body = []
    for name, wiring in wirings.items():
        lines: dict[tuple[str, ...], list[Reading]] = {}
        for reading in _of(wiring, {}, recipes):
            if families and reading.family not in families:
                continue
            key = reading.recipe, reading.expected, f"{reading.why} ({reading.because})"
            # rows of one reason are told apart by what each of their families has
            lines.setdefault((*key, *_variants(wiring, reading)), []).append(reading)
        for (recipe, outcome, why, *variants), some in lines.items():
            found = ", ".join(dict.fromkeys(reading.family for reading in some))
            body.append([name, recipe, found, ", ".join(variants), WORDS[outcome], why])
    head = ["model", "recipe", "families", "variants", "expected", "because"]
    return rows(head, body or [[", ".join(wirings), DASH, DASH, DASH, "open", UNKNOWN]], caption)


def _of(wiring: str | None, verdicts: Verdicts, recipes: Sequence[str]) -> list[Reading]:
    """A wiring's predictions about these recipes, in the recipes' order."""
    found = readings(wiring, verdicts)
    return [reading for recipe in recipes for reading in found if reading.recipe == recipe]


def _variants(wiring: str | None, like: Reading) -> tuple[str, ...]:
    """The variants of which the same is expected of the same family for the same reason."""
    same = [
        r for r in _of(wiring, {}, [like.recipe]) if (r.family, r.why) == (like.family, like.why)
    ]
    return tuple(reading.variant for reading in same if reading.expected == like.expected)


def after(
    wirings: Mapping[str, str | None],
    verdicts: Mapping[str, Verdicts],
    *recipes: str,
    families: Sequence[str] = (),
    variants: Sequence[str] = (),
    caption: str = "",
) -> Html:
    """What became of it: ``after({"mini": "bound"}, {"mini": study.verdicts}, "t2i_lens")``.

    A line for each recipe, family and variant, and one that counts those as expected; `families`
    and `variants` leave some of them.
    """
    made = {
        name: {
            (reading.recipe, reading.family, reading.variant): reading
            for reading in _of(wiring, verdicts[name], recipes)
            if (not variants or reading.variant in variants)
            and (not families or reading.family in families)
        }
        for name, wiring in wirings.items()
    }
    body = []
    for place in dict.fromkeys(place for some in made.values() for place in some):
        line = [", ".join(place)]
        for some in made.values():
            reading = some.get(place)
            line += [DASH, DASH] if reading is None else [WORDS[reading.expected], _said(reading)]
        body.append(line)
    if body:
        body.append(["as expected", *(word for some in made.values() for word in _score(some))])
    head = ["", *(word for name in made for word in (f"{name}, expected", "found"))]
    body = body or [[UNKNOWN, *(DASH for _ in head[1:])]]
    return rows(head, body, f"{caption} {_rule()}".strip())


def _rule() -> str:
    """How predictions are read, in words."""
    room, most = (100 * predictions()["reading"][key] for key in ("room", "most"))
    return (
        f"“No more than by itself” is less than {room:.0f} points above where nothing was done; "
        f"“in most tasks” is at least that, and over {most:.0f} %. The rule was written with the "
        "predictions."
    )


def _said(reading: Reading) -> str:
    if reading.rate is None or reading.interval is None:
        return EMPTY
    low, high = (100 * bound for bound in reading.interval)
    rate = f"{100 * reading.rate:.0f} % [{low:.0f}, {high:.0f}], n = {reading.n}"
    null = f"nothing done: {100 * reading.null / reading.n:.0f} %"
    judged = {None: "open", True: "as expected", False: "not as expected"}[reading.right]
    return f"{rate} ({null}): {judged}"


def _score(made: Mapping[tuple[str, str, str], Reading]) -> list[str]:
    right = [reading.right for reading in made.values() if reading.right is not None]
    return ["", f"{sum(right)} of {len(right)} that were tested"]


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
    for tests in zip(*(records(claim_tests(some)) for some in verdicts.values()), strict=True):
        one = tests[0]
        recipes = [plans[name].recipe for name in (one.more, one.than) if name in plans]
        if section in one.section and (not recipe or recipe in recipes):
            body.append([one.claim, words[one.more], words[one.than], *map(_difference, tests)])
    return rows(["claim", "more often", "than", *verdicts], body, caption)


def _difference(c: Any) -> str:
    if c.difference is None:
        return EMPTY
    span = "" if c.lo is None or c.hi is None else f" [{c.lo:+.0f}, {c.hi:+.0f}]"
    return f"{c.difference:+.1f}{span}, n = {c.n}: {c.outcome}"
