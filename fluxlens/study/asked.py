"""What is asked of pictures that stand in no table: controls, and parts of the text.

>>> need = Need("color", Knockout("image->ref"), "controls", 48)
>>> [asked.name for asked in questions_of(need)]
['ko_color_ref_to_text__image_to_ref']

They get the question of their sibling in the tables: that of ``ref->text`` for another cut, of the
patch for a placebo, of the lens for a part of the text. Their verdicts lie beside the others as
``<judge>__<variant>``, or ``<judge>__<recipe>-<variant>`` where the recipe is another one, which no
table reads. Steering is asked twice: what moved, and (``…__kept``) whether the rest is still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from fluxlens.judge.questions import Question, QuestionSet, Role, load_kept, load_questions
from fluxlens.results import CellPlan, load_paper
from fluxlens.study.cells import EXTRAS, Need, choose
from fluxlens.study.paths import file_name, roles
from fluxlens.study.treatments import Drop, Edit, Generation, Knockout, Steering
from fluxlens.tasks import World

__all__ = ["Asked", "asked", "named", "questions_of"]

DROPPED = "ref->image, later every ref"


@dataclass(frozen=True)
class Asked:
    """A question about the pictures of one need: ``questions_of(need)[0].name``.

    `cell` is the sibling in the paper's tables; `kept` asks what is left beside the property.
    """

    need: Need
    cell: CellPlan
    kept: bool = False

    @property
    def suffix(self) -> str:
        """What its verdicts' name has behind the sibling's: for `counted`."""
        what = self.need.treatment
        own = "" if what.name == self.cell.recipe else f"{what.name}-"
        return f"__{own}{file_name(what.variant)}" + ("__kept" if self.kept else "")

    @property
    def name(self) -> str:
        return self.cell.judge + self.suffix

    def question(self, set: QuestionSet = "paper") -> Question:
        """The sibling's wording, with the cut that was made in the place of its own."""
        if self.kept:
            return replace(load_kept(set)[self.need.family], name=self.name)
        asked = load_questions(set)[self.cell.judge]
        edge = "ref->text"
        match self.need.treatment:
            case Knockout(cut):
                edge = cut
            case Drop():
                edge = DROPPED
        text = asked.text.replace("ref->text", edge)
        labels = tuple(label.replace("ref->text", edge) for label in asked.labels)
        source = asked.source if text == asked.text else "derived"
        return replace(asked, name=self.name, text=text, labels=labels, source=source)

    def items(
        self, folder: Path, world: World, data: Path | None = None
    ) -> dict[str, dict[Role, Path]]:
        """Entity id → the picture of every role, whether or not it was made yet."""
        wanted, made = self.question().images, self.need.treatment
        found = self.need.entities(world, data)
        return {e.id: {r: roles(folder, made, e)[r] for r in wanted} for e in found}


def questions_of(need: Need) -> list[Asked]:
    """What is asked of an extra's pictures; nothing where they are no intervention's."""
    what = need.treatment
    if need.why not in EXTRAS or isinstance(what, Edit | Generation):
        return []
    cells = [cell for cell in load_paper().cells if cell.family == need.family]
    first = {cell.recipe: cell for cell in reversed(cells)}
    sibling = what.sibling or type(what)
    cell = first.get(what.name) or first[sibling.recipe.name]
    asked = [Asked(need, cell)]
    return [*asked, Asked(need, cell, kept=True)] if isinstance(what, Steering) else asked


@cache
def asked() -> Mapping[str, Asked]:
    """Every question of the extras, by the name of its verdicts."""
    needs = choose(extras=("variants", "controls"))
    return {one.name: one for need in needs for one in questions_of(need)}


def named(family: str, recipe: str, variant: str, kept: bool = False) -> Asked | CellPlan | None:
    """Who asks about an intervention: a cell of the tables, an extra, or nobody.

    >>> named("color", "drop_reference", "binding").name
    'ko_color_ref_to_text__drop_reference-binding'
    """
    for cell in load_paper().cells:
        if (cell.family, cell.recipe, cell.variant) == (family, recipe, variant) and not kept:
            return cell
    for one in asked().values():
        what = one.need.treatment
        mine = one.need.family, what.name, what.variant, one.kept
        if mine == (family, recipe, variant, kept):
            return one
    return None
