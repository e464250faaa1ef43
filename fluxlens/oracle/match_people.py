"""Portraits in layers: the person who explains a picture best, one attribute at a time.

>>> match = match_person(Picture(Portrait(TEST_PEOPLE["07"]).draw(NO_FREE)))
>>> match.person == TEST_PEOPLE["07"]
True

Every portrait has one geometry, so a person is a pile of eight layers, each of which depends on a
few attributes. The layers are drawn by the world's own code; the beard alone, which has no function
of its own there, is repeated here.
"""

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np

from fluxlens.mini import people
from fluxlens.mini.canvas import Canvas
from fluxlens.mini.people import ATTRIBUTES, HAIR_COLORS, SHIRT_COLORS, SKIN_TONES, Person, X, Y
from fluxlens.mini.scenes import Scene
from fluxlens.oracle.match_scenes import scenes
from fluxlens.oracle.pixels import HALF, Layer, Picture, layer, loss, painted, studio

# Where the layers of head and shirt meet, and all that a search looks at: rows, columns.
HEAD = (slice(0, HALF), slice(6, 42))

__all__ = ["PersonMatch", "match_person"]


@dataclass(frozen=True)
class PersonMatch:
    """The person who explains a picture best, before which scene (None: the studio)."""

    person: Person
    scene: Scene | None
    loss: float  # over what the person covers
    empty_loss: float  # over the same pixels, without the person
    scene_loss: float  # around the person


_SOMEBODY = Person("man", "ivory", "oval", "short", "black", "none", "none", "none", "plain",
                   "white", "red")  # fmt: skip


def _crop(whole: Layer) -> Layer:
    return Layer(whole.clear[HEAD].copy(), whole.paint[HEAD].copy())


def _drawn(draw: Any, **attributes: str) -> Layer:
    person = replace(_SOMEBODY, **attributes)
    return _crop(layer("photo", lambda canvas: draw(canvas, person)))


@cache
def _behind(hair: str, hair_color: str) -> Layer:
    color = HAIR_COLORS[hair_color]
    return _drawn(lambda c, p: people._hair_behind(c, p, color), hair=hair)


@cache
def _ears(skin: str) -> Layer:
    def draw(canvas: Canvas, person: Person) -> None:
        for s in (-1, 1):
            canvas.ellipse(X + s * 17, 41, 3, 4.5, SKIN_TONES[skin])

    return _drawn(draw)


_HEADS = {
    "oval": people._superellipse(X, Y, 16.5, 20.5, 2, jaw=0.24),
    "round": people._superellipse(X, Y, 18.5, 18.5, 2.1),
    "square": people._superellipse(X, Y, 17, 19.5, 4.5, jaw=-0.06),
}


@cache
def _head(face: str, skin: str, beard: str | None) -> Layer:
    def draw(canvas: Canvas, person: Person) -> None:
        head, tone = _HEADS[face], SKIN_TONES[skin]
        canvas.polygon(head, tone)
        if beard is not None:
            canvas.polygon(people._window(head, 0, 44, 96, 96), HAIR_COLORS[beard], outline=0)
            canvas.ellipse(X, 45.5, 9, 3.6, tone, outline=0)
            canvas.ellipse(X, 51.3, 6.5, 2.6, tone, flat=True)

    return _drawn(draw)


@cache
def _features(kind: str, skin: str, hair_color: str, eyewear: str, moustache: bool) -> Layer:
    tone, hair = SKIN_TONES[skin], HAIR_COLORS[hair_color]
    return _drawn(
        lambda c, p: people._features(c, p, tone, hair),
        kind=kind, eyewear=eyewear, facial_hair="moustache" if moustache else "none",
    )  # fmt: skip


@cache
def _front(hair: str, hair_color: str) -> Layer:
    color = HAIR_COLORS[hair_color]
    return _drawn(lambda c, p: people._hair_front(c, p, color), hair=hair)


@cache
def _headwear(headwear: str, accent: str) -> Layer:
    return _drawn(people._headwear, headwear=headwear, accent=accent)


@cache
def _glasses(eyewear: str) -> Layer:
    return _drawn(people._glasses, eyewear=eyewear)


# Pairs of shirt colors, none of which overflows in the light, that tell how much of each shows.
_PAIRS = (("black", "green"), ("green", "black"), ("blue", "black"), ("black", "blue"))


@dataclass(frozen=True)
class _Cloth:
    """A shirt, linear in its two colors and in the skin: paint = rest + Σ share × color."""

    clear: np.ndarray
    rest: np.ndarray
    shares: np.ndarray  # (48, 48, 3): of color, accent, skin


@cache
def _cloth(kind: str, pattern: str) -> _Cloth:
    black = (0, 0, 0)

    def draw(color: str, accent: str, skin: tuple[int, int, int]) -> Any:
        person = replace(_SOMEBODY, kind=kind, pattern=pattern, color=color, accent=accent)
        return lambda canvas: people._shirt(canvas, person, skin)

    clear = layer("photo", draw("black", "green", black)).clear
    drawn = np.stack([layer("photo", draw(*pair, black), clear).paint for pair in _PAIRS])
    # Per pixel: twelve levels (four pairs, three channels) from two shares and three constants.
    rows = []
    for color, accent in _PAIRS:
        for channel in range(3):
            one = [float(channel == k) for k in range(3)]
            rows.append([SHIRT_COLORS[color][channel], SHIRT_COLORS[accent][channel], *one])
    levels = np.moveaxis(drawn, 0, 2).reshape(-1, len(rows))
    found = (levels @ np.linalg.pinv(np.array(rows, np.float32)).T).reshape(HALF, HALF, 5)
    gray = painted("photo", draw("black", "green", (190, 190, 190)), 40)
    skin = (gray - painted("photo", draw("black", "green", black), 40)).mean(axis=-1) / 190
    shares = np.concatenate([found[..., :2], skin[..., None]], axis=-1)
    return _Cloth(clear, found[..., 2:].astype(np.float32), shares.astype(np.float32))


@lru_cache(maxsize=1000)
def _shirt(kind: str, pattern: str, color: str, accent: str, skin: str) -> Layer:
    cloth = _cloth(kind, pattern)
    colors = np.array([SHIRT_COLORS[color], SHIRT_COLORS[accent], SKIN_TONES[skin]], np.float32)
    paint = np.clip(cloth.rest + cloth.shares @ colors, 0, 255 * (1 - cloth.clear))
    return _crop(Layer(cloth.clear, paint.astype(np.float32)))


def _layers(p: Person) -> list[Layer]:
    pile = [_behind(p.hair, p.hair_color)] if p.hair != "short" else []
    pile += [
        _shirt(p.kind, p.pattern, p.color, p.accent, p.skin), _ears(p.skin),
        _head(p.face, p.skin, p.hair_color if p.facial_hair == "beard" else None),
        _features(p.kind, p.skin, p.hair_color if p.kind == "man" else "black", p.eyewear,
                  p.facial_hair == "moustache"),
        _front(p.hair, p.hair_color),
    ]  # fmt: skip
    if p.headwear != "none":
        pile.append(_headwear(p.headwear, p.accent))
    if p.eyewear != "none":
        pile.append(_glasses(p.eyewear))
    return pile


def _compose(person: Person, behind: np.ndarray) -> np.ndarray:
    for part in _layers(person):
        behind = part.over(behind)
    return behind


@lru_cache(maxsize=1)
def _around() -> np.ndarray:
    """Where no person ever is, (48, 48)."""
    weight = np.ones((HALF, HALF), np.float32)
    part = weight[HEAD]
    for kind, hair in product(ATTRIBUTES["kind"], ATTRIBUTES["hair"]):
        for one in _layers(replace(_SOMEBODY, kind=kind, hair=hair, headwear="cap", accent="blue")):
            np.minimum(part, one.clear[..., 0], out=part)
    return (weight > 0.9).astype(np.float32)


def _candidates(person: Person, *names: str) -> list[Person]:
    """Everybody who differs from a person in the named attributes alone (valid or not)."""
    options = [ATTRIBUTES[name] for name in names]
    return [replace(person, **dict(zip(names, v, strict=True))) for v in product(*options)]


class _Search:
    """Coordinate descent over attributes, on one picture in front of one background."""

    def __init__(self, pixels: np.ndarray, behind: np.ndarray) -> None:
        self.pixels, self.behind = pixels[HEAD], behind[HEAD]
        self.seen: dict[Person, float] = {}

    def loss(self, person: Person) -> float:
        if person not in self.seen:
            difference = _compose(person, self.behind) - self.pixels
            self.seen[person] = float(loss(difference))
        return self.seen[person]

    def best(self, candidates: list[Person]) -> Person:
        return min((p for p in candidates if people.valid(p)), key=self.loss)

    def run(self, person: Person) -> Person:
        groups = [(name,) for name in ATTRIBUTES]
        for _ in range(4):
            before = person
            for group in groups:
                options = _candidates(person, *group)
                if group == ("kind",):  # whoever is no man wears no beard
                    options += [replace(p, facial_hair="none") for p in options]
                person = self.best(options)
            person = self.best([replace(person, color=person.accent, accent=person.color), person])
            if person == before:
                break
        return person


def _first(pixels: np.ndarray, behind: np.ndarray) -> Person:
    """A starting point: skin by the color of the face, the shirt by all shirts there are."""
    face = pixels[20:24, 22:26].reshape(-1, 3).mean(axis=0)
    tones = np.array(list(SKIN_TONES.values()), np.float32) * 0.97
    skin = list(SKIN_TONES)[int(((tones - face) ** 2).sum(axis=1).argmin())]
    person = replace(_SOMEBODY, skin=skin)
    low = (slice(34, HALF), slice(6, 42))
    best = None
    colors = np.array(list(SHIRT_COLORS.values()), np.float32)
    for kind, pattern in product(ATTRIBUTES["kind"], ATTRIBUTES["pattern"]):
        cloth = _cloth(kind, pattern)
        s = cloth.shares[low]
        base = cloth.rest[low] + cloth.clear[low] * behind[low]
        base = base + s[..., 2:] * np.array(SKIN_TONES[skin], np.float32)
        rest = pixels[low] - base
        # |rest - a c - b d|² for every pair of colors, from a few sums.
        aa, bb, ab = (s[..., i] * s[..., j] for i, j in ((0, 0), (1, 1), (0, 1)))
        ra, rb = (np.einsum("ij,ijc->c", s[..., i], rest) for i in (0, 1))
        one = aa.sum() * (colors**2).sum(axis=1) - 2 * colors @ ra
        two = bb.sum() * (colors**2).sum(axis=1) - 2 * colors @ rb
        score = (rest**2).sum() + one[:, None] + two[None] + 2 * ab.sum() * (colors @ colors.T)
        np.fill_diagonal(score, np.inf)
        i, j = np.unravel_index(int(score.argmin()), score.shape)
        if best is None or score[i, j] < best[0]:
            names = list(SHIRT_COLORS)
            best = (
                score[i, j],
                replace(person, kind=kind, pattern=pattern, color=names[i], accent=names[j]),
            )
    assert best is not None
    return best[1]


def match_person(picture: Picture) -> PersonMatch:
    """The best person, before the scene or the studio that fits around them."""
    around = _around()
    found = scenes("photo").match(picture, around, known="around a person", among=24)
    shift, behind, scene = found.shift, found.template, found.scene
    room = studio(picture.at(0, 0), around)
    scene_loss = float(loss(room - picture.at(0, 0), around))
    where: Scene | None = None
    if scene_loss < found.loss:
        behind, shift = room, (0, 0)
    else:
        scene_loss, where = found.loss, scene
    search = _Search(picture.at(*shift), behind)
    person = search.best(_candidates(_first(picture.at(*shift), behind), "hair", "hair_color"))
    person = search.run(person)
    # The person tells better than the background how far the picture is shifted.
    whole = behind.copy()
    whole[HEAD] = _compose(person, behind[HEAD])
    new = picture.align(whole, np.ones((HALF, HALF), np.float32))
    if new != shift:
        search = _Search(picture.at(*new), behind)
        person = search.run(search.best(_candidates(person, "hair", "hair_color")))
    cover = 1 - np.prod([part.clear[..., 0] for part in _layers(person)], axis=0)
    drawn = _compose(person, behind[HEAD])
    pixels = picture.at(*new)[HEAD]
    return PersonMatch(
        person, where, float(loss(drawn - pixels, cover)),
        float(loss(behind[HEAD] - pixels, cover)), scene_loss,
    )  # fmt: skip
