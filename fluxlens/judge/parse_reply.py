"""What a model wrote, read strictly: one JSON object with ``pass`` and ``reason``, or a failure.

>>> parse_reply('{"pass": 1, "reason": "Image 3 is red."}')
(True, 'Image 3 is red.')
>>> parse_reply('Sure! {"pass": 1, "reason": "Image 3 is red."}')
Traceback (most recent call last):
fluxlens.judge.parse_reply.ReplyError: the reply is not one JSON object: 'Sure! {"pass": 1, …'

The paper's judge answers with bare JSON on one line (Appendix E). Code fences around it, which many
local models write, are read; anything else is no verdict, as in the authors' runs. Nothing that a
model wrote is trusted: `redact` also takes keys out of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["SCHEMA", "ReplyError", "parse_reply", "redact"]

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "pass": {"type": "integer", "enum": [0, 1]},
        "reason": {"type": "string"},
    },
    "required": ["pass", "reason"],
    "additionalProperties": False,
}

LONGEST_REASON = 2000
_FENCED = re.compile(r"\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*", re.DOTALL | re.IGNORECASE)
_KEY = re.compile(r"sk-ant-[\w\-]+|(?i:bearer)\s+[\w\-.~+/]{8,}=*")


class ReplyError(ValueError):
    """A reply that holds no verdict."""


def parse_reply(text: str) -> tuple[bool, str]:
    """Read the verdict and the reason of a reply. `ReplyError` where it holds none.

    >>> parse_reply('```json\\n{"pass": 0, "reason": "It is gray."}\\n```')
    (False, 'It is gray.')
    """
    fenced = _FENCED.fullmatch(text)
    try:
        answer = json.loads(
            fenced[1] if fenced else text, object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise ReplyError(f"the reply is not one JSON object: {_start(text)}") from None
    if not isinstance(answer, dict):
        raise ReplyError(f"the reply is not one JSON object: {_start(text)}")
    passed, reason = answer.get("pass"), answer.get("reason")
    if type(passed) is not int or passed not in (0, 1):
        raise ReplyError(f"'pass' is neither 0 nor 1: {_start(text)}")
    if not isinstance(reason, str):
        raise ReplyError(f"'reason' is not a text: {_start(text)}")
    return passed == 1, reason[:LONGEST_REASON]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _start(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:119] + "…")


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """A text without anything that looks like a key, and without these secrets.

    >>> redact("401: sk-ant-api03-abc is not known")
    '401: [key] is not known'
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    return _KEY.sub("[key]", text)
