"""The pair lists of I2I-to-I2I patching (section 4.3.2), by rule in both worlds.

>>> pairs("paper", "color")[0]
('solid_blue_ball_s0', 'solid_brown_ball_s1')

A pair is two task ids, source and target, with one instruction and two different noise seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path

from fluxlens.mini.world import COLORS
from fluxlens.tasks.instructions import SHARED
from fluxlens.tasks.mini import mini_tasks
from fluxlens.tasks.paper import COLOR_OBJECTS, HUMANS, SEEDS, paper_tasks
from fluxlens.tasks.task import WORLDS, Task, World

Pair = tuple[str, str]
__all__ = ["PAIRED", "Pair", "pairs"]

# The families that have a pair list, by the family of the sources.
PAIRED = ("color", "style", "people_shared")


def pairs(world: World, family: str, data: Path | None = None) -> list[Pair]:
    """The (source, target) ids of a family, in the order of the authors' lists.

    ``data``, a clone of the authors' repository, is needed for the paper's style pairs alone.
    ``people`` is a second name for ``people_shared``, and ``manual`` for ``style``.
    """
    if world not in WORLDS:
        raise ValueError(f"no world {world!r}; there are {', '.join(WORLDS)}")
    family = {"people": "people_shared", "manual": "style"}.get(family, family)
    if family == "color":
        return list(_color())
    if family == "people_shared":
        return list(_people())
    if family == "style":
        both = ["style", "manual"]
        return list(_style(paper_tasks(data, both) if world == "paper" else mini_tasks(both)))
    raise ValueError(f"no pairs of {family!r}; there are pairs of {', '.join(PAIRED)}")


def _color() -> Iterator[Pair]:
    """Every ordered pair of colors for every object; the seed slots go round with the pairs."""
    for thing in sorted(COLOR_OBJECTS):
        for i, (a, b) in enumerate(permutations(sorted(COLORS), 2)):
            s = i % SEEDS
            yield f"solid_{a}_{thing}_s{s}", f"solid_{b}_{thing}_s{(s + 1) % SEEDS}"


def _style(tasks: Sequence[Task]) -> Iterator[Pair]:
    """Every illustrated task with its photographed twin, one seed slot on."""
    twins = {(_key(t), _slot(t)): t.task_id for t in tasks if t.family == "manual"}
    source = [t for t in tasks if t.family == "style"]
    for task in sorted(source, key=lambda t: (*_key(t), _slot(t))):
        yield task.task_id, twins[_key(task), (_slot(task) + 1) % SEEDS]


def _key(task: Task) -> tuple[str, str]:
    return task.metadata["subject"], task.instruction


def _slot(task: Task) -> int:
    return int(task.task_id.rpartition("_s")[2])


def _people() -> Iterator[Pair]:
    """Every ordered pair of people for every shared prompt."""
    for slug in sorted(SHARED):
        for a, b in permutations(HUMANS, 2):
            name = f"customize_dreambench_plus_human_shared_{{}}_{slug}"
            yield name.format(a), name.format(b)
