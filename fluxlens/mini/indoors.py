"""The six settings under a roof, from the kitchen to the theatre's stage.

>>> from fluxlens.mini.canvas import Canvas
>>> INDOORS["kitchen"](Stage(Canvas("photo"), "morning", palette=0, layout=2))
"""

from collections.abc import Callable

from fluxlens.mini.canvas import SIZE, Color
from fluxlens.mini.settings import Stage

__all__ = ["INDOORS"]


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


INDOORS: dict[str, Callable[[Stage], None]] = {
    "kitchen": _kitchen, "bedroom": _bedroom, "office": _office, "garage": _garage,
    "library": _library, "stage": _stage,
}  # fmt: skip
