"""How good mini is: edits and generations that training never saw, read by the oracle.

>>> rows = evaluate(fl.load("mini"), n=100)
>>> rows[0].name
'color: the reference’s color on the object'

Edits use what :func:`fluxlens.mini.world.held_out` keeps out of training: the paper's eight
colors, each subject's own actions, new people, and scenes in layouts that training never showed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from fluxlens import oracle
from fluxlens.mini.architecture import PHANTOMS
from fluxlens.mini.drawings import Figure, Portrait, SceneView, StillLife
from fluxlens.mini.lessons import KINDS, Kind, Lesson, PersonInScene, random_lesson
from fluxlens.mini.world import (
    COLORS,
    FAMILIES,
    FREE,
    Edit,
    Family,
    random_edit,
    random_generation,
)  # fmt: skip

if TYPE_CHECKING:
    from fluxlens.editor import Editor

# Drawing tasks for the evaluation; training and the study draw from other streams.
SEED = 9_001

__all__ = ["Score", "evaluate", "read", "tasks"]


@dataclass(frozen=True)
class Score:
    """One row of the table: ``rate`` and ``goal`` are shares, over ``n`` readings."""

    name: str
    rate: float
    goal: float
    n: int


def tasks(family: Family, n: int) -> list[tuple[Edit, Image.Image, int]]:
    """``n`` held-out edits of a family: the edit, its reference picture, its noise seed."""
    rng = np.random.default_rng([SEED, FAMILIES.index(family)])
    out = []
    for _ in range(n):
        edit = random_edit(family, rng, held=True)
        picture = edit.reference.draw(rng.normal(size=FREE))
        out.append((edit, picture, int(rng.integers(2**31))))
    return out


def lessons(kind: Kind, n: int) -> list[tuple[Lesson, Image.Image | tuple[Image.Image, ...], int]]:
    """``n`` held-out tasks of a phantom's kind: the lesson, its reference or references, a seed."""
    rng = np.random.default_rng([SEED, 100 + KINDS.index(kind)])
    out: list[tuple[Lesson, Image.Image | tuple[Image.Image, ...], int]] = []
    for _ in range(n):
        lesson = random_lesson(kind, rng, held=True)
        pictures = tuple(r.drawing.draw(rng.normal(size=FREE)) for r in lesson.references)
        given = pictures[0] if len(pictures) == 1 else pictures
        out.append((lesson, given, int(rng.integers(2**31))))
    return out


def read(edit: Edit | Lesson, image: Image.Image) -> dict[str, float]:
    """What the oracle finds of the edit's goal in a picture, each from 0 to 1."""
    verb = edit.kind if isinstance(edit, Lesson) else edit.family
    match edit.result:
        case PersonInScene(person, scene):
            seen = oracle.read_portrait(image)
            kept = oracle.attributes_kept(image, person)
            return {
                "replace: attributes kept": float(np.mean(list(kept.values()))),
                "replace: scene kept": seen is not None and seen[1] == scene,
            }
        case StillLife(thing, rgb) if verb == "recolor":
            dye = next(k for k, v in COLORS.items() if v == rgb)
            return {
                "recolor: the first’s color": oracle.read_color(image, thing) == dye,
                "recolor: the second’s object": oracle.read_object(image) == thing,
            }
        case StillLife(thing, rgb):
            name = next(k for k, v in COLORS.items() if v == rgb)
            return {
                "color: the reference’s color on the object": oracle.read_color(image, thing)
                == name
            }
        case Figure(subject, manner, _):
            figure = oracle.read_figure(image)
            return {
                "style: the reference’s manner": figure is not None and figure.manner == manner,
                "style: the reference’s subject": figure is not None and figure.subject == subject,
            }
        case Portrait(person, _):
            kept = oracle.attributes_kept(image, person)
            return {"people: attributes kept": float(np.mean(list(kept.values())))}
        case SceneView(scene, prop, _) if scene is not None:
            seen_prop = oracle.read_prop(image, scene)
            right = seen_prop is not None and seen_prop.prop == prop
            goal = "object there" if verb == "add" else "object gone"
            kept = oracle.scene_kept(image, scene)
            return {f"{verb}: {goal}": right, f"{verb}: scene kept": kept["all"]}
    raise TypeError(f"no reading for {edit.result}")


GOALS = {
    "color: the reference’s color on the object": 0.95,
    "style: the reference’s manner": 0.95,
    "style: the reference’s subject": 0.95,
    "people: attributes kept": 0.85,
    "add: object there": 0.90,
    "add: scene kept": 0.95,
    "remove: object gone": 0.90,
    "remove: scene kept": 0.95,
    "recolor: the first’s color": 0.95,
    "recolor: the second’s object": 0.95,
    "replace: attributes kept": 0.85,
    "replace: scene kept": 0.90,
    "text to image: what the prompt names": 0.95,
}


def evaluate(flux: Editor, n: int = 120, batch: int = 30) -> list[Score]:
    """The table: ``n`` edits of each family and ``n`` generations, four steps.

    A phantom is asked for two families more than a mini of the first generation: those with two
    references.
    """
    found: dict[str, list[float]] = {name: [] for name in GOALS}
    asks: list[tuple[str, list[Any]]] = (
        [(kind, lessons(kind, n)) for kind in KINDS]
        if flux.wiring in {*PHANTOMS["wirings"], "base"}
        else [(family, tasks(family, n)) for family in FAMILIES]
    )

    def each(total: int, of: str, make: Callable[[slice], None]) -> None:
        for start in tqdm(range(0, total, batch), desc=of, leave=False, disable=None):
            make(slice(start, min(start + batch, total)))

    for family, todo in asks:

        def edits(part: slice, todo: list[Any] = todo) -> None:
            asked, pictures, seeds = (list(v) for v in zip(*todo[part], strict=True))
            images = flux.edit([e.prompt for e in asked], ref=pictures, seed=seeds)
            for edit, image in zip(asked, images, strict=True):
                for name, value in read(edit, image).items():
                    found[name].append(float(value))

        each(n, family, edits)

    rng = np.random.default_rng([SEED, len(FAMILIES)])
    prompts: list[str] = []
    while len(prompts) < n:
        prompt = random_generation(rng).prompt
        prompts += [prompt] if oracle.named(prompt) else []

    def generations(part: slice) -> None:
        seeds = [int(s) for s in rng.integers(2**31, size=len(prompts[part]))]
        for prompt, image in zip(
            prompts[part], flux.generate(prompts[part], seed=seeds), strict=True
        ):
            shown = oracle.shown(image, prompt)
            found["text to image: what the prompt names"].append(
                float(np.mean(list(shown.values())))
            )

    each(n, "text to image", generations)
    return [Score(k, float(np.mean(v)), GOALS[k], len(v)) for k, v in found.items() if v]
