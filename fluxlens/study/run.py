"""Make what is missing of a plan, in this process or with workers, and say how it went.

>>> editor = fl.load("mini")
>>> run(editor, make_plan("mini", choose(families=["color"]), limit=8), "results").made
88

Run it again and it makes only what is missing; a killed run loses the run of the model that was in
flight. Notebooks call this for what their figures lack, and read the rest.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxlens.study.make import Made, Maker
from fluxlens.study.manifest import Manifest
from fluxlens.study.memory import agreed_tokens, found_tokens
from fluxlens.study.paths import model_folder
from fluxlens.study.plan import Batch, Plan
from fluxlens.study.progress import Progress
from fluxlens.study.requests import ModelFacts, References, Requests, facts_of
from fluxlens.study.store import Store
from fluxlens.study.survey import refuse_others, survey
from fluxlens.tasks import Assets, require

if TYPE_CHECKING:
    from fluxlens.editor import Editor

__all__ = ["DEFAULTS", "Failure", "Settings", "Summary", "Work", "conduct", "run"]

SHOWN = 300  # letters of an error
IN_A_ROW = 3  # batches that fail one after another: then it is not the batches


@dataclass(frozen=True)
class Settings:
    """How a plan is run: ``Settings(shard=(1, 8))`` is the first of eight equal parts.

    `tokens` bound a run of the model (`Plan.batches`), None for what `fluxlens.study.memory` finds;
    `remake` also makes anew what another request made; `assets` say where references lie; `shown`
    is `Progress`'s.
    """

    tokens: int | None = None
    shard: tuple[int, int] = (1, 1)
    remake: bool = False
    assets: Assets | None = None
    shown: bool | None = None

    def __post_init__(self) -> None:
        part, parts = self.shard
        if not 1 <= part <= parts:
            raise ValueError(f"a shard is i of n, from 1 to n; not {part} of {parts}")
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"a batch has at least one token, not {self.tokens}")


DEFAULTS = Settings()


@dataclass(frozen=True)
class Failure:
    """A batch that failed twice, and its last error."""

    batch: str
    error: str


@dataclass(frozen=True)
class Summary:
    """What a run came to; `seconds` and `forwards` by recipe, `kept` was there before, `left_out`
    says what the model's family refuses."""

    folder: Path
    made: int
    kept: int
    forwards: dict[str, int]
    seconds: dict[str, float]
    failures: tuple[Failure, ...] = ()
    stopped: str = ""
    left_out: tuple[str, ...] = ()


@dataclass
class Work:
    """Batches to do, tried twice each; `report` hears of every piece of work that is on disk."""

    todo: deque[Batch]
    report: Callable[[Made], None]
    failures: list[Failure] = field(default_factory=list)
    stopped: str = ""
    _tried: set[str] = field(default_factory=set)
    _in_a_row: int = 0

    def next(self) -> Batch | None:
        return self.todo.popleft() if self.todo and not self.stopped else None

    @property
    def prompts(self) -> frozenset[str]:
        """Those of what is still to do."""
        return frozenset().union(*(batch.prompts for batch in self.todo))

    def done(self) -> None:
        self._in_a_row = 0

    def failed(self, batch: Batch, error: str) -> None:
        """Put a batch at the end of the queue, or give it up if it failed before."""
        error = error[:SHOWN]
        self._in_a_row += 1
        if batch.name in self._tried:
            self.failures.append(Failure(batch.name, error))
        else:
            self._tried.add(batch.name)
            self.todo.append(batch)
        if self._in_a_row >= IN_A_ROW and len(self._tried) >= IN_A_ROW:
            self.stopped = f"{self._in_a_row} batches in a row failed, the last with {error}"


def run(
    editor: Editor, plan: Plan, results: Path | str = "results", settings: Settings = DEFAULTS
) -> Summary:
    """Make a plan's missing pictures with a loaded model, in this process.

    What the model's family refuses is left out, with a line that says which pictures and why.
    `MissingAssetsError` names every reference that is not there, `OtherPicturesError` every picture
    that another request made, both before any work.
    """
    store = Store(model_folder(Path(results), editor.name))
    references = References(settings.assets)

    def work_off(work: Work) -> None:
        maker = Maker(editor, store, references, settings.remake)
        with editor.remember() as encodings:
            while batch := work.next():
                try:
                    for made in maker.make(batch):
                        work.report(made)
                except Exception as error:
                    work.failed(batch, f"{type(error).__name__}: {error}")
                else:
                    work.done()
                encodings.keep(work.prompts)

    def find() -> int:
        return found_tokens(editor)

    facts = facts_of(editor)
    return conduct(editor.record(), facts, plan, store, references, settings, find, work_off)


def conduct(
    record: dict[str, Any],
    facts: ModelFacts,
    plan: Plan,
    store: Store,
    references: References,
    settings: Settings,
    find_tokens: Callable[[], int],
    work_off: Callable[[Work], None],
) -> Summary:
    """Everything around the work: what is due, bars, the manifest, the summary."""
    plan = plan.fitted(facts.sampling)
    for line in plan.left_out:
        print(f"fluxlens: {line}", file=sys.stderr)
    require(plan.references.values(), references.assets)
    store.clean()
    tokens = agreed_tokens(store, settings.tokens, settings.shard, find_tokens)
    batches = shard(plan.batches(facts.max_sequence_length, tokens), settings.shard)
    found = survey(batches, store, Requests(facts, references), settings.remake)
    if not settings.remake:
        refuse_others(found, store.folder)
    due = sum(batch.forwards for batch in found.due)
    manifest = Manifest(store, {**record, "tokens": tokens}, plan, settings.shard, found.made)
    try:
        with Progress(found.missing, due, settings.shown) as progress:
            work = Work(deque(found.due), progress)
            if found.due:
                manifest.start()
                work_off(work)
        summary = Summary(
            store.folder,
            made=sum(progress.pictures.values()),
            kept=found.made,
            forwards=dict(progress.forwards),
            seconds={name: round(spent, 3) for name, spent in progress.seconds.items()},
            failures=tuple(work.failures),
            stopped=work.stopped,
            left_out=plan.left_out,
        )
        if found.due:
            manifest.finish(summary.made, summary.forwards, summary.seconds, len(summary.failures))
        return summary
    finally:
        store.clean()


def shard(batches: Sequence[Batch], part: tuple[int, int]) -> list[Batch]:
    """Every n-th batch, from the i-th on: ``shard(batches, (1, 8))``."""
    return list(batches[part[0] - 1 :: part[1]])
