"""How a placebo or a step of steering is made: runs of its own, changed, and patched in.

>>> controls = Controls(maker)
>>> controls.capture(group, rows=64)    # forwards that it took
96
>>> images, records = controls.run(group)

What a group of pictures reads is captured in one company, each run in it once, and kept for the
groups that read the same. So what a picture is made of never depends on what was made before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image

from fluxlens import placebo
from fluxlens.core import Activations
from fluxlens.editor import Editor
from fluxlens.pipelines import rows_of, sample
from fluxlens.recipes import region_name
from fluxlens.study.pictures import Picture, donors
from fluxlens.study.requests import ModelFacts, Requests
from fluxlens.study.treatments import Placebo, Steering, Treatment
from fluxlens.tasks import Task
from fluxlens.tasks.task import noise_seed

__all__ = ["Controls"]

KEPT = 4  # captures: sources, targets and the two of their like
Key = tuple[str, tuple[tuple[str, int], ...]]


class Maker(Protocol):
    """What is asked of a `fluxlens.study.make.Maker`."""

    editor: Editor
    requests: Requests
    facts: ModelFacts

    def images(self, tasks: Sequence[Task]) -> list[Image.Image]:
        """Their references."""

    def arguments(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """What recipes are told of them."""

    def ends(self, group: Sequence[Picture]) -> dict[str, Any]:
        """The sources, targets and seeds of patching pairs."""


class Controls:
    """Makes placebo patches and steered ones with a `Maker`'s model."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self._kept: OrderedDict[Key, Activations] = OrderedDict()

    def capture(self, group: Sequence[Picture], rows: int) -> int:
        """Have the text tokens that a group reads, at most `rows` a forward; forwards it took."""
        return sum(self._have(tasks, self._block(group), rows) for tasks in _columns(group))

    def run(self, group: Sequence[Picture]) -> tuple[list[Image.Image], list[dict[str, Any]]]:
        """The pictures of a group that was captured, and their records."""
        maker, first = self.maker, group[0]
        result = first.treatment.recipe.run(
            maker.editor, tokens=first.treatment.parts[0], block=self._block(group),
            acts=self._acts(group), **maker.arguments([p.task for p in group]),
            **maker.ends(group),
        )  # fmt: skip
        records = [
            {
                **record,
                "recipe": picture.recipe,
                "patched_in": {
                    "what": picture.variant,
                    "from": [[task.task_id, task.noise_seed] for task in donors(picture)],
                    "seed": _seed(picture) if _by_chance(picture.treatment) else None,
                },
            }
            for picture, record in zip(group, result.record, strict=True)
        ]
        return result.images, records

    def _acts(self, group: Sequence[Picture]) -> Activations:
        """What is patched in, a row each."""
        columns = [self._kept[self._key(tasks, self._block(group))] for tasks in _columns(group)]
        what, seeds = group[0].treatment, [_seed(picture) for picture in group]
        match what:
            case Steering():
                own, other = columns
                return placebo.blend(own, other, what.strength)
            case Placebo(kind="mean"):
                return placebo.mean(columns[0], _groups(group))
            case Placebo(kind="shuffled"):
                return placebo.shuffled(columns[0], region_name(what.tokens), seeds)
            case Placebo(kind="noise"):
                return placebo.noise(columns[0], seeds)
        return columns[0]

    def _block(self, group: Sequence[Picture]) -> str:
        return str(self.maker.requests.block(group[0]))

    @staticmethod
    def _key(tasks: Sequence[Task], block: str) -> Key:
        return block, tuple((task.task_id, task.noise_seed) for task in tasks)

    def _have(self, tasks: Sequence[Task], block: str, rows: int) -> int:
        key = self._key(tasks, block)
        if key in self._kept:
            self._kept.move_to_end(key)
            return 0
        maker, unique = self.maker, list(dict.fromkeys(tasks))
        made, _ = rows_of(
            maker.editor,
            ref=maker.images(unique),
            seed=[task.noise_seed for task in unique],
            **maker.arguments(unique),
        )
        with maker.editor.capture(block, tokens="text") as acts:
            sample(maker.editor, made, stop_after=block, batch=rows)
        self._kept[key] = acts.pick(rows=[unique.index(task) for task in tasks])
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return maker.facts.sampling.forwards(stops=True) * len(unique)


def _columns(group: Sequence[Picture]) -> list[list[Task]]:
    """What is captured together: the first donors of all, the second ones; all of a mean's."""
    if group[0].others:
        return [list(dict.fromkeys(task for picture in group for task in picture.others))]
    return [list(column) for column in zip(*map(donors, group), strict=True)]


def _groups(group: Sequence[Picture]) -> list[list[int]]:
    """For each picture's mean, the rows of its tasks in the capture."""
    (tasks,) = _columns(group)
    at = {task.task_id: n for n, task in enumerate(tasks)}
    return [[at[task.task_id] for task in picture.others] for picture in group]


def _by_chance(what: Treatment) -> bool:
    return isinstance(what, Placebo) and what.kind in ("shuffled", "noise")


def _seed(picture: Picture) -> int:
    return noise_seed(f"{picture.variant} {picture.entity}")
