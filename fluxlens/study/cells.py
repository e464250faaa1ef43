"""From cells of the paper's tables to the pictures that they need, and what needs each.

>>> needs = choose(families=["color"], recipes=["color_lens"])
>>> [(need.recipe, need.variant, need.why) for need in needs]
[('color_lens', 'all', 'i2i_unc_color_text_lens')]
>>> tasks = needs[0].entities("mini")
>>> sorted(picture.recipe for picture in needs[0].pictures(tasks[0], tasks))
['color_lens', 'generation']
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxlens.paper import CellPlan, load_paper
from fluxlens.study.controls import companions, controls, sampled
from fluxlens.study.paths import STEPS, Entity, entities
from fluxlens.study.pictures import LENSES, Picture
from fluxlens.tasks import World

__all__ = ["EXTRAS", "Need", "choose"]

EXTRAS = {
    "variants": "a lens on each part of the text for every family, patches of template and pads",
    "nulls": "the empty prompt's generations, with which a lens is to be compared",
    "edits": "the plain edit of every task, for figures",
    "controls": "placebo patches, edges that should not matter, steering, halves of the padding",
}
PARTS = ("padding", "content", "template", "pad")


@dataclass(frozen=True)
class Need:
    """One intervention on all entities of a family, and why: a judge's name, or an extra's.

    `sample` is how many of the entities it is for; None for all.
    """

    family: str
    recipe: str
    variant: str
    why: str
    sample: int | None = None

    def entities(self, world: World, data: Path | None = None) -> list[Entity]:
        """What it is about."""
        return sampled(entities(world, self.family, self.recipe, data), self.sample)

    def pictures(self, entity: Entity, listed: Sequence[Entity]) -> tuple[Picture, ...]:
        """What the judge sees of an entity, but for the references.

        `listed` are all entities of the family and recipe, over which a mean is taken.
        """
        task = entity.task
        others = companions(entity, listed) if self.variant.startswith("mean-") else ()
        made = Picture(self.recipe, self.variant, task, entity.source, others)
        if self.recipe in LENSES and self.why != "variants":
            return made, Picture("generation", f"clean{STEPS.get(self.recipe, '')}", task)
        if self.recipe in ("edit", "generation", *LENSES):
            return (made,)
        return made, Picture("edit", "plain", task)


def choose(
    cells: Iterable[str] | None = None,
    families: Iterable[str] | None = None,
    recipes: Iterable[str] | None = None,
    extras: Iterable[str] = (),
) -> list[Need]:
    """The chosen cells of ``paper.toml`` (default: all 28), and the extras of what they cover.

    `cells` are judges' names or globs of them (``i2i_unc_*``). `ValueError` for a name or a
    combination that chooses nothing.
    """
    wanted = {"judge": cells, "family": families, "recipe": recipes}
    found = list(load_paper().cells)
    for field, patterns in wanted.items():
        if patterns is not None:
            found = _matching(found, field, tuple(patterns))
    if not found:
        raise ValueError("no cell of the paper's tables is all of this at once; choose fewer words")
    extras = tuple(extras)
    if unknown := [extra for extra in extras if extra not in EXTRAS]:
        raise ValueError(f"no extra {unknown[0]!r}; extras are {', '.join(EXTRAS)}")
    needs = [Need(cell.family, cell.recipe, cell.variant, cell.judge) for cell in found]
    covered = dict.fromkeys((cell.family, cell.recipe) for cell in found)
    if "variants" in extras:
        present = {(need.family, need.recipe, need.variant) for need in needs}
        for family, recipe in covered:
            parts = {"i2i_patch": PARTS[2:], "attention_knockout": ()}.get(recipe, PARTS)
            needs += [
                Need(family, recipe, part, "variants")
                for part in parts
                if (family, recipe, part) not in present
            ]
    if "nulls" in extras:
        needs += [
            Need(family, "generation", f"empty{STEPS.get(recipe, '')}", "nulls")
            for family, recipe in covered
            if recipe in LENSES
        ]
    if "controls" in extras:
        needs += [
            Need(family, recipe, variant, "controls", count)
            for family, recipe, variant, count in controls(covered)
        ]
    if "edits" in extras:
        names = dict.fromkeys(name for pair in covered for name in _families(*pair))
        needs += [Need(family, "edit", "plain", "edits") for family in names]
    return needs


def _matching(cells: Sequence[CellPlan], field: str, patterns: Sequence[str]) -> list[CellPlan]:
    names = dict.fromkeys(getattr(cell, field) for cell in load_paper().cells)
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ValueError(f"no {field} {pattern!r} in the paper's tables; {', '.join(names)}")
    return [c for c in cells if any(fnmatch.fnmatch(getattr(c, field), p) for p in patterns)]


def _families(family: str, recipe: str) -> tuple[str, ...]:
    """The families of tasks behind a family of cells: patching has twins and shared prompts."""
    if recipe != "i2i_patch":
        return (family,)
    return {"style": ("style", "manual"), "people": ("people_shared",)}.get(family, (family,))
