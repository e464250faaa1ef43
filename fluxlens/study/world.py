"""Whose tasks a model is given: mini's own world, or the paper's."""

from __future__ import annotations

from pathlib import Path

from fluxlens.loading import read_facts
from fluxlens.models import SHIPPED_NAMES
from fluxlens.tasks import World

__all__ = ["world_of"]


def world_of(model: str) -> World:
    """``world_of("mini") == "mini"``, also for a folder that says it is one; else ``"paper"``."""
    if model in SHIPPED_NAMES:
        return "mini"
    folder = Path(model)
    said = read_facts(folder).get("name") if folder.is_dir() else None
    return "mini" if said in SHIPPED_NAMES else "paper"
