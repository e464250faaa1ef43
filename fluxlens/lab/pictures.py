"""References to explore with: a color, a drawing of mini's world, a file.

>>> swatch("#dc2828", 96).getpixel((0, 0))
(220, 40, 40)
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from fluxlens.mini.world import FREE, Family, random_edit
from fluxlens.references import prepare


def swatch(color: str, side: int) -> Image.Image:
    """One color from edge to edge, `side` pixels wide; `ValueError` where it is no color."""
    return Image.new("RGB", (side, side), ImageColor.getrgb(color)[:3])


def drawing(family: Family, seed: int, side: int) -> tuple[Image.Image, str]:
    """A reference that the drawn world makes of a seed, and the instruction that goes with it."""
    rng = np.random.default_rng(seed)
    edit = random_edit(family, rng)
    picture = edit.reference.draw(rng.normal(size=FREE))
    if picture.width != side:
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    return picture, edit.prompt


def opened(data: bytes, side: int) -> Image.Image:
    """A picture file, upright and opaque, its middle square shrunk to at most `side` pixels.

    `ValueError` for what is no picture, or one that the pipeline could not use.
    """
    try:
        picture = prepare(Image.open(io.BytesIO(data)))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"this file cannot be opened as a picture: {error}") from error
    side = min(side, *picture.size)
    return ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
