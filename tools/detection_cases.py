"""Pictures that hold a thing, and pictures that do not: what limits of reading are chosen on.

>>> way, there, look = next(presence("object", 1, 5, ["clean"]))
>>> there, look.thing(load_thresholds()).object
(True, 'mug')

Half of them show what the kind asks for: a dyed object, a figure or a place, a person, a scene. The
other half are other drawings of the world, an empty studio, noise, or one flat color.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from PIL import Image

from fluxlens.mini.drawings import SceneView
from fluxlens.mini.world import FREE
from fluxlens.oracle import Look, Thresholds
from tools import reading_accuracy

Rng = np.random.Generator
Draw = Callable[[Rng], Image.Image]

__all__ = ["THERE", "presence"]


def _of(number: int) -> Draw:
    def draw(rng: Rng) -> Image.Image:
        return reading_accuracy.FAMILIES[number](rng)[0].draw(rng.normal(size=FREE).tolist())

    return draw


def _studio(rng: Rng) -> Image.Image:
    return SceneView(None).draw(rng.normal(size=FREE).tolist())


def _noise(rng: Rng) -> Image.Image:
    pixels = rng.normal(rng.uniform(60, 200), rng.uniform(5, 60), (96, 96, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _flat(rng: Rng) -> Image.Image:
    r, g, b = (int(level) for level in rng.integers(0, 256, 3))
    return Image.new("RGB", (96, 96), (r, g, b))


def _loud(rng: Rng) -> Image.Image:
    """Noise, or one strong color: what not even an empty studio looks like, as plain gray does."""
    if rng.random() < 0.5:
        pixels = rng.normal(rng.uniform(60, 200), rng.uniform(30, 60), (96, 96, 3))
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    while True:
        r, g, b = (int(level) for level in rng.integers(0, 256, 3))
        if max(r, g, b) - min(r, g, b) >= 100:
            return Image.new("RGB", (96, 96), (r, g, b))


_OBJECT, _FIGURE, _PLACE, _PERSON = (_of(number) for number in range(4))

# By kind: what shows it, and what does not. A studio is a place too where figures are looked for.
_DRAWN: dict[str, tuple[tuple[Draw, ...], tuple[Draw, ...]]] = {
    "object": ((_OBJECT,), (_studio, _FIGURE, _PLACE, _PERSON, _noise, _flat)),
    "figure": ((_FIGURE, _PLACE), (_loud,)),
    "person": ((_PERSON,), (_studio, _OBJECT, _FIGURE, _PLACE, _noise, _flat)),
    "place": ((_PLACE,), (_studio, _OBJECT, _noise, _flat)),
}

# Whether a look finds it, under given thresholds.
THERE: dict[str, Callable[[Look, Thresholds], bool]] = {
    "object": lambda look, t: look.thing(t) is not None,
    "figure": lambda look, t: look.figure_error <= t.figure_error,
    "person": lambda look, t: look.somebody(t) is not None,
    "place": lambda look, t: look.place.error <= t.scene_error,
}


def presence(kind: str, n: int, seed: int, ways: Iterable[str]) -> Iterator[tuple[str, bool, Look]]:
    """``n`` pictures that show a kind of thing and ``n`` that do not, each spoilt in every way."""
    for i in range(2 * n):
        rng = np.random.default_rng([seed, list(_DRAWN).index(kind), i])
        there = i % 2 == 0
        options = _DRAWN[kind][0 if there else 1]
        image = options[int(rng.integers(len(options)))](rng)
        for way in ways:
            yield way, there, Look(reading_accuracy.spoil(image, way, rng))
