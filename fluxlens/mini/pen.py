"""A pen for small figures: the canvas in units of the figure, and marks that faces are made of.

>>> pen = Pen(Canvas("illustrated"), x=48, base=90, height=62)
>>> pen.oval(0, 44, 14, 13.5, (250, 212, 180)); pen.eyes(5.5, 42); pen.smile(35)

A figure is 62 units high and what it stands beside 24; x is 0 in the middle and y points up from
the ground. What comes in twos (eyes, ears, arms) is named once and mirrored.
"""

from collections.abc import Sequence
from typing import Any

from fluxlens.mini.canvas import INK, Canvas, Color, Point

__all__ = ["BLUSH", "RED", "WHITE", "Pen"]

WHITE: Color = (250, 248, 244)
BLUSH: Color = (240, 140, 130)
RED: Color = (214, 52, 52)


class Pen:
    """A Canvas in the figure's own units: x from its middle, y upwards from the ground."""

    def __init__(self, canvas: Canvas, x: float, base: float, height: float, units: float = 62):
        self.canvas, self.x, self.base, self.k = canvas, x, base, height / units

    def at(self, points: Sequence[Point]) -> list[Point]:
        return [(self.x + self.k * a, self.base - self.k * b) for a, b in points]

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Color, **how: Any) -> None:
        how["angle"] = -how.get("angle", 0)  # y points up here
        ((px, py),) = self.at([(x, y)])
        self.canvas.ellipse(px, py, self.k * rx, self.k * ry, fill, **how)

    def dot(self, x: float, y: float, r: float, fill: Color, ry: float | None = None) -> None:
        """A mark without shading or outline: an eye, a cheek."""
        self.oval(x, y, r, r if ry is None else ry, fill, flat=True)

    def dots(self, x: float, y: float, r: float, fill: Color, ry: float | None = None) -> None:
        for side in (-x, x):
            self.dot(side, y, r, fill, ry)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Color, **how: Any) -> None:
        (a, b), (c, d) = self.at([(x0, y1), (x1, y0)])
        self.canvas.rect(a, b, c, d, fill, **how)

    def shape(self, points: Sequence[Point], fill: Color, **how: Any) -> None:
        self.canvas.polygon(self.at(points), fill, **how)

    def shapes(self, points: Sequence[Point], fill: Color, **how: Any) -> None:
        """The shape and its mirror image (ears)."""
        self.shape(points, fill, **how)
        self.shape([(-x, y) for x, y in points], fill, **how)

    def stroke(self, points: Sequence[Point], fill: Color = INK, width: float = 1.8) -> None:
        self.canvas.line(self.at(points), fill, self.k * width)

    def limb(self, points: Sequence[Point], fill: Color, width: float = 6) -> None:
        self.canvas.limb(self.at(points), fill, self.k * width)

    def limbs(self, points: Sequence[Point], fill: Color, width: float = 6) -> None:
        self.limb([(-x, y) for x, y in points], fill, width)
        self.limb(points, fill, width)

    def ground(self, half: float = 18) -> None:
        self.canvas.shadow(self.x, self.base - 0.5, self.k * half, max(2.2, self.k * 3))

    def eyes(self, x: float, y: float, r: float = 2.4, tall: float = 1.25) -> None:
        self.dots(x, y, r, INK, r * tall)
        for side in (-x, x):
            self.dot(side - 0.8, y + r * 0.5, r * 0.38, WHITE)

    def smile(self, y: float, half: float = 3.5, fill: Color = (150, 50, 50)) -> None:
        self.stroke([(-half, y + 1.2), (-half / 2, y), (half / 2, y), (half, y + 1.2)], fill)
