"""Anthropic's SDK, or an error that says how to get it; and a client whose key stays unseen.

>>> own_client().api_key is not None  # with ANTHROPIC_API_KEY set
True

Only the paper's judge (Section 3) needs it; mini's oracle and the tables do not.
"""

from __future__ import annotations

from fluxlens.judge.base import JudgeStopped
from fluxlens.judge.reply import redact
from fluxlens.optional import optional

with optional("judge", "Claude's verdicts and instructions"):
    import anthropic

__all__ = ["anthropic", "check_key", "own_client"]


def own_client() -> anthropic.Anthropic:
    """A client with the key of the environment, or of the SDK's own configuration."""
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
    if not all(map(_plain, (client.api_key, client.auth_token))):
        raise JudgeStopped("the API key has a character that no key has, perhaps a line's end")


def _plain(key: str | None) -> bool:
    return not key or (key.isascii() and key.isprintable() and " " not in key)
