"""People: portraits whose exact attributes only a reference picture can tell.

>>> someone = Person("woman", "sand", "oval", "bob", "teal", "none", "none", "cap", "dots", "sky",
...                  "pink")
>>> draw_person(Canvas("photo"), someone)

Every portrait has the same geometry (head about (48, 40), shirt along the bottom), so identity is
the attributes alone. Who the tasks are about, and where: :mod:`fluxlens.mini.cast`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from math import cos, pi, sin
from typing import Any

import numpy as np

from fluxlens.mini.canvas import INK, Canvas, Color, Point, mix

__all__ = ["ATTRIBUTES", "HAIR_COLORS", "SHIRT_COLORS", "SKIN_TONES", "Person", "draw_person",
           "neighbours", "valid"]  # fmt: skip

SKIN_TONES: dict[str, Color] = {
    "ivory": (255, 224, 200), "sand": (240, 190, 146), "bronze": (204, 142, 96),
    "chestnut": (158, 100, 64), "umber": (92, 56, 42),
}  # fmt: skip
HAIR_COLORS: dict[str, Color] = {
    "black": (36, 32, 38), "teal": (22, 146, 146), "blond": (240, 204, 92),
    "ginger": (214, 88, 28), "grey": (188, 192, 200), "violet": (132, 66, 178),
}  # fmt: skip
SHIRT_COLORS: dict[str, Color] = {
    "white": (246, 246, 242), "black": (44, 42, 48), "red": (212, 44, 46),
    "yellow": (250, 206, 50), "green": (46, 148, 74), "sky": (104, 192, 240),
    "blue": (40, 84, 204), "pink": (242, 132, 178),
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Who it is. ``color`` is the shirt's, ``accent`` that of its pattern, collar and headwear."""

    kind: str
    skin: str
    face: str
    hair: str
    hair_color: str
    eyewear: str
    facial_hair: str
    headwear: str
    pattern: str
    color: str
    accent: str


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "kind": ("man", "woman", "girl", "boy"),
    "skin": tuple(SKIN_TONES),
    "face": ("oval", "round", "square"),
    "hair": ("short", "spiky", "curly", "long", "bob", "buns"),
    "hair_color": tuple(HAIR_COLORS),
    "eyewear": ("none", "round glasses", "square glasses"),
    "facial_hair": ("none", "beard", "moustache"),
    "headwear": ("none", "cap", "headband"),
    "pattern": ("plain", "stripes", "dots", "checks"),
    "color": tuple(SHIRT_COLORS),
    "accent": tuple(SHIRT_COLORS),
}


def valid(person: Person) -> bool:
    """Whether every value is known, beards are men's, and the shirt's two colors differ."""
    known = all(getattr(person, name) in values for name, values in ATTRIBUTES.items())
    shaved = person.kind == "man" or person.facial_hair == "none"
    return known and shaved and person.color != person.accent


def neighbours(person: Person) -> Iterator[tuple[str, Person]]:
    """Every valid person who differs in one attribute, with that attribute's name."""
    for field in fields(person):
        for value in ATTRIBUTES[field.name]:
            other = Person(**{**vars(person), field.name: value})
            if other != person and valid(other):
                yield field.name, other


X, Y = 48.0, 40.0  # the middle of every head


def _superellipse(
    x: float, y: float, rx: float, ry: float, power: float, jaw: float = 0.0
) -> list[Point]:
    """An oval, squarer as power grows above 2; ``jaw`` narrows (or, negative, widens) below."""
    points = []
    for i in range(48):
        c, s = cos(2 * pi * i / 48), sin(2 * pi * i / 48)
        u = abs(c) ** (2 / power) * (1 if c >= 0 else -1)
        v = abs(s) ** (2 / power) * (1 if s >= 0 else -1)
        points.append((x + rx * u * (1 - jaw * max(v, 0)), y + ry * v))
    return points


def _clip(polygon: Sequence[Point], axis: int, limit: float, keep_above: bool) -> list[Point]:
    """The part of a convex polygon on one side of an upright or level line."""
    kept: list[Point] = []
    for p, q in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        p_in, q_in = ((a[axis] >= limit) == keep_above for a in (p, q))
        if p_in:
            kept.append(p)
        if p_in != q_in:
            t = (limit - p[axis]) / (q[axis] - p[axis])
            kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
    return kept


def _window(polygon: Sequence[Point], x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    part = list(polygon)
    for axis, limit, above in ((0, x0, True), (1, y0, True), (0, x1, False), (1, y1, False)):
        part = _clip(part, axis, limit, above) if part else part
    return part


# Half a shirt's outline, from the neck down; adults' shoulders are wider than children's.
_SHOULDERS: dict[str, list[Point]] = {
    "man": [(9, 64), (29, 68), (36, 76), (38, 99)],
    "woman": [(9, 64), (24, 68.5), (32, 77), (34, 99)],
    "boy": [(9, 64), (22, 70), (29, 79), (31, 99)],
    "girl": [(9, 64), (20, 70), (27, 79), (30, 99)],
}


def _shirt(canvas: Canvas, person: Person, skin: Color) -> None:
    half = _SHOULDERS[person.kind]
    outline = [*[(X - a, b) for a, b in reversed(half)], *[(X + a, b) for a, b in half]]
    base, accent = SHIRT_COLORS[person.color], SHIRT_COLORS[person.accent]
    canvas.polygon(outline, base)

    def patch(points: Sequence[Point]) -> None:
        # Lit as the shirt beneath it is, since flat shapes carry no light of their own.
        if len(points) < 3:
            return
        x, y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
        light = 1.20 - 0.48 * (0.4 * (x - 12) / 72 + 0.6 * (y - 64) / 32) if canvas.photo else 1.0
        lit = tuple(max(0, min(255, round(c * light))) for c in accent)
        canvas.polygon(points, lit, flat=True)  # type: ignore[arg-type]

    if person.pattern == "stripes":
        for y in (73, 82, 91):
            patch(_window(outline, 0, y, 96, y + 4.5))
    elif person.pattern == "checks":
        for row in range(4):
            for column in range(-5, 5):
                if (row + column) % 2 == 0:
                    x, y = X + 8 * column, 68 + 8 * row
                    patch(_window(outline, x, y, x + 8, y + 8))
    elif person.pattern == "dots":
        for row in range(3):
            for column in range(-4, 5):
                x, y = X + 11 * column + 5.5 * (row % 2), 74 + 9 * row
                if abs(x - X) <= _width(half, y):
                    ring = ((a, b, _width(half, b)) for a, b in _superellipse(x, y, 3, 3, 2))
                    patch([(max(X - w, min(X + w, a)), b) for a, b, w in ring])
    if not canvas.photo and person.pattern != "plain":
        canvas.line([*outline, outline[0]], INK, 1.3)
    canvas.ellipse(X, 65, 14, 8.5, accent)
    neck = 8.5 if person.kind == "man" else 6.5
    canvas.ellipse(X, 63, 9.5, 6.5, skin)
    canvas.rect(X - neck, 54, X + neck, 65, mix(skin, (90, 40, 30), 0.18), outline=0)


def _width(half: Sequence[Point], y: float) -> float:
    """Half the shirt's width at height y."""
    return float(np.interp(y, [b for _, b in half], [a for a, _ in half]))


def _hair_behind(canvas: Canvas, person: Person, color: Color) -> None:
    if person.hair == "long":
        canvas.polygon(_superellipse(X, 46, 24, 29, 3), color)
    elif person.hair == "bob":
        canvas.polygon(_superellipse(X, 40, 24, 21, 3.4), color)
    elif person.hair == "buns":
        for s in (-1, 1):
            canvas.ellipse(X + s * 20, 21, 8.5, 8.5, color)
    elif person.hair == "curly":
        for angle in range(150, 391, 24):
            a = angle * pi / 180
            canvas.ellipse(X + 19 * cos(a), 36 + 19 * sin(a), 7, 7, color)
    elif person.hair == "spiky":
        for s in (-1, 1):  # beside the temples too, where no cap hides them
            canvas.polygon([(X + s * 12, 22), (X + s * 27, 23), (X + s * 17, 34)], color)
            canvas.polygon([(X + s * 12, 30), (X + s * 25, 34), (X + s * 15, 41)], color)


def _hair_front(canvas: Canvas, person: Person, color: Color) -> None:
    cap: dict[str, Any] = {"start": 180, "stop": 360}
    if person.hair == "short":
        canvas.polygon([(29, 43), (29, 27), (36, 19), (48, 16), (60, 19), (67, 27),
                        (67, 43), (63, 43), (62, 30), (54, 28), (42, 27), (34, 30),
                        (33, 43)], color)  # fmt: skip
    elif person.hair == "spiky":
        canvas.polygon([(30, 34), (26, 18), (35, 21), (37, 9), (45, 17), (51, 6), (55, 17),
                        (64, 9), (63, 21), (70, 20), (66, 34), (58, 28), (50, 31), (43, 27),
                        (36, 31)], color)  # fmt: skip
    elif person.hair == "curly":
        for dx, y in ((-14, 27), (14, 27), (-8, 22), (8, 22), (0, 20)):
            canvas.ellipse(X + dx, y, 6.5, 6, color)
    elif person.hair == "long":  # parted in the middle
        for s in (-1, 1):
            canvas.polygon([(X, 17), (X + s * 13, 20), (X + s * 19, 32), (X + s * 19, 44),
                            (X + s * 13, 34), (X, 25)], color)  # fmt: skip
    elif person.hair == "bob":  # a straight fringe
        canvas.polygon([(27, 33), (30, 23), (38, 17.5), (48, 16), (58, 17.5), (66, 23), (69, 33)],
                       color)  # fmt: skip
    else:  # buns: a round hairline, brushed to one side
        canvas.ellipse(X, 31, 18, 15, color, **cap)
        canvas.polygon([(66, 31), (50, 26), (38, 31), (54, 34)], color, outline=0)


def _headwear(canvas: Canvas, person: Person) -> None:
    accent = SHIRT_COLORS[person.accent]
    if person.headwear == "cap":
        canvas.ellipse(X, 27, 19.5, 17, accent, start=180, stop=360)
        canvas.rect(X - 21, 24, X + 23, 29.5, mix(accent, (0, 0, 0), 0.18), radius=2.5)
    elif person.headwear == "headband":
        canvas.rect(X - 19, 23, X + 19, 30, accent, radius=2)


def _features(canvas: Canvas, person: Person, skin: Color, hair: Color) -> None:
    child, man = person.kind in ("girl", "boy"), person.kind == "man"
    brow = mix(hair, INK, 0.45)
    eye = 2.6 if child else 2.0
    if person.eyewear != "none":  # pale lenses, so that dark frames show on dark skin
        for s in (-1, 1):
            canvas.polygon(_lens(person, s), mix(skin, (225, 240, 250), 0.55), flat=True)
    for s in (-1, 1):
        x = X + s * 7.2
        if child:
            canvas.ellipse(X + s * 10.5, 46.5, 3, 2.2, mix(skin, (235, 70, 80), 0.45), flat=True)
        canvas.ellipse(x, 39.5, eye * 1.5, eye * 1.3, (252, 252, 250), flat=True)
        canvas.ellipse(x, 39.5, eye, eye * 1.25, INK, flat=True)
        if man:
            canvas.line([(x - 3.6, 34.2), (x + 3.6, 34.2)], brow, 2.6)
        if person.kind in ("woman", "girl"):  # lashes
            canvas.line([(x - s * 4, 38.6), (x - s, 36.6), (x + s * 2, 36.8), (x + s * 5.4, 38.8)],
                        INK, 1.7)  # fmt: skip
    canvas.line([(X, 40), (X - 1.5, 45.5), (X + 1.5, 46)], mix(skin, (80, 20, 10), 0.35), 1.6)
    lips = (206, 40, 62) if person.kind in ("woman", "girl") else mix(skin, (120, 20, 20), 0.55)
    if person.kind == "woman":
        canvas.polygon([(X - 5.5, 49.3), (X - 2, 48.9), (X, 49.6), (X + 2, 48.9), (X + 5.5, 49.3),
                        (X + 3, 52.6), (X - 3, 52.6)], lips, flat=True)  # fmt: skip
    elif child:
        canvas.ellipse(X, 50, 4.2, 3.4, lips, stop=180, flat=True)
    else:
        canvas.line([(X - 5, 50.5), (X - 2, 52), (X + 2, 52), (X + 5, 50.5)], lips, 2.2)
    if person.facial_hair == "moustache":
        canvas.polygon([(X, 46), (X + 9, 49.5), (X + 7.5, 52), (X, 50.2), (X - 7.5, 52),
                        (X - 9, 49.5)], hair, outline=0.8)  # fmt: skip


def _lens(person: Person, side: int) -> list[Point]:
    if person.eyewear == "square glasses":
        return _superellipse(X + side * 8, 39.5, 6.6, 4.8, 9)
    return _superellipse(X + side * 8, 39.5, 6.2, 6.2, 2)


def _glasses(canvas: Canvas, person: Person) -> None:
    if person.eyewear == "none":
        return
    for s in (-1, 1):
        ring = _lens(person, s)
        canvas.line([*ring, ring[0], ring[1]], (24, 22, 28), 2.2)
        canvas.line([(X + s * 14.5, 38.5), (X + s * 18, 37.5)], (24, 22, 28), 2)
    canvas.line([(X - 2, 38.5), (X + 2, 38.5)], (24, 22, 28), 2.2)


def draw_person(canvas: Canvas, person: Person) -> None:
    """Draw the person's head and shoulders over whatever is on the canvas."""
    if not valid(person):
        raise ValueError(f"not a valid person: {person}")
    skin, hair = SKIN_TONES[person.skin], HAIR_COLORS[person.hair_color]
    _hair_behind(canvas, person, hair)
    _shirt(canvas, person, skin)
    for s in (-1, 1):
        canvas.ellipse(X + s * 17, 41, 3, 4.5, skin)
    head = {
        "oval": _superellipse(X, Y, 16.5, 20.5, 2, jaw=0.24),
        "round": _superellipse(X, Y, 18.5, 18.5, 2.1),
        "square": _superellipse(X, Y, 17, 19.5, 4.5, jaw=-0.06),
    }[person.face]
    canvas.polygon(head, skin)
    if person.facial_hair == "beard":
        lower = _window(head, 0, 44, 96, 96)
        canvas.polygon(lower, hair, outline=0)
        if not canvas.photo:
            canvas.line([*head, head[0]], INK, 1.3)
        canvas.ellipse(X, 45.5, 9, 3.6, skin, outline=0)
        canvas.ellipse(X, 51.3, 6.5, 2.6, skin, flat=True)
    _features(canvas, person, skin, hair)
    _hair_front(canvas, person, hair)
    _headwear(canvas, person)
    _glasses(canvas, person)
