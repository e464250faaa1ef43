"""A sheet of what mini paints: for every family, references above and edits below.

>>> sheet(fl.load("mini"), columns=6, seed=0).size
(648, 1188)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fluxlens.mini.architecture import PHANTOMS
from fluxlens.mini.lessons import KINDS, random_lesson
from fluxlens.mini.world import FAMILIES, FREE, random_edit, random_generation

if TYPE_CHECKING:
    from fluxlens.editor import Editor

CELL = 108

__all__ = ["sheet"]


def sheet(flux: Editor, columns: int = 6, seed: int = 0) -> Image.Image:
    """Held-out tasks, ``columns`` of each family (two rows each), and a row of generations."""
    rng = np.random.default_rng([77, seed])
    rows: list[list[Image.Image]] = []
    phantom = flux.wiring in {*PHANTOMS["wirings"], "base"}
    for family in KINDS if phantom else FAMILIES:
        prompts: list[str] = []
        references: list[tuple[Image.Image, ...]] = []
        for _ in range(columns):
            if phantom:
                lesson = random_lesson(family, rng, held=True)
                drawings = [reference.drawing for reference in lesson.references]
                prompts.append(lesson.prompt)
            else:
                edit = random_edit(family, rng, held=True)  # type: ignore[arg-type]
                drawings = [edit.reference]
                prompts.append(edit.prompt)
            references.append(tuple(drawing.draw(rng.normal(size=FREE)) for drawing in drawings))
        seeds = [int(s) for s in rng.integers(2**31, size=columns)]
        rows += [list(row) for row in zip(*references, strict=True)]
        rows.append(flux.edit(prompts, ref=references, seed=seeds))
    prompts = [random_generation(rng).prompt for _ in range(columns)]
    rows.append(flux.generate(prompts, seed=list(range(seed, seed + columns))))
    out = Image.new("RGB", (columns * CELL, len(rows) * CELL), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            out.paste(image, (x * CELL + 6, y * CELL + 6))
    return out
