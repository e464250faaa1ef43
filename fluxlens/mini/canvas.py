"""A drawing board with two manners: one set of shapes, drawn flat or drawn as if photographed.

>>> board = Canvas("photo")
>>> board.backdrop((200, 220, 240), (240, 240, 235))
>>> board.ellipse(48, 60, 20, 14, (220, 40, 40))
>>> board.image().size
(96, 96)

Coordinates are pixels of the finished picture, x to the right and y down, as floats. Everything
is drawn three times larger and averaged down, so edges are anti-aliased. *illustrated* gives flat
fills inside a dark outline; *photo* gives light from the upper left, soft shadows and film grain.
The two differ in the manner alone, never in what is drawn.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 96
SCALE = 3
INK = (38, 32, 44)

Manner = Literal["photo", "illustrated"]
Color = tuple[int, int, int]
Point = tuple[float, float]

__all__ = ["INK", "SIZE", "Canvas", "Color", "Manner", "Point", "mix"]


def mix(a: Color, b: Color, t: float) -> Color:
    """The color a fraction ``t`` of the way from ``a`` to ``b``."""
    return tuple(round(p + (q - p) * t) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


@lru_cache(maxsize=512)
def _light(width: int, height: int) -> np.ndarray:
    """Brightness over a shape's bounding box, (height, width, 1): lit from the upper left."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    away = 0.4 * (x + 0.5) / width + 0.6 * (y + 0.5) / height
    return (1.20 - 0.48 * away)[..., None]


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """One fixed sheet of film grain, (size, size, 1): grain that every photograph shares."""
    noise = np.random.default_rng(7).normal(size=(SIZE, SIZE, 1))
    return (2.0 * noise).astype(np.float32)


@lru_cache(maxsize=1)
def _vignette() -> np.ndarray:
    y, x = (np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5) / SIZE - 0.5
    return (1.03 - 0.30 * (x * x + y * y))[..., None]


class Canvas:
    """One picture being drawn, 96 by 96 pixels."""

    def __init__(self, manner: Manner = "photo") -> None:
        if manner not in ("photo", "illustrated"):
            raise ValueError(f"manner is 'photo' or 'illustrated', not {manner!r}")
        self.manner: Manner = manner
        self._board = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), (255, 255, 255))

    @property
    def photo(self) -> bool:
        return self.manner == "photo"

    def backdrop(
        self, top: Color, bottom: Color | None = None, y0: float = 0, y1: float = SIZE
    ) -> None:
        """Fill the band from y0 to y1 over the whole width, from one color down to another.

        Illustrated pictures take the flat color half-way between.
        """
        bottom = top if bottom is None else bottom
        a, b = round(y0 * SCALE), round(y1 * SCALE)
        if b <= a:
            return
        if not self.photo:
            top = bottom = mix(top, bottom, 0.5)
        ramp = np.linspace(top, bottom, b - a)[:, None, :].repeat(SIZE * SCALE, axis=1)
        self._board.paste(Image.fromarray(ramp.round().astype(np.uint8)), (0, a))

    def polygon(
        self, points: Sequence[Point], fill: Color, *, flat: bool = False, outline: float = 1.3
    ) -> None:
        """A filled shape. ``flat`` drops both shading and outline (pupils, small marks)."""
        xy = [(x * SCALE, y * SCALE) for x, y in points]
        left = max(math.floor(min(x for x, _ in xy)) - 1, 0)
        top = max(math.floor(min(y for _, y in xy)) - 1, 0)
        right = min(math.ceil(max(x for x, _ in xy)) + 2, SIZE * SCALE)
        bottom = min(math.ceil(max(y for _, y in xy)) + 2, SIZE * SCALE)
        if right <= left or bottom <= top:
            return
        if flat or not self.photo:
            draw = ImageDraw.Draw(self._board)
            draw.polygon(xy, fill=fill)
            if not flat and outline > 0:
                draw.line(
                    [*xy, xy[0], xy[1]], fill=INK, width=round(outline * SCALE), joint="curve"
                )
            return
        mask = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in xy], fill=255)
        shade = np.asarray(fill, np.float32) * _light(right - left, bottom - top)
        lit = Image.fromarray(np.clip(shade, 0, 255).astype(np.uint8))
        self._board.paste(lit, (left, top), mask)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Color,
        *,
        angle: float = 0,
        start: float = 0,
        stop: float = 360,
        flat: bool = False,
        outline: float = 1.3,
    ) -> None:
        """An ellipse, turned by ``angle`` degrees; ``start`` to ``stop`` (clockwise from +x) cuts
        a segment out of it."""
        n = max(12, round((stop - start) / 9))
        turn = math.radians(angle)
        points = []
        for i in range(n + (stop - start < 360)):
            a = math.radians(start + (stop - start) * i / n)
            u, v = rx * math.cos(a), ry * math.sin(a)
            points.append(
                (
                    x + u * math.cos(turn) - v * math.sin(turn),
                    y + u * math.sin(turn) + v * math.cos(turn),
                )
            )
        self.polygon(points, fill, flat=flat, outline=outline)

    def rect(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Color,
        *,
        radius: float = 0,
        flat: bool = False,
        outline: float = 1.3,
    ) -> None:
        """An upright rectangle, its corners rounded by ``radius``."""
        r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
        points: list[Point] = []
        for cx, cy, a0 in (
            (x1 - r, y0 + r, -90),
            (x1 - r, y1 - r, 0),
            (x0 + r, y1 - r, 90),
            (x0 + r, y0 + r, 180),
        ):
            for i in range(5 if r > 0 else 1):
                a = math.radians(a0 + 22.5 * i)
                points.append((cx + r * math.cos(a), cy + r * math.sin(a)))
        self.polygon(points, fill, flat=flat, outline=outline)

    def line(self, points: Sequence[Point], fill: Color, width: float = 1.5) -> None:
        """A stroke of the given width in pixels, the same in both manners."""
        xy = [(x * SCALE, y * SCALE) for x, y in points]
        ImageDraw.Draw(self._board).line(
            xy, fill=fill, width=max(1, round(width * SCALE)), joint="curve"
        )

    def limb(self, points: Sequence[Point], fill: Color, width: float = 6) -> None:
        """A thick stroke with round ends: an arm, a leg, a tail (outlined when illustrated)."""
        for color, w in ((INK, width + 2.4), (fill, width)) if not self.photo else ((fill, width),):
            self.line(points, color, w)
            for x, y in (points[0], points[-1]):
                self.ellipse(x, y, w / 2, w / 2, color, flat=True)

    def shadow(self, x: float, y: float, rx: float, ry: float, strength: float = 0.35) -> None:
        """A soft shadow on the ground; illustrated pictures have none."""
        if not self.photo:
            return
        pad = 4 * SCALE
        box = (round((x - rx) * SCALE) - pad, round((y - ry) * SCALE) - pad)
        size = (round(2 * rx * SCALE) + 2 * pad, round(2 * ry * SCALE) + 2 * pad)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).ellipse(
            (pad, pad, size[0] - pad, size[1] - pad), fill=round(255 * strength)
        )
        self._board.paste((30, 26, 30), box, mask.filter(ImageFilter.BoxBlur(pad / 2.5)))

    def image(self) -> Image.Image:
        """The finished picture, RGB, 96 by 96."""
        small = self._board.resize((SIZE, SIZE), Image.Resampling.BOX)
        if not self.photo:
            return small
        pixels = np.asarray(small, np.float32) * _vignette() + _grain()
        return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))
