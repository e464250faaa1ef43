"""The paper's 2,875 tasks (section 4.1), by rule where a rule makes them.

>>> [task.task_id for task in paper_tasks(families=["color"])][:2]
['solid_red_couch_s0', 'solid_red_couch_s1']

Ids, seeds, order and colors follow from rules that the authors' task files obey. What only the
authors wrote down is read from a clone of their repository: the style prompts, the people's
prompts, and for each SUN397 picture its size and objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, StringConstraints

from fluxlens.files import checked
from fluxlens.mini.world import COLORS
from fluxlens.tasks.instructions import SHARED, add_instruction, remove_instruction
from fluxlens.tasks.task import Family, Reference, Task, chosen, noise_seed

__all__ = ["BUCKETS", "COLOR_OBJECTS", "HUMANS", "REPOSITORY", "PaperDataError", "paper_tasks",
           "row"]  # fmt: skip

REPOSITORY = "https://github.com/ChrisG777/i2i-interp"
SIZE = 1024
SEEDS = 5

# In the order of the authors' file; the colors of ``COLORS`` are in it too.
COLOR_OBJECTS = ("couch", "chair", "car", "ball", "vase", "pillow", "mug", "hat")

# The ten people of DreamBench++, by their number in its human category.
HUMANS = {
    "01": "man", "02": "man", "04": "girl", "07": "man", "08": "man", "10": "man",
    "11": "basketball player", "15": "woman", "18": "basketball player", "19": "girl",
}  # fmt: skip

# Each family's folder under data/tasks.
BUCKETS: dict[Family, str] = {
    "color": "solid_color", "style": "style", "manual": "manual", "people": "dreambench_humans",
    "people_shared": "dreambench_humans_shared", "add": "add", "remove": "remove",
}  # fmt: skip

STYLE_PROMPTS = "data/tasks/customize/_style_prompts.yaml"
SCENES: tuple[Literal["add", "remove"], ...] = ("add", "remove")


# What becomes part of a file's name: no way out of a folder.
Name = Annotated[str, StringConstraints(pattern=r"^[\w-]+$")]


class PaperDataError(ValueError):
    """The clone of the authors' repository is needed and not there, or not as expected."""


def paper_tasks(
    data: Path | None = None, families: Iterable[str] | str | None = None
) -> list[Task]:
    """The paper's tasks of the given families, in the order of the authors' files.

    ``data`` is a clone of the authors' repository; ``color`` and ``people_shared`` do without.
    """
    wanted = chosen(families)
    needs = [family for family in wanted if family in _READ]
    if needs and (data is None or not (data / "data" / "tasks").is_dir()):
        there = "" if data is None else f" ({data} has no data/tasks)"
        raise PaperDataError(
            f"the paper's {', '.join(needs)} tasks stand only in its authors' repository{there}: "
            f"git clone {REPOSITORY} (it carries no licence, so fluxlens ships none of it), then "
            "name the folder with --paper-data or FLUXLENS_PAPER_DATA. "
            "The color and people_shared tasks need no clone."
        )
    tasks: list[Task] = []
    for family in wanted:
        if family in _READ:
            assert data is not None
            tasks += _READ[family](data)
        else:
            tasks += _color() if family == "color" else _people_shared()
    return tasks


def _color() -> Iterator[Task]:
    for color, rgb in COLORS.items():
        for thing in COLOR_OBJECTS:
            for s in range(SEEDS):
                name = f"solid_{color}_{thing}_s{s}"
                yield Task(
                    name, "color", f"draw a {thing} in this color", noise_seed(name), SIZE, SIZE,
                    Reference("solid", f"data/solid_colors/solid_{color}", rgb),
                )  # fmt: skip


def _file(data: Path, name: str) -> str:
    try:
        return (data / name).read_text(encoding="utf-8")
    except OSError as error:
        raise PaperDataError(f"{data} is not a whole clone of {REPOSITORY}: {error}") from error


def tasks_file(family: Family) -> str:
    """Where the authors keep a family's tasks, from the root of their repository."""
    return f"data/tasks/{BUCKETS[family]}/tasks.jsonl"


class _Prompt(BaseModel):
    slug: Name
    prompt: str


@cache
def _rows(data: Path, family: Family) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(_file(data, tasks_file(family)).splitlines(), start=1):
        if line:
            try:
                rows.append(checked(dict[str, Any], json.loads(line), f"line {number}"))
            except (ValueError, RecursionError) as error:
                name = data / tasks_file(family)
                raise PaperDataError(f"{name}, line {number} is no task: {error}") from None
    return rows


def _style(data: Path, family: Literal["style", "manual"]) -> Iterator[Task]:
    """Both twins take their seed from the illustrated one's id."""
    try:
        subjects = checked(dict[str, Any], yaml.safe_load(_file(data, STYLE_PROMPTS)), "it")
        batch = subjects.pop("_version")
        prompts_of = checked(dict[Name, list[_Prompt]], subjects, "it")
    except (yaml.YAMLError, KeyError, ValueError) as error:
        raise PaperDataError(f"{data / STYLE_PROMPTS} holds no prompts: {error}") from None
    for subject, prompts in prompts_of.items():
        for slug, prompt in ((p.slug, p.prompt) for p in prompts):
            kind = re.search(r"the (.+?) in this image", prompt)
            if kind is None:
                raise PaperDataError(f"the prompt {prompt!r} names no kind of subject")
            metadata = {
                "axis": "style", "batch": batch, "prompt_slug": slug, "subject": subject,
                "subject_kind": kind[1],
            }  # fmt: skip
            for s in range(SEEDS):
                style = f"customize_property_style_{batch}_{subject}_{slug}_s{s}"
                manual = f"manual_{batch}_{subject}_real_{slug}_s{s}"
                path = f"fictional/{subject}" if family == "style" else f"real/{subject}_real"
                yield Task(
                    style if family == "style" else manual, family, prompt, noise_seed(style),
                    SIZE, SIZE, Reference("style", f"data/style_references/{path}"), metadata,
                )  # fmt: skip


def _human(number: str) -> tuple[str, Reference]:
    """The id on which a person's seed hangs, and the photograph."""
    name = f"customize_dreambench_plus_live_subject_human_{number}_{HUMANS[number]}"
    return name.replace(" ", "_"), Reference(
        "dreambench", f"images/live_subject/human/{number}.jpg"
    )


def _people(data: Path) -> Iterator[Task]:
    """First everybody's first prompt, then the other eight of each."""
    found = {}
    for old in _rows(data, "people"):
        found[old["metadata"]["subject_index"], old["metadata"]["selected_prompt_idx"]] = old
    order = [(number, 0) for number in HUMANS]
    order += [(number, k) for number in HUMANS for k in range(1, 9)]
    if set(found) != set(order):
        raise PaperDataError(f"{data} does not hold nine prompts for each of the ten people")
    for number, k in order:
        name, reference = _human(number)
        prompts = found[number, k]["metadata"]["all_prompts"]
        metadata = {
            "all_prompts": prompts, "category": "live_subject", "original_instruction": prompts[k],
            "selected_prompt_idx": k, "subject": HUMANS[number], "subject_index": number,
            "subject_kind": "real_human",
        }  # fmt: skip
        yield Task(
            f"{name}_p{k}" if k else name, "people", found[number, k]["instruction"],
            noise_seed(name), SIZE, SIZE, reference, metadata,
        )  # fmt: skip


def _people_shared() -> Iterator[Task]:
    for number in HUMANS:
        name, reference = _human(number)
        for slug, prompt in SHARED.items():
            metadata = {
                "category": "live_subject_human_shared", "human_idx": int(number),
                "shared_slug": slug, "subject_kind": "real_human",
            }  # fmt: skip
            yield Task(
                f"customize_dreambench_plus_human_shared_{number}_{slug}", "people_shared", prompt,
                noise_seed(name), SIZE, SIZE, reference, metadata,
            )  # fmt: skip


def _sun397(data: Path, family: Literal["add", "remove"]) -> Iterator[Task]:
    for old in _rows(data, family):
        yield scene(family, old["metadata"], old["height"], old["width"])


def scene(
    family: Literal["add", "remove"], metadata: Mapping[str, str], height: int, width: int
) -> Task:
    """The task of one picture of SUN397: ``metadata`` says its object, category and file."""
    thing, file = metadata[f"{family}_object"], metadata["sun397_src_filename"]
    category = metadata["sun397_category"].strip("/")
    name = f"{family}_sun397_{category}__{Path(file).stem}_{thing}"
    name = name.replace("/", "_").replace(" ", "_")
    instruction = add_instruction(thing) if family == "add" else remove_instruction(thing)
    return Task(
        name, family, instruction, noise_seed(name), height, width,
        Reference("sun397", f"{category}/{file}"), metadata,
    )  # fmt: skip


_READ: dict[Family, Callable[[Path], Iterator[Task]]] = {
    "style": lambda data: _style(data, "style"),
    "manual": lambda data: _style(data, "manual"),
    "people": _people,
    "add": lambda data: _sun397(data, "add"),
    "remove": lambda data: _sun397(data, "remove"),
}

_SOURCES: dict[Family, str] = {
    "color": "solid_color", "style": "property_manual", "manual": "manual",
    "people": "dreambench_plus", "people_shared": "dreambench_plus",
    "add": "sun397", "remove": "sun397",
}  # fmt: skip


def clone_path(task: Task) -> str | None:
    """Where a clone of the authors' repository keeps the reference (a named one: no suffix)."""
    path = task.reference.path
    if task.reference.kind == "sun397" and path is not None:
        folder, _, file = path.rpartition("/")
        return f"data/tasks/{task.family}/images/sun397_{folder.replace('/', '_')}__{file}"
    if task.reference.kind == "dreambench" and path is not None:
        return f"data/tasks/customize/images/{_human(Path(path).stem)[0]}.jpg"
    return path


def row(task: Task) -> dict[str, Any]:
    """A task as one line of the authors' files, field for field."""
    path = clone_path(task)
    named = task.family in ("color", "style", "manual") and path is not None
    out: dict[str, Any] = {
        "edit_type": task.family if task.family in ("add", "remove") else "customize",
        "height": task.height,
        "instruction": task.instruction,
        "metadata": dict(task.metadata),
        "noise_seed": task.noise_seed,
        "real_ref_name": None,
        "ref_seed": None,
        "source": _SOURCES[task.family],
        "source_caption": None,
        "source_image_path": None if named else path,
        "task_id": task.task_id,
        "width": task.width,
    }
    if named and path is not None:
        out["real_ref_dir"], _, out["real_ref_name"] = path.rpartition("/")
    return out
