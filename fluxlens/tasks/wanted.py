"""What a model has to be asked for, and what was written: the instructions of Appendix F by family.

>>> [item.id for item in wanted(["people_shared"], Assets())]
['person']
>>> mini_instructions("people_shared")[0].instructions["reading_park_bench"]
'the person in this image in a garden'

Three families are written: ``scenes`` (one call a picture says what is added and what is removed),
``style`` (four more prompts after each subject's first), ``people_shared`` (the same for anybody).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from fluxlens.tasks.assets import SOURCES, Assets, MissingAssetsError, reference_image, require
from fluxlens.tasks.instructions import (
    QUOTED,
    SHARED,
    Client,
    Picture,
    Prompt,
    add_instruction,
    remove_instruction,
    write_objects,
    write_prompts,
)
from fluxlens.tasks.mini import mini_tasks
from fluxlens.tasks.paper import PaperDataError, paper_tasks
from fluxlens.tasks.written import Written

__all__ = ["MINI", "Wanted", "Writing", "mini_instructions", "wanted", "wording"]

Writing = Literal["scenes", "style", "people_shared"]
PER_CATEGORY = 2  # pictures of each SUN397 category (Appendix G)
MINI = "mini's world"
SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Wanted:
    """One thing to ask for: ``write(client, attempts)`` gives its instructions by their slugs."""

    id: str
    family: Writing
    write: Callable[[Client, int], dict[str, str]]


def wording(family: Writing) -> str:
    """Twelve hex digits that change with any word of the prompts that are sent.

    >>> wording("style") == wording("people_shared") != wording("scenes")
    True
    """
    quoted = QUOTED["sun397" if family == "scenes" else "style"]
    sent = "\x1f".join(quoted[k] for k in ("prompt", "system", "user") if k in quoted)
    return hashlib.sha256(sent.encode()).hexdigest()[:12]


def wanted(families: Iterable[Writing], assets: Assets, limit: int | None = None) -> list[Wanted]:
    """What is to be asked for, the first ``limit`` of each family; one error for all that is
    missing on this machine.

    Pictures are those of the authors' tasks where a clone of their repository is at hand, else the
    first two of each SUN397 category. The first prompt of each subject stands only in the clone.
    """
    found, lacking = [], []
    for family in families:
        try:
            found += _WANTED[family](assets)[:limit]
        except (PaperDataError, MissingAssetsError) as error:
            lacking.append(str(error))
    if lacking:
        raise MissingAssetsError("\n".join(lacking))
    return found


def _scenes(assets: Assets) -> list[Wanted]:
    if assets.data is not None:
        tasks = {t.reference.path: t for t in paper_tasks(assets.data, ["add", "remove"])}
        require(tasks.values(), assets)
        return [
            _scene(
                str(path), task.metadata["sun397_category"], partial(reference_image, task, assets)
            )
            for path, task in tasks.items()
        ]
    source = SOURCES["sun397"]
    if assets.sun397 is None or not assets.sun397.is_dir():
        raise MissingAssetsError(
            f"the pictures are missing: {source['what']}\n  from {source['where']}\n"
            f"  licence: {source['licence']}"
        )
    out = []
    for folder in sorted(path for path in assets.sun397.rglob("*") if path.is_dir()):
        pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        for path in pictures[:PER_CATEGORY]:
            name = path.relative_to(assets.sun397).as_posix()
            category = f"/{Path(name).parent.as_posix()}"
            out.append(_scene(name, category, partial(Path, path)))
    if not out:
        raise MissingAssetsError(f"no pictures in {assets.sun397}: it should hold a/, b/, c/ …")
    return out


def _scene(name: str, category: str, picture: Callable[[], Picture]) -> Wanted:
    def write(client: Client, attempts: int) -> dict[str, str]:
        found = write_objects(client, picture(), category, attempts=attempts)
        out = {}
        if found.add is not None:
            out["add"] = add_instruction(found.add)
        if found.remove is not None:
            out["remove"] = remove_instruction(found.remove)
        return out

    return Wanted(name, "scenes", write)


def _style(assets: Assets) -> list[Wanted]:
    """Each subject's first prompt is what the authors wrote by hand, or stands for it."""
    first: dict[str, tuple[str, Prompt]] = {}
    for task in paper_tasks(assets.data, ["style"]):
        m = task.metadata
        first.setdefault(
            m["subject"], (m["subject_kind"], Prompt(m["prompt_slug"], task.instruction))
        )
    return [_subject(name, "style", kind, prompt) for name, (kind, prompt) in first.items()]


def _shared(assets: Assets) -> list[Wanted]:
    return [_subject("person", "people_shared", "person", Prompt(*next(iter(SHARED.items()))))]


def _subject(name: str, family: Writing, kind: str, first: Prompt) -> Wanted:
    def write(client: Client, attempts: int) -> dict[str, str]:
        return {p.slug: p.prompt for p in write_prompts(client, kind, first, attempts=attempts)}

    return Wanted(name, family, write)


_WANTED: dict[Writing, Callable[[Assets], list[Wanted]]] = {
    "scenes": _scenes, "style": _style, "people_shared": _shared,
}  # fmt: skip


def mini_instructions(family: Writing) -> list[Written]:
    """What mini's world has written for its own tasks, in the same records: no model was asked."""
    found: dict[str, dict[str, str]] = {}
    if family == "scenes":
        for task in mini_tasks(["add", "remove"]):
            thing = str(task.metadata[f"{task.family}_object"]).replace(" ", "_")
            name = task.task_id.removeprefix(f"{task.family}_drawn_").removesuffix(f"_{thing}")
            found.setdefault(name, {})[task.family] = task.instruction
    else:
        for task in mini_tasks([family]):
            name = str(task.metadata["subject"]) if family == "style" else "person"
            found.setdefault(name, {})[str(task.metadata["prompt_slug"])] = task.instruction
    return [Written(name, family, prompts, MINI) for name, prompts in found.items()]
