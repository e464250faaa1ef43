"""How the tests of the study look at what a run left: files, when they were made, pixels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tiny
from PIL import Image

SHAPE = tiny.Shape(double=1, single=2, heads=1, length=96)  # long enough for mini's prompts


def files(root: Path) -> dict[str, Path]:
    """Every picture under a folder, by its path in there."""
    # os.walk bears folders and files that come and go while a run is under way; rglob does not.
    found = [Path(at) / name for at, _, names in os.walk(root) for name in names]
    return {p.relative_to(root).as_posix(): p for p in sorted(found) if p.suffix == ".png"}


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    """Which file each one is, and when it was written: another one if it was written again."""
    return {
        name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in files(root).items()
    }


def levels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def all_levels(root: Path) -> dict[str, np.ndarray]:
    return {name: levels(path) for name, path in files(root).items()}


def equal(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    """The same files with the same pixels."""
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)
