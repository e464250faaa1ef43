"""``manifest.json`` in a model's folder: which code, model and machine made its pictures, and when.

Every run adds itself to `runs` when it starts (``finished`` is null until it ends; a killed run's
stays so) with its cells, counts and seconds by recipe. A shard writes a manifest of its own.
"""

from __future__ import annotations

import json
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fluxlens.study.plan import Plan
from fluxlens.study.store import Store

__all__ = ["Manifest", "commit"]


def commit() -> str | None:
    """The commit of this checkout, ``-dirty`` behind it if files differ; None if it is none."""
    here = Path(__file__).parent
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match="],
            cwd=here, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None


class Manifest:
    """One run's entry: ``Manifest(store, {**record, "tokens": 8704}, plan, (1, 1), kept)``.

    `record` is the editor's; `tokens` are what a run of the model may have: batches follow from
    them and the plan.
    """

    def __init__(
        self, store: Store, record: dict[str, Any], plan: Plan, part: tuple[int, int], kept: int
    ) -> None:
        of = "" if part == (1, 1) else f"-{part[0]}-of-{part[1]}"
        self.store, self.path = store, store.folder / f"manifest{of}.json"
        self.entry: dict[str, Any] = {
            "started": None,
            "finished": None,
            "commit": commit(),
            "host": socket.gethostname(),
            **{k: record[k] for k in ("model", "revision", "dtype", "device", "versions")},
            "attention_backend": record["attention_backend"],
            "world": plan.world,
            "cells": sorted({name for names in plan.needs.values() for name in names}),
            "tasks": len(plan.units),
            "pictures": plan.pictures,
            "shard": list(part),
            "tokens": record["tokens"],
            "kept": kept,
        }

    def start(self) -> None:
        self.entry["started"] = _now()
        self._write()

    def finish(
        self, made: int, forwards: dict[str, int], seconds: dict[str, float], failed: int
    ) -> None:
        self.entry.update(made=made, failed=failed, forwards=forwards, seconds=seconds)
        self.entry["finished"] = _now()
        self._write()

    def _write(self) -> None:
        earlier = [run for run in self._earlier() if run["started"] != self.entry["started"]]
        self.store.write_text(
            self.path, json.dumps({"runs": [*earlier, self.entry]}, indent=2) + "\n"
        )

    def _earlier(self) -> list[dict[str, Any]]:
        try:
            return list(json.loads(self.path.read_text(encoding="utf-8"))["runs"])
        except (OSError, ValueError, KeyError, TypeError):
            return []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
