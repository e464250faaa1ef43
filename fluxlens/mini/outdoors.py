"""The eight settings under the sky, from the beach to the snowfield.

>>> from fluxlens.mini.canvas import Canvas
>>> OUTDOORS["beach"](Stage(Canvas("photo"), "dusk", palette=3, layout=0))
"""

import math
from collections.abc import Callable
from itertools import product

from fluxlens.mini.canvas import SIZE, Color
from fluxlens.mini.settings import Stage

__all__ = ["OUTDOORS"]


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


OUTDOORS: dict[str, Callable[[Stage], None]] = {
    "beach": _beach, "street": _street, "forest": _forest, "mountains": _mountains,
    "desert": _desert, "garden": _garden, "harbor": _harbor, "snowfield": _snowfield,
}  # fmt: skip
