"""Message Batches across processes: sent, waited for and collected, each verdict once.

>>> with BatchState(Path("results/klein-9b/verdicts/claude-opus-4-7.batches.json")) as state:
...     run_batches(judge, requests, files, state, poll=60.0)

The state file names every batch that was sent and what it holds, and is on disk before the batch
is; so a run that was killed, whenever it was, is resumed by running it again. What is under way is
not sent again, and its money stays set aside.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from fluxlens.files import checked, lock, write_whole
from fluxlens.judge.base import (
    BatchJudge,
    BatchPending,
    BudgetSpent,
    JudgeFailure,
    JudgeStopped,
    Request,
    Verdict,
)  # fmt: skip
from fluxlens.judge.prices import Budget
from fluxlens.judge.verdicts import VerdictError, VerdictFile

__all__ = ["Batch", "BatchState", "Item", "Key", "run_batches"]

log = logging.getLogger(__name__)

MOST_REQUESTS = 10_000
MOST_BYTES = 128 * 2**20  # of the 256 MB that the API takes
READINGS = 3
MOST_REFUSED = 3  # submissions in a row, and the rest is not sent

Key = tuple[str, str]  # a question: its set and its name


@dataclass(frozen=True)
class Item:
    """One request of a batch, and what is set aside for it."""

    set: str
    question: str
    entity_id: str
    dollars: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    pictures: str = ""

    @property
    def key(self) -> Key:
        return self.set, self.question


@dataclass
class Batch:
    """A batch that was sent, or was about to be when the process ended: then it has no id."""

    items: dict[str, Item]
    sent_at: float
    id: str | None = None


@dataclass
class BatchState:
    """The batches under way, in a JSON file that one process holds."""

    path: Path
    batches: list[Batch] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.path.with_suffix(".lock"))
        try:
            text = self.path.read_text("utf-8") if self.path.exists() else "[]"
            self.batches = checked(list[Batch], json.loads(text), "batches")
        except (ValueError, RecursionError) as error:
            os.close(self._lock)
            raise VerdictError(f"{self.path}: not a file of batches: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def save(self) -> None:
        """Write the file whole, or not at all."""
        write_whole(self.path, json.dumps([asdict(batch) for batch in self.batches], indent=1))

    def drop(self, batch: Batch) -> None:
        """Be done with a batch."""
        self.batches.remove(batch)
        self.save()


def run_batches(
    judge: BatchJudge,
    requests: Iterator[Request],
    files: Mapping[Key, VerdictFile],
    state: BatchState,
    *,
    budget: Budget,
    poll: float = 60.0,
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send, wait for and collect batches until every request has its verdict or its failure.

    Batches of an earlier run come first; one that holds questions of which ``files`` has none is
    left for another run. `BudgetSpent` when the next request does not fit any more and all that
    were sent are collected; `BatchPending` when running again must collect the rest;
    `JudgeStopped` after three submissions in a row were refused.
    """
    run = _Run(judge, files, state, budget, poll, on_verdict, sleep)
    run.resume()
    waiting: Request | None = None
    spent: BudgetSpent | None = None
    under_way = {(i.key, i.entity_id) for b in state.batches for i in b.items.values()}
    todo = (
        request for request in requests
        if ((request.question.set, request.question.name), request.entity_id) not in under_way
    )  # fmt: skip
    while True:
        waiting, spent = run.send(todo, waiting)
        if not run.mine():
            break
        run.collect_one()
    if spent is not None:
        raise spent


@dataclass
class _Run:
    judge: BatchJudge
    files: Mapping[Key, VerdictFile]
    state: BatchState
    budget: Budget
    poll: float
    on_verdict: Callable[[Verdict], None]
    sleep: Callable[[float], None]
    refused: int = 0  # in a row

    def mine(self) -> list[Batch]:
        """The batches all of whose questions are being run."""
        return [
            batch for batch in self.state.batches
            if all(item.key in self.files for item in batch.items.values())
        ]  # fmt: skip

    def resume(self) -> None:
        """Set aside the money of batches under way, and settle what became of lost ones."""
        for batch in self.state.batches:
            for item in self.open_items(batch).values():
                self.budget.reserve(item.dollars, sent=True)
        for batch in self.mine():
            if batch.id is None:
                self.look_for(batch)

    def open_items(self, batch: Batch) -> dict[str, Item]:
        return {
            id: item for id, item in batch.items.items()
            if item.key not in self.files
            or not self.files[item.key].holds(item.entity_id, item.pictures)
        }  # fmt: skip

    def send(
        self, todo: Iterator[Request], first: Request | None
    ) -> tuple[Request | None, BudgetSpent | None]:
        """Send as many as the budget allows; the request that did not fit, and why."""
        chunk: list[tuple[Request, float]] = []
        size = 0
        while (request := first or next(todo, None)) is not None:
            first = None
            try:
                dollars, weight = self.judge.weigh(request)
            except ValueError as error:
                self.record(request, Verdict(None, "", self.judge.name, error=str(error)[:500]))
                continue
            try:
                self.budget.reserve(dollars)
            except BudgetSpent as spent:
                self.send_chunk(chunk)
                return request, spent
            if chunk and (len(chunk) == MOST_REQUESTS or size + weight > MOST_BYTES):
                self.send_chunk(chunk)
                chunk, size = [], 0
            chunk.append((request, dollars))
            size += weight
        self.send_chunk(chunk)
        return None, None

    def send_chunk(self, chunk: list[tuple[Request, float]]) -> None:
        if not chunk:
            return
        stem = uuid.uuid4().hex[:16]
        named = [(f"{stem}-{number}", request) for number, (request, _) in enumerate(chunk)]
        items = {
            id: Item(r.question.set, r.question.name, r.entity_id, dollars, r.pictures)
            for (id, r), (_, dollars) in zip(named, chunk, strict=True)
        }
        batch = Batch(items, time.time())
        self.state.batches.append(batch)
        self.state.save()
        try:
            batch.id = self.judge.submit(named)
        except BatchPending as error:
            log.warning("%s", error)
            self.look_for(batch)
        except JudgeFailure as error:
            self.fail(batch, str(error))
            self.refused += 1
            if self.refused >= MOST_REFUSED:
                raise JudgeStopped(
                    f"{self.refused} batches in a row were refused, the last: {error}"
                ) from None
        except Exception:  # nothing was taken: JudgeStopped
            self.release(batch)
            raise
        else:
            self.refused = 0
            self.state.save()

    def look_for(self, batch: Batch) -> None:
        """Find the batch that a submission without an answer may have made."""
        known = {other.id for other in self.state.batches}
        for id in self.judge.candidates(len(batch.items), batch.sent_at):
            if id in known:
                continue
            try:
                self.wait([id])
                found = any(custom in batch.items for custom, _ in self.judge.collect(id))
            except JudgeFailure:
                continue
            if found:
                batch.id = id
                self.state.save()
                return
        self.fail(batch, "the batch did not arrive")

    def wait(self, ids: list[str]) -> str:
        """The first of some batches to end."""
        while True:
            for id in ids:
                if self.judge.ended(id):
                    return id
            self.sleep(self.poll)

    def collect_one(self) -> None:
        """Wait for a batch and write down what it says."""
        batches = {batch.id: batch for batch in self.mine() if batch.id is not None}
        batch: Batch | None = None
        try:
            for id in batches:
                batch = batches[id]
                if self.judge.ended(id):
                    break
            else:
                self.sleep(self.poll)
                return
            why = self.read(batch)
        except JudgeFailure as error:
            why = str(error)
        assert batch is not None
        self.fail(batch, why, charged=True)

    def read(self, batch: Batch) -> str:
        """Record a batch's answers; why those that are missing are."""
        assert batch.id is not None
        seen: set[str] = set()
        error: Exception | None = None
        for _ in range(READINGS):
            try:
                for id, verdict in self.judge.collect(batch.id):
                    item = batch.items.get(id)
                    if item is not None and id not in seen:
                        seen.add(id)
                        self.settle(id, batch, verdict)
                return "not in the batch's results"
            except (JudgeFailure, BatchPending) as failure:
                error = failure
        assert error is not None
        if isinstance(error, BatchPending):
            raise error
        return str(error)

    def settle(self, id: str, batch: Batch, verdict: Verdict) -> None:
        """Write one answer down, unless an earlier run did."""
        item = batch.items.pop(id)
        file = self.files[item.key]
        if file.holds(item.entity_id, item.pictures):
            return
        self.budget.settle(item.dollars, verdict.cost)
        file.add(item.entity_id, verdict, item.pictures)
        self.on_verdict(verdict)

    def fail(self, batch: Batch, why: str, charged: bool = False) -> None:
        """Record what is left of a batch as failed, and be done with it."""
        for id, item in list(batch.items.items()):
            cost = item.dollars if charged else 0.0
            self.settle(id, batch, Verdict(None, "", self.judge.name, cost=cost, error=why))
        self.state.drop(batch)

    def release(self, batch: Batch) -> None:
        for item in batch.items.values():
            self.budget.settle(item.dollars, 0.0)
        self.state.drop(batch)

    def record(self, request: Request, verdict: Verdict) -> None:
        file = self.files[request.question.set, request.question.name]
        file.add(request.entity_id, verdict, request.pictures)
        self.on_verdict(verdict)
