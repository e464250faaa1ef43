"""Banks of figures: the eighteen subjects in both manners, and the things beside them.

>>> match = match_figure(Picture(Figure("fox", "photo", "playing in snow").draw(NO_FREE)))
>>> match.subject, match.manner, match.setting, match.held
('fox', 'photo', 'snowfield', 'ball')
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product

import numpy as np

from fluxlens.mini.canvas import Manner
from fluxlens.mini.held import HELD, draw_held
from fluxlens.mini.subjects import SUBJECTS, draw_subject
from fluxlens.oracle.match_scenes import scenes
from fluxlens.oracle.pixels import HALF, Layer, Picture, average, layer, loss, moved, studio

MANNERS: tuple[Manner, Manner] = ("photo", "illustrated")
HEIGHTS = (68.0, 70.0, 72.0)
PLACES = tuple(range(-5, 3))  # steps of two pixels from the middle

__all__ = ["FigureMatch", "match_figure"]


@dataclass(frozen=True)
class FigureMatch:
    """The figure that explains a picture best, and how well each manner explains the picture."""

    subject: str
    manner: Manner
    setting: str | None  # None: the studio
    held: str | None
    loss: float
    empty_loss: float  # of the same place without the figure
    photo_loss: float  # of the best photograph, with a figure or without
    illustrated_loss: float  # of the best illustration
    apart: float  # the loss of the one, were the other the picture


@lru_cache(maxsize=2)
def _subjects(manner: Manner) -> dict[str, Layer]:
    """Each subject, (heights × two half-steps, 48, 48)."""
    out = {}
    for name in SUBJECTS:
        parts = [
            layer(manner, partial(draw_subject, name=name, x=x, height=height))
            for height, x in product(HEIGHTS, (48, 49))
        ]
        out[name] = Layer(np.stack([p.clear for p in parts]), np.stack([p.paint for p in parts]))
    return out


@lru_cache(maxsize=2)
def _coarse(manner: Manner) -> Layer:
    """Each subject at each place, (subjects, places, 24, 24)."""
    clear, paint = [], []
    for stack in _subjects(manner).values():
        middle = stack[2]  # of the middle height
        clear.append(np.stack([average(moved(middle.clear, dx, 0, 1)) for dx in PLACES]))
        paint.append(np.stack([average(moved(middle.paint, dx, 0, 0)) for dx in PLACES]))
    return Layer(np.stack(clear), np.stack(paint))


@lru_cache(maxsize=2)
def _held(manner: Manner) -> Layer:
    parts = [layer(manner, partial(draw_held, prop=name)) for name in HELD]
    return Layer(np.stack([p.clear for p in parts]), np.stack([p.paint for p in parts]))


@lru_cache(maxsize=1)
def _around() -> np.ndarray:
    """Where neither a figure nor the thing beside it ever is."""
    weight = np.ones((HALF, HALF), np.float32)
    for manner in MANNERS:
        for dx in (-4, -2, 0):
            for stack in _subjects(manner).values():
                weight = np.minimum(weight, moved(stack.clear[4], dx, 0, 1)[..., 0])
        weight = np.minimum(weight, _held(manner).clear.min(axis=0)[..., 0])
    return (weight > 0.9).astype(np.float32)


def _best_held(
    pixels: np.ndarray, behind: np.ndarray, manner: Manner
) -> tuple[str | None, Layer | None]:
    """The thing beside the figure: what explains the lower right corner, or nothing."""
    stack = _held(manner)
    weight = np.zeros((HALF, HALF), np.float32)
    weight[30:, 34:] = 1
    best: tuple[float, int, Layer] | None = None
    for i in loss(stack.over(behind) - pixels, weight).argsort()[:4]:
        for dx, dy in product((-1, 0, 1), (-1, 0, 1)):
            one = Layer(moved(stack.clear[i], dx, dy, 1), moved(stack.paint[i], dx, dy, 0))
            value = float(loss(one.over(behind) - pixels, weight))
            value *= 1 + 0.03 * (abs(dx) + abs(dy))  # it stands in one place
            if best is None or value < best[0]:
                best = value, int(i), one
    assert best is not None
    value, i, one = best
    if value > 0.75 * float(loss(behind - pixels, weight)):
        return None, None
    return list(HELD)[i], one


@dataclass(frozen=True)
class _Guess:
    subject: str
    setting: str | None
    held: str | None
    loss: float
    empty_loss: float
    drawn: np.ndarray  # (48, 48, 3), what it comes to
    empty: np.ndarray

    @property
    def best(self) -> tuple[float, np.ndarray]:
        """With the figure or without it, whichever explains more."""
        if self.loss < self.empty_loss:
            return self.loss, self.drawn
        return self.empty_loss, self.empty


def _explain(pixels: np.ndarray, behind: np.ndarray, setting: str | None, manner: Manner) -> _Guess:
    held, thing = _best_held(pixels, behind, manner) if setting is not None else (None, None)

    def front(drawn: np.ndarray) -> np.ndarray:
        return drawn if thing is None else thing.over(drawn)

    coarse = _coarse(manner)
    small = average(pixels)
    drawn = coarse.over(average(behind))
    if thing is not None:
        drawn = average(thing.paint) + average(thing.clear) * drawn
    scores = loss(drawn - small)
    names = list(SUBJECTS)
    best = None
    for s in scores.min(axis=1).argsort()[:3]:
        stack = _subjects(manner)[names[s]]
        place = PLACES[int(scores[s].argmin())]
        for dx, dy in product((-1, 0, 1), (-1, 0, 1)):
            shifted = Layer(moved(stack.clear, place + dx, dy, 1),
                            moved(stack.paint, place + dx, dy, 0))  # fmt: skip
            drawn = front(shifted.over(behind))
            values = loss(drawn - pixels)
            value = float(values.min())
            if best is None or value < best[0]:
                best = value, names[s], drawn[int(values.argmin())]
    assert best is not None
    empty = front(behind)
    empty_loss = float(loss(empty - pixels))
    return _Guess(best[1], setting, held, best[0], empty_loss, best[2], empty)


def match_figure(picture: Picture) -> FigureMatch:
    """The best figure, in the better of the two manners."""
    guesses: dict[Manner, _Guess] = {}
    for manner in MANNERS:
        found = scenes(manner).match(picture, _around(), known="around a figure", among=24)
        pixels = picture.at(*found.shift)
        room = studio(picture.at(0, 0), _around(), manner)
        if float(loss(room - picture.at(0, 0), _around())) < found.loss:
            guesses[manner] = _explain(picture.at(0, 0), room, None, manner)
        else:
            guesses[manner] = _explain(pixels, found.template, found.scene.setting, manner)
    manner = min(MANNERS, key=lambda m: guesses[m].loss)
    best = guesses[manner]
    (photo_loss, photo), (illustrated_loss, illustrated) = (guesses[m].best for m in MANNERS)
    return FigureMatch(
        best.subject, manner, best.setting, best.held, best.loss, best.empty_loss, photo_loss,
        illustrated_loss, float(loss(illustrated - photo)),
    )  # fmt: skip
