"""Pictures as the judge compares them: lightly blurred, half as large, and in layers.

>>> picture = Picture(np.full((96, 96, 3), 200, np.uint8))
>>> picture.at(0, 0).shape
(48, 48, 3)

The drawn world paints opaque and half-transparent shapes one over the other, so what a drawing
command does to any background is linear: it leaves a share of it (``clear``) and adds color
(``paint``). Two renders tell both, and candidates are then put together without drawing again.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from PIL import Image

from fluxlens.mini.canvas import SIZE, Canvas, Color, Manner
from fluxlens.optional import optional

with optional("study", "the oracle's eyes"):
    from scipy.ndimage import gaussian_filter

HALF = SIZE // 2
BLUR = 0.8  # pixels of the full picture
REACH = 2  # how many pixels a picture may be shifted as a whole

Draw = Callable[[Canvas], None]
T = TypeVar("T")

__all__ = [
    "BLUR", "HALF", "REACH", "Layer", "Picture", "average", "explains", "halve", "layer", "loss",
    "moved", "painted", "render", "rgb", "studio",
]  # fmt: skip


def rgb(image: Image.Image | np.ndarray) -> np.ndarray:
    """A 96×96 RGB picture as float32 levels (0..255), whatever it came as."""
    pixels = np.asarray(image)
    if pixels.shape != (SIZE, SIZE, 3):
        raise ValueError(f"the judge reads RGB pictures of {SIZE}x{SIZE}, not {pixels.shape}")
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"pixels are uint8 (0..255) or floats (0..1), not {pixels.dtype}")
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise ValueError("pixels given as floats must be finite and between 0 and 1")
    return (255 * pixels).astype(np.float32)


def average(pixels: np.ndarray) -> np.ndarray:
    """Half as large along the two axes before the last one: the mean of 2×2 pixels."""
    upper, lower = pixels[..., ::2, :, :], pixels[..., 1::2, :, :]
    rows = upper + lower
    return (rows[..., ::2, :] + rows[..., 1::2, :]) * np.float32(0.25)


def halve(pixels: np.ndarray) -> np.ndarray:
    """A picture as banks hold it: lightly blurred and half as large."""
    return average(gaussian_filter(pixels, (BLUR, BLUR, 0), mode="nearest"))


class Picture:
    """A picture to be judged, ready to be compared at any small shift.

    It remembers what was found in it, so several questions about one picture cost little more than
    one.
    """

    def __init__(self, image: Image.Image | np.ndarray) -> None:
        blurred = gaussian_filter(rgb(image), (BLUR, BLUR, 0), mode="nearest")
        self._padded = np.pad(blurred, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
        self._seen: dict[tuple[int, int], np.ndarray] = {}
        self._found: dict[Hashable, Any] = {}

    def at(self, dx: int, dy: int) -> np.ndarray:
        """The picture, half as large, had it been drawn (dx, dy) pixels less to the right."""
        if (dx, dy) not in self._seen:
            x, y = REACH + dx, REACH + dy
            self._seen[dx, dy] = average(self._padded[y : y + SIZE, x : x + SIZE])
        return self._seen[dx, dy]

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """What ``find`` returned the first time that it was asked for by this key."""
        if key not in self._found:
            self._found[key] = find()
        return cast(T, self._found[key])

    def align(self, template: np.ndarray, weight: np.ndarray) -> tuple[int, int]:
        """The shift at which the picture agrees best with a template."""
        steps = range(-REACH, REACH + 1)
        shifts = sorted(
            ((dx, dy) for dx in steps for dy in steps), key=lambda s: s[0] ** 2 + s[1] ** 2
        )
        scores = loss(np.stack([self.at(*s) for s in shifts]) - template, weight)
        # Where nothing tells (a plain wall), the picture is taken to stand where it should.
        scores = scores * (1 + 0.004 * np.hypot(*np.array(shifts).T))
        return shifts[int(scores.argmin())]


def loss(
    difference: np.ndarray, weight: np.ndarray | float = 1.0, limit: float = 60.0
) -> np.ndarray:
    """How far pictures (..., rows, columns, 3) are off: mean square levels, each pixel counted for
    at most ``limit`` levels, so that an unexpected thing outweighs nothing else."""
    square = np.einsum("...c,...c->...", difference, difference) / 3
    square = np.minimum(square, limit * limit) * weight
    total = np.broadcast_to(np.asarray(weight, np.float32), square.shape[-2:]).sum()
    return square.sum(axis=(-2, -1)) / max(float(total), 1e-6)


class Match(Protocol):
    """The drawing that explains a picture best, beside its background alone."""

    @property
    def loss(self) -> float: ...
    @property
    def empty_loss(self) -> float: ...


def explains(match: Match, error: float, gain: float) -> bool:
    """Say whether a match is there: at most so many levels off, and at least this share of the
    background's squared error explained away."""
    return match.loss <= error**2 and match.loss <= (1 - gain) * match.empty_loss


def render(manner: Manner, draw: Draw) -> np.ndarray:
    """What a drawing command paints on an empty canvas, as banks hold it."""
    canvas = Canvas(manner)
    draw(canvas)
    return halve(np.asarray(canvas.image(), np.float32))


@dataclass(frozen=True)
class Layer:
    """A drawing on no background: ``clear`` (…, 48, 48, 1) of what lies behind shows through."""

    clear: np.ndarray
    paint: np.ndarray

    def over(self, behind: np.ndarray) -> np.ndarray:
        return self.paint + self.clear * behind

    @property
    def cover(self) -> np.ndarray:
        """How opaque each pixel is, (…, 48, 48)."""
        return 1 - self.clear[..., 0]

    def __getitem__(self, index: Any) -> "Layer":
        return Layer(self.clear[index], self.paint[index])


def painted(manner: Manner, draw: Draw, gray: int) -> np.ndarray:
    """A drawing on a gray background."""

    def both(canvas: Canvas) -> None:
        canvas.backdrop((gray, gray, gray))
        draw(canvas)

    return render(manner, both)


@lru_cache(maxsize=8)
def empty(manner: Manner, gray: int) -> np.ndarray:
    return painted(manner, lambda canvas: None, gray)


def layer(manner: Manner, draw: Draw, clear: np.ndarray | None = None) -> Layer:
    """The layer that a drawing command puts down (``clear``: where it is already known)."""
    dark = painted(manner, draw, 40)
    if clear is None:
        light = painted(manner, draw, 200)
        rise = (empty(manner, 200) - empty(manner, 40)).mean(axis=-1, keepdims=True)
        clear = np.clip((light - dark).mean(axis=-1, keepdims=True) / rise, 0, 1)
    return Layer(clear.astype(np.float32), (dark - clear * empty(manner, 40)).astype(np.float32))


def moved(pixels: np.ndarray, dx: int, dy: int, fill: float) -> np.ndarray:
    """Pixels (..., rows, columns, channels) moved right and down, ``fill`` coming in."""
    out = np.full_like(pixels, fill)
    rows, columns = pixels.shape[-3:-1]
    to = (..., slice(max(dy, 0), rows + min(dy, 0)), slice(max(dx, 0), columns + min(dx, 0)))
    of = (..., slice(max(-dy, 0), rows - max(dy, 0)), slice(max(-dx, 0), columns - max(dx, 0)))
    out[(*to, slice(None))] = pixels[(*of, slice(None))]
    return out


@lru_cache(maxsize=2)
def _studios(manner: Manner) -> tuple[np.ndarray, np.ndarray]:
    def backdrop(level: int) -> np.ndarray:
        top: Color = (level + 6, level + 6, level + 8)
        bottom: Color = (level - 12, level - 12, level - 10)
        return render(manner, lambda canvas: canvas.backdrop(top, bottom))

    return backdrop(196), backdrop(240)


def studio(pixels: np.ndarray, weight: np.ndarray, manner: Manner = "photo") -> np.ndarray:
    """The studio backdrop, as bright as it best explains the pixels where ``weight`` is."""
    dark, light = _studios(manner)
    rise = (light - dark).mean(axis=-1)
    level = (pixels - dark).mean(axis=-1) / rise
    share = float(np.clip(np.median(level[weight > 0.5]), -0.5, 1.2))
    return dark + share * (light - dark)
