"""Banks of places: every scene of the world, as mixtures of an accent color into few drawings.

>>> bank = scenes("photo"); bank.names[0]
Scene(setting='beach', light='morning', palette=0, layout=0)

A scene is linear in its accent color, so 336 pairs of renders make all 2,688 photographs.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fluxlens.mini.canvas import Canvas, Color, Manner, mix
from fluxlens.mini.scenes import DRAW, LAYOUTS, LIGHTS, PALETTES, SETTINGS, Scene
from fluxlens.mini.settings import Stage
from fluxlens.oracle.pixels import HALF, Picture, average, loss, render

GRAY = 190  # an accent that no light makes overflow

__all__ = ["SceneBank", "SceneMatch", "scenes"]


def _draw(manner: Manner, setting: str, light: str, layout: int, accent: Color) -> np.ndarray:
    def draw(canvas: Canvas) -> None:
        stage = Stage(canvas, light, 0, layout)
        stage.accent, stage.accent2 = accent, mix(accent, (0, 0, 0), 0.25)
        DRAW[setting](stage)

    return render(manner, draw)


@dataclass(frozen=True)
class SceneMatch:
    """The scene that explains a picture best, how well, and at which shift of the picture."""

    scene: Scene
    template: np.ndarray
    loss: float
    shift: tuple[int, int]


class SceneBank:
    """All scenes in one manner, to be looked up by likeness."""

    def __init__(self, manner: Manner, lights: tuple[str, ...] = LIGHTS) -> None:
        board = Canvas(manner)
        names, fine = [], []
        for setting in SETTINGS:
            for light in lights:
                for layout in range(LAYOUTS):
                    plain = _draw(manner, setting, light, layout, (0, 0, 0))
                    gray = _draw(manner, setting, light, layout, (GRAY,) * 3)
                    accent = (gray - plain).mean(axis=-1, keepdims=True) / GRAY
                    for palette in range(PALETTES):
                        color = np.array(Stage(board, light, palette, layout).accent, np.float32)
                        whole = np.clip(plain + accent * color, 0, 255)
                        names.append(Scene(setting, light, palette, layout))
                        fine.append(whole.round().astype(np.uint8))
        self.names = names
        self.index = {scene: i for i, scene in enumerate(names)}
        self._fine = np.stack(fine)
        small = np.concatenate([average(part.astype(np.float32)) for part in
                                np.array_split(self._fine, 16)])  # fmt: skip
        self._coarse = small.reshape(len(names), -1)
        self._norms: dict[bytes, np.ndarray] = {}

    def template(self, scene: Scene) -> np.ndarray:
        return self._fine[self.index[scene]].astype(np.float32)

    def _ranked(self, pixels: np.ndarray, weight: np.ndarray, key: bytes | None) -> np.ndarray:
        """Every scene, the likeliest first, by squared difference at a quarter of the size."""
        w = np.repeat(average(weight[..., None]).reshape(-1), 3)
        norms = self._norms.get(key) if key is not None else None
        if norms is None:
            norms = np.einsum("ij,ij,j->i", self._coarse, self._coarse, w)
            if key is not None:
                self._norms[key] = norms
        flat = average(pixels).reshape(-1) * w
        return (norms - 2 * (self._coarse @ flat)).argsort()

    def match(self, picture: Picture, weight: np.ndarray | None = None, *, known: str = "",
              among: int = 32) -> SceneMatch:  # fmt: skip
        """The best scene where ``weight`` (48×48) counts; ``known`` names a weight used often."""
        if weight is None:
            weight, known = np.ones((HALF, HALF), np.float32), known or "all"
        order = self._ranked(picture.at(0, 0), weight, known.encode() or None)[:among]
        shift = (0, 0)
        for _ in range(2):
            scores = loss(self._fine[order] - picture.at(*shift), weight)
            best = order[int(scores.argmin())]
            new = picture.align(self._fine[best].astype(np.float32), weight)
            if new == shift:
                break
            shift = new
        else:
            scores = loss(self._fine[order] - picture.at(*shift), weight)
            best = order[int(scores.argmin())]
        template = self._fine[best].astype(np.float32)
        return SceneMatch(self.names[best], template, float(scores.min()), shift)


@lru_cache(maxsize=2)
def scenes(manner: Manner) -> SceneBank:
    """The bank of a manner. Only actions are ever illustrated, and they happen at noon."""
    return SceneBank(manner, LIGHTS if manner == "photo" else ("noon",))
