"""Pictures as a message carries them: the bytes as saved, shrunk only where the API demands it.

>>> encode(Path("results/mini/lens/solid_red_mug_s0/reference.png"))
Encoded(media_type='image/png', width=96, height=96, 380 bytes)

A file goes as it is, whatever its size in pixels, as in the authors' runs. Only what is over the
API's limits (5 MiB of base64, 8000 pixels a side) is written anew as JPEG of quality 92, smaller by
0.7 each time until it fits.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image

from fluxlens.judge.base import Picture

__all__ = ["Encoded", "encode"]

MOST_BASE64 = 5 * 2**20
MOST_PIXELS = 8000
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


@dataclass(frozen=True)
class Encoded:
    """An image block's source."""

    media_type: str
    width: int
    height: int
    data: str = field(repr=False)

    def __repr__(self) -> str:
        size = f"width={self.width}, height={self.height}, {len(self.data) * 3 // 4} bytes"
        return f"Encoded(media_type={self.media_type!r}, {size})"


def encode(picture: Picture) -> Encoded:
    """A file or an image in base64. Files are read once as long as they do not change.

    `ValueError` names a file that is missing or is no picture.
    """
    if isinstance(picture, Image.Image):
        written = io.BytesIO()
        picture.save(written, "PNG")
        return _encode(written.getvalue(), "the picture")
    path = Path(picture)
    try:
        stat = path.stat()
        return _encode_file(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise ValueError(f"there is no picture {path}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


@lru_cache(maxsize=32)
def _encode_file(path: Path, changed: int, size: int) -> Encoded:
    return _encode(path.read_bytes(), str(path))


def _encode(data: bytes, name: str) -> Encoded:
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, (width, height) = image.format or "", image.size
            image.verify()
    except Exception as error:  # PIL raises SyntaxError, OSError, struct.error, …
        raise ValueError(f"{name} is not a whole picture: {error}") from None
    if kind in _TYPES and _fits(data) and max(width, height) <= MOST_PIXELS:
        return Encoded(_TYPES[kind], width, height, base64.b64encode(data).decode())
    with Image.open(io.BytesIO(data)) as image:
        small = _opaque(image)
    scale = min(1.0, MOST_PIXELS / max(small.size))
    while True:
        size = (max(1, int(small.width * scale)), max(1, int(small.height * scale)))
        written = io.BytesIO()
        shrunk = small if size == small.size else small.resize(size, Image.Resampling.LANCZOS)
        shrunk.save(written, "JPEG", quality=92)
        if _fits(written.getvalue()):
            encoded = base64.b64encode(written.getvalue()).decode()
            return Encoded("image/jpeg", *size, encoded)
        scale *= 0.7


def _fits(data: bytes) -> bool:
    return 4 * ((len(data) + 2) // 3) <= MOST_BASE64


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, with whatever is transparent on white."""
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")
