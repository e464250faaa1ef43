"""Known answers: what a wiring predicts, what the instruments say, and how often they are right.

>>> rows = readings("bound", study.verdicts)
>>> confusion(rows)[0].sensitivity  # of the T2I Lens, 0 to 1
1.0

A medical scanner is calibrated on phantoms, objects whose inside is known. The two minis are such
phantoms for the paper's interventions (Sections 3 and 4). The predictions, and the rule by which
verdicts are read, were written into ``predictions.toml`` before any study was judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from fluxlens.judge import NULL, Verdicts
from fluxlens.results import CellPlan, counted, predictions, wilson
from fluxlens.study.asked import named
from fluxlens.study.controls import STRENGTHS
from fluxlens.study.treatments import (
    ColorLens,
    Drop,
    Knockout,
    Lens,
    Patching,
    Placebo,
    Steering,
    Treatment,
    treatment,
)

__all__ = [
    "INSTRUMENTS", "Confusion", "Dose", "Identity", "Reading", "Said", "confusion", "contrary",
    "doses", "identities", "readings",
]  # fmt: skip

Said = Literal["yes", "no", "partly"]
Interval = tuple[float, float]

# What a row of the confusion table is made of.
INSTRUMENTS = {
    "T2I Lens": (Lens.recipe.name, ColorLens.recipe.name),
    "knockout": (Knockout.recipe.name,),
    "patching": (Patching.recipe.name,),
    "reference drop": (Drop.recipe.name,),
}


@dataclass(frozen=True)
class Reading:
    """One prediction, for one family and variant, and what verdicts say: ``readings(…)[0].said``.

    `expected` is ``yes``, ``no`` or ``open``. In `k` of `n` tasks the outcome that the table counts
    was seen, in `null` of the same tasks where nothing was done; `strength` is steering's.
    """

    table: str
    wiring: str
    family: str
    recipe: str
    variant: str
    expected: Literal["yes", "no", "open"]
    because: str
    why: str
    kept: bool = False
    strength: float | None = None
    n: int = 0
    k: int = 0
    null: int = 0

    @property
    def rate(self) -> float | None:
        """The share of tasks, 0 to 1; None where nothing was judged."""
        return self.k / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Its 95 % Wilson interval."""
        return wilson(self.k, self.n) if self.n else None

    @property
    def said(self) -> Said | None:
        """What the verdicts say, by the rule in ``predictions.toml``; None without verdicts."""
        if not self.n:
            return None
        rule, rate = predictions()["reading"], self.k / self.n
        if self.kept:  # where nothing is done all is kept
            return "yes" if rate > rule["most"] else "no"
        if (self.k - self.null) / self.n < rule["room"]:
            return "no"
        return "yes" if rate > rule["most"] else "partly"

    @property
    def right(self) -> bool | None:
        """Whether that is what was expected; None where either is open."""
        if self.said is None or self.expected == "open":
            return None
        return self.said == self.expected


def readings(
    wiring: str | None, verdicts: Verdicts, tables: Sequence[str] = ("wiring",)
) -> list[Reading]:
    """Every prediction about a wiring beside what the verdicts say of it.

    `tables` are those of ``predictions.toml``: ``wiring`` (the paper's interventions), ``edge``,
    ``placebo``, ``steering``. A model of no known wiring has none.
    """
    return [
        _read(Reading(table, row["wiring"], **place, **facts), verdicts)
        for table in tables
        for row in predictions()[table]
        if row["wiring"] == wiring
        for facts in [{"expected": row["outcome"], "because": row["because"], "why": row["why"]}]
        for place in _places(table, row)
    ]


def _places(table: str, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Family, recipe and variant of everything that a row is about."""
    for family in row["families"]:
        if table == "placebo":
            for kind, part in product(row["kinds"], row["tokens"]):
                yield _place(family, Placebo(part, kind))
        elif table == "steering":
            for strength in row["strengths"]:
                place = _place(family, Steering(strength=strength))
                yield {**place, "kept": row["asks"] == "kept", "strength": strength}
        else:
            recipe = row.get("recipe", Knockout.recipe.name)
            for variant in row["variants"]:
                yield _place(family, treatment(recipe, variant))


def _place(family: str, what: Treatment) -> dict[str, Any]:
    return {"family": family, "recipe": what.name, "variant": what.variant}


def _verdicts(
    family: str,
    recipe: str,
    variant: str,
    verdicts: Verdicts,
    kept: bool = False,
    null: bool = False,
) -> dict[str, bool]:
    """Entity → whether the outcome was seen; with `null`, where nothing was done."""
    found = named(family, recipe, variant, kept)
    if found is None:
        return {}
    cell, suffix = (found, "") if isinstance(found, CellPlan) else (found.cell, found.suffix)
    return counted(cell, verdicts, NULL if null else suffix)


def _outcomes(reading: Reading, verdicts: Verdicts, null: bool = False) -> dict[str, bool]:
    place = reading.family, reading.recipe, reading.variant
    return _verdicts(*place, verdicts, kept=reading.kept, null=null)


def _read(reading: Reading, verdicts: Verdicts) -> Reading:
    hits, nulls = _outcomes(reading, verdicts), _outcomes(reading, verdicts, null=True)
    shared = list(hits) if reading.kept else [entity for entity in hits if entity in nulls]
    facts = {
        "n": len(shared),
        "k": sum(hits[entity] for entity in shared),
        "null": 0 if reading.kept else sum(nulls[entity] for entity in shared),
    }
    return Reading(**{**vars(reading), **facts})


def contrary(reading: Reading, verdicts: Verdicts) -> list[str]:
    """The entities that speak against a prediction, in the order of the verdicts.

    Where ``yes`` was expected, those in which the outcome was not seen, and the other way round.
    """
    hits = _outcomes(reading, verdicts)
    return [entity for entity, hit in hits.items() if hit == (reading.expected == "no")]


@dataclass(frozen=True)
class Dose:
    """A strength of steering: of `n` pictures, how many `moved`, `kept` the rest, or `both`."""

    strength: float
    n: int
    moved: int
    kept: int
    both: int


def doses(verdicts: Verdicts, family: str) -> list[Dose]:
    """Steering by padding alone, from weak to strong: ``doses(study.verdicts, "color")``.

    Both questions are about the same pictures; a strength that neither was asked about is left out.
    """
    out = []
    for strength in STRENGTHS:
        what = Steering(strength=strength)
        place = family, what.name, what.variant
        moved, kept = (_verdicts(*place, verdicts, kept=side) for side in (False, True))
        pairs = [(moved[entity], kept[entity]) for entity in moved if entity in kept]
        if pairs:
            counts = (sum(m for m, _ in pairs), sum(k for _, k in pairs), sum(map(all, pairs)))
            out.append(Dose(strength, len(pairs), *counts))
    return out


@dataclass(frozen=True)
class Identity:
    """Cuts that must give equal pictures, whatever the weights: ``identities()[0].says``.

    `right` is another set of cuts, or ``generation``: the same without a reference.
    """

    name: str
    left: tuple[str, ...]
    right: tuple[str, ...] | Literal["generation"]
    says: str


def identities() -> list[Identity]:
    """The identities that were written down before they were tried."""
    out = []
    for row in predictions()["identity"]:
        right = row["right"] if row["right"] == "generation" else tuple(row["right"])
        out.append(Identity(row["name"], tuple(row["left"]), right, row["says"]))
    return out


@dataclass(frozen=True)
class Confusion:
    """How often an instrument was right: ``confusion(rows)[0].sensitivity``.

    Of the predictions ``yes`` and ``no`` that were tested (`yes`, `no`), so many read as predicted.
    `tasks` are the same rows by task: in how many of how many the outcome was seen.
    """

    instrument: str
    yes: int
    yes_right: int
    no: int
    no_right: int
    yes_tasks: tuple[int, int]
    no_tasks: tuple[int, int]

    @property
    def sensitivity(self) -> float | None:
        """The share of ``yes`` predictions that read ``yes``."""
        return self.yes_right / self.yes if self.yes else None

    @property
    def specificity(self) -> float | None:
        """The share of ``no`` predictions that read ``no``."""
        return self.no_right / self.no if self.no else None


def confusion(rows: Iterable[Reading]) -> list[Confusion]:
    """A line for each instrument over these readings, of one model or of several."""
    tested = [row for row in rows if row.right is not None]
    out = []
    for instrument, recipes in INSTRUMENTS.items():
        mine = [row for row in tested if row.recipe in recipes]
        yes, no = ([r for r in mine if r.expected == word] for word in ("yes", "no"))
        out.append(
            Confusion(
                instrument,
                yes=len(yes),
                yes_right=sum(bool(row.right) for row in yes),
                no=len(no),
                no_right=sum(bool(row.right) for row in no),
                yes_tasks=(sum(row.k for row in yes), sum(row.n for row in yes)),
                no_tasks=(sum(row.k for row in no), sum(row.n for row in no)),
            )
        )
    return out
