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
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any, TypeVar

from fluxlens.study.cells import Need
from fluxlens.study.controls import sampled
from fluxlens.study.paths import entities
from fluxlens.study.pictures import Picture, Unit
from fluxlens.study.sampling import KLEIN, Sampling
from fluxlens.study.treatments import TREATMENTS, Lens, Treatment
from fluxlens.tasks import FAMILIES, Assets, Reference, Task, World, available

__all__ = ["PIXELS", "TOKENS", "Batch", "Plan", "make_plan", "plan_of"]

TOKENS = 8704  # of one batch: an edit at 1024², the paper's largest run
T = TypeVar("T")
PIXELS = 16  # along the side of a token
Key = tuple[Treatment, str]  # what is done, and the family of the task


@dataclass(frozen=True)
class Batch:
    """Units of one size and family, made together: the piece of work that is shared out.

    `rows` is how many pictures are in one run of the model, at most.
    """

    name: str
    units: tuple[Unit, ...]
    rows: int
    sampling: Sampling = KLEIN

    @cached_property
    def groups(self) -> list[tuple[Picture, ...]]:
        """The pictures of each treatment, in runs of at most `rows`."""
        found: dict[tuple[int, str], list[Picture]] = {}
        for picture in (picture for unit in self.units for picture in unit.pictures):
            found.setdefault(picture.treatment.order, []).append(picture)
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
        return sum(unit.forwards(self.sampling) for unit in self.units)


@dataclass(frozen=True)
class Plan:
    """Everything that is to be made: ``make_plan("mini", choose()).forwards``.

    `needs` says why: (treatment, family of the task) → judges and extras. `sampling` is the
    model's, and `left_out` says what its family refuses and why, a sentence for each reason.
    """

    world: World
    units: tuple[Unit, ...]
    needs: Mapping[Key, tuple[str, ...]] = field(hash=False)
    sampling: Sampling = KLEIN
    left_out: tuple[str, ...] = ()

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
        return sum(unit.forwards(self.sampling) for unit in self.units)

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
            forwards[picture.recipe] += self.sampling.forwards(picture.steps)
        for unit in self.units:
            forwards["capture"] += unit.captures(self.sampling)
        names = [name for name in ("capture", *TREATMENTS) if forwards[name]]
        return {name: (pictures[name], forwards[name]) for name in names}

    def fitted(self, sampling: Sampling) -> Plan:
        """The plan of a model with this sampling; what its family refuses is left out."""
        why = {picture: reason for picture in self if (reason := _refused(picture, sampling))}
        lost = Counter((reason, picture.recipe) for picture, reason in why.items())
        lines = [
            f"{sampling.family} leaves out {', '.join(names)}, {count:,} pictures: {reason}"
            for reason in dict.fromkeys(why.values())
            for names in [[name for name in TREATMENTS if lost[reason, name]]]
            for count in [sum(lost[reason, name] for name in names)]
        ]
        plan = plan_of(self.world, (p for p in self if p not in why), self.needs) if why else self
        return replace(plan, sampling=sampling, left_out=(*self.left_out, *lines))

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
                out.append(Batch(name, units, rows, self.sampling))
        return out


def _refused(picture: Picture, sampling: Sampling) -> str:
    """Why a model's family has no such picture; nothing if it has."""
    what = picture.treatment
    names = (what.name, *(() if what.recipe.reads_ref else ("generate",)), *what.parts)
    return next((sampling.refusals[name] for name in names if name in sampling.refusals), "")


def _cut(items: list[T], size: int) -> list[tuple[T, ...]]:
    return [tuple(items[n : n + size]) for n in range(0, len(items), size)]


def _prompts(pictures: Iterable[Picture]) -> frozenset[str]:
    found: set[str] = set()
    for picture in pictures:
        if picture.treatment.from_nothing:
            found.add("")
        if isinstance(picture.treatment, Lens) or not picture.treatment.from_nothing:
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
    return *picture.treatment.order, picture.entity


def _order(unit: Unit) -> tuple[Any, ...]:
    """Families as in the tables, sizes together, and equal prompts, which are encoded but once."""
    task, run = unit.task, unit.source_run
    kind = (1 + run.whole, run.stops) if run else (0, False)
    size = task.height, task.width
    return FAMILIES.index(_made_with(task)), *size, kind, task.instruction, task.task_id


def plan_of(
    world: World,
    pictures: Iterable[Picture],
    needs: Mapping[Key, tuple[str, ...]] | None = None,
) -> Plan:
    """A plan for any pictures: ``plan_of("mini", [Picture(Edit(), task)])``."""
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
    why: dict[Key, dict[str, None]] = {}
    pictures: list[Picture] = []
    for need in needs:
        found = listed = entities(world, need.family, need.treatment.name, assets.data)
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
                key = picture.treatment, picture.task.family
                why.setdefault(key, {})[need.why] = None
    if not pictures:
        raise ValueError("nothing to make: no task of what was chosen has its reference here")
    return plan_of(world, pictures, {key: tuple(names) for key, names in why.items()})
