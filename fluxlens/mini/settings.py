"""What the 14 settings of mini's world share: lights, accent colors, layouts and the stage.

>>> s = Stage(Canvas("photo"), "dusk", palette=3, layout=0)
>>> s.sky(); s.band(s.horizon, 96, (244, 218, 158)); s.oval(s.main, s.horizon, 12, 9, "accent")

A setting (:mod:`~fluxlens.mini.outdoors`, :mod:`~fluxlens.mini.indoors`) is a function that draws
on a stage. Each has one main thing in the accent color and a second kind of thing that is always
the same; the layout says where they stand. All are large, and none stands in the lower middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fluxlens.mini.canvas import SIZE, Canvas, Color, Point, mix

__all__ = ["LAYOUTS", "LIGHTS", "PALETTE_COLORS", "Stage"]

PALETTE_COLORS: tuple[Color, ...] = (
    (214, 48, 44), (242, 134, 36), (250, 214, 64), (84, 176, 70),
    (36, 176, 182), (52, 92, 206), (136, 72, 184), (246, 148, 190),
)  # fmt: skip


@dataclass(frozen=True)
class Light:
    dim: tuple[float, float, float]  # what is left of a color's red, green and blue
    haze: Color  # and what is mixed into it
    amount: float
    sky: tuple[Color, Color]
    orb: Color  # the sun or the moon
    orb_y: float
    orb_r: float
    pane: Color  # a window seen from outside


LIGHTS = {
    "morning": Light((1.0, 0.88, 0.80), (255, 206, 196), 0.26, ((176, 196, 250), (255, 208, 186)),
                      (255, 246, 190), 22, 8, (196, 222, 236)),
    "noon": Light((1.0, 1.0, 1.0), (255, 255, 255), 0.0, ((58, 150, 236), (150, 208, 250)),
                   (255, 226, 70), 11, 7, (170, 214, 240)),
    "dusk": Light((0.95, 0.72, 0.66), (190, 70, 110), 0.15, ((104, 60, 150), (255, 146, 76)),
                   (255, 96, 50), 30, 10, (255, 206, 110)),
    "night": Light((0.48, 0.54, 0.76), (22, 30, 92), 0.2, ((10, 14, 48), (36, 46, 104)),
                    (244, 244, 226), 15, 7, (255, 222, 96)),
}  # fmt: skip

# Where the horizon lies, where the main thing stands, where the second ones stand.
LAYOUTS: tuple[tuple[float, float, tuple[float, ...]], ...] = (
    (66, 25, (79,)),
    (66, 71, (18,)),
    (66, 48, (10, 86)),
    (50, 25, (79,)),
    (50, 71, (18,)),
    (50, 48, (10, 87)),
)


class Stage:
    """A canvas seen in one light: what is drawn on it takes the light's tint, unless lit."""

    def __init__(self, canvas: Canvas, light: str, palette: int, layout: int) -> None:
        self.canvas = canvas
        self.light = LIGHTS[light]
        self.pane_sky = mix(*self.light.sky, 0.5)
        self.night = light == "night"
        self.horizon, self.main, self.others = LAYOUTS[layout]
        # The accent is tinted half as much, so that all eight stay apart at night.
        pure = PALETTE_COLORS[palette]
        self.accent = mix(pure, self.tint(pure), 0.45)
        self.accent2 = mix(self.accent, (0, 0, 0), 0.25)

    def tint(self, color: Color) -> Color:
        r, g, b = (round(c * d) for c, d in zip(color, self.light.dim, strict=True))
        return mix((r, g, b), self.light.haze, self.light.amount)

    def _paint(self, color: Color | str, lit: bool) -> Color:
        if isinstance(color, str):
            return {"accent": self.accent, "accent2": self.accent2}[color]
        return color if lit else self.tint(color)

    def rect(self, x0: float, y0: float, x1: float, y1: float, color: Color | str,
             lit: bool = False, **how: Any) -> None:  # fmt: skip
        self.canvas.rect(x0, y0, x1, y1, self._paint(color, lit), **how)

    def oval(self, x: float, y: float, rx: float, ry: float, color: Color | str,
             lit: bool = False, **how: Any) -> None:  # fmt: skip
        self.canvas.ellipse(x, y, rx, ry, self._paint(color, lit), **how)

    def poly(self, points: list[Point], color: Color | str, lit: bool = False, **how: Any) -> None:
        self.canvas.polygon(points, self._paint(color, lit), **how)

    def limb(self, points: list[Point], color: Color | str, width: float) -> None:
        self.canvas.limb(points, self._paint(color, False), width)

    def band(self, y0: float, y1: float, top: Color, bottom: Color | None = None) -> None:
        self.canvas.backdrop(self.tint(top), self.tint(bottom or top), y0, y1)

    def orb(self, x: float, y: float, r: float, behind: Color) -> None:
        self.oval(x, y, r, r, self.light.orb, True, flat=True)
        if self.night:  # a crescent, so that the moon is no small white sun
            self.oval(x + 0.5 * r, y - 0.25 * r, 0.8 * r, 0.8 * r, behind, True, flat=True)

    def sky(self) -> None:
        edges = [self.horizon * i / 3 for i in range(4)]  # three flat bands when illustrated
        colors = [mix(*self.light.sky, i / 3) for i in range(4)]
        for i in range(3):
            self.canvas.backdrop(colors[i], colors[i + 1], edges[i], edges[i + 1])
        # The sun stands over the emptier part of the picture.
        x = 50 + 0.16 * (self.others[0] - self.main) if len(self.others) == 1 else 28
        self.orb(x, self.light.orb_y, self.light.orb_r, mix(*self.light.sky, 1 / 6))

    def room(self, wall: Color, floor: Color, skirting: Color) -> None:
        h = self.horizon
        self.band(0, h, wall)
        self.band(h, SIZE, floor, mix(floor, (0, 0, 0), 0.12))
        self.rect(-3, h - 3, 99, h, skirting, flat=True)

    def window(self, x: float, y: float, w: float, h: float, frame: Color | str) -> None:
        """A window onto the sky, w by h, its middle at (x, y)."""
        self.rect(x - w / 2, y - h / 2, x + w / 2, y + h / 2, frame)
        x0, y0, x1, y1 = x - w / 2 + 3, y - h / 2 + 3, x + w / 2 - 3, y + h / 2 - 3
        self.rect(x0, y0, x1, y1, self.pane_sky, True, flat=True)
        r = min(5.0, (x1 - x0) / 4)
        self.orb((x0 + x1) / 2, min(y0 + 0.35 * self.light.orb_y + r / 2, y1 - r), r, self.pane_sky)

    def lamp(self, x: float, y: float) -> None:
        """A hanging lamp, shining when it is dark outside."""
        bulb: Color = (255, 240, 150) if self.night else (236, 232, 222)
        self.canvas.line([(x, 0), (x, y)], (50, 46, 54), 2)
        self.oval(x, y + 6, 5, 5, bulb, self.night, flat=True)
        self.oval(x, y + 6, 10, 8, "accent", start=180, stop=360)
