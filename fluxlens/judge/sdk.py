"""Anthropic's SDK, or an error that says how to get it.

>>> from fluxlens.judge.sdk import anthropic

Only the paper's judge (section 4.1) needs it; mini's oracle and the tables do not.
"""

try:
    import anthropic
except ImportError as missing:  # pragma: no cover
    raise ImportError(
        "ClaudeJudge needs Anthropic's SDK: pip install -c constraints.txt -e '.[judge]'"
    ) from missing

__all__ = ["anthropic"]
