"""Make a batch's pictures with one model: one source run, then every recipe that reads it.

>>> maker = Maker(flux, store, References(assets))
>>> [made.recipe for made in maker.make(batch)]
['references', 'edit', 'files', 'color_lens', 'files', 'i2i_patch', …]

A run of the model is done whole or not at all: if one of its pictures is missing, all its rows are
run again, and only what is missing is written. So a picture's company never changes, and with it
its last bit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

import fluxlens as fl
from fluxlens.core import Activations
from fluxlens.pipelines import Row, rows_of, sample
from fluxlens.recipes import records_of
from fluxlens.study.control_runs import Controls
from fluxlens.study.paths import reference_path
from fluxlens.study.pictures import CONTROLS, Picture
from fluxlens.study.plan import Batch
from fluxlens.study.requests import References, Requests, digest, facts_of
from fluxlens.study.store import State, Store
from fluxlens.tasks import Task

if TYPE_CHECKING:
    from fluxlens.editor import Editor

__all__ = ["Made", "Maker"]


@dataclass(frozen=True)
class Made:
    """One piece of work that is done: a run of the model, or ``references`` or ``files`` written.

    ``capture`` is a source run that makes no picture. `forwards` are counted by rows.
    """

    recipe: str
    pictures: int
    forwards: int
    seconds: float


class _Clock:
    def __init__(self) -> None:
        self.at = time.perf_counter()

    def lap(self) -> float:
        before, self.at = self.at, time.perf_counter()
        return self.at - before


class Maker:
    """Makes what is missing of batches; with `remake` also what another request made."""

    def __init__(
        self, flux: Editor, store: Store, references: References, remake: bool = False
    ) -> None:
        self.flux, self.store, self.references = flux, store, references
        self.requests = Requests(facts_of(flux), references)
        self.controls = Controls(self)
        self._due = {State.MISSING, State.OTHER} if remake else {State.MISSING}

    def make(self, batch: Batch) -> Iterator[Made]:
        """Make and write a batch run by run; gives each piece of work when it is on disk."""
        clock = _Clock()
        self._write_references(batch)
        due = {
            picture
            for picture in (p for unit in batch.units for p in unit.pictures)
            if self._is_due(picture)
        }
        yield Made("references", 0, 0, clock.lap())
        if not due:
            return
        source = _Source(self, batch, due)
        if source.steps:
            source.run()
            edits = len(batch.units) if source.edits else 0
            name = "edit" if edits else "capture"
            yield Made(name, 0, source.steps * len(batch.units), clock.lap())
        for group in batch.groups:
            missing = [n for n, picture in enumerate(group) if picture in due]
            if not missing:
                continue
            if group[0].recipe in CONTROLS:
                captured = self.controls.capture(group, batch.rows)
                yield Made("capture", 0, captured, clock.lap())
            images, records = self._run(group, source)
            seconds = clock.lap()
            for n in missing:
                self._write(group[n], images[n], records[n])
            forwards = 0 if group[0].recipe == "edit" else sum(p.steps for p in group)
            yield Made(group[0].recipe, len(missing), forwards, seconds)
            yield Made("files", 0, 0, clock.lap())

    def _is_due(self, picture: Picture) -> bool:
        path = picture.path(self.store.folder)
        return self.store.state(path, self.requests.of(picture)) in self._due

    def _write_references(self, batch: Batch) -> None:
        for reference, task in batch.references.items():
            path = reference_path(self.store.folder, reference)
            asked = self.requests.of_reference(task)
            if self.store.state(path, asked) in self._due:
                record = {**asked, **reference.to_json(), "asked": asked, "request": digest(asked)}
                self.store.write(path, self.references.image(task), record)

    def _write(self, picture: Picture, image: Image.Image, record: dict[str, Any]) -> None:
        asked = self.requests.of(picture)
        names = {"task": picture.task.task_id, "family": picture.task.family}
        if picture.source is not None:
            names["source"] = picture.source.task_id
        kept = {**record, **names, "asked": asked, "request": digest(asked)}
        self.store.write(picture.path(self.store.folder), image, kept)

    # the recipes, on rows

    def arguments(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """What every run of these tasks has, a row each."""
        return {
            "prompt": [task.instruction for task in tasks],
            "height": [task.height for task in tasks],
            "width": [task.width for task in tasks],
        }

    def images(self, tasks: Sequence[Task]) -> list[Image.Image]:
        return [self.references.image(task) for task in tasks]

    def rows(self, tasks: Sequence[Task]) -> list[Row]:
        """Their plain edits."""
        seeds = [task.noise_seed for task in tasks]
        return rows_of(self.flux, ref=self.images(tasks), seed=seeds, **self.arguments(tasks))[0]

    def _run(self, group: Sequence[Picture], source: _Source) -> tuple[list[Image.Image], list]:
        flux, first = self.flux, group[0]
        if first.recipe == "edit":
            made = [source.at[picture.task.task_id] for picture in group]
            return [source.images[n] for n in made], [source.records[n] for n in made]
        tasks = [picture.task for picture in group]
        rows = self.arguments(tasks)
        if first.recipe == "generation":
            return self._generate(first, tasks)
        if first.recipe in CONTROLS:
            return self.controls.run(group)
        seeds = [task.noise_seed for task in tasks]
        if first.recipe == "attention_knockout":
            result = fl.attention_knockout(
                flux, ref=self.images(tasks), seed=seeds, cut=first.variant, **rows
            )
        elif first.recipe == "drop_reference":
            after = self.requests.block(first) or first.variant
            result = fl.drop_reference(
                flux, ref=self.images(tasks), seed=seeds, after=after, **rows
            )
        else:
            given: dict[str, Any] = {"tokens": first.tokens, "block": self.requests.block(first)}
            acts = source.of(group)
            if first.recipe == "i2i_patch":
                sources = [picture.origin for picture in group]
                pairs = [(s.noise_seed, t.noise_seed) for s, t in zip(sources, tasks, strict=True)]
                result = fl.i2i_patch(
                    flux, source=self.images(sources), target=self.images(tasks), seeds=pairs,
                    acts=acts, **given, **rows,
                )  # fmt: skip
            else:
                lens = fl.t2i_lens if first.recipe == "t2i_lens" else fl.color_lens
                result = lens(flux, ref=self.images(tasks), seed=seeds, acts=acts, **given, **rows)
        return result.images, result.record

    def _generate(
        self, first: Picture, tasks: Sequence[Task]
    ) -> tuple[list[Image.Image], list[dict[str, Any]]]:
        """The lens's counterparts: its seed, the instruction or nothing, no reference."""
        given = self.arguments(tasks)
        if first.variant.startswith("empty"):
            given["prompt"] = [""] * len(tasks)
        seeds = [task.noise_seed + 1 for task in tasks]
        rows, _ = rows_of(self.flux, ref=None, seed=seeds, **given)
        images = sample(self.flux, rows, steps=first.steps)
        return images, records_of(self.flux, first.recipe, rows, first.steps)


class _Source:
    """A batch's source run, as long as what is due needs it: pictures, or text tokens, or both."""

    def __init__(self, maker: Maker, batch: Batch, due: set[Picture]) -> None:
        self.maker, self.batch, self.tasks = maker, batch, [unit.task for unit in batch.units]
        self.at = {task.task_id: n for n, task in enumerate(self.tasks)}
        readers = [picture for picture in due if picture.depth]
        self.blocks = list(dict.fromkeys(str(maker.requests.block(p)) for p in readers))
        self.edits = any(picture.recipe == "edit" for picture in due)
        patches = any(picture.recipe == "i2i_patch" for picture in readers)
        self.kept = None if patches else 0  # which steps a reader wants
        self.steps = 4 if self.edits or patches else 1 if readers else 0
        self.images: list[Image.Image] = []
        self.records: list[dict[str, Any]] = []
        self.acts: Activations | None = None

    def run(self) -> None:
        flux, rows = self.maker.flux, self.maker.rows(self.tasks)
        self.records = records_of(flux, "edit", rows, self.steps)
        run: dict[str, Any] = {"steps": self.steps, "batch": self.batch.rows}
        if not self.blocks:
            self.images = sample(flux, rows, **run)
            return
        blocks = flux.select(self.blocks)
        keep = flux.capture(blocks, tokens="text", steps=self.kept)
        with keep as self.acts:
            last = None if self.edits else blocks[-1]
            self.images = sample(flux, rows, stop_after=last, **run)

    def of(self, group: Sequence[Picture]) -> Activations:
        """The text tokens behind each picture's source, a row each."""
        assert self.acts is not None
        return self.acts.pick(rows=[self.at[picture.origin.task_id] for picture in group])
