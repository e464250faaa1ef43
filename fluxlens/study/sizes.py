"""How large the tasks' pictures and references are: all that a cost depends on.

>>> Sizes.of_family("people").sizes
(Size(height=1024, width=1024, ref=4096, patches=1369, share=1.0),)

The sizes of the scenes and of the style references stand only in the authors' files. So that a
study can be priced without them, ``sizes.toml`` says how many tasks have which size, and nothing
else; ``python -m fluxlens.study.sizes CLONE`` writes it.
"""

from __future__ import annotations

import math
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fluxlens.references import encoded_size
from fluxlens.tasks import (
    Assets,
    Family,
    Reference,
    Task,
    World,
    available,
    paper_tasks,
    reference_image,
)

__all__ = ["TOKEN", "Mix", "Size", "Sizes", "patches"]

FILE = Path(__file__).with_name("sizes.toml")
TOKEN = 16  # pixels along the side of a transformer's token
PATCH = 28  # and of a judge's
MOST_PATCHES = 4758
# Families whose references, and prompts, are all among those of another.
REFERENCES_OF: dict[Family, Family] = {"people_shared": "people", "remove": "add"}
PROMPTS_OF: dict[Family, Family] = {"manual": "style"}


@dataclass(frozen=True)
class Size:
    """Pictures of one size with references of one size, a `share` of those meant.

    >>> Size(1024, 1024, ref=4096, patches=1369).image
    4096

    ``ref`` is the reference in the transformer's tokens, ``patches`` in a judge's.
    """

    height: int
    width: int
    ref: float
    patches: float
    share: float = 1.0

    @property
    def image(self) -> int:
        """The picture in the transformer's tokens."""
        return self.height * self.width // TOKEN**2

    @property
    def pixels(self) -> int:
        return self.height * self.width


@dataclass(frozen=True, eq=False)
class Mix:
    """The sizes that a task may have: one, or its family's where its own is not known."""

    sizes: tuple[Size, ...]

    def mean(self, cost: Callable[[Size], float]) -> float:
        """What such a task costs on average."""
        return math.fsum(size.share * cost(size) for size in self.sizes)


def patches(width: int, height: int) -> int:
    """The tokens of a picture to a judge of Claude Opus 4.7's kind, before it answers.

    >>> patches(1024, 1024)
    1369

    Fitted by the authors' 9,046 verdicts that no cache touched, all exactly.
    """
    return min(math.ceil(width / PATCH) * math.ceil(height / PATCH), MOST_PATCHES)


class Sizes:
    """The size of a task, or where it is not known, what sizes its family has.

    `assets` say where the authors' tasks and references lie. ``standing_in`` prices mini's tasks,
    which are as many, as if they were the paper's.
    """

    def __init__(
        self, world: World, assets: Assets | None = None, *, standing_in: bool = False
    ) -> None:
        self.world, self.assets = world, assets or Assets()
        self.standing_in = standing_in
        self._seen: dict[Reference, tuple[int, int]] = {}
        self._there: dict[Family, bool] = {}
        self._mixes: dict[tuple[int, ...], Mix] = {}

    def of(self, task: Task) -> Mix:
        """The sizes that a task may have; equal tasks get the same object."""
        if self.standing_in:
            return self.of_family(task.family)
        width, height = task.width, task.height
        if task.reference.kind == "style":  # the only references that keep a size of their own
            if not self._whole(task.family):
                return self.of_family(task.family)
            if task.reference not in self._seen:
                self._seen[task.reference] = reference_image(task, self.assets).size
            width, height = self._seen[task.reference]
        key = task.height, task.width, height, width
        if key not in self._mixes:
            ref = math.prod(encoded_size(width, height)) // TOKEN**2
            size = Size(task.height, task.width, ref, patches(width, height))
            self._mixes[key] = Mix((size,))
        return self._mixes[key]

    def _whole(self, family: Family) -> bool:
        """Whether all references of a family are there: some of them tell nothing of the rest."""
        if family not in self._there:
            tasks = paper_tasks(self.assets.data, family)
            self._there[family] = len(available(tasks, self.assets)) == len(tasks)
        return self._there[family]

    @staticmethod
    @cache
    def of_family(family: Family) -> Mix:
        """The sizes of a family of the paper, as shipped."""
        entry = _file()[family]
        if "sizes" in entry:
            count = sum(n for _, _, n in entry["sizes"])
            return Mix(tuple(
                Size(h, w, h * w // TOKEN**2, patches(w, h), n / count)
                for h, w, n in entry["sizes"]
            ))  # fmt: skip
        # Two points with the mean and the spread of all: a cost is quadratic in the tokens.
        mean, spread, seen = entry["tokens"], entry["spread"], entry["patches"]
        return Mix(tuple(Size(1024, 1024, mean + d, seen, 0.5) for d in (-spread, spread)))

    @staticmethod
    def prompts(tasks: Mapping[Family, int]) -> int:
        """How many different instructions so many tasks of the paper's families have, at most."""
        most: Counter[Family] = Counter()
        for family, count in tasks.items():
            own = PROMPTS_OF.get(family, family)
            most[own] = max(most[own], min(count, int(_file()[own]["prompts"])))
        return most.total()

    @staticmethod
    def references(tasks: Mapping[Family, int]) -> dict[Family, int]:
        """The same of their different references, by family; each is counted once."""
        out = {}
        for family, count in tasks.items():
            larger = REFERENCES_OF.get(family)
            if larger not in tasks:
                out[family] = min(count, int(_file()[family]["references"]))
        return out


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def table(assets: Assets) -> str:
    """The text of ``sizes.toml`` from a clone; what that cannot tell stays as it was."""
    old, sizes = _file(), Sizes("paper", assets)
    head = FILE.read_text(encoding="utf-8").splitlines()
    lines = [line for line in head if line.startswith("#")]
    for family, entry in old.items():
        tasks = paper_tasks(assets.data, family)
        lines += ["", f"[{family}]", f"prompts = {len({task.instruction for task in tasks})}"]
        lines.append(f"references = {len({task.reference for task in tasks})}")
        if "sizes" in entry:
            counted = Counter((task.height, task.width) for task in tasks)
            rows = [f"[{h}, {w}, {n}]" for (h, w), n in sorted(counted.items())]
            lines += ["sizes = [", *_wrapped(rows), "]"]
        else:
            mixes = [sizes.of(task) for task in tasks]
            known = mixes[0] is not Sizes.of_family(family)
            facts = _moments([mix.sizes[0] for mix in mixes]) if known else entry
            lines += [f"{key} = {facts[key]}" for key in ("tokens", "spread", "patches")]
    return "\n".join(lines) + "\n"


def _wrapped(rows: Sequence[str], each: int = 6) -> list[str]:
    return ["    " + ", ".join(rows[n : n + each]) + "," for n in range(0, len(rows), each)]


def _moments(sizes: Sequence[Size]) -> dict[str, float]:
    tokens = [size.ref for size in sizes]
    mean = math.fsum(tokens) / len(tokens)
    spread = math.sqrt(math.fsum((t - mean) ** 2 for t in tokens) / len(tokens))
    seen = math.fsum(size.patches for size in sizes) / len(sizes)
    return {"tokens": round(mean, 1), "spread": round(spread, 1), "patches": round(seen, 1)}


if __name__ == "__main__":
    text = table(Assets.from_environment(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
    part = FILE.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, FILE)
