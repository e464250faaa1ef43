"""The nine of the style family's subjects that are animals.

>>> from fluxlens.mini.canvas import Canvas
>>> ANIMALS["fox"](Pen(Canvas("illustrated"), x=48, base=90, height=62))

They share the proportions of the :mod:`~fluxlens.mini.humans`: big heads over small bodies in a box
62 units high, of few and large parts.
"""

from collections.abc import Callable

from fluxlens.mini.canvas import INK, Color
from fluxlens.mini.pen import BLUSH, RED, WHITE, Pen

__all__ = ["ANIMALS"]


def _sitting(
    pen: Pen, fur: Color, belly: Color, paws: Color | None = None, half: float = 14
) -> None:
    """An animal's body, upright, forepaws on the belly."""
    paws = fur if paws is None else paws
    pen.ground(half + 4)
    pen.oval(0, 17, half, 16.5, fur)
    pen.oval(0, 15, half * 0.62, 12, belly, outline=0)
    for s in (-1, 1):
        pen.oval(s * (half - 4.5), 3.6, 6, 3.6, paws)
        pen.oval(s * (half - 4), 22, 3.6, 6, paws, angle=-s * 20)


def _capybara(pen: Pen) -> None:
    fur, muzzle = (156, 104, 62), (124, 80, 50)
    _sitting(pen, fur, (186, 136, 90), muzzle, 16)
    for s in (-1, 1):
        pen.oval(s * 12, 55, 3.6, 3.6, muzzle)
    pen.box(-15, 29, 15, 56, fur, radius=10)
    pen.box(-10, 28, 10, 43, muzzle, radius=7)
    pen.dots(4, 39, 1.7, INK, 1.3)
    pen.eyes(10, 47, 2.1, 1)
    pen.stroke([(0, 36), (0, 32.5)])
    pen.smile(31, 4, INK)
    pen.oval(0, 59, 5, 4.6, (250, 150, 30))
    pen.shape([(0, 63), (5, 65), (4, 61.5)], (70, 150, 60), flat=True)


def _dog(pen: Pen) -> None:
    cream, brown = (244, 230, 206), (120, 72, 42)
    pen.limb([(12, 6), (19, 11), (20, 18)], cream, 5)
    _sitting(pen, cream, WHITE)
    pen.oval(0, 43, 15.5, 14.5, cream)
    pen.oval(7, 47, 6, 7.5, brown, outline=0)
    for s in (-1, 1):
        pen.oval(s * 16, 42, 5, 12, brown, angle=-s * 12)
    pen.oval(0, 37, 8, 6, WHITE)
    pen.oval(0, 40.5, 3.4, 2.5, INK, flat=True)
    pen.oval(0, 32.5, 2.8, 4, (240, 110, 120), flat=True)
    pen.eyes(6.5, 46.5)
    pen.box(-9, 26.5, 9, 30, RED, radius=1.5)
    pen.oval(0, 25, 2.8, 2.8, (250, 210, 60))


def _elephant(pen: Pen) -> None:
    gray, inner = (134, 150, 176), (232, 170, 180)
    _sitting(pen, gray, (164, 178, 200), half=16)
    for s in (-1, 1):
        pen.oval(s * 18, 46, 10.5, 13, gray)
        pen.oval(s * 18.5, 45.5, 6.5, 9, inner, outline=0)
    pen.oval(0, 45, 14, 14, gray)
    for s in (-1, 1):
        pen.shape([(s * 5, 37), (s * 10, 37), (s * 11, 27)], WHITE)
    pen.limb([(0, 42), (0, 31), (1, 22), (7, 19)], gray, 7)
    pen.eyes(7, 47)
    pen.dots(9.5, 41, 2, BLUSH)


def _fox(pen: Pen) -> None:
    red, dark = (222, 88, 28), (64, 40, 40)
    pen.oval(17, 18, 7, 15, red, angle=-20)
    pen.oval(20.5, 28, 5, 6, WHITE, angle=-20)
    _sitting(pen, red, WHITE, dark, 13)
    pen.shapes([(4, 52), (15, 64), (17, 45)], red)
    pen.shapes([(10.5, 57), (14.7, 63), (15.4, 54)], dark, flat=True)
    pen.shape([(-18, 41), (-13, 53), (0, 57), (13, 53), (18, 41), (8, 33), (0, 28), (-8, 33)], red)
    pen.shapes([(1, 29.5), (17, 41), (9, 43.5), (3, 37)], WHITE, flat=True)
    pen.oval(0, 31.5, 3, 2.4, INK, flat=True)
    pen.eyes(6.5, 46)


def _frog(pen: Pen) -> None:
    green, pale = (92, 182, 60), (226, 240, 160)
    pen.ground(22)
    for s in (-1, 1):
        pen.oval(s * 15, 10, 7.5, 10, green, angle=s * 15)
        pen.oval(s * 17, 3, 7, 3.2, (70, 150, 50))
    pen.oval(0, 17, 14, 15, green)
    pen.oval(0, 15, 9, 11, pale, outline=0)
    for s in (-1, 1):
        pen.oval(s * 10, 54, 7, 7.5, green)
    pen.oval(0, 42, 19, 13, green)
    for s in (-1, 1):
        pen.oval(s * 10, 55, 4.8, 5.2, WHITE, flat=True)
        pen.oval(s * 10, 54.5, 2.6, 3.4, INK, flat=True)
    pen.stroke([(-14, 41), (-7, 36), (0, 35), (7, 36), (14, 41)], (40, 90, 30), 2.2)
    pen.dots(14, 44, 2.4, (244, 160, 120))


def _mouse(pen: Pen) -> None:
    gray, pink = (190, 186, 190), (246, 164, 176)
    pen.limb([(11, 5), (20, 4), (23, 12), (20, 19)], pink, 2.6)
    _sitting(pen, gray, (236, 232, 230), pink, 13)
    for s in (-1, 1):
        pen.oval(s * 14, 54, 9.5, 9.5, gray)
        pen.oval(s * 14, 54, 6, 6, pink, outline=0)
    pen.shape([(-14, 48), (-9, 54), (0, 57), (9, 54), (14, 48), (13, 40), (5, 32), (0, 30),
               (-5, 32), (-13, 40)], gray)  # fmt: skip
    pen.eyes(6, 45, 2.8, 1.1)
    pen.oval(0, 32.5, 3.2, 2.6, (230, 90, 120), flat=True)
    pen.stroke([(-14, 38), (-6, 36.5)], (90, 84, 92), 1.5)
    pen.stroke([(6, 36.5), (14, 38)], (90, 84, 92), 1.5)


def _orange_cat(pen: Pen) -> None:
    fur, stripe = (250, 166, 52), (206, 104, 20)
    pen.limb([(10, 6), (20, 8), (22, 20), (18, 28)], fur, 5.5)
    _sitting(pen, fur, (255, 226, 170), half=13.5)
    pen.shapes([(5, 53), (14.5, 63), (16.5, 46)], fur)
    pen.shapes([(9, 54), (13.5, 59), (14.5, 51)], (246, 164, 160), flat=True)
    pen.oval(0, 43, 17, 14, fur)
    for x in (-5, 0, 5):
        pen.stroke([(x, 57 - abs(x) / 5), (x * 0.8, 50.5)], stripe, 2.4)
    for s in (-1, 1):
        pen.stroke([(s * 16, 43), (s * 11, 42)], stripe, 2.2)
        pen.stroke([(s * 15, 38), (s * 11, 38)], stripe, 2.2)
        pen.dot(s * 6.5, 45, 3.6, (120, 210, 80), 4)
        pen.dot(s * 6.5, 45, 1.5, INK, 3.6)
    pen.oval(0, 36, 6.5, 4.5, WHITE, outline=0)
    pen.dot(0, 38.5, 2.2, (224, 90, 100), 1.6)
    pen.smile(34, 3.6, INK)


def _pig(pen: Pen) -> None:
    pink, deep = (250, 172, 184), (230, 122, 144)
    _sitting(pen, pink, (255, 200, 206), deep, 16)
    pen.shapes([(4, 53), (17, 61), (17, 45)], deep)
    pen.oval(0, 43, 17, 14.5, pink)
    pen.oval(0, 39, 7.5, 5.8, deep)
    pen.dots(2.8, 39, 1.6, (140, 50, 70), 2.4)
    pen.eyes(8.5, 47)
    pen.smile(31, 3.5)


def _sparrow(pen: Pen) -> None:
    brown, chest, dark = (146, 92, 54), (238, 220, 190), (84, 52, 36)
    pen.ground(14)
    pen.shape([(12, 16), (26, 4), (22, 20)], dark)
    for s in (-1, 1):
        pen.limb([(s * 5, 8), (s * 5, 1.5)], (226, 140, 50), 2.4)
        pen.stroke([(s * 5 - 4, 1), (s * 5 + 4, 1)], (226, 140, 50), 2.4)
    pen.oval(0, 25, 18, 19, chest)
    for s in (-1, 1):
        pen.oval(s * 16, 25, 6, 14, brown, angle=s * 14)
    pen.oval(0, 46, 14.5, 13, chest)
    pen.oval(0, 49.5, 14.6, 10.5, brown, start=180, stop=360)
    pen.oval(0, 36, 6, 5, INK, outline=0)
    pen.eyes(8, 45.5, 2.4, 1.1)
    pen.shape([(-4.5, 46), (4.5, 46), (0, 37)], (244, 170, 60))


ANIMALS: dict[str, Callable[[Pen], None]] = {
    "capybara": _capybara,
    "dog": _dog,
    "elephant": _elephant,
    "fox": _fox,
    "frog": _frog,
    "mouse": _mouse,
    "orange_cat": _orange_cat,
    "pig": _pig,
    "sparrow": _sparrow,
}
