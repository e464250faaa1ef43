"""The pictures on the pages about interventions and pipelines of one's own.

    python -m tools.own_pages

It runs the pages' own code on mini and writes book/images/steering.png and inpainting.png.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

BOOK = Path(__file__).resolve().parent.parent / "book"
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)


def blocks(page: Path) -> list[str]:
    """The fenced Python of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(page: str, until: str) -> dict[str, Any]:
    """The names that a page's code has made, up to the block that holds `until`."""
    names: dict[str, Any] = {}
    for block in blocks(BOOK / page):
        if "# raises" not in block:
            exec(block, names)
        if until in block:
            break
    return names


def steering() -> list[Image.Image]:
    """The edit under the page's steering vector, at each strength."""
    names = run("your-own-intervention.md", "class Steer")
    editor, made = names["editor"], []
    for strength in STRENGTHS:
        with names["Steer"](editor, names["block"], names["redder"], strength):
            made.append(editor.edit(names["prompt"], ref=names["blue"], seed=1))
    return made


def inpainting() -> list[Image.Image]:
    """The page's canvas, the same painted anew, and under either cut."""
    names = run("your-own-pipeline.md", "unseen =")
    return [names[name] for name in ("canvas", "painted", "untold", "unseen")]


def strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures side by side, three times their size."""
    width, height = pictures[0].size
    out = Image.new("RGB", (width * len(pictures), height))
    for n, picture in enumerate(pictures):
        out.paste(picture, (n * width, 0))
    return out.resize((out.width * 3, out.height * 3), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for name, pictures in (("steering", steering()), ("inpainting", inpainting())):
        strip(pictures).save(BOOK / "images" / f"{name}.png")
