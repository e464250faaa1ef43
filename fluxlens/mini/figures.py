"""The 18 characters of the style family, as shapes on a Canvas.

>>> board = Canvas("illustrated")
>>> FIGURES["fox"](Pen(board, x=48, base=90, height=62))

All are built alike: a big head over a small body, facing the viewer, in a box 62 units high whose
origin is the ground between the feet. Few, large parts, so that each survives 16-pixel tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any

from fluxlens.mini.canvas import INK, Canvas, Color, Point

__all__ = ["FIGURES", "Pen"]

WHITE: Color = (250, 248, 244)
BLUSH: Color = (240, 140, 130)
PEACH: Color = (250, 212, 180)
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


def _legs(pen: Pen, fill: Color, shoes: Color, top: float = 15, apart: float = 5) -> None:
    pen.ground()
    pen.limbs([(apart, top), (apart, 5)], fill, 6)
    for x in (-apart, apart):
        pen.oval(x * 1.12, 3, 5, 3, shoes)


def _trunk(pen: Pen, fill: Color, arms: Color, hands: Color, half: float = 9.5) -> None:
    """A torso with sleeves; the hands hang at the sides."""
    pen.limbs([(half, 29), (half + 5.5, 19)], arms, 6)
    for x in (-half - 6, half + 6):
        pen.oval(x, 17, 3, 3, hands)
    pen.box(-half, 13, half, 33, fill, radius=4)


def _dress(pen: Pen, fill: Color, hands: Color, hem: float = 10) -> None:
    pen.limbs([(7, 29), (14.5, 20)], fill, 5.5)
    for x in (-15.5, 15.5):
        pen.oval(x, 18, 2.8, 2.8, hands)
    pen.shape([(-6, 33), (6, 33), (9, 25), (16, hem), (-16, hem), (-9, 25)], fill)


def _head(pen: Pen, skin: Color, rx: float = 14, ry: float = 13.5, y: float = 44) -> None:
    for x in (-rx, rx):
        pen.oval(x, y - 1, 2.6, 3.2, skin)
    pen.oval(0, y, rx, ry, skin)


def _alice(pen: Pen) -> None:
    gold, blue = (246, 206, 80), (74, 140, 222)
    pen.shape([(-16, 50), (16, 50), (20, 22), (11, 20), (-11, 20), (-20, 22)], gold)
    _legs(pen, WHITE, (40, 40, 50))
    _dress(pen, blue, PEACH)
    pen.shape([(-5, 30), (5, 30), (9, 13), (-9, 13)], WHITE)
    _head(pen, PEACH)
    pen.oval(0, 47, 15.5, 15, gold, start=180, stop=360)
    pen.shapes([(0, 61), (-14.5, 48), (-12, 42), (-4, 52)], gold, outline=0)
    pen.stroke([(-12.5, 54), (0, 59.5), (12.5, 54)], (30, 40, 70), 3)
    pen.shapes([(0, 59), (7, 63), (7, 55)], (30, 40, 70), flat=True)
    pen.eyes(5.5, 42)
    pen.dots(9, 37, 2, BLUSH)
    pen.smile(35)


def _anime_girl(pen: Pen) -> None:
    pink, navy = (245, 120, 175), (44, 54, 110)
    for s in (-1, 1):
        pen.oval(s * 18, 34, 5.5, 17, pink, angle=s * 10)
    _legs(pen, PEACH, navy)
    pen.limbs([(7, 29), (14, 20)], WHITE, 5.5)
    pen.box(-8, 18, 8, 33, WHITE, radius=2)
    pen.shape([(-8, 20), (8, 20), (13, 11), (-13, 11)], navy)
    pen.shapes([(0, 26), (7, 31), (6, 23)], RED)
    _head(pen, PEACH)
    pen.oval(0, 46, 16, 16, pink, start=180, stop=360)
    pen.shape(
        [(-15, 49), (-14, 39), (-9, 46), (-5, 43), (0, 47), (6, 43), (10, 46), (14, 39), (15, 49)],
        pink,
        outline=0,
    )
    for s in (-1, 1):
        pen.oval(s * 15.5, 53, 3.4, 3.4, RED)
        pen.dot(s * 6, 40, 3.6, WHITE, 5)
        pen.dot(s * 6, 39.6, 3, (80, 50, 170), 4.4)
        pen.dot(s * 6 - 1, 41.6, 1.2, WHITE)
    pen.smile(33.5, 2)


def _bald_man(pen: Pen) -> None:
    skin, green, hair = (240, 190, 150), (70, 130, 80), (90, 60, 44)
    _legs(pen, (110, 84, 62), (60, 44, 36))
    _trunk(pen, green, green, skin, 11)
    pen.shapes([(0, 28), (6, 33), (7, 27)], WHITE)
    _head(pen, skin, 14, 15)
    for s in (-1, 1):
        pen.oval(s * 13.5, 45, 2.4, 4.5, hair)
    pen.dots(5.5, 44, 2.2, INK, 2.6)
    pen.stroke([(-9, 49.5), (-3, 49)], hair, 2.4)
    pen.stroke([(3, 49), (9, 49.5)], hair, 2.4)
    pen.oval(0, 40, 3, 2.6, (228, 160, 124))
    pen.shapes([(0, 38), (8, 34), (8, 32.5), (0, 34)], hair, flat=True)
    pen.dot(-5, 55, 2.2, (255, 226, 200))


def _boy_pixel(pen: Pen) -> None:
    skin, hair, top, jeans = (244, 196, 150), (84, 50, 34), (40, 180, 170), (52, 66, 140)
    pen.ground()
    for s in (-1, 1):
        pen.box(min(s, s * 9), 4, max(s, s * 9), 16, jeans)
        pen.box(min(s, s * 10), 0, max(s, s * 10), 5, (60, 50, 60))
        pen.box(min(s * 9, s * 16), 22, max(s * 9, s * 16), 33, top)
        pen.box(min(s * 9, s * 16), 16, max(s * 9, s * 16), 22, skin)
    pen.box(-10, 15, 10, 33, top)
    pen.box(-5, 21, 5, 28, (250, 220, 70), flat=True)
    pen.box(-15, 33, 15, 58, skin)
    pen.box(-16, 52, 16, 62, hair)
    for s in (-1, 1):
        pen.box(min(s * 11, s * 16), 44, max(s * 11, s * 16), 53, hair, flat=True)
        pen.box(s * 6 - 2.5, 42, s * 6 + 2.5, 48, INK, flat=True)
    pen.box(-5, 36, 5, 39, (180, 70, 60), flat=True)


def _cartoon_boy(pen: Pen) -> None:
    hair, red, yellow = (110, 66, 36), (222, 48, 44), (252, 204, 56)
    _legs(pen, PEACH, WHITE)
    _trunk(pen, yellow, yellow, PEACH)
    pen.box(-9.5, 11, 9.5, 19, (50, 96, 200), radius=2)
    _head(pen, PEACH)
    pen.shapes([(8, 54), (15, 52), (15.5, 44), (12, 47)], hair)
    pen.oval(0, 50, 15.5, 12, red, start=180, stop=360)
    pen.box(-18, 48.5, 12, 52, red, radius=1.8)
    pen.dot(0, 56, 2.6, WHITE)
    pen.eyes(5.5, 43)
    pen.dots(9, 38, 2, BLUSH)
    pen.oval(0, 37, 4.5, 3.6, (150, 40, 46), start=0, stop=180, flat=True)


def _doll(pen: Pen) -> None:
    yarn, cloth, dress = (214, 84, 40), (255, 232, 206), (150, 84, 190)
    for s in (-1, 1):
        for y in (38.0, 31.0, 24.0):
            pen.oval(s * 17, y, 4.2, 4.4, yarn)
        pen.oval(s * 17, 19, 3, 2.4, (250, 220, 70))
    _legs(pen, WHITE, dress)
    _dress(pen, dress, cloth)
    for x, y in ((-8, 15.0), (0, 15), (8, 15), (-4, 22), (4, 22)):
        pen.dot(x, y, 1.9, WHITE)
    _head(pen, cloth)
    for x, y in ((-13, 50), (-8, 56), (0, 58.5), (8, 56), (13, 50)):
        pen.oval(x, y, 5.2, 4.6, yarn)
    for s in (-1, 1):
        pen.dot(s * 5.5, 43, 3, (40, 60, 120))
        pen.dot(s * 5.5, 43, 1, WHITE)
    pen.dots(9, 37, 3, (240, 110, 120))
    pen.dot(0, 40, 1.3, RED)
    pen.smile(35, 4.5)


def _globe_man(pen: Pen) -> None:
    suit, land = (92, 92, 104), (84, 176, 84)
    _legs(pen, suit, (40, 36, 40))
    _trunk(pen, suit, suit, PEACH, 10.5)
    pen.shape([(-5, 33), (5, 33), (0, 22)], WHITE)
    pen.shape([(-2, 32), (2, 32), (2.6, 20), (0, 17), (-2.6, 20)], RED)
    pen.oval(0, 46, 16, 16, (56, 132, 222))
    pen.shape([(-13, 53), (-6, 59), (1, 58), (-1, 53), (-4, 51), (-6, 46), (-11, 48)], land,
              flat=True)  # fmt: skip
    pen.shape([(4, 51), (11, 55), (14.5, 47), (13, 39), (9, 37), (8, 44), (4, 47)], land, flat=True)
    pen.shape([(-12, 40), (-7, 42), (-4, 37), (-7, 33), (-10, 35)], land, flat=True)
    pen.dots(5, 46, 2.9, WHITE, 3.6)
    pen.dots(4.8, 45.4, 1.7, INK, 2.2)
    pen.smile(38, 4.5, WHITE)


def _solarmax(pen: Pen) -> None:
    suit, gold, glass = (244, 126, 28), (255, 216, 70), (60, 190, 226)
    _legs(pen, suit, (110, 40, 30))
    _trunk(pen, suit, suit, (110, 40, 30), 10.5)
    pen.box(-10.5, 13, 10.5, 16.5, (110, 40, 30), flat=True)
    pen.oval(0, 25, 5, 5, gold)
    pen.shapes([(8, 58), (15, 66), (14, 54)], gold)
    pen.oval(0, 46, 16, 15.5, suit)
    pen.shape([(-2.5, 61.5), (2.5, 61.5), (2.5, 50), (-2.5, 50)], gold, flat=True)
    pen.oval(0, 39, 11, 7, PEACH)
    pen.box(-15, 41, 15, 51, glass, radius=4.5)
    pen.shape([(-11, 43), (-7, 49), (-3, 49), (-7, 43)], WHITE, flat=True)
    pen.smile(35.5)


def _woman_runner(pen: Pen) -> None:
    skin, hair, top = (156, 98, 64), (44, 28, 26), (236, 50, 130)
    pen.limb([(12, 54), (20, 48), (19, 32)], hair, 7)
    _legs(pen, (52, 52, 66), (230, 250, 80))
    _trunk(pen, top, skin, skin, 8.5)
    pen.box(-8.5, 12, 8.5, 19, (52, 52, 66), radius=2)
    pen.stroke([(-8, 26), (8, 26)], WHITE, 2.4)
    _head(pen, skin)
    pen.oval(0, 49, 15, 12.5, hair, start=180, stop=360)
    pen.box(-14.5, 47.5, 14.5, 51.5, WHITE, radius=1.5)
    pen.eyes(5.5, 42.5)
    pen.smile(35.5, 3.5, (200, 50, 70))


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
    grey, inner = (134, 150, 176), (232, 170, 180)
    _sitting(pen, grey, (164, 178, 200), half=16)
    for s in (-1, 1):
        pen.oval(s * 18, 46, 10.5, 13, grey)
        pen.oval(s * 18.5, 45.5, 6.5, 9, inner, outline=0)
    pen.oval(0, 45, 14, 14, grey)
    for s in (-1, 1):
        pen.shape([(s * 5, 37), (s * 10, 37), (s * 11, 27)], WHITE)
    pen.limb([(0, 42), (0, 31), (1, 22), (7, 19)], grey, 7)
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
    grey, pink = (190, 186, 190), (246, 164, 176)
    pen.limb([(11, 5), (20, 4), (23, 12), (20, 19)], pink, 2.6)
    _sitting(pen, grey, (236, 232, 230), pink, 13)
    for s in (-1, 1):
        pen.oval(s * 14, 54, 9.5, 9.5, grey)
        pen.oval(s * 14, 54, 6, 6, pink, outline=0)
    pen.shape([(-14, 48), (-9, 54), (0, 57), (9, 54), (14, 48), (13, 40), (5, 32), (0, 30),
               (-5, 32), (-13, 40)], grey)  # fmt: skip
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


FIGURES: dict[str, Callable[[Pen], None]] = {
    "alice_in_wonderland": _alice,
    "anime_girl": _anime_girl,
    "bald_man": _bald_man,
    "boy_pixel": _boy_pixel,
    "capybara": _capybara,
    "cartoon_boy": _cartoon_boy,
    "dog": _dog,
    "doll": _doll,
    "elephant": _elephant,
    "fox": _fox,
    "frog": _frog,
    "globe_man": _globe_man,
    "mouse": _mouse,
    "orange_cat": _orange_cat,
    "pig": _pig,
    "solarmax": _solarmax,
    "sparrow": _sparrow,
    "woman_runner": _woman_runner,
}
