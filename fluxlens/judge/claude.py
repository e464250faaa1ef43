"""Claude as a judge: the paper's instrument (Section 3, Appendix E), by Anthropic's own SDK.

>>> judge = ClaudeJudge(budget=Budget(5.00))  # the key comes from ANTHROPIC_API_KEY
>>> judge.ask(Request("solid_red_mug_s0", question, images))
Verdict(passed=True, reason='Image 3 shows a red mug…', model='claude-opus-4-7', …)

One message for each question: the system prompt, each picture under its label, the question. The
answer is held to a schema; ``ClaudeJudge(answer="text")`` asks for bare JSON and nothing else, as
the authors did. `run_judge` drives it over a study, with ``batch=True`` through Message Batches:
half the price, answers within a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fluxlens.judge.base import BatchPending, JudgeFailure, Request, Verdict
from fluxlens.judge.claude_client import (
    FRAME_TOKENS,
    ClaudeMessages,
    SubmissionLost,
    anthropic,
    image_block,
    once,
)  # fmt: skip

__all__ = ["FRAME_TOKENS", "ClaudeJudge", "ClaudeMessages", "image_block"]

CLOCKS_APART = 120.0  # seconds by which our clock and the API's may differ


class ClaudeJudge(ClaudeMessages):
    """A Claude model that answers the study's questions, one by one or in Message Batches.

    >>> with ClaudeJudge("claude-opus-4-7", budget=Budget(20.0), max_retries=6) as judge:
    ...     run_judge(judge, load_questions().values(), items, "results/klein-9b", concurrency=10)

    ``client`` is an ``anthropic.Anthropic`` of your own, for another key, address or transport.
    """

    def weigh(self, request: Request) -> tuple[float, int]:
        """The most that a request of a batch can cost in USD, and its bytes."""
        params, worst = self.prepare(request, batch=True)
        content = params["messages"][0]["content"]
        images = sum(len(b["source"]["data"]) + 200 for b in content if b["type"] == "image")
        texts = sum(len(b["text"].encode()) + 100 for b in content if b["type"] == "text")
        return worst, images + texts + len(request.question.system.encode()) + 1000

    def submit(self, requests: Sequence[tuple[str, Request]]) -> str:
        """Send a chunk as one Message Batch. What may have arrived is not sent again."""
        bodies: list[Any] = [
            {"custom_id": id, "params": self.prepare(request, batch=True)[0]}
            for id, request in requests
        ]
        try:
            with once():
                batch = self.client.messages.batches.create(requests=bodies)
            if isinstance(batch.id, str) and batch.id:
                return batch.id
            lost = "the answer names no batch"
        except (anthropic.APIError, TypeError) as error:
            stop = self.hopeless(error) or JudgeFailure(self.explain(error))
        except (SubmissionLost, ValueError, AttributeError) as error:
            lost = self.explain(error)
            stop = None
        else:
            stop = None
        if stop is not None:
            raise stop
        raise BatchPending(f"a batch was sent and may have been taken: {lost}")

    def candidates(self, count: int, since: float) -> list[str]:
        """The batches of so many requests that were made since then, oldest first."""
        found: list[str] = []
        try:
            for batch in self.client.messages.batches.list(limit=100):
                if batch.created_at.timestamp() < since - CLOCKS_APART:
                    break
                if sum(vars(batch.request_counts).values()) == count:
                    found.append(batch.id)
        except Exception as error:
            stop = self._later(error)
        else:
            return found[::-1]
        raise stop

    def ended(self, batch_id: str) -> bool:
        """Whether every request of the batch has its answer."""
        try:
            return bool(
                self.client.messages.batches.retrieve(batch_id).processing_status == "ended"
            )
        except anthropic.NotFoundError as error:
            stop: Exception = JudgeFailure(f"the batch is gone: {self.explain(error)}")
        except Exception as error:
            stop = self._later(error)
        raise stop

    def collect(self, batch_id: str) -> Iterator[tuple[str, Verdict]]:
        """The answers of an ended batch, as they are read."""
        try:
            for line in self.client.messages.batches.results(batch_id):
                id = getattr(line, "custom_id", None)
                if isinstance(id, str):
                    yield id, self._result(getattr(line, "result", None))
            return
        except (anthropic.NotFoundError, ValueError) as error:
            stop: Exception = JudgeFailure(f"the batch is not readable: {self.explain(error)}")
        except anthropic.APIError as error:
            stop = self._later(error)
        except anthropic.AnthropicError as error:  # no results_url: archived
            stop = JudgeFailure(f"the batch has no results: {self.explain(error)}")
        except Exception as error:  # the transport's own: the stream broke
            stop = self._later(error)
        raise stop

    def _result(self, result: Any) -> Verdict:
        kind = getattr(result, "type", None)
        if kind == "succeeded":
            return self.read(getattr(result, "message", None), batch=True)
        if kind == "errored":
            error = getattr(getattr(result, "error", None), "error", None)
            said = f"{getattr(error, 'type', 'error')}: {getattr(error, 'message', '')}"
            return self.failure(f"errored in its batch: {said}")
        return self.failure(f"{kind} in its batch" if isinstance(kind, str) else "no result")

    def _later(self, error: BaseException) -> Exception:
        return self.hopeless(error) or BatchPending(
            f"the batches cannot be asked for now: {self.explain(error)}; run again to collect them"
        )
