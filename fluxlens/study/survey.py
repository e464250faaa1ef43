"""What of a plan is there, what is missing, and what lies there that another request made.

>>> found = survey(batches, store, requests)
>>> len(found.due), found.made, len(found.others)
(49, 0, 0)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluxlens.study.paths import reference_path
from fluxlens.study.plan import Batch
from fluxlens.study.requests import Requests
from fluxlens.study.store import State, Store, read_record

__all__ = ["Found", "OtherPicturesError", "refuse_others", "survey"]

SHOWN = 5


class OtherPicturesError(ValueError):
    """Pictures lie where this plan's would, but another request made them."""


@dataclass
class Found:
    """`due` are the batches with something to do, `missing` counts what they lack by recipe."""

    due: list[Batch] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)
    made: int = 0
    others: dict[Path, dict[str, Any]] = field(default_factory=dict)


def survey(
    batches: Iterable[Batch], store: Store, requests: Requests, remake: bool = False
) -> Found:
    """Look at every file of these batches; with `remake` what another request made is missing."""
    found = Found()
    for batch in batches:
        due = False
        for recipe, path, asked in _files(batch, store.folder, requests):
            state = store.state(path, asked)
            if state is State.OTHER:
                found.others[path] = asked
            if state is State.MISSING or (remake and state is State.OTHER):
                due = True
                if recipe != "reference":
                    found.missing[recipe] += 1
            elif state is State.MADE and recipe != "reference":
                found.made += 1
        if due:
            found.due.append(batch)
    return found


def _files(
    batch: Batch, folder: Path, requests: Requests
) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    for reference, task in batch.references.items():
        yield "reference", reference_path(folder, reference), requests.of_reference(task)
    for picture in (picture for unit in batch.units for picture in unit.pictures):
        yield picture.recipe, picture.path(folder), requests.of(picture)


def refuse_others(found: Found, folder: Path) -> None:
    """Raise `OtherPicturesError`, which says in what they differ, if there are any."""
    if not found.others:
        return
    lines = [
        f"{len(found.others)} pictures in {folder} are not those that this run would make, so "
        "nothing was made. Make them anew with --remake, or delete or move them:"
    ]
    for path, asked in list(found.others.items())[:SHOWN]:
        lines.append(f"  {path.relative_to(folder)}: {_difference(path, asked)}")
    if len(found.others) > SHOWN:
        lines.append(f"  and {len(found.others) - SHOWN} more")
    raise OtherPicturesError("\n".join(lines))


def _difference(path: Path, asked: dict[str, Any]) -> str:
    before = (read_record(path) or {}).get("asked")
    if not isinstance(before, dict):
        return "no picture of a study"
    keys = [key for key in {**before, **asked} if before.get(key) != asked.get(key)]
    return ", ".join(f"{key} {before.get(key)!r}, now {asked.get(key)!r}" for key in keys)
