"""The pictures of mini's world as values, which know what they show and can draw it.

>>> mug = StillLife("mug", (220, 40, 40))
>>> mug.draw((0.0,) * 8).size
(96, 96)

A drawing is frozen and small, and the truth about its picture is read off its fields. What it
leaves open (where an object stands, how large it is) ``draw`` takes from the eight *free factors*
of :mod:`fluxlens.mini.world`, each a normal number.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fluxlens.mini.canvas import Canvas, Color, Manner
from fluxlens.mini.cast import PEOPLE_PROMPTS, random_person
from fluxlens.mini.held import draw_held
from fluxlens.mini.objects import draw_object, draw_prop
from fluxlens.mini.people import Person, draw_person
from fluxlens.mini.scenes import LAYOUTS, LIGHTS, PALETTES, SETTINGS, Scene, draw_scene, slot
from fluxlens.mini.subjects import PHRASES, SUBJECTS, draw_subject

__all__ = [
    "Drawing", "Figure", "Free", "FreeScene", "Portrait", "SceneView", "Solid", "SomeFigure",
    "StillLife", "Stranger", "choice", "fixed",
]  # fmt: skip

Free = Sequence[float] | NDArray[np.floating[Any]]


def _share(z: float) -> float:
    """The share of noises below this one: a free factor as a number between 0 and 1."""
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def choice(z: float, n: int) -> int:
    """A free factor as one of ``n`` choices, each as likely."""
    return min(int(_share(z) * n), n - 1)


def fixed(text: str, n: int) -> int:
    """A choice that a text makes once and for all."""
    return zlib.crc32(text.encode()) % n


def _studio(canvas: Canvas, z: float) -> None:
    level = 196 + round(44 * _share(z))
    canvas.backdrop((level + 6, level + 6, level + 8), (level - 12, level - 12, level - 10))


@dataclass(frozen=True)
class Solid:
    """One color from edge to edge."""

    rgb: Color

    def draw(self, free: Free) -> Image.Image:
        return Image.new("RGB", (96, 96), self.rgb)


@dataclass(frozen=True)
class StillLife:
    """One of the paper's eight objects, in a color, before a studio backdrop."""

    object: str
    rgb: Color

    def draw(self, free: Free) -> Image.Image:
        canvas = Canvas("photo")
        _studio(canvas, free[3])
        x = 48 + 8 * (_share(free[0]) - 0.5)
        base, size = 82 + 8 * (_share(free[1]) - 0.5), 50 + 8 * (_share(free[2]) - 0.5)
        draw_object(canvas, self.object, x, base, size, self.rgb)
        return canvas.image()


@dataclass(frozen=True)
class Figure:
    """One of the eighteen subjects in one of two manners; without a phrase, posing."""

    subject: str
    manner: Manner
    phrase: str | None = None

    def draw(self, free: Free) -> Image.Image:
        canvas = Canvas(self.manner)
        x, height = 48 + 8 * (_share(free[0]) - 0.5), 70 + 6 * (_share(free[1]) - 0.5)
        if self.phrase is None:
            _studio(canvas, free[3])
        else:
            draw_scene(canvas, self.scene)
            x -= 5
        draw_subject(canvas, self.subject, x=x, height=height)
        if self.phrase is not None:
            draw_held(canvas, PHRASES[self.phrase][1])
        return canvas.image()

    @property
    def scene(self) -> Scene:
        """Where a phrase happens: always the same place."""
        if self.phrase is None:
            raise ValueError("a posing figure stands nowhere")
        phrase = self.phrase
        return Scene(PHRASES[phrase][0], "noon", fixed(phrase, PALETTES), fixed(phrase, LAYOUTS))


@dataclass(frozen=True)
class Portrait:
    """A person, in a place that a prompt can name or (no slug) before a studio backdrop."""

    person: Person
    slug: str | None = None

    def draw(self, free: Free) -> Image.Image:
        canvas = Canvas("photo")
        if self.slug is None:
            _studio(canvas, free[3])
        else:
            place = PEOPLE_PROMPTS[self.slug]
            layout = (0, 1, 3)[choice(free[0], 3)]
            scene = Scene(place.setting, place.light, fixed(self.slug, PALETTES), layout)
            draw_scene(canvas, scene)
        draw_person(canvas, self.person)
        return canvas.image()


@dataclass(frozen=True)
class SceneView:
    """A place, with or without a thing in it. Without a scene: the studio."""

    scene: Scene | None
    prop: str | None = None
    slot: int | None = None  # None: the free factors choose

    def draw(self, free: Free) -> Image.Image:
        canvas = Canvas("photo")
        if self.scene is None:
            _studio(canvas, free[3])
        else:
            draw_scene(canvas, self.scene)
        if self.prop is not None:
            k = choice(free[0], 3) if self.slot is None else self.slot
            draw_prop(canvas, self.prop, *slot(self.scene or Scene("beach", "noon", 0, 0), k))
        return canvas.image()


@dataclass(frozen=True)
class FreeScene:
    """A place of which only some is said: the free factors choose the rest."""

    setting: str | None
    light: str | None
    prop: str | None = None

    def draw(self, free: Free) -> Image.Image:
        return SceneView(self.chosen(free), self.prop).draw(free)

    def chosen(self, free: Free) -> Scene:
        setting = self.setting or SETTINGS[choice(free[4], len(SETTINGS))]
        light = self.light or LIGHTS[choice(free[5], len(LIGHTS))]
        return Scene(setting, light, choice(free[1], PALETTES), choice(free[2], LAYOUTS))


@dataclass(frozen=True)
class Stranger:
    """Somebody of a named kind ("person": of any), one of a few: the free factors choose."""

    kind: str
    slug: str

    def draw(self, free: Free) -> Image.Image:
        return Portrait(self.chosen(free), self.slug).draw(free)

    def chosen(self, free: Free) -> Person:
        who = (free[1] > 0) + 2 * (free[2] > 0)
        rng = np.random.default_rng([zlib.crc32(self.kind.encode()), who])
        return random_person(rng, None if self.kind == "person" else self.kind)


@dataclass(frozen=True)
class SomeFigure:
    """A subject of a named kind doing something: which one, the free factors choose."""

    kind: str
    manner: Manner
    phrase: str

    def draw(self, free: Free) -> Image.Image:
        names = [name for name, kind in SUBJECTS.items() if kind == self.kind]
        return Figure(names[choice(free[2], len(names))], self.manner, self.phrase).draw(free)


Drawing = Solid | StillLife | Figure | Portrait | SceneView | FreeScene | Stranger | SomeFigure
