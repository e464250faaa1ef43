"""Pictures as a judge gets them: whole or refused, their fingerprints, and the bytes of a message.

>>> encode(Path("results/mini/lens/solid_red_mug_s0/reference.png"))
Encoded(media_type='image/png', width=96, height=96, 380 bytes)

A file goes as it is, whatever its size in pixels, as in the authors' runs. Only what is over the
API's limits (5 MiB of base64, 8000 pixels a side) is written anew as JPEG of quality 92, smaller by
0.7 each time until it fits.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from fluxlens.judge.base import Picture

__all__ = ["Encoded", "changed", "check", "encode", "fingerprint", "opened"]

MOST_BASE64 = 5 * 2**20
MOST_PIXELS = 8000
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

T = TypeVar("T")


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


def opened(picture: Picture) -> Image.Image:
    """Decode the whole of a picture. `ValueError` names a file that is missing, cut short, too
    large to be decoded safely, or no picture."""
    if isinstance(picture, Image.Image):
        return picture
    return _decoded(_read(picture, Path.read_bytes), str(picture))


def check(picture: Picture) -> None:
    """Refuse what `opened` refuses; a file is decoded once as long as it does not change."""
    if not isinstance(picture, Image.Image):
        _whole(*_read(picture, _state))


def encode(picture: Picture) -> Encoded:
    """Put a file or an image into base64. Files are read once as long as they do not change.

    `ValueError` names a file that is missing or is no whole picture.
    """
    if isinstance(picture, Image.Image):
        written = io.BytesIO()
        picture.save(written, "PNG")
        return _encode(written.getvalue(), "PNG", picture.size)
    return _encode_file(*_read(picture, _state))


def fingerprint(pictures: Iterable[Picture]) -> str:
    """Tell pictures apart in 16 hex digits that change with anything that they show.

    Of a PNG what it shows alone counts, not the records beside it. Blank where a file is missing.

    >>> red, blue = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    >>> fingerprint([red, blue]) == fingerprint([red, blue]) != fingerprint([blue, red])
    True
    """
    whole = hashlib.sha256()
    for picture in pictures:
        if isinstance(picture, Image.Image):
            whole.update(f"{picture.mode} {picture.size} ".encode())
            whole.update(hashlib.sha256(picture.tobytes()).digest())
            continue
        try:
            whole.update(_digest(*_state(Path(picture))))
        except OSError:
            return ""
    return whole.hexdigest()[:16]


def changed(pictures: Iterable[Picture]) -> float:
    """Say when the last of these files was written, in seconds since 1970; 0 without files."""
    files = [Path(picture) for picture in pictures if not isinstance(picture, Image.Image)]
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)


def _state(path: Path) -> tuple[Path, int, int]:
    """A file as it is now, for what is remembered of it."""
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def _read(picture: Picture, read: Callable[[Path], T]) -> T:
    path = Path(str(picture))
    try:
        return read(path)
    except FileNotFoundError:
        raise ValueError(f"there is no picture {path}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


@lru_cache(maxsize=100_000)
def _digest(path: Path, changed: int, size: int) -> bytes:
    data = path.read_bytes()
    if not data.startswith(_SIGNATURE):
        return hashlib.sha256(data).digest()
    shown, at = hashlib.sha256(), len(_SIGNATURE)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind[:1].isupper() or kind == b"tRNS":  # other chunks are beside the picture
            shown.update(data[at + 4 : end])
        at = end
    return shown.digest()


@lru_cache(maxsize=100_000)
def _whole(path: Path, changed: int, size: int) -> tuple[str, tuple[int, int]]:
    """The format and the size of a picture that is whole."""
    image = opened(path)
    return image.format or "", image.size


@lru_cache(maxsize=32)
def _encode_file(path: Path, changed: int, size: int) -> Encoded:
    return _encode(_read(path, Path.read_bytes), *_whole(path, changed, size))


def _decoded(data: bytes, name: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
        image = Image.open(io.BytesIO(data))
        image.load()  # a check of its parts does not see where a JPEG ends too soon
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not a whole picture: of no known format") from None
    except Exception as error:  # PIL raises SyntaxError, DecompressionBombError, struct.error, …
        raise ValueError(f"{name} is not a whole picture: {error}") from None
    return image


def _encode(data: bytes, kind: str, size: tuple[int, int]) -> Encoded:
    if kind in _TYPES and _fits(data) and max(size) <= MOST_PIXELS:
        return Encoded(_TYPES[kind], *size, base64.b64encode(data).decode())
    with Image.open(io.BytesIO(data)) as image:
        small = _opaque(image)
    scale = min(1.0, MOST_PIXELS / max(size))
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
