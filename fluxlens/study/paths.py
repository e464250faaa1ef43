"""Where the study's pictures lie, and which of them a judge's question needs.

>>> folder = model_folder(Path("results"), "mini")
>>> image_path(folder, "attention_knockout", "ref->text[padding]", "solid_red_mug_s0").as_posix()
'results/mini/attention_knockout/ref_to_text.padding/solid_red_mug_s0.png'
>>> question = load_questions()["i2i_unc_color_text_lens"]
>>> judged(folder, question, "mini")["solid_red_mug_s0"]["t2i"].as_posix()
'results/mini/generation/clean-1-step/solid_red_mug_s0.png'

Recipes and families bear the names of ``paper.toml``. Nothing here reads or makes a picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path

from fluxlens.judge.questions import Question, Role
from fluxlens.results import CellPlan, load_paper
from fluxlens.study.treatments import TREATMENTS, Lens, Treatment, treatment
from fluxlens.tasks import Reference, Task, World, mini_tasks, pairs, paper_tasks

__all__ = [
    "Entity", "cell_of", "entities", "file_name", "image_path", "judged", "model_folder", "nulls",
    "reference_path", "roles",
]  # fmt: skip

PAIRED = tuple(name for name, kind in TREATMENTS.items() if kind.recipe.pair)
# Before the name of a picture that its source keeps in folders.
KEPT_IN = ("data/solid_colors/", "data/style_references/", "images/live_subject/")


@dataclass(frozen=True)
class Entity:
    """What a question is asked about: one task, or a patching pair of which `task` is the target.

    >>> Entity(blue, source=red).id
    'solid_red_mug_s0__solid_blue_mug_s1'
    """

    task: Task
    source: Task | None = None

    @property
    def id(self) -> str:
        own = self.task.task_id
        return own if self.source is None else f"{self.source.task_id}__{own}"


def model_folder(results: Path, model: str) -> Path:
    """``results/<model>``, where the model is named, or a hub id or a folder that ends so."""
    last = model.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    name = re.sub(r"[^\w.+-]+", "-", last).strip("-.")
    if not name:
        raise ValueError(f"{model!r} makes no name of a folder")
    return results / name


def image_path(folder: Path, recipe: str, variant: str, entity: str) -> Path:
    """A picture's file in a model's folder; ``variant`` may be an edge, ``ref->text[padding]``."""
    return folder / recipe / file_name(variant) / f"{entity}.png"


def file_name(variant: str) -> str:
    """``file_name("ref->text[pad]") == "ref_to_text.pad"``: a variant as files bear it."""
    return variant.replace("->", "_to_").replace("[", ".").replace("]", "")


def reference_path(folder: Path, reference: Reference) -> Path:
    """The one file of a reference, however many tasks share it; named after what it shows."""
    if reference.path is not None:
        path = Path(reference.path).with_suffix("").as_posix()
        for start in KEPT_IN:
            path = path.removeprefix(start)
        name = path.replace("/", "_")
    else:
        drawing = reference.drawing
        parts = [reference.kind] if drawing is None else [type(drawing).__name__.lower()]
        name = "_".join([*parts, *_factors(drawing or reference.rgb)])
    return image_path(folder, "reference", reference.kind, re.sub(r"[^\w.-]+", "_", name))


def _factors(value: object) -> Iterator[str]:
    """The factors of a drawing as words, those of its parts included."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _factors(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from _factors(part)
    elif value is not None:
        yield str(value)


@cache
def _tasks(world: World, family: str, data: Path | None) -> tuple[Task, ...]:
    return tuple(mini_tasks(family) if world == "mini" else paper_tasks(data, family))


def entities(world: World, family: str, recipe: str, data: Path | None = None) -> list[Entity]:
    """The tasks of a family, or for patches its pairs, in the order of the paper's lists.

    ``data`` is a clone of the authors' repository, which the paper's world needs.
    """
    if recipe not in PAIRED:
        return [Entity(task) for task in _tasks(world, family, data)]
    source = "people_shared" if family == "people" else family
    target = "manual" if family == "style" else source
    found = {t.task_id: t for name in (source, target) for t in _tasks(world, name, data)}
    return [Entity(found[b], found[a]) for a, b in pairs(world, family, data)]


def cell_of(question: Question) -> CellPlan:
    """The cell of the paper's tables that a question's verdicts fill."""
    for cell in load_paper().cells:
        if cell.judge == question.name:
            return cell
    raise ValueError(f"no cell of paper.toml is judged by {question.name!r}")


def judged(
    folder: Path, question: Question, world: World, data: Path | None = None
) -> dict[str, dict[Role, Path]]:
    """Entity id → the picture of every role of a question, whether or not it was made yet."""
    cell = cell_of(question)
    made = treatment(cell.recipe, cell.variant)
    found = entities(world, cell.family, cell.recipe, data)
    return {entity.id: roles(folder, made, entity) for entity in found}


def nulls(
    folder: Path, question: Question, world: World, data: Path | None = None
) -> dict[str, dict[Role, Path]]:
    """The same where nothing was done: a judge who is right finds nothing.

    The last picture is its untouched counterpart: the empty prompt's generation for a lens, the
    plain edit for a knockout, the target's plain edit for a patch.
    """
    cell = cell_of(question)
    made = treatment(cell.recipe, cell.variant)
    found = entities(world, cell.family, cell.recipe, data)
    role, null = question.images[-1], made.undone
    return {
        entity.id: {
            **roles(folder, made, entity),
            role: image_path(folder, null.name, null.variant, entity.task.task_id),
        }
        for entity in found
    }


def roles(folder: Path, made: Treatment, entity: Entity) -> dict[Role, Path]:
    """What a judge sees of one entity under a treatment, which may be one that no table has."""
    task, source = entity.task, entity.source
    reference = reference_path(folder, task.reference)
    treated = image_path(folder, made.name, made.variant, entity.id)
    assert made.beside is not None
    beside = image_path(folder, made.beside.name, made.beside.variant, task.task_id)
    if source is not None:
        return {
            "source_reference": reference_path(folder, source.reference),
            "target_reference": reference,
            "target_baseline": beside,
            "patched": treated,
        }
    if isinstance(made, Lens):
        return {"reference": reference, "t2i": beside, "lens": treated}
    return {"reference": reference, "baseline": beside, "knockout": treated}
