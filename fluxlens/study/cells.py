"""From cells of the paper's tables to the pictures that they need, and what needs each.

>>> needs = choose(families=["color"], recipes=["color_lens"])
>>> [(need.treatment, need.why) for need in needs]
[(ColorLens(tokens='all', block=None), 'i2i_unc_color_text_lens')]
>>> tasks = needs[0].entities("mini")
>>> sorted(picture.recipe for picture in needs[0].pictures(tasks[0], tasks))
['color_lens', 'generation']
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxlens.results import CellPlan, load_paper
from fluxlens.study.controls import companions, controls, sampled
from fluxlens.study.paths import Entity, entities
from fluxlens.study.pictures import Picture
from fluxlens.study.treatments import (
    TREATMENTS,
    Edit,
    Lens,
    Moved,
    Patching,
    Placebo,
    Treatment,
    treatment,
)
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
    """One treatment of all entities of a family, and why: a judge's name, or an extra's.

    `sample` is how many of the entities it is for; None for all.
    """

    family: str
    treatment: Treatment
    why: str
    sample: int | None = None

    def entities(self, world: World, data: Path | None = None) -> list[Entity]:
        """What it is about."""
        return sampled(entities(world, self.family, self.treatment.name, data), self.sample)

    def pictures(self, entity: Entity, listed: Sequence[Entity]) -> tuple[Picture, ...]:
        """What the judge sees of an entity, but for the references.

        `listed` are all entities of the family and recipe, over which a mean is taken.
        """
        task, what = entity.task, self.treatment
        mean = isinstance(what, Placebo) and what.kind == "mean"
        others = companions(entity, listed) if mean else ()
        made = Picture(what, task, entity.source, others)
        # a lens on a part of the text stands beside the lens on all of it
        if what.beside is None or (isinstance(what, Lens) and self.why == "variants"):
            return (made,)
        return made, Picture(what.beside, task)


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
    needs = [Need(cell.family, treatment(cell.recipe, cell.variant), cell.judge) for cell in found]
    covered = dict.fromkeys((cell.family, cell.recipe) for cell in found)
    kinds = [(family, TREATMENTS[recipe]) for family, recipe in covered]
    if "variants" in extras:
        present = {(need.family, need.treatment) for need in needs}
        parts = [
            (family, kind(part))
            for family, kind in kinds
            if issubclass(kind, Moved)
            for part in (PARTS[2:] if kind is Patching else PARTS)
        ]
        needs += [Need(*part, "variants") for part in parts if part not in present]
    if "nulls" in extras:
        needs += [
            Need(family, kind().undone, "nulls") for family, kind in kinds if issubclass(kind, Lens)
        ]
    if "controls" in extras:
        needs += [Need(c.family, c.treatment, "controls", c.sample) for c in controls(covered)]
    if "edits" in extras:
        names = dict.fromkeys(name for pair in kinds for name in _families(*pair))
        needs += [Need(family, Edit(), "edits") for family in names]
    return needs


def _matching(cells: Sequence[CellPlan], field: str, patterns: Sequence[str]) -> list[CellPlan]:
    names = dict.fromkeys(getattr(cell, field) for cell in load_paper().cells)
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ValueError(f"no {field} {pattern!r} in the paper's tables; {', '.join(names)}")
    return [c for c in cells if any(fnmatch.fnmatch(getattr(c, field), p) for p in patterns)]


def _families(family: str, kind: type[Treatment]) -> tuple[str, ...]:
    """The families of tasks of a family of cells: patching has twins and shared prompts."""
    if not kind.recipe.pair:
        return (family,)
    return {"style": ("style", "manual"), "people": ("people_shared",)}.get(family, (family,))
