"""Cases of known truth for every question: what an entity's pictures could be, drawn anew.

>>> case = CASES["color", "knockout"](np.random.default_rng(0))
>>> sorted(case.images), case.yes["paper", "pass"]  # "has Image 3 lost the color?"
(['baseline', 'knockout', 'reference'], False)

Something of the reference came through, or nothing, or something else; also mixtures on either
side of the middle, and empty places. Where reasonable viewers could differ (a person with three
attributes of six, a color half gone), there is no case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from fluxlens.judge import Role
from fluxlens.mini.canvas import Manner
from fluxlens.mini.cast import PEOPLE_PROMPTS, TEST_PEOPLE, random_person
from fluxlens.mini.drawings import Drawing, Figure, Portrait, SceneView, Solid, StillLife
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS
from fluxlens.mini.people import Person
from fluxlens.mini.scenes import LAYOUTS, LIGHTS, PALETTES, SETTINGS, Scene
from fluxlens.mini.subjects import PHRASES, SUBJECTS
from fluxlens.mini.world import COLORS, UNDYED
from fluxlens.oracle import HEAD

__all__ = ["CASES", "Case"]

Rng = np.random.Generator


@dataclass(frozen=True)
class Mixture:
    """Two drawings laid over one another: ``share`` of the second."""

    one: Drawing
    two: Drawing
    share: float

    def draw(self, free: Any) -> Image.Image:
        return Image.blend(self.one.draw(free), self.two.draw(free), self.share)


Drawn = Drawing | Mixture


@dataclass(frozen=True)
class Case:
    """The pictures of an entity, and what is true of the last one."""

    images: Mapping[Role, Drawn]
    yes: Mapping[tuple[str, str], bool]  # by set of questions and what counts as the outcome


def _pick(rng: Rng, values: Iterable[Any]) -> Any:
    names = list(values)
    return names[int(rng.integers(len(names)))]


def _scene(rng: Rng) -> Scene:
    return Scene(_pick(rng, SETTINGS), _pick(rng, LIGHTS), int(rng.integers(PALETTES)),
                 int(rng.integers(LAYOUTS)))  # fmt: skip


# ---- color --------------------------------------------------------------------------------------


def _dyed(rng: Rng, thing: str, rgb: tuple[int, int, int]) -> Drawn:
    """An object in a color, or nearly."""
    if rng.random() < 0.5:
        return StillLife(thing, rgb)
    return Mixture(StillLife(thing, rgb), StillLife(thing, UNDYED), rng.uniform(0.05, 0.2))


def _other(rng: Rng, thing: str, *not_these: str) -> Drawn:
    """What does not show these colors: another one, the undyed object, or an empty studio."""
    kind = rng.random()
    if kind < 0.2:
        return SceneView(None)
    if kind < 0.6:
        return StillLife(thing, UNDYED)
    return StillLife(thing, COLORS[_pick(rng, [c for c in COLORS if c not in not_these])])


def _lens_color(rng: Rng) -> Case:
    color, thing = _pick(rng, COLORS), _pick(rng, COLOR_OBJECTS)
    yes = bool(rng.random() < 0.5)
    lens = _dyed(rng, thing, COLORS[color]) if yes else _other(rng, thing, color)
    images: dict[Role, Drawn] = {"reference": Solid(COLORS[color]),
                                 "t2i": StillLife(thing, UNDYED), "lens": lens}  # fmt: skip
    return Case(images, {("paper", "pass"): yes, ("blind", "pass"): yes})


def _knockout_color(rng: Rng) -> Case:
    color, thing = _pick(rng, COLORS), _pick(rng, COLOR_OBJECTS)
    lost = bool(rng.random() < 0.5)
    after = _other(rng, thing, color) if lost else _dyed(rng, thing, COLORS[color])
    images: dict[Role, Drawn] = {"reference": Solid(COLORS[color]), "knockout": after,
                                 "baseline": StillLife(thing, COLORS[color])}  # fmt: skip
    return Case(images, _knockout(lost))


def _knockout(lost: bool) -> dict[tuple[str, str], bool]:
    return {("paper", "pass"): lost, ("paper", "fail"): not lost, ("blind", "fail"): not lost}


def _patch_color(rng: Rng) -> Case:
    one, two = _pick(rng, COLORS), _pick(rng, COLORS)
    while two == one:
        two = _pick(rng, COLORS)
    thing, yes = _pick(rng, COLOR_OBJECTS), bool(rng.random() < 0.5)
    rgb = COLORS[one if yes else two]
    after = _dyed(rng, thing, rgb)
    closer = yes
    if not yes and rng.random() < 0.3:
        after = StillLife(thing, UNDYED)
        closer = bool(np.linalg.norm(np.subtract(UNDYED, COLORS[one]))
                      < np.linalg.norm(np.subtract(UNDYED, COLORS[two])))  # fmt: skip
    images: dict[Role, Drawn] = {
        "source_reference": Solid(COLORS[one]), "target_reference": Solid(COLORS[two]),
        "target_baseline": StillLife(thing, COLORS[two]), "patched": after,
    }  # fmt: skip
    return Case(images, {("paper", "pass"): yes, ("blind", "pass"): closer})


# ---- style ---------------------------------------------------------------------------------------


def _figure(rng: Rng, subject: str, phrase: str, manner: Manner) -> Drawn:
    """A figure in a manner, or nearly; now and then another subject doing something else."""
    if rng.random() < 0.3:
        subject, phrase = _pick(rng, SUBJECTS), _pick(rng, PHRASES)
    figure = Figure(subject, manner, phrase)
    if rng.random() < 0.5:
        return figure
    other: Manner = "photo" if manner == "illustrated" else "illustrated"
    return Mixture(figure, Figure(subject, other, phrase), rng.uniform(0.05, 0.2))


def _style(rng: Rng, before: Manner) -> tuple[str, Drawn, Drawn, bool]:
    """A subject, a picture in one manner, one that is drawn or not, and which."""
    subject, phrase = _pick(rng, SUBJECTS), _pick(rng, PHRASES)
    drawn = bool(rng.random() < 0.5)
    after = _figure(rng, subject, phrase, "illustrated" if drawn else "photo")
    return subject, Figure(subject, before, phrase), after, drawn


def _lens_style(rng: Rng) -> Case:
    subject, t2i, lens, yes = _style(rng, "photo")
    if not yes and rng.random() < 0.3:  # the empty prompt's: some place, nobody in it
        lens = SceneView(_scene(rng))
    images: dict[Role, Drawn] = {"reference": Figure(subject, "illustrated"), "t2i": t2i,
                                 "lens": lens}  # fmt: skip
    return Case(images, {("paper", "pass"): yes, ("blind", "pass"): yes})


def _knockout_style(rng: Rng) -> Case:
    subject, baseline, after, kept = _style(rng, "illustrated")
    images: dict[Role, Drawn] = {"reference": Figure(subject, "illustrated"), "baseline": baseline,
                                 "knockout": after}  # fmt: skip
    return Case(images, _knockout(not kept))


def _patch_style(rng: Rng) -> Case:
    subject, baseline, after, yes = _style(rng, "photo")
    images: dict[Role, Drawn] = {
        "source_reference": Figure(subject, "illustrated"),
        "target_reference": Figure(subject, "photo"), "target_baseline": baseline, "patched": after,
    }  # fmt: skip
    return Case(images, {("paper", "pass"): yes, ("blind", "pass"): yes})


# ---- people --------------------------------------------------------------------------------------


def _stranger(rng: Rng, *known: Person) -> Person:
    """Somebody of the first one's kind, whose head differs from each in three ways or more."""
    while True:
        person = random_person(rng, known[0].kind)
        if all(sum(getattr(person, n) != getattr(k, n) for n in HEAD) >= 3 for k in known):
            return person


def _clothes(rng: Rng, person: Person) -> Person:
    """The same person, half the time in another shirt."""
    if rng.random() < 0.5:
        return person
    other = random_person(rng, person.kind)
    return replace(person, pattern=other.pattern, color=other.color, accent=other.accent)


def _human(rng: Rng) -> tuple[Person, Drawn, bool]:
    """A person, a picture of them or of somebody else or of nobody, and whether it is of them."""
    person = _pick(rng, TEST_PEOPLE.values()) if rng.random() < 0.5 else random_person(rng)
    slug, same = _pick(rng, PEOPLE_PROMPTS), bool(rng.random() < 0.5)
    if same:
        return person, Portrait(_clothes(rng, person), slug), True
    if rng.random() < 0.2:
        return person, SceneView(_scene(rng)), False
    return person, Portrait(_stranger(rng, person), slug), False


def _lens_human(rng: Rng) -> Case:
    person, lens, same = _human(rng)
    t2i = Portrait(_stranger(rng, person), _pick(rng, PEOPLE_PROMPTS))
    images: dict[Role, Drawn] = {"reference": Portrait(person), "t2i": t2i, "lens": lens}
    return Case(images, {("paper", "fail"): not same, ("blind", "pass"): same})


def _knockout_human(rng: Rng) -> Case:
    person, after, same = _human(rng)
    baseline = Portrait(person, _pick(rng, PEOPLE_PROMPTS))
    images: dict[Role, Drawn] = {"reference": Portrait(person), "baseline": baseline,
                                 "knockout": after}  # fmt: skip
    return Case(images, _knockout(not same))


def _patch_human(rng: Rng) -> Case:
    a = random_person(rng)
    b = _stranger(rng, a)
    slug, kind = _pick(rng, PEOPLE_PROMPTS), rng.random()
    seen = a if kind < 0.5 else b
    images: dict[Role, Drawn] = {
        "source_reference": Portrait(a), "target_reference": Portrait(b),
        "target_baseline": Portrait(b, slug), "patched": Portrait(seen, slug),
    }  # fmt: skip
    return Case(images, {("paper", "pass"): seen == a, ("blind", "pass"): seen == a})


# ---- scenes --------------------------------------------------------------------------------------


def _elsewhere(rng: Rng, scene: Scene) -> Scene:
    """A place that shares at most one factor with a scene, and not its setting."""
    while True:
        other = _scene(rng)
        shared = sum(getattr(other, n) == getattr(scene, n) for n in ("light", "palette", "layout"))
        if other.setting != scene.setting and shared <= 1:
            return other


def _lens_scene(rng: Rng, removing: bool) -> Case:
    scene, prop = _scene(rng), _pick(rng, PROPS)
    yes = bool(rng.random() < 0.5)
    lens: Drawn
    if yes and removing and rng.random() < 0.3:
        lens = SceneView(_elsewhere(rng, scene), prop, int(rng.integers(3)))
    elif yes:
        kept = scene if rng.random() < 0.5 else replace(scene, layout=int(rng.integers(LAYOUTS)))
        lens = SceneView(kept, None if rng.random() < 0.5 else prop, int(rng.integers(3)))
    else:
        other = None if rng.random() < 0.4 else _elsewhere(rng, scene)
        thing = _pick(rng, [p for p in PROPS if p != prop]) if removing else prop
        lens = SceneView(other, None if rng.random() < 0.5 else thing, int(rng.integers(3)))
    images: dict[Role, Drawn] = {
        "reference": SceneView(scene, prop if removing else None, 1),
        "t2i": SceneView(None, None if removing else prop), "lens": lens,
    }  # fmt: skip
    return Case(images, {("paper", "pass"): yes, ("blind", "pass"): yes})


CASES: dict[tuple[str, str], Callable[[Rng], Case]] = {
    ("color", "lens"): _lens_color,
    ("color", "knockout"): _knockout_color,
    ("color", "patch"): _patch_color,
    ("style", "lens"): _lens_style,
    ("style", "knockout"): _knockout_style,
    ("style", "patch"): _patch_style,
    ("human", "lens"): _lens_human,
    ("human", "knockout"): _knockout_human,
    ("human", "patch"): _patch_human,
    ("add", "lens"): lambda rng: _lens_scene(rng, removing=False),
    ("remove", "lens"): lambda rng: _lens_scene(rng, removing=True),
}
