"""The smallest set of runs that makes the chosen pictures, in batches of fixed composition.

>>> plan = make_plan("mini", choose())
>>> plan.pictures, plan.forwards
(14494, 57571)

What a source task's pictures share (its edit is the baseline of all, step 0 of that edit is every
lens's capture, its four steps every patch's) is one *unit*; units of one size and family make a
*batch*. A batch depends on the plan alone, never on what was made before: a picture made again, by
whichever worker, is made in the same company and comes out the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any, TypeVar

from fluxlens.study.cells import Need
from fluxlens.study.controls import sampled
from fluxlens.study.paths import entities
from fluxlens.study.pictures import RECIPES, Picture, Unit
from fluxlens.tasks import FAMILIES, Assets, Reference, Task, World, available

__all__ = ["PIXELS", "TOKENS", "Batch", "Plan", "make_plan", "plan_of"]

TOKENS = 8704  # of one batch: an edit at 1024², the paper's largest run
T = TypeVar("T")
PIXELS = 16  # along the side of a token


@dataclass(frozen=True)
class Batch:
    """Units of one size and family, made together: the piece of work that is shared out.

    `rows` is how many pictures are in one run of the model, at most.
    """

    name: str
    units: tuple[Unit, ...]
    rows: int

    @cached_property
    def groups(self) -> list[tuple[Picture, ...]]:
        """The pictures of each recipe and variant, in runs of at most `rows`."""
        found: dict[tuple[int, str], list[Picture]] = {}
        for picture in (picture for unit in self.units for picture in unit.pictures):
            key = RECIPES.index(picture.recipe), picture.variant
            found.setdefault(key, []).append(picture)
        return [run for key in sorted(found) for run in _cut(found[key], self.rows)]

    @cached_property
    def references(self) -> dict[Reference, Task]:
        """Each reference that these pictures have to do with, with a task that has it."""
        return _references(picture for unit in self.units for picture in unit.pictures)

    @cached_property
    def prompts(self) -> frozenset[str]:
        """Each distinct prompt of its runs."""
        return _prompts(picture for unit in self.units for picture in unit.pictures)

    @property
    def forwards(self) -> int:
        """Forwards of all its runs, counted by rows."""
        return sum(unit.forwards for unit in self.units)


@dataclass(frozen=True)
class Plan:
    """Everything that is to be made: ``make_plan("mini", choose()).forwards``.

    `needs` says why: (recipe, variant, family of the task) → judges and extras.
    """

    world: World
    units: tuple[Unit, ...]
    needs: Mapping[tuple[str, str, str], tuple[str, ...]] = field(hash=False)

    def __iter__(self) -> Iterator[Picture]:
        for unit in self.units:
            yield from unit.pictures

    @property
    def pictures(self) -> int:
        """Pictures to make, references not among them."""
        return sum(len(unit.pictures) for unit in self.units)

    @property
    def forwards(self) -> int:
        """Forwards of the transformer, counted by rows, those cut short included."""
        return sum(unit.forwards for unit in self.units)

    @cached_property
    def references(self) -> dict[Reference, Task]:
        """Each distinct reference, with a task that has it."""
        return _references(self)

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """Each distinct prompt that is encoded, the empty one included."""
        return tuple(sorted(_prompts(self)))

    def counts(self) -> dict[str, tuple[int, int]]:
        """Recipe → (pictures, forwards); ``capture`` are source runs that make no picture."""
        pictures = Counter(picture.recipe for picture in self)
        forwards: Counter[str] = Counter()
        for picture in self:
            forwards[picture.recipe] += picture.steps
        for unit in self.units:
            if unit.source_run and unit.source_run.stops:
                forwards["capture"] += unit.source_run.steps
            forwards["capture"] += 4 * len(unit.donors)
        names = [name for name in ("capture", *RECIPES) if forwards[name]]
        return {name: (pictures[name], forwards[name]) for name in names}

    def batches(self, text: int, tokens: int = TOKENS) -> list[Batch]:
        """The plan's batches for a model that reads `text` tokens of text.

        A run has as many rows as fit, each counted as an edit of a reference of its own size,
        into `tokens` tokens, and at least one. A batch has as many units.
        """
        out: list[Batch] = []
        for (family, height, width, _), members in groupby(self.units, _kind):
            row = text + 2 * (height // PIXELS) * (width // PIXELS)
            rows = max(1, tokens // row)
            for units in _cut(list(members), rows):
                name = f"batch {len(out) + 1}, {family} {width}×{height}"
                out.append(Batch(name, units, rows))
        return out


def _cut(items: list[T], size: int) -> list[tuple[T, ...]]:
    return [tuple(items[n : n + size]) for n in range(0, len(items), size)]


def _prompts(pictures: Iterable[Picture]) -> frozenset[str]:
    found: set[str] = set()
    for picture in pictures:
        told = picture.edits or picture.variant.startswith("clean")
        if not told:
            found.add("")
        if told or picture.recipe != "generation":  # a lens has an edit behind it
            found |= {t.instruction for t in (picture.origin, picture.task, *picture.others)}
    return frozenset(found)


def _references(pictures: Iterable[Picture]) -> dict[Reference, Task]:
    return {t.reference: t for p in pictures for t in (*p.others, p.source, p.task) if t}


def _kind(unit: Unit) -> tuple[Any, ...]:
    """What the units of a batch have in common."""
    return _made_with(unit.task), unit.task.height, unit.task.width, unit.source_run


def _made_with(task: Task) -> str:
    """The family in whose batches a task is made; style is patched into the manual family."""
    return "style" if task.family == "manual" else task.family


def _place(picture: Picture) -> tuple[Any, ...]:
    """Where a picture stands among those of its unit, in whatever order they were asked for."""
    return RECIPES.index(picture.recipe), picture.variant, picture.entity


def _order(unit: Unit) -> tuple[Any, ...]:
    """Families as in the tables, sizes together, and equal prompts, which are encoded but once."""
    task, run = unit.task, unit.source_run
    kind = (run.steps, run.stops) if run else (0, False)
    size = task.height, task.width
    return FAMILIES.index(_made_with(task)), *size, kind, task.instruction, task.task_id


def plan_of(
    world: World,
    pictures: Iterable[Picture],
    needs: Mapping[tuple[str, str, str], tuple[str, ...]] | None = None,
) -> Plan:
    """A plan for any pictures: ``plan_of("mini", [Picture("edit", "plain", task)])``."""
    found: dict[str, list[Picture]] = {}
    for picture in dict.fromkeys(pictures):
        found.setdefault(picture.origin.task_id, []).append(picture)
    units = (Unit(some[0].origin, tuple(sorted(some, key=_place))) for some in found.values())
    return Plan(world, tuple(sorted(units, key=_order)), needs or {})


def make_plan(
    world: World,
    needs: Iterable[Need],
    *,
    limit: int | None = None,
    assets: Assets | None = None,
    only_available: bool = False,
) -> Plan:
    """The plan for what `fluxlens.study.cells.choose` chose.

    `limit` takes the first so many tasks, or pairs, of each need; `assets` say where the paper's
    tasks and references lie; `only_available` leaves out tasks whose references are not there.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is at least 1, not {limit}")
    assets = Assets.from_environment() if assets is None else assets
    why: dict[tuple[str, str, str], dict[str, None]] = {}
    pictures: list[Picture] = []
    for need in needs:
        found = listed = entities(world, need.family, need.recipe, assets.data)
        there: set[str] = set()
        if only_available:
            tasks = [t for entity in found for t in (entity.task, entity.source) if t]
            there = {task.task_id for task in available(tasks, assets)}
            found = [e for e in found if {e.task.task_id, (e.source or e.task).task_id} <= there]
        for entity in sampled(found, need.sample)[:limit]:
            for picture in need.pictures(entity, listed):
                if only_available and not there.issuperset(t.task_id for t in picture.others):
                    continue
                pictures.append(picture)
                key = picture.recipe, picture.variant, picture.task.family
                why.setdefault(key, {})[need.why] = None
    if not pictures:
        raise ValueError("nothing to make: no task of what was chosen has its reference here")
    return plan_of(world, pictures, {key: tuple(names) for key, names in why.items()})
