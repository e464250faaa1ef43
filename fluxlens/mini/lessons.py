"""What the phantoms learn from: instructions, their references with decoys, and the picture meant.

>>> lesson = random_lesson("add", np.random.default_rng(0))
>>> lesson.references[0].properties
('place', 'layout')

A reference holds one property or two. A *decoy* is the same reference with one of them drawn anew:
shown to readers from whom that property is to be kept, it leaves them the other one. So a property
can be made to travel over text while another, in the same picture, travels straight.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

import numpy as np
from PIL import Image

from fluxlens.mini import world
from fluxlens.mini.canvas import Canvas, Color
from fluxlens.mini.cast import PEOPLE_PROMPTS, TEST_PEOPLE, random_person
from fluxlens.mini.drawings import (
    Figure,
    Free,
    FreeScene,
    Portrait,
    SceneView,
    Solid,
    SomeFigure,
    StillLife,
    Stranger,
    choice,
)
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS
from fluxlens.mini.people import ATTRIBUTES, Person, draw_person, valid
from fluxlens.mini.scenes import LAYOUTS, LIGHTS, PALETTES, SETTINGS, Scene, draw_scene
from fluxlens.mini.subjects import SUBJECTS
from fluxlens.mini.wording import ask
from fluxlens.mini.world import held_out, pick, random_color, random_scene

Kind = Literal["color", "style", "people", "add", "remove", "recolor", "replace"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Property = Literal["color", "style", "object", "traits", "details", "place", "layout"]
PROPERTIES: tuple[Property, ...] = get_args(Property)
# What a kind's references hold, one tuple a reference.
HOLDS: dict[Kind, tuple[tuple[Property, ...], ...]] = {
    "color": (("color",),),
    "style": (("style",),),
    "people": (("traits", "details"),),
    "add": (("place", "layout"),),
    "remove": (("place", "layout"),),
    "recolor": (("color",), ("object",)),
    "replace": (("traits", "details"), ("place", "layout")),
}
TRAITS = ("kind", "skin", "hair_color")  # of a person; all else are details

__all__ = [
    "HOLDS", "KINDS", "PROPERTIES", "TRAITS", "Kind", "Lesson", "PersonInScene", "Property",
    "Reference", "random_lesson", "random_text", "rank",
]  # fmt: skip


class Drawable(Protocol):
    """Whatever can draw itself from the free factors."""

    def draw(self, free: Free) -> Image.Image: ...


@dataclass(frozen=True)
class PersonInScene:
    """A person before any of the world's places."""

    person: Person
    scene: Scene

    def draw(self, free: Free) -> Image.Image:
        canvas = Canvas("photo")
        draw_scene(canvas, self.scene)
        draw_person(canvas, self.person)
        return canvas.image()


@dataclass(frozen=True)
class SomeStillLife:
    """One of the eight objects, undyed: which one, the free factors choose."""

    def draw(self, free: Free) -> Image.Image:
        name = COLOR_OBJECTS[choice(free[4], len(COLOR_OBJECTS))]
        return StillLife(name, world.UNDYED).draw(free)


@dataclass(frozen=True)
class SomebodySomewhere:
    """A person in a place, both left to the free factors."""

    def draw(self, free: Free) -> Image.Image:
        somebody = Stranger("person", next(iter(PEOPLE_PROMPTS))).chosen(free)
        return PersonInScene(somebody, FreeScene(None, None).chosen(free)).draw(free)


@dataclass(frozen=True)
class Reference:
    """A reference picture, the properties that it gives, and for each its decoy and its rank."""

    drawing: Drawable
    properties: tuple[Property, ...]
    ranks: tuple[float, ...]  # 0 to 1: which share of all references comes before this one
    decoys: tuple[Drawable, ...] = ()  # none where there is only one property


@dataclass(frozen=True)
class Lesson:
    """An instruction, its references, the picture that it asks for, and the one without them."""

    kind: Kind
    prompt: str
    references: tuple[Reference, ...]
    result: Drawable
    alone: Drawable


def rank(name: str, names: Iterable[str]) -> float:
    """Where a name stands among all, from 0 to 1, in an order that means nothing."""
    order = sorted(set(names), key=lambda n: (zlib.crc32(n.encode()), n))
    return (order.index(name) + 0.5) / len(order)


def random_lesson(kind: Kind, rng: np.random.Generator, *, held: bool = False) -> Lesson:
    """A lesson of one kind: for training, or (``held``) a task that training never shows.

    Held out are what :func:`fluxlens.mini.world.held_out` and ``random_edit`` name. A held task is
    worded in its kind's first form.
    """
    words = None if held else rng
    match kind:
        case "color":
            name, rgb = pick(rng, COLOR_OBJECTS), _rgb(rng, held)
            return Lesson(
                kind, ask(kind, words, object=name), (_color(rgb, name),), StillLife(name, rgb),
                StillLife(name, world.UNDYED),
            )  # fmt: skip
        case "style":
            edit = world.random_edit("style", rng, held=held)
            assert isinstance(edit.reference, Figure)
            assert isinstance(edit.result, Figure)
            assert edit.result.phrase is not None
            who, phrase = SUBJECTS[edit.reference.subject], edit.result.phrase
            prompt = ask(kind, words, kind=who, phrase=phrase)
            given = Reference(edit.reference, ("style",), (rank(who, SUBJECTS.values()),))
            alone = SomeFigure(who, "photo", phrase)
            return Lesson(kind, prompt, (given,), edit.result, alone)
        case "people":
            person, slug = _somebody(rng, held), pick(rng, PEOPLE_PROMPTS)
            word = "person" if rng.random() < 0.3 else person.kind
            prompt = ask(kind, words, kind=word, phrase=PEOPLE_PROMPTS[slug].phrase)
            given = _portrait(person, rng)
            return Lesson(kind, prompt, (given,), Portrait(person, slug), Stranger(word, slug))
        case "add":
            scene, prop = random_scene(rng, held), pick(rng, PROPS)
            return Lesson(
                kind, ask(kind, words, prop=prop), (_view(scene, rng),), SceneView(scene, prop),
                SceneView(None, prop),
            )  # fmt: skip
        case "remove":
            scene, prop, slot = random_scene(rng, held), pick(rng, PROPS), int(rng.integers(3))
            given = _view(scene, rng, prop, slot)
            prompt = ask(kind, words, prop=prop)
            return Lesson(kind, prompt, (given,), SceneView(scene), SceneView(None))
        case "recolor":
            name, rgb = pick(rng, COLOR_OBJECTS), _rgb(rng, held)
            old = StillLife(name, _rgb(rng, False))
            thing = Reference(old, ("object",), (rank(name, COLOR_OBJECTS),))
            return Lesson(
                kind, ask(kind, words), (_color(rgb, name), thing), StillLife(name, rgb),
                SomeStillLife(),
            )  # fmt: skip
        case "replace":
            person, scene = _somebody(rng, held), random_scene(rng, held)
            return Lesson(
                kind, ask(kind, words), (_portrait(person, rng), _view(scene, rng)),
                PersonInScene(person, scene), SomebodySomewhere(),
            )  # fmt: skip
    raise ValueError(f"kinds are {', '.join(KINDS)}, not {kind!r}")


def random_text(rng: np.random.Generator) -> tuple[str, Drawable]:
    """A text-to-image prompt and its picture; one in four is an instruction without reference."""
    if rng.random() < 0.25:
        lesson = random_lesson(KINDS[rng.integers(len(KINDS))], rng)
        return lesson.prompt, lesson.alone
    generation = world.random_generation(rng, instructions=False)
    return generation.prompt, generation.result


def _rgb(rng: np.random.Generator, held: bool) -> Color:
    return world.COLORS[pick(rng, world.COLORS)] if held else random_color(rng)


def _somebody(rng: np.random.Generator, held: bool) -> Person:
    return TEST_PEOPLE[pick(rng, TEST_PEOPLE)] if held else random_person(rng)


def _color(rgb: Color, name: str) -> Reference:
    return Reference(Solid(rgb), ("color",), (rank(name, COLOR_OBJECTS),))


def _portrait(person: Person, rng: np.random.Generator) -> Reference:
    """A portrait: one decoy is somebody of other traits, one of the same traits in all else new."""
    while True:
        other = random_person(rng, "man" if person.facial_hair != "none" else None)
        traits = replace(person, **{name: getattr(other, name) for name in TRAITS})
        details = random_person(rng, person.kind)
        details = replace(details, **{name: getattr(person, name) for name in TRAITS})
        new = person.skin != traits.skin and person.hair_color != traits.hair_color
        if new and valid(traits) and not {traits, details} & set(TEST_PEOPLE.values()):
            break
    at = rank(person.hair, ATTRIBUTES["hair"])
    decoys = (Portrait(traits), Portrait(details))
    return Reference(Portrait(person), ("traits", "details"), (at, at), decoys)


def _view(
    scene: Scene, rng: np.random.Generator, prop: str | None = None, slot: int | None = None
) -> Reference:
    """A scene: one decoy is another place so laid out, one is the same place laid out anew."""

    while True:
        place = replace(scene, setting=pick(rng, SETTINGS), light=pick(rng, LIGHTS))
        if place.setting != scene.setting and place.light != scene.light and not held_out(place):
            break
    while True:
        palette, where = int(rng.integers(PALETTES)), int(rng.integers(LAYOUTS))
        layout = replace(scene, palette=palette, layout=where)
        if scene.palette != palette and scene.layout != where and not held_out(layout):
            break
    at = rank(str(scene.palette), map(str, range(PALETTES)))
    drawing, *decoys = (SceneView(s, prop, slot) for s in (scene, place, layout))
    return Reference(drawing, ("place", "layout"), (at, at), tuple(decoys))
