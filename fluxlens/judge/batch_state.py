"""The file that says which Message Batches are under way, and what each holds.

>>> with BatchState(Path("results/klein-9b/verdicts/claude-opus-4-7.batches.json")) as state:
...     [batch.id for batch in state.batches]
['msgbatch_01…']

It is how a study judged through batches (the paper's is 10,759 questions, Appendix E) outlives the
process that sent them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from fluxlens.judge.verdicts import VerdictError, lock

__all__ = ["Batch", "BatchState", "Item", "Key"]

Key = tuple[str, str]  # a question: its set and its name


@dataclass(frozen=True)
class Item:
    """One request of a batch, and what is set aside for it."""

    set: str
    question: str
    entity_id: str
    dollars: float

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
            self.batches = [
                Batch({id: Item(**item) for id, item in b["items"].items()}, b["sent_at"], b["id"])
                for b in json.loads(text)
            ]
        except (ValueError, TypeError, KeyError) as error:
            os.close(self._lock)
            raise VerdictError(f"{self.path}: not a file of batches: {error!r}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        os.close(self._lock)

    def save(self) -> None:
        """Write the file whole, or not at all."""
        new = self.path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump([asdict(batch) for batch in self.batches], file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def drop(self, batch: Batch) -> None:
        """A batch is done with."""
        self.batches.remove(batch)
        self.save()
