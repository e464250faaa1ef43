"""What a page reads of a study: stored verdicts, and pictures, made where they are missing.

```python
study = open_study("mini", judge="oracle", results="results")
tables.table("2", study.verdicts)
entity = study.entities("style", "i2i_patch")[0]
study.images([Picture(Patching("padding"), entity.task, entity.source)])
```
One interface for all scales: with a study on disk nothing is run; without one, the few pictures
that a page shows are made on the spot and kept where the study would have put them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

import fluxlens as fl
from fluxlens.judge import NULL, Verdict, Verdicts, read_verdicts
from fluxlens.loading import read_facts
from fluxlens.results import load_paper, place
from fluxlens.study.asked import asked
from fluxlens.study.controls import sampled
from fluxlens.study.paths import Entity, entities, model_folder
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import plan_of
from fluxlens.study.requests import References
from fluxlens.study.run import Settings, run
from fluxlens.study.world import world_of
from fluxlens.tasks import Assets, PaperDataError, Task, World, available

if TYPE_CHECKING:
    from fluxlens.editor import Editor

__all__ = ["Study", "open_study"]


@dataclass(frozen=True)
class Study:
    """One model's study and one judge's verdicts on it: ``open_study("mini")``.

    `limit` is how many tasks, or pairs, of each family count: the first ones, None for all.
    """

    model: str
    judge: str
    results: Path
    limit: int | None = None
    assets: Assets = field(default_factory=Assets.from_environment)

    @cached_property
    def editor(self) -> Editor:
        """The model, loaded when it is first asked for."""
        return fl.load(self.model)

    @property
    def name(self) -> str:
        """The model's name, as its folder in `results` bears it."""
        return self.folder.name

    @cached_property
    def folder(self) -> Path:
        """Where its pictures and verdicts are: under the name that the model gives itself."""
        there = Path(self.model)
        facts = read_facts(there) if there.is_dir() else {}
        return model_folder(self.results, facts.get("name", self.model))

    @cached_property
    def world(self) -> World:
        """Whose tasks the model is given."""
        return world_of(self.model)

    def entities(self, family: str, recipe: str = "edit") -> list[Entity]:
        """The tasks of a family, or its pairs for ``i2i_patch``, whose references are here."""
        return self._here(family, recipe)[: self.limit]

    def sample(self, family: str, recipe: str, count: int) -> list[Entity]:
        """Those of which the study has controls: ``study.sample("color", "placebo", PLACEBOS)``."""
        return sampled(self._here(family, recipe), count)[: self.limit]

    def _here(self, family: str, recipe: str) -> list[Entity]:
        found = self._listed(family, recipe)
        tasks = [t for entity in found for t in (entity.task, entity.source) if t]
        there = {task.task_id for task in available(tasks, self.assets)}
        return [e for e in found if {e.task.task_id, (e.source or e.task).task_id} <= there]

    def examples(self, family: str, recipe: str = "edit", count: int = 2) -> list[Entity]:
        """``study.examples("style", count=3)``: what a figure shows, chosen before any result.

        `count` clusters (colors, subjects, people, kinds of scene), evenly spaced through the
        family's list, and from each an entity as far down the cluster as that is down the list.
        One from each cluster where there are fewer.
        """
        clusters: dict[str, list[Entity]] = {}
        for entity in self.entities(family, recipe):
            clusters.setdefault(place(entity.id)[1], []).append(entity)
        found = list(clusters.values())
        count = min(count, len(found))
        chosen = [found[n * len(found) // count] for n in range(count)]
        return [some[n * len(some) // count] for n, some in enumerate(chosen)]

    def _listed(self, family: str, recipe: str) -> list[Entity]:
        """All entities of a family; none where only the authors' repository, not here, has them."""
        try:
            return entities(self.world, family, recipe, self.assets.data)
        except PaperDataError:
            return []

    @cached_property
    def verdicts(self) -> Verdicts:
        """Judge's question → entity → verdict; empty where nothing was judged (see `missing`)."""
        return self.judged_by(self.judge)

    def judged_by(self, judge: str) -> Verdicts:
        """The verdicts of another judge, or of this one on the blind set: ``"oracle-blind"``."""
        folder = self.folder / "verdicts" / judge
        if not folder.is_dir():
            return {}
        return {name: self._first(name, found) for name, found in read_verdicts(folder).items()}

    def _first(self, name: str, found: dict[str, Verdict]) -> dict[str, Verdict]:
        judges = load_paper().judges
        if self.limit is None or (question := name.partition("__")[0]) not in judges:
            return found
        cell = next(cell for cell in load_paper().cells if cell.judge == question)
        listed = [e for e in self._listed(cell.family, cell.recipe) if e.id in found]
        drawn = sampled(listed, len(listed))[: self.limit]  # as a control's sample begins
        control = asked().get(name)
        if control is not None and control.need.sample is not None:
            listed = drawn
        first = [entity.id for entity in listed[: self.limit]]
        if name.endswith(NULL):  # with which controls are compared too
            first += [entity.id for entity in drawn]
        # without the list, the first that were judged
        first = first or list(found)[: self.limit]
        return {entity: found[entity] for entity in dict.fromkeys(first) if entity in found}

    @property
    def missing(self) -> tuple[str, ...]:
        """The questions that have no verdict here."""
        return tuple(name for name in load_paper().judges if not self.verdicts.get(name))

    def images(self, pictures: Sequence[Picture]) -> list[Image.Image]:
        """The pictures, in this order; those that are not on disk are made and kept there.

        `OtherPicturesError` for one that another model or request made under the same name;
        `RuntimeError` where the model failed twice, `ValueError` where its family has no such
        picture.
        """
        summary = run(
            self.editor,
            plan_of(self.world, pictures),
            self.results,
            Settings(assets=self.assets, shown=False),
        )
        if summary.left_out:
            raise ValueError("; ".join(summary.left_out))
        if summary.failures:
            failed = summary.failures[0]
            raise RuntimeError(f"{failed.batch} could not be made: {failed.error}")
        return [_opened(picture.path(self.folder)) for picture in pictures]

    def references(self, tasks: Iterable[Task]) -> list[Image.Image]:
        """The reference picture of each task."""
        kept = References(self.assets)
        return [kept.image(task) for task in tasks]


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def open_study(
    model: str,
    judge: str = "oracle",
    results: Path | str = "results",
    limit: int | None = None,
) -> Study:
    """``open_study("mini").verdicts``: what `fluxlens run` and `fluxlens judge` left in `results`.

    `model` is whatever :func:`fluxlens.load` takes.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is at least 1, not {limit}")
    return Study(model, judge, Path(results), limit)
