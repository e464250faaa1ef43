"""The controls that the paper's review asks for: which there are, on how many tasks.

>>> rows = list(controls([("color", "i2i_patch")]))
>>> rows[0], len(rows)
(Control(family='color', treatment=Placebo(tokens='all', kind='same-run'), sample=24), 31)

What is expected of each was written down first, in ``predictions.toml``, where they are explained.
Cuts and drops that a wiring's predictions are about are made for every task, all else for a sample:
the entities whose ids have the smallest checksums, which is the same sample on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from fluxlens.study.paths import Entity
from fluxlens.study.treatments import (
    PLACEBOS as KINDS,
)
from fluxlens.study.treatments import (
    ColorLens,
    Drop,
    Knockout,
    Lens,
    Patching,
    Placebo,
    Steering,
    Treatment,
)
from fluxlens.tasks import Task
from fluxlens.tasks.task import noise_seed

__all__ = ["EDGES", "KINDS", "STRENGTHS", "TOKENS", "companions", "controls", "sampled"]

TOKENS = ("all", "content", "template", "pad")
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # 0 is the target's edit, 1 a patch
EDGES = ("text->ref", "image->ref", "image->text")  # that should not matter
HALVES = ("ref->text[template]", "ref->text[pad]")  # of the padding, which the paper does not split
LENS = ("all", "padding", "content", "template", "pad")
# How many pairs, or tasks, of a family.
PLACEBOS, STEERED, CUT, SHOWN = 24, 40, 48, 48

E = TypeVar("E", bound=Entity)


class Control(NamedTuple):
    """A treatment of so many of a family's entities; None for all."""

    family: str
    treatment: Treatment
    sample: int | None


def controls(covered: Iterable[tuple[str, str]]) -> Iterator[Control]:
    """The controls that belong to (family, recipe): see above."""
    for family, recipe in covered:
        if recipe == Patching.recipe.name:
            for kind in KINDS:
                yield from (Control(family, Placebo(t, kind), PLACEBOS) for t in TOKENS)
            if family in ("color", "style"):
                for strength in STRENGTHS:
                    yield Control(family, Steering(strength=strength), STEERED)
        elif recipe == Knockout.recipe.name:
            yield from (Control(family, Knockout(edge), CUT) for edge in EDGES)
            yield from (Control(family, Knockout(edge), None) for edge in HALVES)
            yield Control(family, Drop(), None)
        elif recipe == ColorLens.recipe.name:  # what the general lens makes of colors
            yield from (Control(family, Lens(tokens), SHOWN) for tokens in LENS)


def sampled(entities: Sequence[E], count: int | None) -> list[E]:
    """So many of the entities, in the order of their ids' checksums; None: all, in their own."""
    if count is None:
        return list(entities)
    return sorted(entities, key=lambda entity: noise_seed(entity.id))[:count]


def companions(entity: Entity, pairs: Iterable[Entity]) -> tuple[Task, ...]:
    """Over what a pair's mean is taken: a task for every reference of its instruction.

    They are sources and targets of the same list of pairs, so those of this pair are among them.
    """
    found: dict[object, Task] = {}
    for pair in pairs:
        for task in (pair.source, pair.task):
            if task is not None and task.instruction == entity.task.instruction:
                found.setdefault(task.reference, task)
    return tuple(sorted(found.values(), key=lambda task: task.task_id))
