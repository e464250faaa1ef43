"""`fluxlens judge` on the command line."""

from __future__ import annotations

from typing import Any

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands to the parser of `fluxlens`."""
