"""The things of mini's world: eight objects in any color, and sixteen props in their own.

>>> board = Canvas("photo"); draw_object(board, "couch", 48, 86, 54, (200, 30, 40))
>>> draw_prop(board, "pumpkin", 20, 90, 34)

Every thing is a short table of shapes, in hundredths of its size: u to the right of its middle,
v up from the ground. The tables keep to few, large shapes, because a model that paints in tokens
of 16 by 16 pixels must be able to learn them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fluxlens.mini.canvas import Canvas, Color, mix

__all__ = ["COLOR_OBJECTS", "PROPS", "draw_object", "draw_prop"]

# A shape is (kind, fill, *numbers). A fill is a color or, for colored objects, one of
# "c" (the color itself), "d" (darker, for parts that lie in shade) and "l" (lighter, for seams).
Shape = tuple[Any, ...]

WHITE: Color = (248, 246, 240)
DARK: Color = (52, 50, 58)
PALE: Color = (214, 230, 240)
GOLD: Color = (246, 196, 52)
RED: Color = (214, 40, 44)
GREEN: Color = (56, 142, 62)
WOOD: Color = (150, 96, 52)


def _mirror(right: Sequence[tuple[float, float]]) -> list[float]:
    """A closed outline from its right half, bottom to top."""
    return [n for u, v in right for n in (u, v)] + [n for u, v in reversed(right) for n in (-u, v)]


def _ring(u: float, v: float, r: float, n: int, turn: float = 0) -> list[float]:
    """The corners of a regular polygon."""
    angles = [math.radians(turn + 360 * i / n) for i in range(n)]
    return [w for a in angles for w in (u + r * math.cos(a), v + r * math.sin(a))]


def _draw(
    canvas: Canvas, shapes: Sequence[Shape], x: float, base: float, size: float, color: Color | None
) -> None:
    """Draw a table of shapes, ``size`` pixels to the hundred, standing at (x, base)."""
    s = size / 100
    fills = {}
    if color is not None:
        fills = {"c": color, "d": mix(color, (0, 0, 0), 0.25), "l": mix(color, WHITE, 0.35)}
    for kind, fill, *n in shapes:
        paint: Color = fills[fill] if isinstance(fill, str) else fill
        if kind in ("rect", "bar"):  # u0, v0, u1, v1, radius; a bar is flat
            u0, v0, u1, v1 = n[:4]
            radius = n[4] * s if len(n) > 4 else 0
            canvas.rect(
                x + u0 * s, base - v1 * s, x + u1 * s, base - v0 * s, paint,
                radius=radius, flat=kind == "bar",
            )  # fmt: skip
        elif kind in ("ell", "dot"):  # u, v, ru, rv, angle, start, stop; a dot is flat
            u, v, ru, rv = n[:4]
            angle, start, stop = (list(n[4:]) + [0, 0, 360][len(n) - 4 :])[:3]
            canvas.ellipse(
                x + u * s, base - v * s, ru * s, rv * s, paint,
                angle=angle, start=start, stop=stop, flat=kind == "dot",
            )  # fmt: skip
        else:  # "poly", "face" (flat): u, v, ...; "line", "limb": width, u, v, ...
            width, flat_points = (n[0] * s, n[1:]) if kind in ("line", "limb") else (0, n)
            points = [
                (x + u * s, base - v * s)
                for u, v in zip(flat_points[::2], flat_points[1::2], strict=True)
            ]
            if kind == "line":
                canvas.line(points, paint, width)
            elif kind == "limb":
                canvas.limb(points, paint, width)
            else:
                canvas.polygon(points, paint, flat=kind == "face")


# Half-width of the shadow, and the shapes.
_OBJECTS: dict[str, tuple[float, list[Shape]]] = {
    "couch": (76, [
        ("bar", DARK, -66, 0, -54, 14), ("bar", DARK, 54, 0, 66, 14),
        ("rect", "c", -62, 24, 62, 84, 14),
        ("rect", "c", -54, 10, 54, 34, 4),
        ("rect", "c", -52, 32, 0, 50, 7), ("rect", "c", 0, 32, 52, 50, 7),
        ("rect", "c", -78, 9, -50, 60, 12), ("rect", "c", 50, 9, 78, 60, 12),
    ]),
    "chair": (40, [
        ("rect", "d", -25, 10, -15, 44), ("rect", "d", 15, 10, 25, 44),
        ("rect", "c", -34, 40, -24, 98, 3), ("rect", "c", 24, 40, 34, 98, 3),
        ("rect", "c", -34, 80, 34, 102, 7), ("rect", "c", -28, 58, 28, 71, 3),
        ("rect", "c", -42, 0, -30, 42), ("rect", "c", 30, 0, 42, 42),
        ("rect", "c", -44, 36, 44, 52, 6),
    ]),
    "car": (80, [
        ("poly", "c", -50, 42, -34, 80, 24, 80, 50, 42),
        ("face", PALE, -38, 52, -29, 73, -8, 73, -8, 52),
        ("face", PALE, 2, 52, 2, 73, 19, 73, 33, 52),
        ("poly", "c", -80, 14, -80, 44, -72, 52, 58, 52, 76, 45, 80, 34, 80, 14),
        ("bar", GOLD, 70, 28, 80, 38, 3), ("bar", "d", -74, 22, 74, 26),
        ("ell", DARK, -44, 15, 15, 15), ("ell", DARK, 44, 15, 15, 15),
        ("dot", PALE, -44, 15, 6, 6), ("dot", PALE, 44, 15, 6, 6),
    ]),
    "ball": (44, [
        ("ell", "c", 0, 49, 49, 49),
        ("line", WHITE, 5, -44, 65, -24, 58, 0, 55, 24, 58, 44, 65),
        ("line", WHITE, 5, 10, 97, -6, 78, -10, 49, -6, 20, 10, 2),
    ]),
    "vase": (30, [
        ("poly", "c", *_mirror([(20, 0), (33, 14), (41, 32), (40, 48), (31, 62), (18, 74), (15, 84),
                                (19, 92), (28, 100)])),
        ("ell", "d", 0, 100, 28, 6),
        ("line", WHITE, 5, -40, 42, -20, 37, 0, 35, 20, 37, 40, 42),
    ]),
    "pillow": (72, [
        ("poly", "c", -74, 6, -60, 3, -34, 4, 0, 5, 34, 4, 60, 3, 74, 6, 71, 20, 69, 44, 71, 68,
         76, 84, 60, 86, 34, 83, 0, 82, -34, 83, -60, 86, -76, 84, -71, 68, -69, 44, -71, 20),
        ("line", "d", 4, -20, 60, -3, 44, -22, 30), ("line", "d", 4, 20, 60, 3, 44, 22, 30),
        ("dot", WHITE, 0, 44, 7, 7),
    ]),
    "mug": (46, [
        ("limb", "c", 12, 30, 66, 50, 68, 60, 56, 60, 38, 50, 24, 30, 22),
        ("rect", "c", -44, 0, 34, 88, 9),
        ("ell", "c", -5, 88, 39, 10), ("dot", DARK, -5, 88, 32, 6),
    ]),
    "hat": (78, [
        ("ell", "c", 0, 14, 80, 14),
        ("poly", "c", -45, 16, -41, 50, -34, 76, -24, 83, -10, 80, 0, 73, 10, 80, 24, 83, 34, 76,
         41, 50, 45, 16, 20, 9, -20, 9),
        ("face", DARK, -45, 18, -43, 34, -20, 27, 20, 27, 43, 34, 45, 18, 20, 11, -20, 11),
    ]),
}  # fmt: skip

_BROWN: Color = (176, 116, 62)
_TAN: Color = (236, 200, 150)
_ORANGE: Color = (244, 124, 28)
_LEAF: Color = (64, 150, 60)

_PROPS: dict[str, tuple[float, list[Shape]]] = {
    "traffic cone": (40, [
        ("rect", (226, 88, 20), -40, 0, 40, 12, 3),
        ("poly", (250, 106, 24), -32, 11, -8, 100, 8, 100, 32, 11),
        ("face", WHITE, -25, 34, -19, 56, 19, 56, 25, 34),
        ("face", WHITE, -14, 74, -10, 89, 10, 89, 14, 74),
    ]),
    "umbrella": (16, [
        ("line", DARK, 7, 0, 96, 0, 10, 5, 2, 13, 2, 17, 9),
        ("ell", (126, 62, 176), 0, 52, 52, 46, 0, 180, 360),
        ("ell", GOLD, 0, 52, 20, 46, 0, 180, 360),
    ]),
    "balloon": (14, [
        ("line", DARK, 4, 0, 34, 4, 24, -3, 14, 0, 4),
        ("bar", DARK, -9, 0, 9, 9, 2),
        ("poly", (236, 62, 140), -9, 29, 9, 29, 0, 40),
        ("ell", (240, 66, 146), 0, 68, 33, 34),
        ("dot", (255, 190, 218), -11, 80, 6, 9, 25),
    ]),
    "suitcase": (46, [
        ("limb", DARK, 7, -15, 72, -15, 88, 15, 88, 15, 72),
        ("bar", DARK, -36, 0, -24, 8), ("bar", DARK, 24, 0, 36, 8),
        ("rect", (24, 150, 158), -48, 5, 48, 76, 9),
        ("bar", (250, 222, 150), -32, 6, -21, 75), ("bar", (250, 222, 150), 21, 6, 32, 75),
    ]),
    "barrel": (34, [
        ("poly", WOOD, *_mirror([(29, 0), (37, 20), (40, 45), (37, 70), (29, 90)])),
        ("face", DARK, -36, 16, -38, 28, 38, 28, 36, 16),
        ("face", DARK, -38, 62, -36, 74, 36, 74, 38, 62),
        ("ell", (196, 138, 82), 0, 90, 29, 8),
    ]),
    "mailbox": (18, [
        ("rect", WOOD, -8, 0, 8, 50),
        ("poly", (36, 92, 200), -42, 42, -42, 78, -36, 90, -24, 95, 24, 95, 36, 90, 42, 78, 42, 42),
        ("bar", WHITE, -32, 62, 2, 71, 2),
        ("bar", RED, 20, 60, 27, 92), ("bar", RED, 20, 80, 38, 92),
    ]),
    "gift box": (42, [
        ("ell", (230, 40, 60), -16, 86, 18, 11, 25), ("ell", (230, 40, 60), 16, 86, 18, 11, -25),
        ("rect", GOLD, -38, 0, 38, 58),
        ("rect", (255, 214, 84), -44, 54, 44, 77, 2),
        ("bar", (220, 34, 54), -9, 1, 9, 76),
    ]),
    "tent": (52, [
        ("poly", (58, 150, 70), -52, 0, 0, 86, 52, 0),
        ("poly", (30, 60, 42), -22, 0, 0, 62, 22, 0),
        ("poly", (150, 206, 110), 0, 62, 22, 0, 34, 0),
        ("line", WOOD, 5, -4, 84, 6, 98), ("line", WOOD, 5, 4, 84, -6, 98),
    ]),
    "drum": (44, [
        ("rect", (206, 34, 40), -44, 4, 44, 62),
        ("line", WHITE, 5, -42, 14, -21, 54, 0, 14, 21, 54, 42, 14),
        ("rect", GOLD, -46, 0, 46, 12, 4), ("rect", GOLD, -46, 54, 46, 68, 4),
        ("ell", WHITE, 0, 68, 45, 13),
        ("limb", (150, 96, 52), 5, -8, 74, 34, 94), ("limb", (150, 96, 52), 5, 8, 74, -34, 94),
    ]),
    "guitar": (30, [
        ("rect", DARK, -7, 40, 7, 92), ("rect", (96, 54, 30), -13, 84, 13, 101, 3),
        ("poly", (226, 148, 62), *_mirror([(18, 0), (33, 5), (39, 18), (35, 31), (27, 39), (29, 49),
                                           (25, 59), (10, 65)])),
        ("dot", DARK, 0, 40, 13, 13), ("bar", DARK, -17, 13, 17, 20),
        ("bar", DARK, -5, 40, 5, 90),
    ]),
    "teddy bear": (36, [
        ("ell", _BROWN, -25, 90, 12, 12), ("ell", _BROWN, 25, 90, 12, 12),
        ("ell", _BROWN, -33, 34, 12, 20, 35), ("ell", _BROWN, 33, 34, 12, 20, -35),
        ("ell", _BROWN, 0, 28, 29, 27),
        ("dot", _TAN, 0, 28, 17, 17),
        ("ell", _BROWN, -25, 9, 17, 11), ("ell", _BROWN, 25, 9, 17, 11),
        ("ell", _BROWN, 0, 70, 33, 28),
        ("dot", _TAN, 0, 61, 15, 11), ("dot", DARK, 0, 66, 6, 4),
        ("dot", DARK, -14, 76, 5, 5), ("dot", DARK, 14, 76, 5, 5),
    ]),
    "snowman": (34, [
        ("ell", WHITE, 0, 24, 35, 26), ("ell", WHITE, 0, 60, 24, 22),
        ("rect", DARK, -26, 78, 26, 85), ("rect", DARK, -17, 82, 17, 102),
        ("rect", RED, -24, 42, 24, 51, 3), ("rect", RED, 8, 24, 19, 48, 2),
        ("dot", DARK, -9, 68, 4, 4), ("dot", DARK, 9, 68, 4, 4),
        ("face", _ORANGE, -2, 64, -2, 56, 20, 58),
    ]),
    "pumpkin": (46, [
        ("rect", (70, 120, 50), -6, 68, 8, 92, 3),
        ("ell", (230, 108, 20), -26, 37, 25, 33), ("ell", (230, 108, 20), 26, 37, 25, 33),
        ("ell", (250, 134, 30), 0, 37, 25, 37),
        ("face", DARK, -30, 42, -20, 58, -10, 42), ("face", DARK, 10, 42, 20, 58, 30, 42),
        ("face", DARK, -30, 28, 30, 28, 14, 14, -14, 14),
    ]),
    "cactus": (26, [
        ("limb", GREEN, 15, 0, 50, 28, 50, 30, 52, 30, 74), ("limb", GREEN, 15, 0, 62, -27, 62, -29,
                                                             64, -29, 84),
        ("rect", GREEN, -13, 20, 13, 102, 13),
        ("poly", (206, 98, 62), -20, 0, -26, 30, 26, 30, 20, 0),
        ("rect", (206, 98, 62), -30, 24, 30, 36, 2),
    ]),
    "stop sign": (14, [
        ("rect", (150, 156, 164), -5, 0, 5, 60),
        ("poly", WHITE, *_ring(0, 66, 38, 8, 22.5)),
        ("face", (216, 24, 32), *_ring(0, 66, 31, 8, 22.5)),
        ("bar", WHITE, -20, 59, 20, 73),
    ]),
    "sunflower": (16, [
        ("limb", _LEAF, 7, 0, 2, 0, 60),
        ("ell", _LEAF, -16, 22, 17, 8, 30), ("ell", _LEAF, 16, 22, 17, 8, -30),
        ("poly", (252, 206, 30), *[n for i in range(10) for n in
                                   (*_ring(0, 66, 37, 10, 90)[2 * i : 2 * i + 2],
                                    *_ring(0, 66, 25, 10, 108)[2 * i : 2 * i + 2])]),
        ("ell", (110, 66, 30), 0, 66, 17, 17),
    ]),
}  # fmt: skip

COLOR_OBJECTS: tuple[str, ...] = tuple(_OBJECTS)
PROPS: tuple[str, ...] = tuple(_PROPS)


def _stand(
    canvas: Canvas,
    table: dict[str, tuple[float, list[Shape]]],
    name: str,
    x: float,
    base: float,
    size: float,
    color: Color | None = None,
) -> None:
    if name not in table:
        raise ValueError(f"no {name!r} here; there are {', '.join(table)}")
    reach, shapes = table[name]
    canvas.shadow(x + 0.03 * size, base, reach * size / 100, 0.055 * size + 1, 0.4)
    _draw(canvas, shapes, x, base, size, color)


def draw_object(
    canvas: Canvas, name: str, x: float, base: float, size: float, color: Color
) -> None:
    """Draw one of ``COLOR_OBJECTS`` in a color, standing on y = base; ``size`` is about its
    height (couch, car, pillow and hat are up to 1.6 times as wide)."""
    _stand(canvas, _OBJECTS, name, x, base, size, color)


def draw_prop(canvas: Canvas, name: str, x: float, base: float, size: float) -> None:
    """Draw one of ``PROPS`` in its own colors, ``size`` pixels tall, standing on y = base."""
    _stand(canvas, _PROPS, name, x, base, size)
