"""The nine of the style family's subjects that stand on two legs and wear clothes.

>>> from fluxlens.mini.canvas import Canvas
>>> HUMANS["globe_man"](Pen(Canvas("illustrated"), x=48, base=90, height=62))

All are built alike: a big head over a small body, facing the viewer, in a box 62 units high whose
origin is the ground between the feet. Few, large parts, so that each survives 16-pixel tokens.
"""

from collections.abc import Callable

from fluxlens.mini.canvas import INK, Color
from fluxlens.mini.pen import BLUSH, RED, WHITE, Pen

__all__ = ["HUMANS"]

PEACH: Color = (250, 212, 180)


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


HUMANS: dict[str, Callable[[Pen], None]] = {
    "alice_in_wonderland": _alice,
    "anime_girl": _anime_girl,
    "bald_man": _bald_man,
    "boy_pixel": _boy_pixel,
    "cartoon_boy": _cartoon_boy,
    "doll": _doll,
    "globe_man": _globe_man,
    "solarmax": _solarmax,
    "woman_runner": _woman_runner,
}
