"""The same cells as the authors' released drivers run them.

>>> plan, sizes = make_plan("mini", choose()), Sizes("paper", standing_in=True)
>>> cells = list(released(plan, sizes, model_shape("klein-9b")))
>>> sum(cell.calls for cell in cells), f"{sum(cell.blocks for cell in cells) / 1e18:.2f} EFLOP"
(29813, '9.99 EFLOP')

Each driver makes its baselines anew for every task or pair, those that no judge reads included, and
all variants of its experiment, whichever are wanted. Every call encodes its prompt with the whole
language model, and its reference anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from fluxlens.results import load_paper
from fluxlens.study.costs import Costs
from fluxlens.study.judging import asked
from fluxlens.study.paths import Entity
from fluxlens.study.plan import Plan
from fluxlens.study.shapes import ModelShape
from fluxlens.study.sizes import Mix, Sizes
from fluxlens.study.treatments import ColorLens, Lens
from fluxlens.tasks import Task

__all__ = ["ReleasedCell", "released"]

Call = tuple[Task, bool, int]  # whose sizes it has, whether it reads a reference, its steps


@dataclass(frozen=True)
class ReleasedCell:
    """A recipe on a family: its calls of the pipeline, their forwards and operations.

    ``blocks`` are the transformer's operations in its blocks alone, as published; ``transformer``
    are all of them.
    """

    recipe: str
    family: str
    edits: int  # calls with a reference
    generations: int
    edit_forwards: int
    generation_forwards: int
    blocks: float
    transformer: float
    text: float
    vae: float

    @property
    def calls(self) -> int:
        return self.edits + self.generations


def released(plan: Plan, sizes: Sizes, model: ModelShape) -> Iterator[ReleasedCell]:
    """What the drivers take that make a plan's judged pictures; they know nothing of its extras."""
    costs = Costs(model)
    text = model.text.encode(model.text_tokens).total
    found: dict[tuple[str, str], dict[str, Entity]] = {}
    for picture in plan:
        for cell in asked(plan, picture):
            entity = Entity(picture.task, picture.source)
            found.setdefault((cell.recipe, cell.family), {})[entity.id] = entity
    for (recipe, family), variants in _variants().items():
        calls = Counter(
            (sizes.of(task), edit, steps)
            for entity in found.get((recipe, family), {}).values()
            for task, edit, steps in _calls(recipe, entity, variants)
        )
        if not calls:
            continue
        made: Counter[bool] = Counter()
        forwards: Counter[bool] = Counter()
        blocks = transformer = vae = 0.0
        for (mix, edit, steps), count in calls.items():
            made[edit] += count
            forwards[edit] += count * steps
            in_blocks, in_all = _forward(costs, mix, edit)
            blocks += count * steps * in_blocks
            transformer += count * steps * in_all
            vae += count * (mix.mean(costs.decode) + edit * mix.mean(costs.encode))
        yield ReleasedCell(
            recipe, family, made[True], made[False], forwards[True], forwards[False],
            blocks, transformer, made.total() * text, vae,
        )  # fmt: skip


def _forward(costs: Costs, mix: Mix, edit: bool) -> tuple[float, float]:
    """The operations of a forward: the blocks', and all of them."""
    return (
        mix.mean(lambda size: costs.forward(size, edit).blocks),
        mix.mean(lambda size: costs.forward(size, edit).total),
    )


def _variants() -> Counter[tuple[str, str]]:
    """How many variants each experiment of the paper has."""
    return Counter((cell.recipe, cell.family) for cell in load_paper().cells)


def _calls(recipe: str, entity: Entity, variants: int) -> Iterator[Call]:
    """The calls for one task or pair, its variants being the last of them."""
    task, four = entity.task, 4
    if recipe == ColorLens.recipe.name:
        # the source; the empty prompt's picture, the clean one, the lens
        yield task, True, 1
        yield from [(task, False, 1)] * (2 + variants)
    elif recipe == Lens.recipe.name:  # all three baselines in one step and in four
        yield from [(task, True, steps) for steps in (1, four)]
        yield from [(task, False, steps) for steps in (1, four, 1, four)]
        yield from [(task, False, four)] * variants
    else:
        if entity.source is not None:
            yield entity.source, True, four
        yield from [(task, True, four)] * (1 + variants)
        yield task, False, four
