"""One picture of the study, and the pictures that share a source run.

>>> picture = Picture(Patching("padding"), blue, source=red)
>>> picture.entity, picture.path(Path("results/mini")).parent.as_posix(), picture.binding
('solid_red_mug_s0__solid_blue_mug_s1', 'results/mini/i2i_patch/padding', 'color')

A picture's value says all that makes it, but the model. Recipes, variants and defaults are the
paper's (Sections 3 to 4.4): see `fluxlens.recipes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from fluxlens.recipes import Depth
from fluxlens.study.paths import Entity, image_path
from fluxlens.study.sampling import Sampling
from fluxlens.study.treatments import Control, Edit, Placebo, Steering, Treatment, treatment
from fluxlens.tasks import Task
from fluxlens.tasks.task import noise_seed

__all__ = ["Picture", "SourceRun", "Unit", "donors"]

Donor = tuple[str, str, int]  # what reads it, a task's id and the seed of its noise


@dataclass(frozen=True)
class Picture:
    """A picture to make: ``Picture(Knockout("ref->image"), task)``.

    `treatment` says what is done (`fluxlens.study.treatments`); `task` is a patch's target, and
    only a patch has a `source`; `others` are the tasks over which a placebo takes a mean.
    """

    treatment: Treatment
    task: Task
    source: Task | None = None
    others: tuple[Task, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.treatment, Treatment):
            raise TypeError(
                f"a picture's treatment is one of fluxlens.study.treatments, not "
                f"{self.treatment!r}; Picture.named reads names"
            )
        if (self.source is not None) != self.treatment.recipe.pair:
            raise ValueError("a patch has a source, and nothing else has")
        if bool(self.others) != _of_many(self.treatment):
            raise ValueError("the mean over tasks has others, and nothing else has")

    @classmethod
    def named(
        cls,
        recipe: str,
        variant: str,
        task: Task,
        source: Task | None = None,
        others: tuple[Task, ...] = (),
    ) -> Picture:
        """Make one of the names that tables and files use: ``named("edit", "plain", task)``."""
        return cls(treatment(recipe, variant), task, source, others)

    @property
    def recipe(self) -> str:
        """Its recipe's name."""
        return self.treatment.name

    @property
    def variant(self) -> str:
        """Its name beside the recipe's."""
        return self.treatment.variant

    @property
    def entity(self) -> str:
        """The task's id, or both of a pair."""
        return Entity(self.task, self.source).id

    @property
    def origin(self) -> Task:
        """The task in whose unit it is made: the patch's source, or its own task."""
        return self.source or self.task

    @property
    def steps(self) -> int | None:
        """Denoising steps of its own run; None for the model's own number."""
        return self.treatment.steps

    @property
    def reads_source(self) -> bool:
        """Whether it reads the text tokens of its unit's source run."""
        return self.treatment.recipe.source is not None

    @property
    def binding(self) -> Depth | None:
        """Which of a model's binding blocks it is about, unless a drop names another block."""
        return self.treatment.binding(self.task.family)

    def path(self, folder: Path) -> Path:
        """Its file in a model's folder."""
        return image_path(folder, self.recipe, self.variant, self.entity)


def _of_many(what: Treatment) -> bool:
    return isinstance(what, Placebo) and what.kind == "mean"


def donors(picture: Picture) -> tuple[Task, ...]:
    """List the tasks whose text tokens a control reads, in the order in which it uses them.

    >>> [task.task_id for task in donors(Picture(Steering(), blue, source=red))]
    ['solid_blue_mug_s1', 'solid_red_mug_s0']
    """
    task, source = picture.task, picture.origin
    match picture.treatment:
        case Steering():
            return task, source
        case Placebo(kind="like-target"):
            return (_again(task),)
        case Placebo(kind="like-source"):
            return (_again(source),)
        case Placebo(kind="same-run"):
            return (task,)
        case Placebo(kind="mean"):
            return picture.others
        case _:
            return (source,)


def _again(task: Task) -> Task:
    """The same task under another noise."""
    return replace(task, noise_seed=noise_seed(f"{task.task_id} again"))


@dataclass(frozen=True)
class SourceRun:
    """The edit that a unit's lenses and patches read: `whole`, or its first step.

    `stops` says that nobody looks at its picture: its last forward ends after the captured block.
    """

    whole: bool
    stops: bool

    @property
    def steps(self) -> int | None:
        """Its steps; None for the model's own number."""
        return None if self.whole else 1


@dataclass(frozen=True)
class Unit:
    """All pictures that come from one source task; what is shared is shared in here."""

    task: Task
    pictures: tuple[Picture, ...]

    @cached_property
    def source_run(self) -> SourceRun | None:
        """One edit for the baseline, every lens (its step 0 is their capture) and every patch."""
        if any(isinstance(picture.treatment, Edit) for picture in self.pictures):
            return SourceRun(whole=True, stops=False)
        read = {picture.treatment.recipe.source for picture in self.pictures} - {None}
        return SourceRun(whole="all" in read, stops=True) if read else None

    def forwards(self, sampling: Sampling) -> int:
        """Forwards of this unit's rows, those cut short included."""
        own = sum(
            sampling.forwards(picture.steps)
            for picture in self.pictures
            if not isinstance(picture.treatment, Edit)
        )
        return own + self.captures(sampling, edits=True)

    def captures(self, sampling: Sampling, edits: bool = False) -> int:
        """Forwards of what controls read and of the source run; with `edits` if it is one, too."""
        count = sampling.forwards(stops=True) * len(self.donors)
        run = self.source_run
        if run is not None and (run.stops or edits):
            count += sampling.forwards(run.steps, run.stops)
        return count

    @cached_property
    def donors(self) -> dict[Donor, None]:
        """What its controls read: whole edits, ended after their block; the most, for the units of
        a batch share what they have in common."""
        return {
            ("mean" if picture.others else picture.recipe, task.task_id, task.noise_seed): None
            for picture in self.pictures
            if isinstance(picture.treatment, Control)
            for task in donors(picture)
        }
