"""What a page shows of a study: pictures of one task beside each other, and how they were judged.

```python
pairs = study.examples("color", "i2i_patch", 3)
columns(as_columns(study, pairs, "i2i_patch", ["all", "padding", "content"]))
```
Figures 2 to 5 of the paper (Sections 4.2 to 4.4), and the explorers over the same tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from fluxlens.columns import Column
from fluxlens.explorer import Frame
from fluxlens.html_table import EMPTY
from fluxlens.judge import Verdicts
from fluxlens.judge.base import Judge, Request
from fluxlens.judge.questions import load_questions
from fluxlens.results import CellPlan, counted, load_paper, place
from fluxlens.study.asked import named
from fluxlens.study.paths import Entity, judged
from fluxlens.study.pictures import Picture
from fluxlens.study.treatments import TREATMENTS, Edit, Moved, Patching

if TYPE_CHECKING:
    from fluxlens.study.reading import Study

__all__ = ["as_columns", "as_frames", "ask_now", "outcomes"]


def family_of(entity: Entity) -> str:
    """The family whose cells ask about an entity: a patch's target may be of its twin."""
    return {"manual": "style", "people_shared": "people"}.get(
        entity.task.family, entity.task.family
    )


def called(recipe: str, variant: str) -> str:
    """What a picture is called: ``called("t2i_lens", "padding") == "T2I Lens, padding"``."""
    kind = TREATMENTS[recipe]
    if not issubclass(kind, Moved):
        return f"{variant} cut"
    name = "patched" if kind is Patching else kind.recipe.title
    return name + ("" if variant == "all" else f", {variant}")


def outcomes(verdicts: Verdicts, family: str, recipe: str, variant: str) -> dict[str, bool]:
    """``outcomes(verdicts, "color", "i2i_patch", "pad")``: entity → whether the outcome was seen.

    Of the tables' variants, and of those that a control asks about (`fluxlens.study.asked`).
    """
    one = named(family, recipe, variant)
    if one is None:
        return {}
    return counted(one, verdicts) if isinstance(one, CellPlan) else counted(
        one.cell, verdicts, one.suffix
    )  # fmt: skip


def ruled(verdicts: Verdicts, family: str, recipe: str, variant: str, entity: str) -> str:
    """How one picture was judged: ``ruled(verdicts, "color", "i2i_patch", "all", pair.id)``.

    *observed*, *destroyed*, *transferred*, or *not* so; *not judged* without a verdict, and nothing
    where nobody asks.
    """
    one = named(family, recipe, variant)
    if one is None:
        return ""
    seen = outcomes(verdicts, family, recipe, variant).get(entity)
    judge = one.judge if isinstance(one, CellPlan) else one.cell.judge
    return EMPTY if seen is None else ("" if seen else "not ") + load_questions()[judge].outcome


def _sets(
    study: Study, entities: Sequence[Entity], recipe: str, variants: Sequence[str]
) -> list[tuple[dict[str, Image.Image], dict[str, Image.Image]]]:
    """For each entity what stands beside all variants, and the picture of each; made at once."""
    wanted: list[Picture] = []
    for entity in entities:
        if entity.source is not None:
            wanted.append(Picture(Edit(), entity.source))
        wanted.append(Picture(Edit(), entity.task))
        wanted += [Picture.named(recipe, v, entity.task, entity.source) for v in variants]
    made = iter(study.images(wanted)) if wanted else iter(())
    out = []
    for entity in entities:
        sides = {"source ": entity.source, "target ": entity.task}
        if entity.source is None:
            sides = {"": entity.task}
        tasks = {word: task for word, task in sides.items() if task is not None}
        references = study.references(tasks.values())
        beside = {f"{w}reference": image for w, image in zip(tasks, references, strict=True)}
        beside |= {f"{word}edit": next(made) for word in tasks}
        out.append((beside, {variant: next(made) for variant in variants}))
    return out


def as_columns(
    study: Study, entities: Sequence[Entity], recipe: str, variants: Sequence[str]
) -> list[Column]:
    """A column for each entity: reference, plain edit, each variant with its verdict.

    Of a patching pair both references and both edits stand there. Pictures that are not on disk are
    made.
    """
    out = []
    sets = _sets(study, entities, recipe, variants)
    for entity, (beside, made) in zip(entities, sets, strict=True):
        pictures = beside | {called(recipe, v): image for v, image in made.items()}
        key = family_of(entity), recipe
        notes = {called(recipe, v): ruled(study.verdicts, *key, v, entity.id) for v in made}
        out.append(Column(entity.task.instruction, pictures, notes))
    return out


def as_frames(
    study: Study, entities: Sequence[Entity], recipe: str, variants: Sequence[str]
) -> list[Frame]:
    """The same for `fluxlens.figures.explorer`: a slider through the variants for each entity."""
    kind = TREATMENTS[recipe]
    label = f"{'patched' if kind is Patching else kind.recipe.title}, {study.name}"
    out = []
    sets = _sets(study, entities, recipe, variants)
    for entity, (beside, made) in zip(entities, sets, strict=True):
        task = f"{entity.task.instruction} ({place(entity.id)[1]})"
        out += [Frame(task, label, v, {**beside, "result": image}) for v, image in made.items()]
    return out


def ask_now(
    study: Study, judge: Judge, entities: Sequence[Entity], recipe: str, variants: Sequence[str]
) -> dict[str, list[bool]]:
    """Variant → whether the outcome was seen, entity by entity: what the paper does not ask.

    ``ask_now(study, OracleJudge(), study.examples("color"), "color_lens", ["template", "pad"])``
    asks the paper's question about all text tokens of these variants' pictures, now; nothing is
    stored. `ValueError` where the judge has no answer.
    """
    out: dict[str, list[bool]] = {variant: [] for variant in variants}
    if not entities:
        return out
    whole = TREATMENTS[recipe]()  # what is asked of a part is asked of the whole
    key = family_of(entities[0]), recipe, whole.variant
    cell = next(c for c in load_paper().cells if (c.family, c.recipe, c.variant) == key)
    question = load_questions()[cell.judge]
    pictures = [Picture.named(recipe, v, e.task, e.source) for e in entities for v in variants]
    beside = whole.beside or whole
    study.images([*pictures, *(Picture(beside, entity.task) for entity in entities)])
    roles = judged(study.folder, question, study.world, study.assets.data)
    made = iter(pictures)
    for entity in entities:
        for variant in variants:
            images = {**roles[entity.id], question.images[-1]: next(made).path(study.folder)}
            said = judge.ask(Request(entity.id, question, images))
            if said.passed is None:
                raise ValueError(f"{judge.name} has no answer about {entity.id}: {said.error}")
            out[variant].append(question.outcome_of(said.passed))
    return out
