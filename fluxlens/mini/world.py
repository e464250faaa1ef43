"""The drawn world: pictures from explicit factors, and the edits that the paper's families ask for.

>>> rng = np.random.default_rng(0)
>>> edit = random_edit("people", rng)
>>> edit.prompt, edit.reference.draw(NO_FREE).size
('the girl in this image by the harbor', (96, 96))

Every picture is one of the :mod:`~fluxlens.mini.drawings`, so the truth about it is always known.
What neither prompt nor reference decides (where an object stands, how large it is) hangs on
*free factors*: eight numbers that in training are read off the noise itself
(:mod:`fluxlens.mini.noise`), so that a prompt, a reference and a seed have exactly one answer.

Instructions never name what only the reference shows. Some combinations are kept out of training
for the study's tasks: see :func:`held_out`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fluxlens.mini.canvas import Color, Manner
from fluxlens.mini.cast import PEOPLE_PROMPTS, random_person
from fluxlens.mini.drawings import (
    Drawing,
    Figure,
    FreeScene,
    Portrait,
    SceneView,
    Solid,
    SomeFigure,
    StillLife,
    Stranger,
    fixed,
)  # fmt: skip
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS
from fluxlens.mini.people import Person
from fluxlens.mini.scenes import CATEGORIES, LAYOUTS, LIGHTS, SETTINGS, Scene, describe
from fluxlens.mini.subjects import ACTIONS, PHRASES, SUBJECTS

__all__ = [
    "COLORS", "FAMILIES", "FREE", "NO_FREE", "UNDYED", "Edit", "Family", "Generation", "add_edit",
    "color_edit", "held_out", "people_edit", "pick", "prompts", "random_color", "random_edit",
    "random_generation", "random_scene", "remove_edit", "style_edit",
]  # fmt: skip

Family = Literal["color", "style", "people", "add", "remove"]
FAMILIES: tuple[Family, ...] = get_args(Family)
FREE = 8
NO_FREE = (0.0,) * FREE

# The paper's reference colors, as its authors' released pictures have them.
COLORS: dict[str, Color] = {
    "red": (220, 40, 40), "orange": (230, 120, 40), "yellow": (240, 210, 60),
    "green": (50, 170, 80), "blue": (40, 90, 220), "purple": (140, 60, 180),
    "pink": (230, 120, 170), "brown": (120, 75, 45),
}  # fmt: skip
UNDYED: Color = (214, 206, 194)


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
    eight colors, each subject doing one of its own five actions, and the ten test people.
    """
    first = fixed(f"{scene.setting} {scene.light} {scene.palette}", 3)
    return scene.layout in (first, first + 3)


def random_color(rng: np.random.Generator) -> Color:
    """A dye for training: no gray, and none of the paper's eight colors."""
    while True:
        rgb = rng.integers(20, 246, 3)
        # Grays say nothing about color: the world's dyes have some.
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


def random_scene(rng: np.random.Generator, held: bool = False) -> Scene:
    """A place for training, or one that is held out."""
    while True:
        setting, light, palette = CATEGORIES[rng.integers(len(CATEGORIES))]
        scene = Scene(setting, light, palette, int(rng.integers(LAYOUTS)))
        if held_out(scene) == held:
            return scene


def random_edit(family: Family, rng: np.random.Generator, *, held: bool = False) -> Edit:
    """An edit of one family: for training, or (``held``) one that training never shows."""
    match family:
        case "color":
            rgb = COLORS[pick(rng, COLORS)] if held else random_color(rng)
            return color_edit(pick(rng, COLOR_OBJECTS), rgb)
        case "style":
            subject = pick(rng, SUBJECTS)
            own = {action.phrase for (name, _), action in ACTIONS.items() if name == subject}
            phrases = own if held else set(PHRASES) - own
            # Half the training is in either manner; what is held out is asked about drawings.
            manner: Manner = "illustrated" if held or rng.random() < 0.5 else "photo"
            return style_edit(subject, pick(rng, sorted(phrases)), manner)
        case "people":
            word = "person" if rng.random() < 0.3 else None
            return people_edit(random_person(rng), pick(rng, PEOPLE_PROMPTS), word)
        case "add":
            return add_edit(random_scene(rng, held), pick(rng, PROPS))
        case "remove":
            return remove_edit(random_scene(rng, held), pick(rng, PROPS), int(rng.integers(3)))
    raise ValueError(f"families are {', '.join(FAMILIES)}, not {family!r}")


def pick(rng: np.random.Generator, names: Iterable[str]) -> str:
    """One of the names."""
    choices = list(names)
    return choices[rng.integers(len(choices))]


def random_generation(rng: np.random.Generator, *, instructions: bool = True) -> Generation:
    """A text-to-image prompt: one that names what it wants, an instruction, or nothing at all."""
    kind = rng.choice(7, p=[0.16, 0.20, 0.10, 0.20, 0.08, 0.22, 0.04])
    while kind == 5 and not instructions:
        kind = rng.choice(7, p=[0.16, 0.20, 0.10, 0.20, 0.08, 0.22, 0.04])
    if kind == 0:
        name, thing = pick(rng, COLORS), pick(rng, COLOR_OBJECTS)
        return Generation(f"a {name} {thing}", StillLife(thing, COLORS[name]))
    if kind == 1:
        subject_kind, phrase = SUBJECTS[pick(rng, SUBJECTS)], pick(rng, PHRASES)
        manner: Manner = "illustrated" if rng.random() < 0.5 else "photo"
        word = "a cartoon" if manner == "illustrated" else "a photograph"
        prompt = f"{word} of {_article(subject_kind)} {phrase}"
        return Generation(prompt, SomeFigure(subject_kind, manner, phrase))
    if kind == 2:
        person, slug = random_person(rng), pick(rng, PEOPLE_PROMPTS)
        prompt = f"{_article(person.kind)} {PEOPLE_PROMPTS[slug].phrase}"
        return Generation(prompt, Stranger(person.kind, slug))
    if kind in (3, 4):
        setting, light = pick(rng, SETTINGS), pick(rng, LIGHTS)
        place = describe(Scene(setting, light, 0, 0))
        if kind == 3:
            return Generation(f"a {place}", FreeScene(setting, light))
        prop = pick(rng, PROPS)
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
