"""What the oracle's rules look at in one picture: a few numbers and names, each read once.

>>> look = Look(StillLife("mug", COLORS["red"]).draw(NO_FREE))
>>> look.shows(COLORS["red"], load_thresholds()), look.shows(COLORS["blue"], load_thresholds())
(True, False)
>>> round(Look(Figure("fox", "illustrated", "fishing").draw(NO_FREE)).drawn, 1)
1.0

What is read is kept; where the lines are drawn (:mod:`fluxlens.oracle.thresholds`) is told with
each question, so that a calibration may draw them elsewhere without reading again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from fluxlens.judge import Picture, opened
from fluxlens.mini.scenes import Scene
from fluxlens.oracle import readings
from fluxlens.oracle.match_figures import FigureMatch, match_figure
from fluxlens.oracle.match_objects import ObjectMatch, match_object
from fluxlens.oracle.match_people import PersonMatch, match_person
from fluxlens.oracle.pixels import Picture as Pixels
from fluxlens.oracle.pixels import explains
from fluxlens.oracle.thresholds import Thresholds

__all__ = ["Look", "Place", "Rgb", "far", "look"]

Rgb = tuple[float, float, float]

# What a color is, lit more or less; none of this is a line between yes and no.
HUE = 30.0  # levels that a pixel may be off a color at the brightness that suits it best
SHADES = np.arange(0.65, 1.26, 0.1, dtype=np.float32)  # how brightly a surface may be lit


@dataclass(frozen=True)
class Place:
    """The likeliest scene and how many levels it is off; the likeliest prop, and how many both."""

    scene: Scene
    error: float
    thing: str | None
    thing_error: float

    def prop(self, t: Thresholds) -> str | None:
        """What stands there, in a place that is clear."""
        return self.thing if self.thing_error <= t.scene_error else None


class Look:
    """A picture, read as far as the questions ask. `ValueError` for one that is not 96×96 RGB."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._areas: dict[Rgb, float] = {}

    def _pixels(self) -> Pixels:
        return Pixels(opened(self._picture))

    @cached_property
    def mean(self) -> Rgb:
        """The mean color: what a solid reference is of."""
        r, g, b = self._pixels().at(0, 0).mean(axis=(0, 1))
        return float(r), float(g), float(b)

    @cached_property
    def _colors(self) -> tuple[ObjectMatch, np.ndarray]:
        pixels = self._pixels()
        return match_object(pixels), pixels.at(0, 0)

    def thing(self, t: Thresholds) -> ObjectMatch | None:
        """The dyed object that is there, with its color."""
        match = self._colors[0]
        return match if explains(match, t.object_error, t.object_gain) else None

    def area(self, rgb: Rgb) -> float:
        """The share of the picture that is of a color, however brightly lit."""
        if rgb not in self._areas:
            shades = SHADES[:, None] * np.array(rgb, np.float32)
            far = self._colors[1][:, :, None, :] - shades
            square = np.einsum("yxsc,yxsc->yxs", far, far).min(axis=-1)
            self._areas[rgb] = float((square < HUE**2).mean())
        return self._areas[rgb]

    def shows(self, rgb: Rgb, t: Thresholds) -> bool:
        """Whether the object is of a color, or, without one, so much of the picture."""
        thing = self.thing(t)
        return far(thing.rgb, rgb) <= t.color if thing is not None else self.area(rgb) >= t.area

    @cached_property
    def figure(self) -> FigureMatch:
        """The best figure or place, in both manners."""
        return match_figure(self._pixels())

    @property
    def figure_error(self) -> float:
        """How many levels the better of the two manners is off."""
        return min(self.figure.photo_loss, self.figure.illustrated_loss) ** 0.5

    @property
    def drawn(self) -> float:
        """How far a picture is from a photograph (0) towards a drawing (1).

        The best photograph and the best drawing of a place, with or without a figure, span a line;
        this is where the picture's projection lies on it. Softness and noise, which both explain
        equally badly, do not move it, and a blend of the two lies where it was blended.
        """
        match = self.figure
        share = 0.5 + (match.photo_loss - match.illustrated_loss) / max(2 * match.apart, 1e-6)
        return min(max(share, 0.0), 1.0)

    @cached_property
    def person(self) -> PersonMatch:
        """Whoever the picture is likest to."""
        return match_person(self._pixels())

    def somebody(self, t: Thresholds) -> PersonMatch | None:
        """Whoever is there."""
        return self.person if explains(self.person, t.person_error, t.person_gain) else None

    @cached_property
    def place(self) -> Place:
        """Where it is, and what stands there."""
        pixels = self._pixels()
        prop, error = readings.likely_prop(pixels)
        return Place(*readings.likely_scene(pixels), prop.prop, error)


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
