"""Pieces of a page: HTML that shows itself, pictures inside it, one palette.

>>> Html("<b>one</b>", "one")
one
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from PIL import Image

# Okabe and Ito's colors, which stay apart for color-blind readers; the first four are the book's
# text, image, reference and cut.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000")
TEXT, IMAGE, REF, CUT = PALETTE[:4]
LARGEST = 320  # pixels along the longer side of a stored picture


@dataclass(frozen=True)
class Html:
    """A piece of a page: ``Html("<b>one</b>", "one")`` shows the first and prints the second."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def framed(body: str, caption: str, text: str) -> Html:
    """A figure with its caption, and the words that stand for it."""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Html(f'<figure class="fluxlens-figure">{body}{below}</figure>', text)


class Picture(NamedTuple):
    """A picture as a page holds it: a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


def embed(image: Image.Image, side: int = LARGEST, quality: int = 92) -> Picture:
    """A picture as WebP, at most `side` pixels long; the same pixels give the same bytes."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "WEBP", quality=quality, method=4)
    code = base64.b64encode(data.getvalue()).decode()
    return Picture(f"data:image/webp;base64,{code}", small.width, small.height)


def img(picture: Image.Image | Picture, alt: str, style: str = "") -> str:
    """A picture inside the page, with the words that stand for it."""
    uri, width, height = picture if isinstance(picture, Picture) else embed(picture)
    return (
        f'<img alt="{escape(alt)}" width="{width}" height="{height}"'
        + (f' style="{style}"' if style else "")
        + f' src="{uri}">'
    )
