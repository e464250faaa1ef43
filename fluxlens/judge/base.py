"""What every judge is asked and what it answers: one interface for Claude, oracles and people.

>>> class Optimist:
...     name = "optimist"
...
...     def ask(self, request: Request) -> Verdict:
...         return Verdict(True, "looks right", model=self.name)
>>> judge: Judge = Optimist()

A judge sees two to four labelled pictures and one question, and answers ``{pass, reason}``
(Appendix E). Anything with a ``name`` and an ``ask`` is a judge; a `BatchJudge` can also be given
many requests at once and asked for the answers later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image

from fluxlens.judge.questions import Question, Role

__all__ = [
    "BatchJudge", "BatchPending", "BudgetSpent", "Images", "Judge", "JudgeFailure",
    "JudgeStopped", "Picture", "Request", "Verdict",
]  # fmt: skip

Picture = Path | Image.Image
Images = Mapping[Role, Picture]


@dataclass(frozen=True)
class Request:
    """One question about one entity: a task, or a pair of tasks, and its pictures by role.

    `ValueError` where a role of the question has no picture.
    """

    entity_id: str
    question: Question
    images: Images
    shared: int = 0  # how many of the first pictures the next request of this entity has too
    pictures: str = ""  # `fingerprint` of the images, where a verdict is to be kept

    def __post_init__(self) -> None:
        missing = [role for role in self.question.images if role not in self.images]
        if missing:
            raise ValueError(
                f"{self.entity_id}: {self.question.name} needs {', '.join(self.question.images)}; "
                f"there is no picture for {', '.join(missing)}"
            )

    def labelled(self) -> tuple[tuple[str, Picture], ...]:
        """Return the pictures in order, each under its label."""
        pictures = [self.images[role] for role in self.question.images]
        return tuple(zip(self.question.labels, pictures, strict=True))


@dataclass(frozen=True)
class Verdict:
    """A judge's answer, or why there is none: then ``passed`` is None and ``error`` says it.

    ``reason`` is whatever the judge wrote: text of unknown origin, to be escaped wherever it is
    shown. As in the authors' files ``input_tokens`` leaves out what a cache wrote or read. What
    stands from ``entity_id`` on is known of verdicts that were read from a file.

    >>> Verdict(None, "", model="m", error="no answer").passed is None
    True
    """

    passed: bool | None
    reason: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost: float = 0.0  # USD; for what may have been charged unseen, the most that it can have been
    error: str = ""
    entity_id: str = ""
    question: str = ""  # `Question.digest`; blank in the authors' files
    judged_at: str = ""  # ISO 8601, UTC
    pictures: str = ""  # `fingerprint` of what was judged; blank in older files
    counts: str = ""  # "pass" or "fail": which answer a table counts, if not as for the paper's set

    def __post_init__(self) -> None:
        if (self.passed is None) != bool(self.error):
            raise ValueError("a verdict has either an answer or an error")
        numbers = (self.input_tokens, self.output_tokens, self.cache_read_tokens,
                   self.cache_write_tokens, self.cost)  # fmt: skip
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError(f"tokens and cost are numbers from 0 on, not {numbers}")

    def makes_outcome(self, counts: str) -> bool:
        """Whether it makes the outcome that a table counts (*observed*, *destroyed*, ...).

        ``counts`` is the answer that does so under the paper's question: "pass" or "fail".

        >>> Verdict(False).makes_outcome("fail")
        True
        """
        return self.passed == ((self.counts or counts) == "pass")


class JudgeFailure(RuntimeError):
    """A request, or a chunk of them, came to nothing; another may succeed."""


class JudgeStopped(RuntimeError):
    """No request can succeed any more: a rejected key, no credit, no such model."""


class BudgetSpent(JudgeStopped):
    """The next request could pass the budget."""


class BatchPending(JudgeStopped):
    """A batch was sent, or may have been, and could not be asked for. Run again to collect it."""


@runtime_checkable
class Judge(Protocol):
    """Anything that answers the study's questions.

    ``ask`` may raise `JudgeStopped`; whatever else goes wrong is a verdict with an ``error``.
    It may be called from several threads at once, if it is run with a concurrency above one.
    """

    @property
    def name(self) -> str:
        """The folder of its verdicts: a model's name, in the letters of a file name."""

    def ask(self, request: Request) -> Verdict:
        """Answer one question."""


@runtime_checkable
class BatchJudge(Judge, Protocol):
    """A judge that also takes many requests at once and answers within a day.

    All but ``weigh`` may raise `JudgeStopped`; `BatchPending` where running again may help.
    """

    def weigh(self, request: Request) -> tuple[float, int]:
        """The most that a request of a batch can cost in USD, and its bytes. `ValueError` for one
        that cannot be sent."""

    def submit(self, requests: Sequence[tuple[str, Request]]) -> str:
        """Send a chunk of (id, request); the batch's id. `JudgeFailure`: it was not taken."""

    def candidates(self, count: int, since: float) -> list[str]:
        """The batches that a lost ``submit`` of ``count`` requests may have made, ``since`` then
        (seconds since 1970)."""

    def ended(self, batch_id: str) -> bool:
        """Whether every request of the batch has its answer. `JudgeFailure`: there is no such
        batch."""

    def collect(self, batch_id: str) -> Iterator[tuple[str, Verdict]]:
        """The answers of an ended batch, in any order. `JudgeFailure`: the rest is unreadable."""
