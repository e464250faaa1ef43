"""How the 14 settings of mini's world are drawn, in any light, accent colour and layout.

>>> board = Canvas("photo")
>>> DRAW["beach"](Stage(board, "dusk", palette=3, layout=0))

Every setting has one main thing in the accent colour and a second kind of thing that is always the
same; the layout says where they stand. All are large, and none stands in the lower middle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from fluxlens.mini.canvas import SIZE, Canvas, Color, Point, mix

__all__ = ["DRAW", "LAYOUTS", "LIGHTS", "PALETTE_COLORS", "Stage"]

PALETTE_COLORS: tuple[Color, ...] = (
    (214, 48, 44), (242, 134, 36), (250, 214, 64), (84, 176, 70),
    (36, 176, 182), (52, 92, 206), (136, 72, 184), (246, 148, 190),
)  # fmt: skip


@dataclass(frozen=True)
class Light:
    dim: tuple[float, float, float]  # what is left of a colour's red, green and blue
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


def _beach(s: Stage) -> None:
    s.sky()
    h = s.horizon
    s.band(h - 12, h + 4, (40, 140, 200), (70, 190, 210))
    s.band(h + 4, SIZE, (244, 218, 158), (234, 202, 138))
    for x in s.others:  # palm trees
        s.limb([(x - 3, h + 10), (x, h - 12), (x + 3, h - 28)], (150, 104, 62), 4)
        for a in (-160, -120, -60, -20, 30, 150):
            u, v = math.cos(math.radians(a)), math.sin(math.radians(a))
            s.oval(x + 3 + 9 * u, h - 29 + 8 * v, 9, 3.6, (54, 150, 72), angle=a)
    x, y = s.main, h + 14
    s.rect(x - 1.5, y - 40, x + 1.5, y, (240, 236, 226))
    s.oval(x, y - 26, 24, 24, "accent", start=180, stop=360)
    s.oval(x, y - 26, 9, 24, (250, 246, 236), start=180, stop=360)
    s.rect(x - 16, y, x + 16, y + 6, "accent", radius=2)


def _house(s: Stage, x: float, y: float, w: float, h: float, wall: Color | str,
           roof: Color) -> None:  # fmt: skip
    s.rect(x - w / 2, y - h, x + w / 2, y, wall)
    s.poly([(x - w / 2 - 3, y - h), (x, y - h - 0.5 * w), (x + w / 2 + 3, y - h)], roof)
    s.rect(x - 0.36 * w, y - h + 4, x - 0.08 * w, y - h + 14, s.light.pane, True)
    s.rect(x + 0.08 * w, y - h + 4, x + 0.36 * w, y - h + 14, s.light.pane, True)
    s.rect(x - 4, y - 14, x + 4, y, (92, 62, 52))


def _street(s: Stage) -> None:
    s.sky()
    h = s.horizon
    s.band(h, h + 8, (196, 190, 182))
    s.band(h + 8, SIZE, (104, 106, 116), (90, 92, 102))
    for x in s.others:  # towers
        s.rect(x - 14, h - 44, x + 14, h + 3, (168, 158, 160))
        for i, j in product((-1, 1), (0, 1, 2)):
            u, v = x + 6 * i, h - 38 + 14 * j
            s.rect(u - 4, v, u + 4, v + 8, s.light.pane, True, flat=True)
    _house(s, s.main, h + 4, 34, 30, "accent", (112, 72, 66))
    for x in (4, 36, 68):
        s.rect(x, h + 17, x + 22, h + 20, (244, 238, 214), flat=True)


def _fir(s: Stage, x: float, y: float, w: float, h: float, leaf: Color, snow: bool) -> None:
    s.rect(x - 2.5, y - 7, x + 2.5, y, (98, 68, 48))
    for i in range(3):
        v, u = y - 5 - 0.27 * h * i, w / 2 * (1 - 0.2 * i)
        s.poly([(x - u, v), (x, v - 0.44 * h), (x + u, v)], leaf)
        if snow:
            t = v - 0.44 * h
            s.poly([(x - 0.4 * u, t + 0.18 * h), (x, t), (x + 0.4 * u, t + 0.18 * h)],
                   (250, 252, 255), flat=True)  # fmt: skip


def _forest(s: Stage) -> None:
    s.sky()
    h = s.horizon
    for i in range(9):  # the wood behind
        s.oval(12 * i, h - 8, 9, 20 + 5 * (i % 2), (36, 92, 66), outline=0)
    s.band(h, SIZE, (92, 112, 52), (78, 92, 46))
    for x in s.others:
        _fir(s, x, h + 8, 30, 46, (24, 112, 66), False)
    x = s.main
    s.rect(x - 5, h - 20, x + 5, h + 12, (104, 66, 42))
    s.oval(x - 11, h - 20, 13, 12, "accent2")
    s.oval(x + 11, h - 20, 13, 12, "accent2")
    s.oval(x, h - 31, 18, 15, "accent")


def _mountains(s: Stage) -> None:
    s.sky()
    h = s.horizon
    for x in (*s.others, s.main):
        w, tall = (42, 50) if x == s.main else (28, 34)
        t = h - tall
        s.poly([(x - w, h), (x, t), (x + w, h)], "accent" if x == s.main else (112, 116, 140))
        u = 0.36 * w
        v = 0.36 * tall
        snow = [(x - u, t + v), (x, t), (x + u, t + v), (x + u / 3, t + 0.7 * v)]
        s.poly([*snow, (x - u / 3, t + 1.2 * v)], (252, 252, 255))
    s.band(h, SIZE, (128, 184, 84), (96, 152, 66))
    for x in s.others:
        s.oval(x, h + 3, 26, 7, (84, 140, 66), outline=0)


def _desert(s: Stage) -> None:
    s.sky()
    h = s.horizon
    s.band(h, SIZE, (232, 170, 92), (216, 146, 74))
    for x in s.others:  # pyramids
        s.poly([(x - 24, h + 5), (x, h - 26), (x + 24, h + 5)], (222, 178, 104))
        s.poly([(x + 6, h + 5), (x, h - 26), (x + 24, h + 5)], (176, 128, 74))
    x = s.main  # a table mountain
    s.poly([(x - 28, h + 6), (x - 20, h - 32), (x + 20, h - 32), (x + 28, h + 6)], "accent")
    stripe = [(x - 25.5, h - 6), (x - 23, h - 17), (x + 23, h - 17), (x + 25.5, h - 6)]
    s.poly(stripe, "accent2", flat=True)
    s.oval(48, h + 16, 80, 9, (240, 186, 108), outline=0)
    s.band(h + 16, SIZE, (238, 182, 104), (220, 152, 80))


def _garden(s: Stage) -> None:
    s.sky()
    h = s.horizon
    s.rect(-4, h - 18, 100, h + 2, (46, 120, 64), radius=5)
    s.band(h, SIZE, (124, 194, 86), (104, 172, 74))
    for x in s.others:  # topiary
        s.rect(x - 2, h - 4, x + 2, h + 8, (104, 70, 46))
        s.oval(x, h - 8, 13, 12, (30, 140, 66))
        s.oval(x, h - 26, 10, 9, (30, 140, 66))
    x = s.main  # a domed pavilion
    for u in (-18, -6, 6, 18):
        s.rect(x + u - 2.5, h - 24, x + u + 2.5, h + 6, (250, 246, 236))
    s.rect(x - 24, h + 4, x + 24, h + 9, (236, 230, 218))
    s.oval(x, h - 24, 24, 22, "accent", start=180, stop=360)
    s.rect(x - 26, h - 27, x + 26, h - 22, "accent2")


def _harbor(s: Stage) -> None:
    s.sky()
    h = s.horizon
    s.band(h - 10, h + 12, (26, 104, 156), (40, 130, 176))
    for x in s.others:  # lighthouses
        tower = [(x - 10, h + 2), (x - 6, h - 34), (x + 6, h - 34), (x + 10, h + 2)]
        s.poly(tower, (246, 244, 238))
        for v in (-30, -14):
            w = 8.6 + 0.11 * (v + 16)
            s.rect(x - w + 1, v + h, x + w - 1, v + h + 8, (198, 52, 52), flat=True)
        s.rect(x - 6, h - 42, x + 6, h - 34, s.light.pane, True)
        s.poly([(x - 8, h - 42), (x, h - 49), (x + 8, h - 42)], (198, 52, 52))
    x = s.main
    s.rect(x - 1.2, h - 46, x + 1.2, h, (110, 74, 50))
    s.poly([(x - 3, h - 44), (x - 22, h - 5), (x - 3, h - 5)], "accent2")
    s.poly([(x + 3, h - 46), (x + 25, h - 5), (x + 3, h - 5)], "accent")
    s.poly([(x - 26, h - 2), (x + 26, h - 2), (x + 18, h + 9), (x - 18, h + 9)], (244, 240, 230))
    s.band(h + 12, h + 17, (118, 110, 108))
    s.band(h + 17, SIZE, (184, 172, 160), (168, 156, 146))


def _snowfield(s: Stage) -> None:
    s.sky()
    h = s.horizon
    s.oval(48, h + 4, 76, 12, (222, 234, 246), outline=0)
    s.band(h + 2, SIZE, (246, 250, 255), (226, 236, 248))
    for x in s.others:
        _fir(s, x, h + 10, 30, 46, (44, 112, 104), True)
    x = s.main  # a cabin under snow
    _house(s, x, h + 9, 38, 27, "accent", (250, 252, 255))


def _kitchen(s: Stage) -> None:
    h = s.horizon
    s.room((250, 236, 200), (196, 150, 112), (250, 246, 236))
    for x in s.others:
        s.window(x, h - 34, 24, 22, (250, 250, 246))
        s.rect(x - 16, h - 16, x + 16, h + 6, (240, 240, 236))
        s.rect(x - 18, h - 19, x + 18, h - 15, (98, 82, 80))
        s.rect(x - 10, h - 10, x + 10, h + 2, (70, 72, 84), radius=2)
    x = s.main  # a tall fridge
    s.rect(x - 15, h - 46, x + 15, h + 8, "accent", radius=4)
    s.rect(x - 15, h - 28, x + 15, h - 26, "accent2", flat=True)
    s.rect(x + 8, h - 23, x + 11, h - 10, (244, 244, 240), flat=True)
    s.rect(x + 8, h - 40, x + 11, h - 31, (244, 244, 240), flat=True)
    s.lamp(28 if x == 48 else 54 if x < 48 else 42, 5)


def _bedroom(s: Stage) -> None:
    h = s.horizon
    s.room((206, 196, 226), (206, 160, 116), (248, 244, 240))
    for x in s.others:
        s.window(x, h - 30, 26, 30, (250, 248, 244))
        s.rect(x - 20, h - 48, x - 10, h - 12, "accent2")
        s.rect(x + 10, h - 48, x + 20, h - 12, "accent2")
    x = s.main
    s.rect(x - 23, h - 24, x + 23, h + 4, (134, 88, 58), radius=6)
    s.rect(x - 17, h - 14, x - 1, h + 2, (252, 250, 246), radius=4)
    s.rect(x + 1, h - 14, x + 17, h + 2, (252, 250, 246), radius=4)
    s.rect(x - 23, h - 3, x + 23, h + 15, "accent", radius=4)
    s.rect(x - 23, h - 3, x + 23, h + 2, (252, 250, 246), radius=2)


def _office(s: Stage) -> None:
    h = s.horizon
    s.room((206, 218, 222), (126, 138, 150), (236, 240, 242))
    for x in s.others:  # tall cabinets
        s.rect(x - 13, h - 46, x + 13, h + 5, "accent")
        for v in (-30, -13):
            s.rect(x - 13, h + v, x + 13, h + v + 2, "accent2", flat=True)
        for v in (-40, -24, -7):
            s.rect(x - 5, h + v, x + 5, h + v + 3, (244, 244, 240), flat=True)
    x = s.main  # a desk with a screen, a window above
    s.window(x, h - 37, 34, 16, (246, 248, 250))
    s.rect(x - 2, h - 10, x + 2, h - 2, (60, 62, 70))
    s.rect(x - 14, h - 27, x + 14, h - 8, (52, 54, 62), radius=2)
    s.rect(x - 11, h - 24, x + 11, h - 11, (130, 214, 240), True, flat=True)
    for u in (-20, 17):
        s.rect(x + u, h, x + u + 5, h + 14, (142, 98, 62))
    s.rect(x - 24, h - 4, x + 24, h + 2, (186, 134, 86))


def _garage(s: Stage) -> None:
    h = s.horizon
    s.room((176, 170, 164), (142, 142, 148), (112, 110, 114))
    for x in s.others:  # a rack of tyres
        for v in (-36, -12):
            s.rect(x - 15, h + v + 9, x + 15, h + v + 12, (228, 152, 48))
            s.oval(x, h + v, 11, 11, (46, 46, 52))
            s.oval(x, h + v, 5, 5, (190, 194, 200), flat=True)
    x = s.main  # the door
    s.rect(x - 25, h - 46, x + 25, h + 3, (236, 234, 228))
    s.rect(x - 21, h - 42, x + 21, h + 3, "accent")
    for v in (-32, -21, -10):
        s.rect(x - 21, h + v, x + 21, h + v + 2, "accent2", flat=True)
    for u in (-17, -4, 9):
        s.rect(x + u, h - 40, x + u + 8, h - 34, s.pane_sky, True, flat=True)


def _library(s: Stage) -> None:
    h = s.horizon
    s.room((122, 78, 56), (178, 58, 62), (86, 54, 40))
    for x in s.others:  # tall arched windows
        for grow, color, lit in ((4, (226, 190, 130), False), (0, s.pane_sky, True)):
            s.oval(x, h - 34, 10 + grow, 10 + grow, color, lit, start=180, stop=360, flat=True)
            s.rect(x - 10 - grow, h - 35, x + 10 + grow, h - 8 + grow, color, lit, flat=True)
        s.orb(x, h - 32 + 0.3 * s.light.orb_y, 5, s.pane_sky)
    x = s.main
    s.rect(x - 26, h - 47, x + 26, h + 6, (196, 140, 84))
    books: tuple[tuple[float, Color | str], ...] = (
        (8, "accent"), (6, (244, 236, 214)), (9, "accent"),
        (7, "accent2"), (9, "accent"), (6, (72, 60, 66)),
    )  # fmt: skip
    for row, v in enumerate((-44, -27, -10)):
        s.rect(x - 23, h + v, x + 23, h + v + 14, (90, 58, 44), flat=True)
        u = x - 22.5
        for w, cover in books[row:] + books[:row]:
            s.rect(u, h + v + 2, u + w - 0.7, h + v + 14, cover, flat=True)
            u += w


def _stage(s: Stage) -> None:
    h = s.horizon
    s.band(0, h, (52, 40, 66))
    s.rect(-4, 14, 100, h, s.pane_sky, True)  # the painted sky of the play
    x = min(max(s.main, 34), 62)  # a great painted sun or moon
    s.oval(x, h - 20, 21, 21, s.light.orb, True)
    if s.night:
        s.oval(x + 9, h - 24, 16, 16, s.pane_sky, True, flat=True)
    s.band(h, SIZE, (206, 142, 80), (176, 112, 60))
    for u in (min(max(x, 21), 75) for x in s.others):  # loudspeakers
        s.rect(u - 11, h - 28, u + 11, h + 6, (58, 56, 66), radius=2)
        s.oval(u, h - 20, 5, 5, (196, 196, 204))
        s.oval(u, h - 5, 8, 8, (196, 196, 204))
    for a, b in ((-4, 12), (84, 100)):
        s.rect(a, 0, b, h + 8, "accent")
        s.rect((a + b) / 2 - 2, 14, (a + b) / 2 + 1, h + 6, "accent2", flat=True)
    for i in range(6):
        s.oval(8 + 16 * i, 10, 9, 9, "accent")
    s.rect(-4, -4, 100, 11, "accent2")


DRAW: dict[str, Callable[[Stage], None]] = {
    "beach": _beach, "street": _street, "forest": _forest, "mountains": _mountains,
    "desert": _desert, "garden": _garden, "harbor": _harbor, "snowfield": _snowfield,
    "kitchen": _kitchen, "bedroom": _bedroom, "office": _office, "garage": _garage,
    "library": _library, "stage": _stage,
}  # fmt: skip
