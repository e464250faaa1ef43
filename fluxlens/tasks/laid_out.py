"""Written instructions as tasks: a folder laid out like the authors' repository (Appendix F).

```python
lay_out(Path("instructions/claude-opus-4-7"), Path("my-tasks"), Assets.from_environment())
# {'add': 789, 'remove': 726, 'style': 450, 'manual': 450}
```

Everything that takes a clone of that repository then takes this folder: ``--paper-data my-tasks``.
Scenes become its task lists, with the sizes of their pictures; style prompts become its list of
prompts, beside copies of the references that are at hand. The shared prompts are no part of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any, Literal

import yaml
from PIL import Image

from fluxlens.tasks.assets import Assets, MissingAssetsError, reference_file
from fluxlens.tasks.paper import SCENES, STYLE_PROMPTS, paper_tasks, row, scene, tasks_file
from fluxlens.tasks.task import Family, Task
from fluxlens.tasks.written import Written, read_written

__all__ = ["lay_out", "size_of"]

AREA = 1024**2
SIDE = 16  # pixels of a token's side
VERSION = "written"


def lay_out(written: Path, to: Path, assets: Assets) -> dict[str, int]:
    """Lay out the scenes and style prompts in a writer's folder; tasks by family.

    `ValueError` if nothing was written there or `to` has files; `MissingAssetsError` names scenes
    whose pictures are not there. What failed to be written is left out.
    """
    found = {f: _good(read_written(written / f"{f}.jsonl")) for f in ("scenes", "style")}
    if not any(found.values()):
        raise ValueError(
            f"{written} has no scenes or style prompts; `fluxlens instructions` writes them"
        )
    if to.exists() and any(to.iterdir()):
        raise ValueError(f"{to} is not empty: name a new folder")
    made: dict[Family, list[Task]] = {
        family: list(_scenes(found["scenes"], family, assets)) for family in SCENES
    }
    part = to.with_name(f".{to.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for family, tasks in made.items():
        lines = [json.dumps(row(task), sort_keys=True) + "\n" for task in tasks]
        _write(part / tasks_file(family), "".join(lines))
    if found["style"]:
        _write(part / STYLE_PROMPTS, _prompts(found["style"], assets))
        made |= {family: paper_tasks(part, [family]) for family in ("style", "manual")}
    _copy_references([task for tasks in made.values() for task in tasks], assets, part)
    os.replace(part, to)
    return {family: len(tasks) for family, tasks in made.items() if tasks}


def _good(rows: dict[str, Written]) -> list[Written]:
    return [row for row in rows.values() if not row.error]


def _scenes(
    rows: list[Written], family: Literal["add", "remove"], assets: Assets
) -> Iterator[Task]:
    lost = []
    for written in rows:
        if family not in written.instructions:
            continue
        folder, _, file = written.id.rpartition("/")
        metadata = {
            f"{family}_object": re.sub(r"^(add an?|remove the) ", "", written.instructions[family]),
            "sun397_category": f"/{folder}",
            "sun397_src_filename": file,
        }
        picture = reference_file(scene(family, metadata, SIDE, SIDE), assets)
        if picture is None:
            lost.append(written.id)
            continue
        with Image.open(picture) as image:
            yield scene(family, metadata, *size_of(*image.size))
    if lost:
        raise MissingAssetsError(
            f"{len(lost)} pictures of SUN397 are not there, {lost[0]} among them: name the folder "
            "with FLUXLENS_SUN397"
        )


def size_of(width: int, height: int) -> tuple[int, int]:
    """(height, width) at which a picture is edited: its own, to 1024² at most, in whole tokens.

    >>> size_of(4000, 3000), size_of(256, 250)
    ((880, 1168), (240, 256))
    """
    scale = min(1.0, sqrt(AREA / (width * height)))
    return int(height * scale) // SIDE * SIDE, int(width * scale) // SIDE * SIDE


def _prompts(rows: list[Written], assets: Assets) -> str:
    """The list as the authors keep it, under the name that their ids bear."""
    tasks = paper_tasks(assets.data, ["style"]) if assets.data else []
    version = tasks[0].metadata["batch"] if tasks else VERSION
    prompts: dict[str, Any] = {"_version": version}
    for written in rows:
        prompts[written.id] = [
            {"slug": slug, "prompt": prompt} for slug, prompt in written.instructions.items()
        ]
    return yaml.safe_dump(prompts, sort_keys=False, allow_unicode=True, width=1000)


def _copy_references(tasks: list[Task], assets: Assets, to: Path) -> None:
    """Those that lie in the authors' repository; datasets stay where they are."""
    alone = replace(assets, sun397=None, dreambench=None)
    for task in {task.reference: task for task in tasks}.values():
        picture = reference_file(task, alone)
        if isinstance(picture, Path) and assets.data is not None:
            copy = to / picture.relative_to(assets.data)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, copy)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
