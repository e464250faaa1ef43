"""What the oracle's rules look at in one picture: a few numbers and names, each read once.

>>> look = Look(StillLife("mug", COLORS["red"]).draw(NO_FREE))
>>> look.shows(COLORS["red"]), look.shows(COLORS["blue"])
(True, False)
>>> round(Look(Figure("fox", "illustrated", "fishing").draw(NO_FREE)).drawn, 1)
0.8

Limits were set on renders with seeds from 77,000 on (:mod:`fluxlens.judge.judge_accuracy` draws
such renders, and measures what they come to with another seed).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from fluxlens.judge import oracle
from fluxlens.judge._figures import match_figure
from fluxlens.judge._pixels import Picture as Pixels
from fluxlens.judge.base import Picture
from fluxlens.mini.people import Person
from fluxlens.mini.scenes import Scene

__all__ = ["Look", "Place", "Rgb", "far", "look"]

Rgb = tuple[float, float, float]

HUE = 30.0  # levels that a pixel may be off a color at the brightness that suits it best
SHADES = np.arange(0.65, 1.26, 0.1, dtype=np.float32)  # how brightly a surface may be lit
AREA = 0.10  # share of a picture that is visibly of a color, where no object is made out


@dataclass(frozen=True)
class Place:
    """The likeliest scene, whether it is near enough to be called read, and the prop in it."""

    scene: Scene
    read: bool
    prop: str | None


class Look:
    """A picture, read as far as the questions ask. `ValueError` for one that is not 96×96 RGB."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def _pixels(self) -> Pixels:
        if isinstance(self._picture, Image.Image):
            return Pixels(self._picture)
        try:
            with Image.open(self._picture) as image:
                return Pixels(image)
        except FileNotFoundError:
            raise ValueError(f"there is no picture {self._picture}") from None

    @cached_property
    def mean(self) -> Rgb:
        """The mean color: what a solid reference is of."""
        r, g, b = self._pixels().at(0, 0).mean(axis=(0, 1))
        return float(r), float(g), float(b)

    @cached_property
    def _colors(self) -> tuple[str | None, Rgb | None, np.ndarray]:
        pixels = self._pixels()
        return oracle.read_object(pixels), oracle.read_rgb(pixels), pixels.at(0, 0)

    @property
    def thing(self) -> str | None:
        """Which dyed object is there."""
        return self._colors[0]

    @property
    def dye(self) -> Rgb | None:
        """The color of the object that is there."""
        return self._colors[1]

    def area(self, rgb: Rgb) -> float:
        """The share of the picture that is of a color, however brightly lit."""
        shades = SHADES[:, None] * np.array(rgb, np.float32)
        far = self._colors[2][:, :, None, :] - shades
        return float((np.einsum("yxsc,yxsc->yxs", far, far).min(axis=-1) < HUE**2).mean())

    def shows(self, rgb: Rgb) -> bool:
        """Whether the object is of a color, or, without one, so much of the picture."""
        if self.dye is not None:
            return far(self.dye, rgb) <= oracle.LIMITS.color
        return self.area(rgb) >= AREA

    @cached_property
    def drawn(self) -> float | None:
        """How far a picture is from a photograph (0) towards a drawing (1); None: cannot tell.

        The best photograph and the best drawing of a place, with or without a figure, are put
        beside it; what each leaves unexplained tells where between the two it lies.
        """
        match = match_figure(self._pixels())
        photo, illustrated = np.sqrt([match.photo_loss, match.illustrated_loss])
        if min(photo, illustrated) > oracle.LIMITS.figure_error:
            return None
        return float(photo / (photo + illustrated))

    @cached_property
    def person(self) -> Person | None:
        """Whoever is there."""
        return oracle.read_person(self._pixels())

    @cached_property
    def place(self) -> Place:
        """Where it is, and what stands there."""
        pixels = self._pixels()
        read = oracle.read_scene(pixels)
        prop = oracle.read_prop(pixels)
        return Place(
            oracle.likely_scene(pixels), read is not None, None if prop is None else prop.prop
        )


def far(one: Rgb, other: Rgb) -> float:
    """How far two colors are apart, in levels."""
    return float(np.linalg.norm(np.subtract(one, other)))


def look(picture: Picture) -> Look:
    """A look at a picture; a file that has not changed is read once for all its questions."""
    if isinstance(picture, Image.Image):
        return Look(picture)
    try:
        stat = picture.stat()
    except FileNotFoundError:
        raise ValueError(f"there is no picture {picture}") from None
    return _look(picture, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=20_000)
def _look(path: Path, changed: int, size: int) -> Look:
    return Look(path)
