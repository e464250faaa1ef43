"""Claude as a writer of instructions (Appendix F): the judge's client, answers as they are.

>>> writer = ClaudeWriter(budget=Budget(5.00))
>>> with writer:
...     tally = write_all(wanted(["scenes"], Assets.from_environment(), 5), writer, "instructions")
>>> tally.written + tally.failed + tally.skipped
5

Budget, retries and the care for keys are those of :mod:`fluxlens.judge.claude_client`. Files are
written whole after every answer, so a run may be killed at any moment and run again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fluxlens.judge import (
    FRAME_TOKENS,
    ClaudeMessages,
    JudgeFailure,
    JudgeStopped,
    Picture,
    Verdict,
    image_block,
)  # fmt: skip
from fluxlens.tasks.instructions import AnswerError
from fluxlens.tasks.wanted import Wanted, wording
from fluxlens.tasks.written import Written, WrittenFile, read_written

__all__ = ["ClaudeWriter", "Tally", "write_all"]

MAX_TOKENS = 600  # four prompts of fifteen words, and their slugs, twice over


class ClaudeWriter(ClaudeMessages):
    """A Claude model that answers in its own words: ``ClaudeWriter("claude-opus-4-7")``."""

    def __init__(self, model: str = "claude-opus-4-7", **options: Any) -> None:
        super().__init__(model, answer="text", **{"max_tokens": MAX_TOKENS} | options)

    def write(self, prompt: str, picture: Picture | None = None, system: str = "") -> Verdict:
        """The answer as a verdict's ``reason``; what goes wrong is a verdict with an ``error``.

        `BudgetSpent` before the budget is passed, `JudgeStopped` for a rejected key and the like.
        """
        content: list[dict[str, Any]] = []
        tokens = FRAME_TOKENS + len(prompt.encode()) + len(system.encode())
        if picture is not None:
            try:
                block, most = image_block(picture)
            except ValueError as error:
                return self.failure(str(error))
            tokens += most
            content.append(block)
        content.append({"type": "text", "text": prompt})
        params: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "messages": [{"role": "user", "content": content}],
        }
        if system:
            params["system"] = [{"type": "text", "text": system}]
        return self.send(params, self.price.worst(tokens, self.max_tokens))

    def parse(self, text: str) -> tuple[bool, str]:
        """Take the text as it is."""
        return True, text


class _Counting:
    """A client for one thing that is wanted, and what its answers have cost."""

    def __init__(self, writer: ClaudeWriter, over: threading.Event) -> None:
        self.writer, self.over = writer, over
        self.verdicts: list[Verdict] = []

    def __call__(self, prompt: str, image: Picture | None, system: str, /) -> str:
        if self.over.is_set():
            raise JudgeStopped("the run was stopped")
        verdict = self.writer.write(prompt, image, system)
        self.verdicts.append(verdict)
        if not verdict.error:
            return verdict.reason
        if verdict.input_tokens:  # an answer that is none (a refusal, say): worth another question
            raise AnswerError(verdict.error)
        raise JudgeFailure(verdict.error)  # the SDK has tried often enough

    def record(self, item: Wanted, prompts: dict[str, str], error: str = "") -> Written:
        return Written(
            item.id, item.family, prompts, self.writer.model, wording(item.family),
            attempts=len(self.verdicts),
            input_tokens=sum(verdict.input_tokens for verdict in self.verdicts),
            output_tokens=sum(verdict.output_tokens for verdict in self.verdicts),
            cost_usd=round(sum(verdict.cost for verdict in self.verdicts), 8),
            error=error,
        )  # fmt: skip


@dataclass
class Tally:
    """What a run came to. ``stopped`` says why not everything was asked, if so."""

    written: int = 0
    failed: int = 0
    skipped: int = 0
    cost: float = 0.0
    stopped: str = ""


def write_all(
    items: Iterable[Wanted],
    writer: ClaudeWriter,
    folder: Path | str,
    *,
    attempts: int = 3,
    concurrency: int = 1,
    progress: bool | None = None,
) -> Tally:
    """Ask for everything that has not been written yet, into ``folder/<writer>/<family>.jsonl``.

    An answer against the rules is asked for again, ``attempts`` times in all, then recorded as
    failed with what was wrong; the next run tries it anew. Five things in a row without any answer
    end the run. The writer's ``budget`` counts what these files say was spent before. ``progress``:
    None shows a bar on a terminal only.
    """
    if attempts < 1 or concurrency < 1:
        raise ValueError(f"attempts and concurrency are at least 1, not {attempts}, {concurrency}")
    todo = list(items)
    with ExitStack() as stack:
        files: dict[str, WrittenFile] = {}
        for family in dict.fromkeys(item.family for item in todo):
            path = Path(folder) / writer.name / f"{family}.jsonl"
            files[family] = stack.enter_context(WrittenFile(path, wording(family)))
        for path in (Path(folder) / writer.name).glob("*.jsonl"):
            cost = sum(row.cost_usd for row in read_written(path).values())
            writer.budget.bring(str(path.resolve()), cost)
        left = [item for item in todo if item.id not in files[item.family]]
        hidden = None if progress is None else not progress
        bar = stack.enter_context(tqdm(total=len(left), unit="answer", disable=hidden))
        asking = _Asking(writer, files, attempts, bar)
        asking.tally.skipped = len(todo) - len(left)
        with ThreadPoolExecutor(concurrency, thread_name_prefix="writer") as pool:
            try:
                for future in [pool.submit(asking, item) for item in left]:
                    future.result()
            except BaseException:
                asking.over.set()  # answers under way are waited for: they are paid
                raise
    return asking.tally


MOST_UNANSWERED = 5  # things in a row without any answer, and the rest is not asked for


class _Asking:
    """Asks for one thing after another, in several threads, until there is a reason to stop."""

    def __init__(
        self, writer: ClaudeWriter, files: Mapping[str, WrittenFile], attempts: int, bar: tqdm[Any]
    ) -> None:
        self.writer, self.files, self.attempts, self.bar = writer, files, attempts, bar
        self.tally, self.over, self.lock = Tally(), threading.Event(), threading.Lock()
        self.unanswered = 0  # in a row

    def __call__(self, item: Wanted) -> None:
        if self.over.is_set():
            return
        client = _Counting(self.writer, self.over)
        try:
            row = client.record(item, item.write(client, self.attempts))
        except JudgeStopped as stop:
            with self.lock:
                self.tally.stopped = self.tally.stopped or str(stop)
            self.over.set()
            row = client.record(item, {}, str(stop))
        except (AnswerError, JudgeFailure, OSError, ValueError) as error:
            row = client.record(item, {}, self.writer.redact(str(error))[:500] or repr(error))
        if row.error and not row.attempts and self.over.is_set():
            return  # nothing was asked
        self.files[item.family].add(row)
        with self.lock:
            self.unanswered = self.unanswered + 1 if row.error and not row.input_tokens else 0
            if self.unanswered >= MOST_UNANSWERED:
                said = f"{MOST_UNANSWERED} in a row had no answer, the last: {row.error}"
                self.tally.stopped = self.tally.stopped or said
                self.over.set()
            self.tally.cost += row.cost_usd
            self.tally.failed += bool(row.error)
            self.tally.written += not row.error
            self.bar.update()
            self.bar.set_postfix_str(f"${self.tally.cost:.2f}, {self.tally.failed} failed", False)
