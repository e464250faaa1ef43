"""Banks of things: the eight dyed objects at every place they may stand, and the sixteen props.

>>> len(props()) == 2 * 3 * len(PROPS)
True
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product

import numpy as np

from fluxlens.mini.objects import COLOR_OBJECTS, PROPS, draw_object, draw_prop
from fluxlens.mini.scenes import SLOTS, Scene, slot
from fluxlens.oracle.pixels import HALF, Layer, Picture, average, layer, loss, moved, studio

GRAY = 190

__all__ = ["ObjectMatch", "PropMatch", "match_object", "match_prop", "props"]


@dataclass(frozen=True)
class ObjectMatch:
    """The dyed object that explains a picture best, its color, and what is left unexplained."""

    object: str
    rgb: tuple[float, float, float]
    loss: float
    empty_loss: float


@dataclass(frozen=True)
class _Objects:
    names: tuple[str, ...]
    clear: np.ndarray  # (n, 48, 48, 1)
    fixed: np.ndarray  # (n, 48, 48, 3): what no dye changes
    dye: np.ndarray  # (n, 48, 48, 1): how much of the dye shows

    def at(self, index: np.ndarray) -> "_Objects":
        names = tuple(self.names[i] for i in index)
        return _Objects(names, self.clear[index], self.fixed[index], self.dye[index])

    def moved(self, dx: int, dy: int) -> "_Objects":
        return _Objects(self.names, moved(self.clear, dx, dy, 1), moved(self.fixed, dx, dy, 0),
                        moved(self.dye, dx, dy, 0))  # fmt: skip

    def fit(self, pixels: np.ndarray, behind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each placed object, the dye that fits best (n, 3) and the picture with it."""
        base = self.fixed + self.clear * behind
        rest = pixels - base
        weight = (self.dye**2).sum(axis=(1, 2))
        dye = np.clip((self.dye * rest).sum(axis=(1, 2)) / np.maximum(weight, 1e-6), 0, 255)
        return dye, np.clip(base + self.dye * dye[:, None, None, :], 0, 255)


@lru_cache(maxsize=1)
def _objects() -> tuple[_Objects, _Objects]:
    """Every object at three sizes and three half-steps each way; full and coarse."""
    names, clear, fixed, dye = [], [], [], []
    for name, size in product(COLOR_OBJECTS, (47, 50, 53)):
        place = partial(draw_object, name=name, x=48, base=82, size=size)
        black = layer("photo", partial(place, color=(0, 0, 0)))
        gray = layer("photo", partial(place, color=(GRAY,) * 3), black.clear)
        names.append(name)
        clear.append(black.clear)
        fixed.append(black.paint)
        dye.append((gray.paint - black.paint).mean(axis=-1, keepdims=True) / GRAY)
    fine = _Objects(tuple(names), np.stack(clear), np.stack(fixed), np.stack(dye))
    # Coarse: all of them at nine places, at a quarter of the size.
    parts = [fine.moved(dx, dy) for dx, dy in product((-2, 0, 2), (-2, 0, 2))]
    coarse = _Objects(
        fine.names * len(parts),
        average(np.concatenate([p.clear for p in parts])),
        average(np.concatenate([p.fixed for p in parts])),
        average(np.concatenate([p.dye for p in parts])),
    )
    return fine, coarse


@lru_cache(maxsize=1)
def _border() -> np.ndarray:
    weight = np.zeros((HALF, HALF), np.float32)
    weight[:9] = 1
    weight[:, :2] = weight[:, -2:] = 1
    return weight


def match_object(picture: Picture, only: str | None = None) -> ObjectMatch:
    """The best of the dyed objects (or of the placements of one of them)."""
    pixels = picture.at(0, 0)
    behind = studio(pixels, _border())
    fine, coarse = _objects()
    index = np.arange(len(coarse.names))
    if only is not None:
        index = index[np.array(coarse.names) == only]
    small, small_behind = average(pixels), average(behind)
    part = coarse.at(index)
    _, drawn = part.fit(small, small_behind)
    scores = loss(drawn - small)
    ahead: list[int] = []  # the three likeliest objects, and where each stands
    for i in scores.argsort():
        if part.names[i] not in [part.names[j] for j in ahead]:
            ahead.append(int(i))
        if len(ahead) == 3:
            break
    best: tuple[float, str, np.ndarray] | None = None
    for i in ahead:
        place = divmod(index[i] // len(fine.names), 3)
        x, y = 2 * place[0] - 2, 2 * place[1] - 2
        sizes = fine.at(np.flatnonzero(np.array(fine.names) == part.names[i]))
        for dx, dy in product((-1, 0, 1), (-1, 0, 1)):
            dye, drawn = sizes.moved(x + dx, y + dy).fit(pixels, behind)
            for k, value in enumerate(loss(drawn - pixels)):
                if best is None or value < best[0]:
                    best = float(value), part.names[i], dye[k]
    assert best is not None
    value, name, color = best
    rgb = (float(color[0]), float(color[1]), float(color[2]))
    return ObjectMatch(name, rgb, value, float(loss(behind - pixels)))


@dataclass(frozen=True)
class PropMatch:
    """The prop that explains a picture best; the losses are over the pixels it covers."""

    prop: str
    slot: int
    loss: float
    empty_loss: float
    layer: Layer


@lru_cache(maxsize=1)
def props() -> dict[tuple[str, int, bool], Layer]:
    """Every prop in every slot, before a low and before a high horizon."""
    out = {}
    for high, k, prop in product((False, True), range(SLOTS), PROPS):
        x, base, size = slot(Scene("beach", "noon", 0, 3 if high else 0), k)
        out[prop, k, high] = layer(
            "photo", partial(draw_prop, name=prop, x=x, base=base, size=size)
        )
    return out


@lru_cache(maxsize=2)
def _prop_stack(high: bool) -> tuple[list[tuple[str, int]], Layer]:
    chosen = [(p, k) for p, k, h in props() if h == high]
    layers = [props()[p, k, high] for p, k in chosen]
    return chosen, Layer(np.stack([i.clear for i in layers]), np.stack([i.paint for i in layers]))


def match_prop(pixels: np.ndarray, behind: np.ndarray, high: bool) -> PropMatch:
    """The best prop in front of a known background."""
    names, stack = _prop_stack(high)
    scores = loss(stack.over(behind) - pixels)
    best: tuple[float, tuple[str, int], Layer] | None = None
    for i in scores.argsort()[:4]:
        one = stack[i]
        for dx, dy in product((-1, 0, 1), (-1, 0, 1)):
            shifted = Layer(moved(one.clear, dx, dy, 1), moved(one.paint, dx, dy, 0))
            value = float(loss(shifted.over(behind) - pixels))
            if best is None or value < best[0]:
                best = value, names[i], shifted
    assert best is not None
    _, (prop, k), one = best
    near = float(loss(one.over(behind) - pixels, one.cover))
    return PropMatch(prop, k, near, float(loss(behind - pixels, one.cover)), one)
