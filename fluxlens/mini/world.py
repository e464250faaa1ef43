"""The drawn world: pictures from explicit factors, and the edits that the paper's families ask for.

>>> rng = np.random.default_rng(0)
>>> edit = random_edit("people", rng)
>>> edit.prompt, edit.reference.draw(NO_FREE).size
('the man in this image in a library', (96, 96))

Every picture is a small frozen value whose ``draw`` returns it, so the truth about it is always
known. What neither prompt nor reference decides (where an object stands, how large it is) hangs on
*free factors*: eight numbers that in training are read off the noise itself
(:mod:`fluxlens.mini.noise`), so that a prompt, a reference and a seed have exactly one answer.

Instructions never name what only the reference shows. Some combinations are kept out of training
for the study's tasks: see :func:`held_out`.
"""

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fluxlens.mini.canvas import Canvas, Color, Manner
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS, draw_object, draw_prop
from fluxlens.mini.people import PEOPLE_PROMPTS, Person, draw_person, random_person
from fluxlens.mini.scenes import (
    CATEGORIES,
    LAYOUTS,
    LIGHTS,
    PALETTES,
    SETTINGS,
    Scene,
    describe,
    draw_scene,
    slot,
)  # fmt: skip
from fluxlens.mini.subjects import ACTIONS, PHRASES, SUBJECTS, draw_held, draw_subject

Family = Literal["color", "style", "people", "add", "remove"]
FAMILIES: tuple[Family, ...] = get_args(Family)
FREE = 8
NO_FREE = (0.0,) * FREE

# The paper's reference colours (protocol of the paper's released tasks).
COLORS: dict[str, Color] = {
    "red": (220, 40, 40), "orange": (230, 120, 40), "yellow": (240, 210, 60),
    "green": (50, 170, 80), "blue": (40, 90, 220), "purple": (140, 60, 180),
    "pink": (230, 120, 170), "brown": (120, 75, 45),
}  # fmt: skip
UNDYED: Color = (214, 206, 194)

Free = Sequence[float] | NDArray[np.floating[Any]]

__all__ = [
    "COLORS", "FAMILIES", "FREE", "NO_FREE", "Drawing", "Edit", "Family", "Figure", "Generation",
    "Portrait", "SceneView", "Solid", "StillLife", "held_out", "prompts", "random_edit",
    "random_generation",
]  # fmt: skip


def _share(z: float) -> float:
    """The share of noises below this one: a free factor as a number between 0 and 1."""
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def _choice(z: float, n: int) -> int:
    return min(int(_share(z) * n), n - 1)


def _fixed(text: str, n: int) -> int:
    """A choice that a text makes once and for all."""
    return zlib.crc32(text.encode()) % n


def _studio(canvas: Canvas, z: float) -> None:
    level = 196 + round(44 * _share(z))
    canvas.backdrop((level + 6, level + 6, level + 8), (level - 12, level - 12, level - 10))


@dataclass(frozen=True)
class Solid:
    """One colour from edge to edge."""

    rgb: Color

    def draw(self, free: Free) -> Image.Image:
        return Image.new("RGB", (96, 96), self.rgb)


@dataclass(frozen=True)
class StillLife:
    """One of the paper's eight objects, in a colour, before a studio backdrop."""

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
        return Scene(PHRASES[phrase][0], "noon", _fixed(phrase, PALETTES), _fixed(phrase, LAYOUTS))


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
            layout = (0, 1, 3)[_choice(free[0], 3)]
            scene = Scene(place.setting, place.light, _fixed(self.slug, PALETTES), layout)
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
            k = _choice(free[0], 3) if self.slot is None else self.slot
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
        setting = self.setting or SETTINGS[_choice(free[4], len(SETTINGS))]
        light = self.light or LIGHTS[_choice(free[5], len(LIGHTS))]
        return Scene(setting, light, _choice(free[1], PALETTES), _choice(free[2], LAYOUTS))


@dataclass(frozen=True)
class Stranger:
    """Somebody of a named kind ("person": of any), one of a few: the free factors choose."""

    kind: str
    slug: str

    def draw(self, free: Free) -> Image.Image:
        who = (free[1] > 0) + 2 * (free[2] > 0)
        rng = np.random.default_rng([zlib.crc32(self.kind.encode()), who])
        kind = None if self.kind == "person" else self.kind
        return Portrait(random_person(rng, kind), self.slug).draw(free)


@dataclass(frozen=True)
class SomeFigure:
    """A subject of a named kind doing something: which one, the free factors choose."""

    kind: str
    manner: Manner
    phrase: str

    def draw(self, free: Free) -> Image.Image:
        names = [name for name, kind in SUBJECTS.items() if kind == self.kind]
        return Figure(names[_choice(free[2], len(names))], self.manner, self.phrase).draw(free)


Drawing = Solid | StillLife | Figure | Portrait | SceneView | FreeScene | Stranger | SomeFigure


@dataclass(frozen=True)
class Edit:
    """An instruction, the reference that it is about, and the picture it asks for."""

    family: Family
    prompt: str
    reference: Drawing
    result: Drawing
    alone: Drawing  # the same instruction without a reference


@dataclass(frozen=True)
class Generation:
    """A prompt and the picture it asks for."""

    prompt: str
    result: Drawing


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def held_out(scene: Scene) -> bool:
    """Whether training never shows this scene: two of the six layouts of each category.

    Also held out, by the rules in :func:`random_edit`: references within 30 levels of the paper's
    eight colours, each subject doing one of its own five actions, and the ten test people.
    """
    first = _fixed(f"{scene.setting} {scene.light} {scene.palette}", 3)
    return scene.layout in (first, first + 3)


def _color(rng: np.random.Generator) -> Color:
    while True:
        rgb = rng.integers(20, 246, 3)
        # Greys say nothing about colour: the world's dyes have some.
        if np.ptp(rgb) > 50 and all(math.dist(rgb, c) > 30 for c in COLORS.values()):
            return tuple(int(v) for v in rgb)  # type: ignore[return-value]


def color_edit(object: str, rgb: Color) -> Edit:
    prompt = f"draw a {object} in this color"
    return Edit("color", prompt, Solid(rgb), StillLife(object, rgb), StillLife(object, UNDYED))


def style_edit(subject: str, phrase: str, manner: Manner) -> Edit:
    kind = SUBJECTS[subject]
    prompt = f"a photograph of the {kind} in this image {phrase}"
    return Edit(
        "style", prompt, Figure(subject, manner), Figure(subject, manner, phrase),
        SomeFigure(kind, "photo", phrase),
    )  # fmt: skip


def people_edit(person: Person, slug: str, word: str | None = None) -> Edit:
    """``word`` is what the prompt calls them: their kind, or ``"person"``, who may be anybody."""
    word = word or person.kind
    prompt = f"the {word} in this image {PEOPLE_PROMPTS[slug].phrase}"
    return Edit("people", prompt, Portrait(person), Portrait(person, slug), Stranger(word, slug))


def add_edit(scene: Scene, prop: str) -> Edit:
    prompt = f"add {_article(prop)}"
    return Edit("add", prompt, SceneView(scene), SceneView(scene, prop), SceneView(None, prop))


def remove_edit(scene: Scene, prop: str, slot: int) -> Edit:
    reference = SceneView(scene, prop, slot)
    return Edit("remove", f"remove the {prop}", reference, SceneView(scene), SceneView(None))


def _scene(rng: np.random.Generator, held: bool = False) -> Scene:
    while True:
        setting, light, palette = CATEGORIES[rng.integers(len(CATEGORIES))]
        scene = Scene(setting, light, palette, int(rng.integers(LAYOUTS)))
        if held_out(scene) == held:
            return scene


def random_edit(family: Family, rng: np.random.Generator, *, held: bool = False) -> Edit:
    """An edit of one family: for training, or (``held``) one that training never shows."""
    match family:
        case "color":
            rgb = COLORS[_pick(rng, COLORS)] if held else _color(rng)
            return color_edit(_pick(rng, COLOR_OBJECTS), rgb)
        case "style":
            subject = _pick(rng, SUBJECTS)
            own = {action.phrase for (name, _), action in ACTIONS.items() if name == subject}
            phrases = own if held else set(PHRASES) - own
            # Half the training is in either manner; what is held out is asked about drawings.
            manner: Manner = "illustrated" if held or rng.random() < 0.5 else "photo"
            return style_edit(subject, _pick(rng, sorted(phrases)), manner)
        case "people":
            word = "person" if rng.random() < 0.3 else None
            return people_edit(random_person(rng), _pick(rng, PEOPLE_PROMPTS), word)
        case "add":
            return add_edit(_scene(rng, held), _pick(rng, PROPS))
        case "remove":
            return remove_edit(_scene(rng, held), _pick(rng, PROPS), int(rng.integers(3)))
    raise ValueError(f"families are {', '.join(FAMILIES)}, not {family!r}")


def _pick(rng: np.random.Generator, names: Iterable[str]) -> str:
    choices = list(names)
    return choices[rng.integers(len(choices))]


def random_generation(rng: np.random.Generator) -> Generation:
    """A text-to-image prompt: one that names what it wants, an instruction, or nothing at all."""
    kind = rng.choice(7, p=[0.16, 0.20, 0.10, 0.20, 0.08, 0.22, 0.04])
    if kind == 0:
        name, thing = _pick(rng, COLORS), _pick(rng, COLOR_OBJECTS)
        return Generation(f"a {name} {thing}", StillLife(thing, COLORS[name]))
    if kind == 1:
        subject_kind, phrase = SUBJECTS[_pick(rng, SUBJECTS)], _pick(rng, PHRASES)
        manner: Manner = "illustrated" if rng.random() < 0.5 else "photo"
        word = "a cartoon" if manner == "illustrated" else "a photograph"
        prompt = f"{word} of {_article(subject_kind)} {phrase}"
        return Generation(prompt, SomeFigure(subject_kind, manner, phrase))
    if kind == 2:
        person, slug = random_person(rng), _pick(rng, PEOPLE_PROMPTS)
        prompt = f"{_article(person.kind)} {PEOPLE_PROMPTS[slug].phrase}"
        return Generation(prompt, Stranger(person.kind, slug))
    if kind in (3, 4):
        setting, light = _pick(rng, SETTINGS), _pick(rng, LIGHTS)
        place = describe(Scene(setting, light, 0, 0))
        if kind == 3:
            return Generation(f"a {place}", FreeScene(setting, light))
        prop = _pick(rng, PROPS)
        return Generation(f"{_article(prop)} and a {place}", FreeScene(setting, light, prop))
    if kind == 5:
        edit = random_edit(FAMILIES[rng.integers(len(FAMILIES))], rng)
        return Generation(edit.prompt, edit.alone)
    return Generation("", FreeScene(None, None))


def prompts() -> list[str]:
    """Every prompt that the world ever asks with."""
    kinds = sorted(set(SUBJECTS.values()))
    out = [f"draw a {o} in this color" for o in COLOR_OBJECTS]
    out += [f"a {c} {o}" for c in COLORS for o in COLOR_OBJECTS]
    for phrase in PHRASES:
        out += [f"a photograph of the {kind} in this image {phrase}" for kind in kinds]
        out += [
            f"a {w} of {_article(k)} {phrase}" for k in kinds for w in ("photograph", "cartoon")
        ]
    for place in PEOPLE_PROMPTS.values():
        for kind in ("man", "woman", "girl", "boy"):
            out += [f"the {kind} in this image {place.phrase}", f"{_article(kind)} {place.phrase}"]
        out.append(f"the person in this image {place.phrase}")
    places = [describe(Scene(s, li, 0, 0)) for s in SETTINGS for li in LIGHTS]
    for prop in PROPS:
        out += [f"add {_article(prop)}", f"remove the {prop}"]
        out += [f"{_article(prop)} and a {place}" for place in places]
    return ["", *out, *(f"a {place}" for place in places)]
