"""How far each of the paper's interventions takes the activations off their beaten track.

```python
found = tracks(open_study("mini"), limit=24)
found.at("ref->text", "image", "percentile", block="binding", step=0)       # a number a run
```
Every intervention of Section 3 and Appendix B on tasks of its families, captured at every block and
step and put beside the same run without it; and, as the measure of them all, changes that are no
interventions: another seed, another task, no reference. See `fluxlens.activations` for the numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fluxlens.activations import Spread, Summary, joined, summarize
from fluxlens.pipelines import Row, rows_of, sample
from fluxlens.recipes import PREFIX, RECIPES, SUFFIX, region_name
from fluxlens.study.treatments import Patching
from fluxlens.tasks.task import noise_seed

if TYPE_CHECKING:
    from fluxlens.core import Activations
    from fluxlens.editor import Editor
    from fluxlens.study.reading import Study
    from fluxlens.tasks import Task

__all__ = ["REGIONS", "Track", "Tracks", "tracks"]

REGIONS = ("text", "text[content]", "text[padding]", "image")
CUTS = ("ref->text", "ref->text[padding]", "ref->text[content]", "ref->image")
EDITED = ("color", "style", "people")  # under cuts, drops and lenses
PATCHED = {"color": "color", "manual": "style", "people_shared": "people"}  # targets: their pairs
LENSES = tuple(recipe.title for recipe in RECIPES.values() if not recipe.reads_ref)
GENERATED = ("generation", "empty prompt", *LENSES)  # not edits
FITTED = 2  # clean runs that fit a basis, for each that is held out
AT_ONCE = 2**30  # bytes of activations of a run; one row of klein may be more
Quantity = Literal["ratio", "cosine", "same", "distance", "percentile"]
Against = Literal["edits", "generations"]
Captured = tuple["Activations", "Activations"]  # text and image of one run
Measured = Iterator[tuple[str, str, dict[str, Summary]]]


@dataclass(frozen=True, eq=False)
class Track:
    """One intervention on one family and region: arrays of (blocks, steps, runs).

    `ratio` is the tokens' mean norm over that of the run beside it (see `tracks`), `cosine` and
    `same` compare with that run as well; `distance` and `percentile` are among clean runs of the
    kind `against`. `binding` is the block that carries the family's property.
    """

    family: str
    what: str
    region: str
    against: Against
    binding: str
    blocks: tuple[str, ...]
    steps: tuple[int, ...]
    ratio: np.ndarray
    cosine: np.ndarray
    same: np.ndarray
    distance: np.ndarray
    percentile: np.ndarray


@dataclass(frozen=True, eq=False)
class Tracks:
    """All tracks of one model: ``found.at("patch all", "text", "cosine")``."""

    tracks: tuple[Track, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What was done, in the order in which it was done."""
        return tuple(dict.fromkeys(track.what for track in self.tracks))

    @property
    def families(self) -> tuple[str, ...]:
        """The families that were run."""
        return tuple(dict.fromkeys(track.family for track in self.tracks))

    def at(
        self,
        what: str,
        region: str,
        quantity: Quantity,
        block: str = "binding",
        step: int = 0,
        against: Against = "edits",
        family: str = "",
    ) -> np.ndarray:
        """A number for each run of all families, or of one: ``at("T2I Lens", "text", "distance")``.

        `block` is a name, ``"binding"`` (each family's own) or ``"last"``; `step` -1 is the last.
        `ValueError` where nothing like that was run.
        """
        out = []
        for track in self.tracks:
            kind = track.what, track.region, track.against
            if kind != (what, region, against) or family not in ("", track.family):
                continue
            name = {"binding": track.binding, "last": track.blocks[-1]}.get(block, block)
            out.append(getattr(track, quantity)[track.blocks.index(name), step])
        if not out:
            there = f"{', '.join(self.names)}; families {', '.join(self.families)}"
            raise ValueError(f"no {what!r} of {region} against {against}; there are {there}")
        return np.concatenate(out)


def tracks(study: Study, limit: int = 24, seed: int = 0) -> Tracks:
    """Run everything on `limit` tasks a family, those that `seed` draws (at least 2).

    Twice as many tasks, clean edits and generations of which fit the bases, are drawn besides.
    Tasks of a family that share seeds (a person's do, in the paper) get one of their own each: a
    basis that has seen all the seeds of the runs held out would call any other seed far.
    Families of fewer than six tasks whose references are here are left out, small ones get as many
    as a third of their tasks. Beside each run stands the clean edit of its task; beside a lens,
    whose target is a generation from the empty prompt, stands that generation, and beside that the
    one from the instruction. Lenses and generations are placed among clean edits and, again,
    among clean generations.
    """
    if limit < 2:
        raise ValueError(f"a percentile takes at least 2 tasks a family, not {limit}")
    out: list[Track] = []
    for family in dict.fromkeys((*EDITED, *PATCHED)):
        tasks = _seeded([entity.task for entity in study.entities(family)])
        n = min(limit, len(tasks) // (1 + FITTED))
        if n < 2:
            continue
        drawn = np.random.default_rng(seed).permutation(len(tasks))[: n * (1 + FITTED)]
        chosen = [tasks[i] for i in drawn]
        out += _Family(study, family, chosen[: n * FITTED], chosen[n * FITTED :]).tracks()
    return Tracks(tuple(out))


class _Family:
    """The runs of one family: clean ones of the tasks `fitted`, all others of those `held_out`."""

    def __init__(
        self, study: Study, family: str, fitted: Sequence[Task], held_out: Sequence[Task]
    ) -> None:
        self.editor, self.family = study.editor, family
        self.binding = getattr(study.editor.binding, "color" if family == "color" else "style")
        self.fitted, self.rows = _rows(study, fitted), _rows(study, held_out)
        self.sources: list[Row] = []
        if family in PATCHED:
            pairs = study.entities(PATCHED[family], Patching.recipe.name)
            sources = [pair.source for pair in pairs if pair.source]
            of = dict(zip((pair.task.task_id for pair in pairs), _seeded(sources), strict=True))
            if all(task.task_id in of for task in held_out):
                self.sources = _rows(study, [of[task.task_id] for task in held_out])

    def tracks(self) -> Iterator[Track]:
        edits = _clean(self.editor, self.fitted)
        parts: dict[tuple[str, str], list[dict[str, Summary]]] = defaultdict(list)
        for members in _chunks(self.editor, self.rows):
            for what, beside, summaries in self._measured(members):
                parts[what, beside].append(summaries)
        found = {
            what: {region: joined([part[region] for part in some]) for region in REGIONS}
            for (what, _), some in parts.items()
        }
        clean = {"edits": (edits, found["clean"])}
        if "generation" in found:
            words = _clean(self.editor, [_without(row) for row in self.fitted])
            clean["generations"] = words, found["generation"]
        for against, (fitted, held) in clean.items():
            for region in REGIONS:
                spread = Spread(fitted[region], held[region])
                for what, beside in parts:
                    if against == "edits" or what in GENERATED:
                        one, other = found[what][region], found[beside][region]
                        yield self._track(what, region, against, one, other, spread)

    def _track(
        self, what: str, region: str, against: Any, one: Summary, other: Summary, spread: Spread
    ) -> Track:
        assert one.cosine is not None
        assert one.same is not None
        distance, percentile = spread.of(one)
        ratio = one.norm / other.norm[:, : len(one.steps)]
        place = self.family, what, region, against, self.binding, one.blocks, one.steps
        return Track(*place, ratio, one.cosine, one.same, distance, percentile)

    def _measured(self, members: list[int]) -> Measured:
        """What was done, what it stands beside, and its summaries."""
        editor, rows = self.editor, [self.rows[i] for i in members]
        edit = _run(editor, rows)
        yield "clean", "clean", _pooled(edit, edit, edit)
        if self.family in EDITED:
            yield from self._cuts(members, edit)
        if self.sources:
            yield from self._patches(members, edit)
        if self.family in EDITED and "generate" not in self.editor.family.refusals:
            yield from self._generations(rows, edit)

    def _cuts(self, members: list[int], edit: Captured) -> Measured:
        editor, rows = self.editor, [self.rows[i] for i in members]
        seeds = [replace(row, seed=row.seed + 1) for row in rows]
        yield "another seed", "clean", _pooled(_run(editor, seeds), edit, edit)
        others = [self.rows[(i + 1) % len(self.rows)] for i in members]
        yield "another task", "clean", _pooled(_run(editor, others), edit, edit)
        for cut in CUTS:
            yield cut, "clean", _pooled(_run(editor, rows, editor.knockout(cut)), edit, edit)
        at = editor.blocks.index(self.binding) + 1
        phases = [(PREFIX, editor.blocks[:at]), (SUFFIX, editor.blocks[at:])]
        drop = [editor.knockout(cut, blocks=blocks) for cut, blocks in phases if blocks]
        yield "reference drop", "clean", _pooled(_run(editor, rows, *drop), edit, edit)

    def _patches(self, members: list[int], edit: Captured) -> Measured:
        editor, rows = self.editor, [self.rows[i] for i in members]
        with editor.capture(self.binding, tokens="text") as text:
            sample(editor, [self.sources[i] for i in members], stop_after=self.binding)
        for tokens in ("all", "padding", "content"):
            patch = editor.patch(text, region_name(tokens))
            yield f"patch {tokens}", "clean", _pooled(_run(editor, rows, patch), edit, edit)

    def _generations(self, rows: list[Row], edit: Captured) -> Measured:
        editor, clean = self.editor, [_without(row) for row in rows]
        words = _run(editor, clean)
        yield "generation", "clean", _pooled(words, edit, edit)
        blank = [replace(row, prompt="") for row in clean]
        empty = _run(editor, blank)
        yield "empty prompt", "generation", _pooled(empty, words, edit)
        text, where = edit[0].pick(self.binding), dict[str, Any]()
        if self.family == "color":
            recipe, where["positions"] = RECIPES["color_lens"], "source"
        else:
            recipe, where["into"] = RECIPES["t2i_lens"], "context"
        lens = editor.patch(text, "text", source_step=0, **where)
        run = _run(editor, blank, lens, steps=recipe.steps)
        yield recipe.title, "empty prompt", _pooled(run, empty, edit)


def _seeded(tasks: Sequence[Task]) -> list[Task]:
    """A seed for each task: its own, or one of its name where tasks of the family share seeds."""
    named = {task.task_id: task for task in tasks}.values()
    if len({task.noise_seed for task in named}) == len(named):
        return list(tasks)
    return [replace(task, noise_seed=noise_seed(task.task_id)) for task in tasks]


def _rows(study: Study, tasks: Sequence[Task]) -> list[Row]:
    names = ("instruction", "noise_seed", "height", "width")
    prompts, seeds, heights, widths = ([getattr(t, name) for t in tasks] for name in names)
    rows, _ = rows_of(study.editor, prompts, study.references(tasks), seeds, heights, widths)
    return rows


def _without(row: Row) -> Row:
    """The target of a lens, but with the instruction."""
    return replace(row, refs=(), grids=(), seed=row.seed + 1)


def _chunks(editor: Editor, rows: Sequence[Row]) -> Iterator[list[int]]:
    """Which rows are run together: so many that what is captured of a run has room."""
    config = editor.pipe.transformer.config
    height, width = rows[0].size
    tokens = editor.max_sequence_length + height * width // editor.multiple**2
    state = config.num_attention_heads * config.attention_head_dim * editor.dtype.itemsize
    size = max(1, AT_ONCE // (tokens * state * len(editor.blocks) * 4))
    return (list(range(n, min(n + size, len(rows)))) for n in range(0, len(rows), size))


def _run(editor: Editor, rows: Sequence[Row], *contexts: Any, steps: int | None = None) -> Captured:
    """Text and image of a run, at all blocks and steps, under what the contexts do."""
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        text = stack.enter_context(editor.capture("*", tokens="text"))
        image = stack.enter_context(editor.capture("*", tokens="image"))
        sample(editor, rows, steps=steps, stop_after=editor.blocks[-1])
    return text, image


def _pooled(found: Captured, beside: Captured, placed: Captured) -> dict[str, Summary]:
    """Summaries of every region, placed by the layouts of `placed`."""
    out = {}
    for region in REGIONS:
        one, other = (acts[region == "image"] for acts in (found, beside))
        layouts = placed[region == "image"].layouts
        out[region] = summarize(one, region, beside=other, layouts=layouts)
    return out


def _clean(editor: Editor, rows: Sequence[Row]) -> dict[str, Summary]:
    parts = []
    for members in _chunks(editor, rows):
        acts = _run(editor, [rows[i] for i in members])
        parts.append({r: summarize(acts[r == "image"], r) for r in REGIONS})
    return {region: joined([part[region] for part in parts]) for region in REGIONS}
