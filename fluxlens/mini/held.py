"""The things that actions are about, each standing beside the subject that uses it.

>>> board = Canvas("photo")
>>> draw_held(board, "ice cream")

Things are 24 units high and as bold as the figures: what a phrase says must be seen at a glance.
"""

from collections.abc import Callable

from fluxlens.mini.canvas import INK, Canvas
from fluxlens.mini.pen import RED, WHITE, Pen

__all__ = ["HELD", "draw_held"]


def _cup(p: Pen) -> None:
    p.oval(9, 12, 6, 6, (70, 150, 210))
    p.oval(9, 12, 2.8, 2.8, WHITE, outline=0)
    p.shape([(-11, 19), (9, 19), (6, 2), (-8, 2)], (70, 150, 210))
    p.oval(-1, 19, 10, 3, (110, 64, 36))


def _book(p: Pen) -> None:
    p.shapes([(0, 3), (12, 5), (12, 23), (0, 20)], (150, 40, 60))
    p.shapes([(0.7, 6), (10, 7.5), (10, 21), (0.7, 18)], WHITE, flat=True)


def _ball(p: Pen) -> None:
    p.oval(0, 11, 11, 11, WHITE)
    p.oval(0, 11, 4, 4, (40, 60, 160), flat=True)
    for x, y in ((0, 20), (-8, 14), (8, 14), (-5, 4), (5, 4)):
        p.dot(x, y, 2, (40, 60, 160))


def _bike(p: Pen) -> None:
    for x in (-8, 8):
        p.oval(x, 7, 7, 7, (50, 50, 60), flat=True)
        p.oval(x, 7, 4.4, 4.4, WHITE, flat=True)
    p.stroke([(-8, 7), (-4, 16), (6, 16), (0, 7), (-8, 7)], RED, 2.6)
    p.stroke([(8, 7), (5, 20), (9, 21)], RED, 2.6)
    p.stroke([(-7, 18), (-1, 18)], INK, 3)


def _mirror(p: Pen) -> None:
    p.box(-1.8, 0, 1.8, 8, (150, 96, 50))
    p.oval(0, 15, 9.5, 10.5, (190, 130, 60))
    p.oval(0, 15, 6.8, 7.8, (200, 230, 240), flat=True)
    p.stroke([(-3, 13), (2, 19)], WHITE, 2.2)


def _cheese(p: Pen) -> None:
    p.shape([(-12, 9), (4, 20), (12, 9)], (255, 226, 120))
    p.box(-12, 1, 12, 10, (250, 196, 50))
    for x, y in ((-6, 5), (3, 4), (8, 7)):
        p.dot(x, y, 2, (206, 140, 24))


def _leaf(p: Pen) -> None:
    p.shape([(-10, 2), (-9, 14), (0, 21), (12, 23), (10, 12), (3, 4)], (76, 170, 60))
    p.stroke([(-10, 2), (8, 19)], (34, 100, 36), 2)


def _flower(p: Pen) -> None:
    p.stroke([(0, 12), (0, 0)], (50, 140, 60), 3)
    p.oval(5, 4, 5, 2.4, (60, 160, 70), angle=30)
    for x, y in ((0, 21), (6.5, 16.5), (4, 9.5), (-4, 9.5), (-6.5, 16.5)):
        p.oval(x, y, 4.4, 4.4, (232, 70, 130))
    p.dot(0, 15, 3.6, (250, 210, 60))


def _ice_cream(p: Pen) -> None:
    p.shape([(-7, 12), (7, 12), (0, 0)], (222, 160, 84))
    p.oval(0, 16, 8.5, 7, (250, 150, 180))
    p.oval(0, 21, 6, 4.6, (255, 240, 220))
    p.oval(0, 25, 2.2, 2.2, RED)


def _apple(p: Pen) -> None:
    for s in (-1, 1):
        p.oval(s * 4, 10, 7.5, 9.5, (216, 40, 44), outline=1.3 if s < 0 else 0)
    p.oval(0, 9.5, 9, 8, (216, 40, 44), outline=0)
    p.stroke([(0, 17), (1, 23)], (100, 60, 40), 2.2)
    p.oval(6, 21, 4.6, 2.2, (80, 170, 60), angle=25)


def _yarn(p: Pen) -> None:
    p.stroke([(6, 2), (12, 1), (14, 4)], (120, 60, 170), 2.2)
    p.oval(0, 11, 11, 11, (160, 90, 210))
    for d in (-5, 0, 5):
        p.stroke([(-7 + d, 8 + d * 0.3), (0 + d * 0.6, 14), (6 + d * 0.3, 15 + d * 0.4)],
                 (215, 170, 245), 1.8)  # fmt: skip


def _pond(p: Pen) -> None:
    p.oval(0, 6, 14, 7, (60, 140, 220))
    p.stroke([(-7, 7), (0, 8), (4, 7)], WHITE, 1.8)
    p.stroke([(0, 4), (6, 4)], WHITE, 1.8)


def _log(p: Pen) -> None:
    p.box(-12, 1, 8, 14, (120, 76, 46), radius=3)
    p.oval(8, 7.5, 5, 6.8, (224, 180, 120))
    p.oval(8, 7.5, 2, 3, (160, 110, 66), flat=True)
    p.stroke([(-9, 5), (0, 5)], (84, 52, 34), 1.8)
    p.stroke([(-7, 10), (1, 10)], (84, 52, 34), 1.8)


def _grill(p: Pen) -> None:
    p.stroke([(-4, 10), (-8, 0)], INK, 2.4)
    p.stroke([(4, 10), (8, 0)], INK, 2.4)
    p.oval(0, 15, 11, 9, (60, 60, 70), start=0, stop=180)
    for x in (-6, 0, 6):
        p.shape([(x - 3, 16), (x, 23), (x + 3, 16)], (250, 140, 30), flat=True)
    p.box(-12, 14, 12, 17, (190, 60, 50), radius=1)


def _skateboard(p: Pen) -> None:
    for x in (-7, 7):
        p.oval(x, 3.4, 3.4, 3.4, (250, 210, 60))
    p.shape([(-14, 12), (-10, 6), (10, 6), (14, 12), (11, 12.5), (8, 10), (-8, 10), (-11, 12.5)],
            (220, 60, 140))  # fmt: skip


def _bag(p: Pen) -> None:
    p.stroke([(-5, 16), (-4, 23), (4, 23), (5, 16)], (110, 60, 30), 2.4)
    p.shape([(-9, 17), (9, 17), (11, 0), (-11, 0)], (214, 150, 80))
    p.box(-5, 5, 5, 11, (90, 50, 40), flat=True)


def _fence(p: Pen) -> None:
    for y in (6, 14):
        p.box(-13, y, 13, y + 3.5, (232, 224, 210))
    for x in (-9, 0, 9):
        p.shape([(x - 3, 0), (x - 3, 19), (x, 23), (x + 3, 19), (x + 3, 0)], WHITE)


def _tablet(p: Pen) -> None:
    p.box(-12, 2, 12, 21, (50, 50, 60), radius=2.5)
    p.box(-9.5, 5, 9.5, 18.5, (90, 220, 190), flat=True)
    p.box(-5, 9, 1, 14.5, WHITE, flat=True)


def _bowl(p: Pen) -> None:
    p.oval(0, 13, 13, 13, (230, 120, 40), start=0, stop=180)
    p.oval(0, 13.5, 12.5, 3.6, (255, 244, 220))


def _rabbit(p: Pen) -> None:
    for s in (-1, 1):
        p.oval(s * 3.6, 20, 2.6, 6.5, WHITE)
    p.oval(0, 6, 8.5, 6.5, WHITE)
    p.oval(0, 12, 7, 6, WHITE)
    p.dots(3, 13, 1.3, INK)
    p.dot(0, 10.4, 1.4, (240, 120, 140))


HELD: dict[str, Callable[[Pen], None]] = {
    "cup": _cup, "book": _book, "ball": _ball, "bike": _bike, "mirror": _mirror,
    "cheese": _cheese, "leaf": _leaf, "flower": _flower, "ice cream": _ice_cream, "apple": _apple,
    "yarn": _yarn, "pond": _pond, "log": _log, "grill": _grill, "skateboard": _skateboard,
    "bag": _bag, "fence": _fence, "tablet": _tablet, "bowl": _bowl, "rabbit": _rabbit,
}  # fmt: skip


def draw_held(
    canvas: Canvas, prop: str, x: float = 80, base: float = 92, height: float = 24
) -> None:
    """Draw the thing an action is about, standing at (x, base) beside the figure."""
    if prop not in HELD:
        raise ValueError(f"unknown thing {prop!r}; one of {', '.join(HELD)}")
    pen = Pen(canvas, x, base, height, units=24)
    pen.ground(12)
    HELD[prop](pen)
