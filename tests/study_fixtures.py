"""What the tests of the study share: a small plan, and a tiny model that can read its prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from study_tools import SHAPE

import fluxlens as fl
from fluxlens.study.cells import choose
from fluxlens.study.plan import Plan, make_plan


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A tiny model's folder."""
    return tiny.save(tmp_path_factory.mktemp("study") / "tiny", SHAPE)


@pytest.fixture(scope="session")
def small(folder) -> fl.Editor:
    return fl.load(folder)


@pytest.fixture(scope="session")
def plan() -> Plan:
    """Every recipe and both binding blocks: colors, and the style family with its twins."""
    return make_plan("mini", choose(families=["color", "style"], extras=["nulls"]), limit=2)
