"""The places of mini's world: 14 settings in 4 lights with 8 accent colors, each in 6 layouts.

>>> board = Canvas("photo"); place = Scene("beach", "dusk", palette=3, layout=0)
>>> draw_scene(board, place); describe(place)
'beach at dusk'

Setting and light are what a prompt can name; palette (the color of the largest things) and layout
(where they stand, how high the horizon is) are known only to whoever saw the picture. The lower
middle is left plain, for people and props stand there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from fluxlens.mini import settings
from fluxlens.mini.canvas import Canvas
from fluxlens.mini.indoors import INDOORS
from fluxlens.mini.outdoors import OUTDOORS
from fluxlens.mini.settings import Stage

__all__ = [
    "CATEGORIES", "DRAW", "LAYOUTS", "LIGHTS", "PALETTES", "SETTINGS", "SLOTS", "Scene", "describe",
    "draw_scene", "slot",
]  # fmt: skip

DRAW = OUTDOORS | INDOORS
SETTINGS: tuple[str, ...] = tuple(DRAW)
LIGHTS: tuple[str, ...] = tuple(settings.LIGHTS)
PALETTES = len(settings.PALETTE_COLORS)
LAYOUTS = len(settings.LAYOUTS)
SLOTS = 3


@dataclass(frozen=True)
class Scene:
    """One empty place."""

    setting: str
    light: str
    palette: int
    layout: int


CATEGORIES: tuple[tuple[str, str, int], ...] = tuple(product(SETTINGS, LIGHTS, range(PALETTES)))


def draw_scene(canvas: Canvas, scene: Scene) -> None:
    """Draw the whole empty place over whatever the canvas held."""
    if scene.setting not in DRAW:
        raise ValueError(f"no setting {scene.setting!r}; there are {', '.join(SETTINGS)}")
    if scene.light not in LIGHTS:
        raise ValueError(f"no light {scene.light!r}; there are {', '.join(LIGHTS)}")
    if scene.palette not in range(PALETTES) or scene.layout not in range(LAYOUTS):
        raise ValueError(f"palettes are 0..{PALETTES - 1}, layouts 0..{LAYOUTS - 1}, not {scene}")
    DRAW[scene.setting](Stage(canvas, scene.light, scene.palette, scene.layout))


def slot(scene: Scene, k: int) -> tuple[float, float, float]:
    """(x, base, size) of a prop in slot k: 0 left, 1 middle, 2 right."""
    if k not in range(SLOTS):
        raise ValueError(f"slots are 0..{SLOTS - 1}, not {k}")
    # A high horizon leaves room to stand further back.
    high = settings.LAYOUTS[scene.layout][0] < 60
    return (20.0, 48.0, 76.0)[k], (87.0 if high else 90.0), 35.0


def describe(scene: Scene) -> str:
    """The place as a prompt names it."""
    return f"{scene.setting} at {scene.light}"
