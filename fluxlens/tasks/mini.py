"""mini's own 2,875 tasks: the paper's families and counts over the drawn world (section 4.1).

>>> task = mini_tasks(["add"])[0]
>>> task.task_id, task.instruction
('add_drawn_beach_morning_1__layout_1_teddy_bear', 'add a teddy bear')
>>> edit(task).result.scene.setting
'beach'

Ids, seeds and pairs follow the paper's rules. All factors are such as training never combined: the
paper's eight colors, each subject's own five actions, the ten test people, and scenes in held-out
layouts (:func:`fluxlens.mini.world.held_out`). A task's metadata holds them as plain values, from
which :func:`edit` makes the reference and the picture that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import cache
from typing import Any, Literal

from fluxlens.mini.canvas import SIZE
from fluxlens.mini.cast import PEOPLE_PROMPTS, TEST_PEOPLE
from fluxlens.mini.objects import PROPS
from fluxlens.mini.scenes import CATEGORIES, LAYOUTS, SLOTS, Scene
from fluxlens.mini.subjects import ACTIONS, SUBJECTS
from fluxlens.mini.world import (
    COLORS,
    Edit,
    add_edit,
    color_edit,
    held_out,
    people_edit,
    remove_edit,
    style_edit,
)  # fmt: skip
from fluxlens.tasks.instructions import SHARED
from fluxlens.tasks.paper import COLOR_OBJECTS, SEEDS
from fluxlens.tasks.task import Family, Reference, Task, chosen, noise_seed

__all__ = ["edit", "mini_tasks"]

# The paper's numbers of scene categories, of pictures and of pictures with something to remove.
PLACES, PICTURES, REMOVABLE = 397, 789, 726


def mini_tasks(families: Iterable[str] | str | None = None) -> list[Task]:
    """mini's tasks of the given families, in the order of the paper's files."""
    return [task for family in chosen(families) for task in _MAKE[family]()]


def edit(task: Task) -> Edit:
    """What a task's factors stand for: the reference, the picture asked for, and it alone."""
    if task.reference.kind != "drawing":
        raise ValueError(f"{task.task_id} is not a task of mini's world")
    return _edit(task.family, dict(task.metadata))


def _edit(family: Family, m: dict[str, Any]) -> Edit:
    match family:
        case "color":
            return color_edit(m["object"], COLORS[m["color"]])
        case "style" | "manual":
            return style_edit(m["subject"], m["phrase"], m["manner"])
        case "people" | "people_shared":
            word = "person" if family == "people_shared" else None
            return people_edit(TEST_PEOPLE[m["subject_index"]], m["prompt_slug"], word)
    scene = Scene(m["setting"], m["light"], m["palette"], m["layout"])
    if family == "add":
        return add_edit(scene, m["add_object"])
    return remove_edit(scene, m["remove_object"], m["slot"])


def _task(family: Family, task_id: str, metadata: dict[str, Any], seed_of: str = "") -> Task:
    asked = _edit(family, metadata)
    reference = Reference("drawing", drawing=asked.reference)
    seed = noise_seed(seed_of or task_id)
    return Task(task_id, family, asked.prompt, seed, SIZE, SIZE, reference, metadata)


def _color() -> Iterator[Task]:
    for color in COLORS:
        for thing in COLOR_OBJECTS:
            for s in range(SEEDS):
                factors = {"color": color, "object": thing}
                yield _task("color", f"solid_{color}_{thing}_s{s}", factors)


def _style(family: Literal["style", "manual"]) -> Iterator[Task]:
    for (subject, slug), action in ACTIONS.items():
        factors = {
            "subject": subject, "subject_kind": SUBJECTS[subject], "prompt_slug": slug,
            "phrase": action.phrase, "setting": action.setting, "held": action.prop,
            "manner": "illustrated" if family == "style" else "photo",
        }  # fmt: skip
        for s in range(SEEDS):
            style = f"customize_property_style_free_{subject}_{slug}_s{s}"
            manual = f"manual_free_{subject}_real_{slug}_s{s}"
            yield _task(family, style if family == "style" else manual, factors, style)


def _people(shared: bool) -> Iterator[Task]:
    """The first of everybody's nine prompts bears no number, as in the paper."""
    own = [slug for slug in PEOPLE_PROMPTS if slug not in SHARED]
    order = [(number, k) for number in TEST_PEOPLE for k in range(1, len(own))]
    order = [(number, 0) for number in TEST_PEOPLE] + order
    if shared:
        order = [(number, k) for number in TEST_PEOPLE for k in range(len(SHARED))]
    for number, k in order:
        person, slug = TEST_PEOPLE[number], list(SHARED)[k] if shared else own[k]
        place = PEOPLE_PROMPTS[slug]
        factors = {
            "subject_index": number, "subject": person.kind, "prompt_slug": slug,
            "setting": place.setting, "light": place.light, "person": asdict(person),
        }  # fmt: skip
        name = f"customize_dreambench_plus_live_subject_human_{number}_{person.kind}"
        if shared:
            task_id = f"customize_dreambench_plus_human_shared_{number}_{slug}"
            yield _task("people_shared", task_id, factors, name)
        else:
            yield _task("people", f"{name}_p{k}" if k else name, factors, name)


def _name(setting: str, light: str, palette: int) -> str:
    return f"{setting}_{light}_{palette}"


@cache
def _pictures() -> tuple[tuple[str, Scene], ...]:
    """The empty places of add and remove, each with its name: 789 of 397 categories.

    The categories whose names have the smallest checksums are taken, each in its two held-out
    layouts; the five largest of them only in the first.
    """
    ranked = sorted(CATEGORIES, key=lambda category: noise_seed(_name(*category)))[:PLACES]
    once = ranked[PICTURES - 2 * PLACES :]
    taken = set(ranked)
    out = []
    for category in CATEGORIES:
        if category in taken:
            scenes = [Scene(*category, layout) for layout in range(LAYOUTS)]
            held = [scene for scene in scenes if held_out(scene)]
            for scene in held[:1] if category in once else held:
                out.append((f"{_name(*category)}__layout_{scene.layout}", scene))
    return tuple(out)


def _objects(picture: str) -> tuple[str, str]:
    """What is added to a picture and what is removed from it: two different things, by checksum."""
    first, other = divmod(noise_seed(f"objects of {picture}"), len(PROPS) - 1)
    added = first % len(PROPS)
    return PROPS[added], PROPS[(added + 1 + other) % len(PROPS)]


def _scenes(family: Literal["add", "remove"]) -> Iterator[Task]:
    """All pictures, or all but those 63 whose names have the largest checksums."""
    pictures = _pictures()
    kept = {p for p, _ in pictures}
    if family == "remove":
        kept = set(sorted(kept, key=noise_seed)[:REMOVABLE])
    for picture, scene in pictures:
        if picture not in kept:
            continue
        added, removed = _objects(picture)
        thing = added if family == "add" else removed
        factors: dict[str, Any] = asdict(scene) | {f"{family}_object": thing}
        if family == "remove":
            factors["slot"] = noise_seed(f"slot of {picture}") % SLOTS
        yield _task(family, f"{family}_drawn_{picture}_{thing.replace(' ', '_')}", factors)


_MAKE: dict[Family, Callable[[], Iterator[Task]]] = {
    "color": _color,
    "style": lambda: _style("style"),
    "manual": lambda: _style("manual"),
    "people": lambda: _people(shared=False),
    "people_shared": lambda: _people(shared=True),
    "add": lambda: _scenes("add"),
    "remove": lambda: _scenes("remove"),
}
