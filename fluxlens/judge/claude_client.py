"""One message to Claude for one question (Appendix E): what is sent, what is answered, its cost.

>>> params, worst = ClaudeMessages().prepare(request)
>>> [block["type"] for block in params["messages"][0]["content"]]
['text', 'image', 'text', 'image', 'text', 'image', 'text']

The SDK retries. The budget is asked before every attempt; an attempt that may have been charged
without an answer (a time-out, a broken connection, a reply cut short) counts as the most that it
can have cost. No key is kept here, and none gets into a verdict or an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from fluxlens.files import file_name
from fluxlens.judge.base import BudgetSpent, JudgeStopped, Picture, Request, Verdict
from fluxlens.judge.image_payload import encode
from fluxlens.judge.parse_reply import SCHEMA, ReplyError, parse_reply, redact
from fluxlens.judge.prices import Budget, Prices, image_tokens, load_prices
from fluxlens.optional import optional

with optional("judge", "Claude's verdicts and instructions"):
    import anthropic

__all__ = ["ClaudeMessages", "SubmissionLost", "anthropic", "image_block", "once"]

FRAME_TOKENS = 1000  # no fewer than the API adds of its own: roles, schema, separators

# Refusals that no other request would escape.
_HOPELESS = (
    anthropic.AuthenticationError,
    anthropic.PaymentRequiredError,
    anthropic.PermissionDeniedError,
    anthropic.NotFoundError,
)
_UNSENT = (
    "ConnectError",
    "ConnectTimeout",
    "PoolTimeout",
    "UnsupportedProtocol",
    "LocalProtocolError",
)


@dataclass
class _Call:
    """What is set aside for a call's last attempt, and what its lost ones may have cost."""

    worst: float
    reserved: float = 0.0
    lost: float = 0.0


_CALL: ContextVar[_Call | None] = ContextVar("fluxlens-judge-call", default=None)
_ONCE: ContextVar[bool] = ContextVar("fluxlens-judge-once", default=False)


class SubmissionLost(Exception):
    """A request was sent and may have been taken; sending it again could do its work twice."""


@contextmanager
def once() -> Iterator[None]:
    """Within it, the SDK does not retry what may have arrived: `SubmissionLost` instead."""
    token = _ONCE.set(True)
    try:
        yield
    finally:
        _ONCE.reset(token)


def own_client() -> anthropic.Anthropic:
    """Make a client with the key of the environment, or of the SDK's own configuration."""
    try:
        client = anthropic.Anthropic()
    except anthropic.CredentialsError as error:
        said = redact(str(error))
    else:
        if client.api_key or client.auth_token or client.credentials:
            return client
        said = "set ANTHROPIC_API_KEY"
    raise JudgeStopped(f"there is no API key: {said}")


def check_key(client: anthropic.Anthropic) -> None:
    """Refuse a key that the HTTP library would show in its error."""
    if not all(map(_plain, (client.api_key, client.auth_token))):  # no key among the locals
        raise JudgeStopped("the API key has a character that no key has, perhaps a line's end")


def _plain(key: str | None) -> bool:
    return not key or (key.isascii() and key.isprintable() and " " not in key)


def image_block(picture: Picture) -> tuple[dict[str, Any], int]:
    """Turn a picture into a block of a message, with the most tokens that it counts for."""
    image = encode(picture)
    source = {"type": "base64", "media_type": image.media_type, "data": image.data}
    return {"type": "image", "source": source}, image_tokens(image.width, image.height)


class ClaudeMessages:
    """The part of `fluxlens.judge.claude.ClaudeJudge` that asks one question at a time."""

    def __init__(
        self,
        model: str = "claude-opus-4-7",
        *,
        budget: Budget | None = None,
        client: anthropic.Anthropic | None = None,
        answer: Literal["schema", "text"] = "schema",
        max_tokens: int = 200,
        max_retries: int = 6,
        timeout: float = 120.0,
        prices: Prices | None = None,
    ) -> None:
        if answer not in ("schema", "text"):
            raise ValueError(f"answer is 'schema' or 'text', not {answer!r}")
        self.model = model
        self.name = file_name(model)
        self.budget = budget or Budget()
        self.price = (prices or load_prices()).of(model)
        self.answer = answer
        self.max_tokens = max_tokens
        self._owned = client is None
        base = own_client() if client is None else client
        check_key(base)
        self.client = base.with_options(timeout=timeout, max_retries=max_retries).with_middleware(
            self._meter
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, answer={self.answer!r})"

    def close(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owned:
            self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- one message ---------------------------------------------------------------------------

    def ask(self, request: Request) -> Verdict:
        """Answer one question; what goes wrong is a verdict with an ``error``.

        `BudgetSpent` before the budget is passed, `JudgeStopped` for a rejected key and the like.
        """
        try:
            params, worst = self.prepare(request)
        except ValueError as error:
            return self.failure(str(error))
        return self.send(params, worst)

    def send(self, params: Mapping[str, Any], worst: float) -> Verdict:
        """Send a message that can cost so much, with all the cares of `ask`."""
        call = _Call(worst)
        token = _CALL.set(call)
        stop: JudgeStopped | None = None
        try:
            message: Any = self.client.messages.create(**params)
            verdict = self.read(message)
        except BudgetSpent as error:
            if not call.lost:
                stop = error
            verdict = self.failure(str(error))
        except Exception as error:
            verdict = self.failure(self.explain(error))
            stop = self.hopeless(error)
        finally:
            _CALL.reset(token)
        if call.reserved:  # an answer came; one that cannot be read may have cost anything
            unread = call.reserved if verdict.error and not verdict.cost else verdict.cost
            self.budget.settle(call.reserved, unread)
            verdict = replace(verdict, cost=unread)
        if stop is not None and not (call.lost or call.reserved):
            raise stop  # from no cause: a cause could show a header
        return replace(verdict, cost=verdict.cost + call.lost)

    def prepare(self, request: Request, batch: bool = False) -> tuple[dict[str, Any], float]:
        """A request's parameters for ``messages.create``, and the most that it can cost.

        The system prompt and the pictures that the entity's next question shows too are marked for
        the prompt cache, except in a batch, whose requests run at the same time.
        """
        question = request.question
        content: list[dict[str, Any]] = []
        tokens = FRAME_TOKENS
        for number, (label, picture) in enumerate(request.labelled(), start=1):
            block, most = image_block(picture)
            tokens += most + len(label.encode())
            content += [{"type": "text", "text": label}, block]
            if number == request.shared and not batch:
                content[-1]["cache_control"] = {"type": "ephemeral"}
        content.append({"type": "text", "text": question.text})
        tokens += len(question.text.encode()) + len(question.system.encode())
        system: dict[str, Any] = {"type": "text", "text": question.system}
        if request.shared and not batch:
            system["cache_control"] = {"type": "ephemeral"}
        params: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "system": [system],
            "messages": [{"role": "user", "content": content}],
        }
        if self.answer == "schema":
            params["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        return params, self.price.worst(tokens, self.max_tokens, batch=batch)

    def read(self, message: Any, batch: bool = False) -> Verdict:
        """The verdict in a message: whatever it is, what it says it has cost is counted."""
        if not isinstance(message, anthropic.types.Message):
            return self.failure("the answer is not a message")
        usage = message.usage
        used: Any = getattr(usage, "input_tokens", None)
        written: Any = getattr(usage, "output_tokens", None)
        cache_write = getattr(usage, "cache_creation_input_tokens", None) or 0
        cache_read = getattr(usage, "cache_read_input_tokens", None) or 0
        counts = (used, written, cache_write, cache_read)
        if not all(type(count) is int and count >= 0 for count in counts):
            return self.failure("the answer does not say what it has cost")
        paid: dict[str, Any] = {
            "input_tokens": used,
            "output_tokens": written,
            "cache_write_tokens": cache_write,
            "cache_read_tokens": cache_read,
            "cost": self.price.cost(used, written, cache_write, cache_read, batch=batch),
        }
        model = message.model if isinstance(message.model, str) else self.model
        try:
            passed, reason = self.parse(_text(message))
        except ReplyError as error:
            return self.failure(self.redact(str(error)), model=model, **paid)
        return Verdict(passed, self.redact(reason), model=self.redact(model), **paid)

    def parse(self, text: str) -> tuple[bool, str]:
        """What a message says: a judge's verdict and reason. `ReplyError` if it says neither."""
        return parse_reply(text)

    def failure(self, error: str, model: str | None = None, **paid: Any) -> Verdict:
        """A verdict that is none."""
        shown = self.redact(error)[:500] or "failed"
        return Verdict(None, "", model=self.redact(model or self.model), error=shown, **paid)

    # ---- errors --------------------------------------------------------------------------------

    def redact(self, text: str) -> str:
        """A text without this client's key or anything that looks like one."""
        return redact(text, (self.client.api_key, self.client.auth_token))

    def explain(self, error: BaseException) -> str:
        """An error in one line, for a record."""
        if isinstance(error, anthropic.APIStatusError):
            said = error.api_message or error.message
            return self.redact(f"{error.status_code} {type(error).__name__}: {said}")
        return self.redact(f"{type(error).__name__}: {error}")

    def hopeless(self, error: BaseException) -> JudgeStopped | None:
        """The error to stop with, if no other request could do better."""
        unset = isinstance(error, TypeError) and "authentication" in str(error)
        if unset or isinstance(error, anthropic.CredentialsError):
            return JudgeStopped("there is no API key: set ANTHROPIC_API_KEY")
        broke = isinstance(error, anthropic.BadRequestError) and "credit balance" in str(error)
        if broke or isinstance(error, _HOPELESS):
            return JudgeStopped(f"no question can be asked: {self.explain(error)}")
        return None

    def _meter(self, request: anthropic.APIRequest, call_next: Any) -> Any:
        """Around every attempt of a call: money is set aside before it, and given back after a
        refusal."""
        call = _CALL.get()
        if call is None:
            try:
                return call_next(request)
            except anthropic.APIConnectionError as error:
                if not _ONCE.get() or not _sent(error):
                    raise
                lost = f"{type(error).__name__}: {error}"
            raise SubmissionLost(lost)
        self.budget.reserve(call.worst)
        try:
            response = call_next(request)
        except BaseException as error:
            charged = call.worst if _sent(error) else 0.0
            self.budget.settle(call.worst, charged)
            call.lost += charged
            raise
        if response.status_code >= 400:
            self.budget.settle(call.worst, 0.0)
        else:
            call.reserved = call.worst
        return response


def _sent(error: BaseException) -> bool:
    """Whether a request may have arrived before it came to this."""
    if isinstance(error, TypeError | anthropic.CredentialsError):
        return False  # the SDK has no key
    return type(error.__cause__).__name__ not in _UNSENT


def _text(message: Any) -> str:
    """The one text of a message, or `ReplyError`."""
    if message.stop_reason == "refusal":
        raise ReplyError("it declined to answer")
    if message.stop_reason not in ("end_turn", "stop_sequence"):
        raise ReplyError(f"the answer is not finished (stop_reason {message.stop_reason!r})")
    blocks = message.content if isinstance(message.content, list) else []
    texts = [getattr(block, "text", None) for block in blocks if _kind(block) == "text"]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise ReplyError(f"the answer has {len(texts)} texts, not one")
    return texts[0]


def _kind(block: object) -> object:
    return getattr(block, "type", None)
