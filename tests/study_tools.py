"""What the tests of the study share: a small plan, a tiny model that reads its prompts, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

import fluxlens as fl
from fluxlens.study.cells import EXTRAS, choose
from fluxlens.study.plan import Plan, make_plan

SHAPE = tiny.Shape(double=1, single=2, heads=1, length=96)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A tiny model's folder."""
    return tiny.save(tmp_path_factory.mktemp("study") / "tiny", SHAPE)


@pytest.fixture(scope="session")
def small(folder) -> fl.Flux:
    return fl.load(folder)


@pytest.fixture(scope="session")
def plan() -> Plan:
    """Every recipe and both binding blocks: colours, and the style family with its twins."""
    return make_plan("mini", choose(families=["color", "style"], extras=EXTRAS), limit=2)


def files(root: Path) -> dict[str, Path]:
    """Every picture under a folder, by its path in there."""
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.png"))}


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
