"""One picture of the study, and the pictures that share a source run.

>>> picture = Picture("i2i_patch", "padding", blue, source=red)
>>> picture.entity, picture.steps, picture.edits, picture.depth
('solid_red_mug_s0__solid_blue_mug_s1', 4, True, 'color')

A picture's value says all that makes it, but the model. Recipes, variants and defaults are the
paper's (Sections 3 to 4.4): see `fluxlens.interventions`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from fluxlens.study.paths import Entity, image_path
from fluxlens.tasks import Task
from fluxlens.tasks.task import noise_seed

__all__ = ["RECIPES", "Picture", "SourceRun", "Unit", "donors"]

# In the order in which a unit's pictures are made: those that read its source run come first.
RECIPES = (
    "edit", "t2i_lens", "color_lens", "i2i_patch", "attention_knockout", "drop_reference",
    "generation", "placebo", "steering",
)  # fmt: skip
LENSES = ("t2i_lens", "color_lens")
# Patches of something else than the source's own tokens, which read runs of their own.
CONTROLS = ("placebo", "steering")
ONE_STEP = "-1-step"
Depth = Literal["style", "color"]
Donor = tuple[str, str, int]  # what reads it, a task's id and the seed of its noise


@dataclass(frozen=True)
class Picture:
    """A picture to make: ``Picture("attention_knockout", "ref->image", task)``.

    `variant` is ``plain`` for an edit; ``clean`` or ``empty`` for a generation (``-1-step`` behind
    it: in one step); the tokens of a lens or patch, with ``@double.3`` behind them to leave the
    binding block; a cut; the block behind which a reference is dropped, or ``binding``. A placebo's
    says what is patched in and where (``shuffled-pad``), steering's where and how strongly
    (``padding-x0.5``); both are explained in `fluxlens.study.controls`. `task` is a patch's target;
    `others` are the tasks over which a placebo takes a mean.
    """

    recipe: str
    variant: str
    task: Task
    source: Task | None = None
    others: tuple[Task, ...] = ()

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"no recipe {self.recipe!r}; recipes are {', '.join(RECIPES)}")
        if (self.source is not None) != (self.recipe in ("i2i_patch", *CONTROLS)):
            raise ValueError("a patch has a source, and nothing else has")
        if bool(self.others) != self.variant.startswith("mean-"):
            raise ValueError("the mean over tasks has others, and nothing else has")

    @property
    def entity(self) -> str:
        return Entity(self.task, self.source).id

    @property
    def origin(self) -> Task:
        """The task in whose unit it is made: the patch's source, or its own task."""
        return self.source or self.task

    @property
    def steps(self) -> int:
        """Denoising steps, which are forwards, of its own run."""
        return 1 if self.recipe == "color_lens" or self.variant.endswith(ONE_STEP) else 4

    @property
    def edits(self) -> bool:
        """Whether its own run reads the reference's tokens; a generation's and a lens's do not."""
        return self.recipe not in ("generation", *LENSES)

    @property
    def depth(self) -> Depth | None:
        """Which binding block its source run is captured behind; None if it needs no source run."""
        return self.binding if self.recipe in ("i2i_patch", *LENSES) else None

    @property
    def binding(self) -> Depth | None:
        """Which of a model's binding blocks it is about, unless it names another block."""
        if self.recipe == "t2i_lens":
            return "style"
        patches = self.recipe in ("color_lens", "i2i_patch", *CONTROLS)
        if patches or (self.recipe, self.variant) == ("drop_reference", "binding"):
            return "color" if self.task.family == "color" else "style"
        return None

    @property
    def tokens(self) -> str:
        """The text tokens that a lens or a patch moves."""
        if self.recipe == "placebo":
            return self.variant.rpartition("-")[2]
        if self.recipe == "steering":
            return self.variant.partition("-x")[0]
        return self.variant.partition("@")[0]

    @property
    def block(self) -> str | None:
        """The block that a lens or a patch names; None for the binding block of its family."""
        return self.variant.partition("@")[2] or None

    def path(self, folder: Path) -> Path:
        """Its file in a model's folder."""
        return image_path(folder, self.recipe, self.variant, self.entity)


def donors(picture: Picture) -> tuple[Task, ...]:
    """The tasks whose text tokens a control reads, in the order in which it uses them.

    >>> [task.task_id for task in donors(Picture("steering", "padding-x0.5", blue, source=red))]
    ['solid_blue_mug_s1', 'solid_red_mug_s0']
    """
    task, source = picture.task, picture.origin
    kind = picture.variant.rpartition("-")[0]
    if picture.recipe == "steering":
        return task, source
    if kind.startswith("like-"):
        return (_again(task if kind == "like-target" else source),)
    return {"same-run": (task,), "mean": picture.others}.get(kind, (source,))


def _again(task: Task) -> Task:
    """The same task under another noise."""
    return replace(task, noise_seed=noise_seed(f"{task.task_id} again"))


@dataclass(frozen=True)
class SourceRun:
    """The edit that a unit's lenses and patches read: `steps` forwards, one in four or four in all.

    `stops` says that nobody looks at its picture: its last forward ends behind the captured block.
    """

    steps: int
    stops: bool


@dataclass(frozen=True)
class Unit:
    """All pictures that come from one source task; what is shared is shared in here."""

    task: Task
    pictures: tuple[Picture, ...]

    @cached_property
    def source_run(self) -> SourceRun | None:
        """One edit for the baseline, every lens (its step 0 is their capture) and every patch."""
        recipes = {picture.recipe for picture in self.pictures}
        if "edit" in recipes:
            return SourceRun(4, stops=False)
        if "i2i_patch" in recipes:
            return SourceRun(4, stops=True)
        return SourceRun(1, stops=True) if recipes & set(LENSES) else None

    @property
    def forwards(self) -> int:
        """Forwards of this unit's rows, those cut short included."""
        own = sum(picture.steps for picture in self.pictures if picture.recipe != "edit")
        return own + (self.source_run.steps if self.source_run else 0) + 4 * len(self.donors)

    @cached_property
    def donors(self) -> dict[Donor, None]:
        """What its controls read: edits of four steps, ended behind their block; the most, for the
        units of a batch share what they have in common."""
        return {
            ("mean" if picture.others else picture.recipe, task.task_id, task.noise_seed): None
            for picture in self.pictures
            if picture.recipe in CONTROLS
            for task in donors(picture)
        }
