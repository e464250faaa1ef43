"""Make a batch's pictures with one model: one source run, then every recipe that reads it.

>>> maker = Maker(editor, store, References(assets))
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

from fluxlens.core import Activations
from fluxlens.pipelines import Row, rows_of, sample
from fluxlens.recipes import records_of
from fluxlens.study.control_runs import Controls
from fluxlens.study.paths import reference_path
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import Batch
from fluxlens.study.requests import References, Requests, digest, facts_of
from fluxlens.study.store import State, Store
from fluxlens.study.treatments import Control, Drop, Edit, Generation, Knockout, Patching
from fluxlens.tasks import Task

if TYPE_CHECKING:
    from fluxlens.editor import Editor

__all__ = ["Made", "Maker"]

Pictures = tuple[list[Image.Image], list[dict[str, Any]]]  # and their records


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
        self, editor: Editor, store: Store, references: References, remake: bool = False
    ) -> None:
        self.editor, self.store, self.references = editor, store, references
        self.facts = facts_of(editor)
        self.requests = Requests(self.facts, references)
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
        if source.edits or source.blocks:
            source.run()
            name = Edit.recipe.name if source.edits else "capture"
            count = self.facts.sampling.forwards(source.steps, stops=not source.edits)
            yield Made(name, 0, count * len(batch.units), clock.lap())
        for group in batch.groups:
            missing = [n for n, picture in enumerate(group) if picture in due]
            if not missing:
                continue
            if isinstance(group[0].treatment, Control):
                captured = self.controls.capture(group, batch.rows)
                yield Made("capture", 0, captured, clock.lap())
            images, records = self._run(group, source)
            seconds = clock.lap()
            for n in missing:
                self._write(group[n], images[n], records[n])
            each = self.facts.sampling.forwards(group[0].steps)
            forwards = 0 if isinstance(group[0].treatment, Edit) else each * len(group)
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
        images = self.images(tasks)
        return rows_of(self.editor, ref=images, seed=seeds, **self.arguments(tasks))[0]

    def _run(self, group: Sequence[Picture], source: _Source) -> Pictures:
        first = group[0]
        tasks = [picture.task for picture in group]
        given = self.arguments(tasks)
        match first.treatment:
            case Edit():
                made = [source.at[task.task_id] for task in tasks]
                return [source.images[n] for n in made], [source.records[n] for n in made]
            case Generation():
                return self._generate(first, tasks)
            case Control():
                return self.controls.run(group)
            case Knockout(edge):
                given["cut"] = edge
            case Drop():
                given["after"] = self.requests.block(first)
            case moved:
                given["tokens"], given["block"] = moved.parts[0], self.requests.block(first)
                given["acts"] = source.of(group)
        result = first.treatment.recipe.run(self.editor, **given, **self.ends(group))
        return result.images, result.record

    def ends(self, group: Sequence[Picture]) -> dict[str, Any]:
        """References and seeds of a recipe's runs, a row each; of a pair, those of both ends."""
        tasks, sources = [p.task for p in group], [p.origin for p in group]
        images, seeds = self.images(tasks), [task.noise_seed for task in tasks]
        if not group[0].treatment.recipe.pair:
            return {"ref": images, "seed": seeds}
        pairs = [(source.noise_seed, seed) for source, seed in zip(sources, seeds, strict=True)]
        return {"source": self.images(sources), "target": images, "seeds": pairs}

    def _generate(self, first: Picture, tasks: Sequence[Task]) -> Pictures:
        """The lens's counterparts: its seed, the instruction or nothing, no reference."""
        given = self.arguments(tasks)
        if first.treatment.from_nothing:
            given["prompt"] = [""] * len(tasks)
        seeds = [task.noise_seed + 1 for task in tasks]
        rows, _ = rows_of(self.editor, ref=None, seed=seeds, **given)
        images = sample(self.editor, rows, steps=first.steps)
        return images, records_of(self.editor, first.recipe, rows, first.steps)


class _Source:
    """A batch's source run, as long as what is due needs it: pictures, or text tokens, or both."""

    def __init__(self, maker: Maker, batch: Batch, due: set[Picture]) -> None:
        self.maker, self.batch, self.tasks = maker, batch, [unit.task for unit in batch.units]
        self.at = {task.task_id: n for n, task in enumerate(self.tasks)}
        readers = [picture for picture in due if picture.reads_source]
        self.blocks = list(dict.fromkeys(str(maker.requests.block(p)) for p in readers))
        self.edits = any(isinstance(picture.treatment, Edit) for picture in due)
        patches = any(isinstance(picture.treatment, Patching) for picture in readers)
        self.kept = None if patches else 0  # which steps a reader wants
        self.steps = None if self.edits or patches else 1
        self.images: list[Image.Image] = []
        self.records: list[dict[str, Any]] = []
        self.acts: Activations | None = None

    def run(self) -> None:
        editor, rows = self.maker.editor, self.maker.rows(self.tasks)
        self.records = records_of(editor, Edit.recipe.name, rows, self.steps)
        run: dict[str, Any] = {"steps": self.steps, "batch": self.batch.rows}
        if not self.blocks:
            self.images = sample(editor, rows, **run)
            return
        blocks = editor.select(self.blocks)
        keep = editor.capture(blocks, tokens="text", steps=self.kept)
        with keep as self.acts:
            last = None if self.edits else blocks[-1]
            self.images = sample(editor, rows, stop_after=last, **run)

    def of(self, group: Sequence[Picture]) -> Activations:
        """The text tokens of each picture's source, a row each."""
        assert self.acts is not None
        return self.acts.pick(rows=[self.at[picture.origin.task_id] for picture in group])
