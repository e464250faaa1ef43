"""The README's picture: mini under the instruments, on the study's first task of each family.

$ python -m tools.hero
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fluxlens as fl
from fluxlens.tasks import mini_tasks, reference_image

TARGET = Path(__file__).parent.parent / "book" / "images" / "hero.png"
FAMILIES = ("color", "style", "people", "add", "remove")


def main() -> None:
    """Make the pictures, draw them side by side and replace the old file."""
    flux = fl.load("mini")
    tasks = [mini_tasks(family)[0] for family in FAMILIES]
    row = (
        [task.instruction for task in tasks],
        [reference_image(task) for task in tasks],
        [task.noise_seed for task in tasks],
    )
    rows = {
        "reference": row[1],
        "edit": flux.edit(*row),
        "lens on the\ntext tokens": fl.t2i_lens(flux, *row).images,
        "ref→text cut": fl.attention_knockout(flux, *row, cut="ref->text").images,
        "ref→image cut": fl.attention_knockout(flux, *row, cut="ref->image").images,
    }
    figure = Figure(figsize=(10, 9.8), facecolor="white", layout="constrained")
    axes = figure.subplots(len(rows), len(tasks))
    for y, (name, pictures) in enumerate(rows.items()):
        for x, picture in enumerate(pictures):
            axes[y, x].imshow(np.asarray(picture), interpolation="lanczos")
            axes[y, x].set(xticks=[], yticks=[])
        axes[y, 0].set_ylabel(name, fontsize=12)
    for x, task in enumerate(tasks):
        words = task.instruction.split()
        half = -(-len(words) // 2)
        title = " ".join(words[:half]) + "\n" + " ".join(words[half:])
        axes[0, x].set_title(title, fontsize=11, style="italic")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=80, format="png", metadata={"Software": None})
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
