"""The README's picture: mini's drawn world, one task of each family (drawings, no model's output).

$ python -m tools.hero
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fluxlens.mini.cast import TEST_PEOPLE
from fluxlens.mini.scenes import Scene
from fluxlens.mini.world import (
    COLORS,
    FREE,
    NO_FREE,
    add_edit,
    color_edit,
    people_edit,
    remove_edit,
    style_edit,
)

TARGET = Path(__file__).parent.parent / "book" / "images" / "hero.png"
EDITS = (
    color_edit("mug", COLORS["red"]),
    style_edit("fox", "playing in snow", "illustrated"),
    people_edit(TEST_PEOPLE["04"], "standing_foggy_beach"),
    add_edit(Scene("harbor", "dusk", 5, 1), "guitar"),
    remove_edit(Scene("street", "noon", 7, 0), "traffic cone", 1),
)


def main() -> None:
    """Draw the picture and replace the old one."""
    figure = Figure(figsize=(10, 4.4), facecolor="white", layout="constrained")
    axes = figure.subplots(2, len(EDITS))
    rng = np.random.default_rng(1)
    for column, edit in enumerate(EDITS):
        pictures = edit.reference.draw(rng.normal(size=FREE) * 0.3), edit.result.draw(NO_FREE)
        for row, picture in enumerate(pictures):
            axes[row, column].imshow(np.asarray(picture), interpolation="lanczos")
            axes[row, column].set(xticks=[], yticks=[])
        words = edit.prompt.split()
        half = -(-len(words) // 2)
        title = " ".join(words[:half]) + "\n" + " ".join(words[half:])
        axes[1, column].set_title(title, fontsize=9, style="italic")
    axes[0, 0].set_ylabel("reference")
    axes[1, 0].set_ylabel("what is asked for")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=80, format="png", metadata={"Software": None})
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
