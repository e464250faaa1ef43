"""Judges and their verdicts: questions as data, clients that answer them, files that keep answers.

>>> from fluxlens.judge import load_questions, read_verdicts, run_judge
>>> len(load_questions())
28

Nothing here knows mini's world, tasks or tables. Claude's SDK is needed by `ClaudeJudge` and its
parts alone, which are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fluxlens.judge.base import (
    BatchJudge,
    BatchPending,
    BudgetSpent,
    Images,
    Judge,
    JudgeFailure,
    JudgeStopped,
    Picture,
    Request,
    Verdict,
)  # fmt: skip
from fluxlens.judge.human import HumanJudge
from fluxlens.judge.image_payload import changed, fingerprint, opened
from fluxlens.judge.local import LocalJudge
from fluxlens.judge.prices import Budget, Price, Prices, load_prices
from fluxlens.judge.questions import (
    Counts,
    Question,
    QuestionError,
    QuestionSet,
    Role,
    load_kept,
    load_questions,
    read_questions,
)  # fmt: skip
from fluxlens.judge.run import Items, Tally, run_judge
from fluxlens.judge.verdicts import (
    NULL,
    VerdictError,
    VerdictFile,
    Verdicts,
    belongs,
    read_verdict_file,
    read_verdicts,
    spent,
    verdict_path,
)  # fmt: skip

if TYPE_CHECKING:
    from fluxlens.judge.claude import ClaudeJudge
    from fluxlens.judge.claude_client import FRAME_TOKENS, ClaudeMessages, image_block

__all__ = [
    "FRAME_TOKENS", "NULL", "BatchJudge", "BatchPending", "Budget", "BudgetSpent", "ClaudeJudge",
    "ClaudeMessages", "Counts", "HumanJudge", "Images", "Items", "Judge", "JudgeFailure",
    "JudgeStopped",
    "LocalJudge", "Picture", "Price", "Prices", "Question", "QuestionError", "QuestionSet",
    "Request", "Role", "Tally", "Verdict", "VerdictError", "VerdictFile", "Verdicts", "belongs",
    "changed", "fingerprint", "image_block", "load_kept", "load_prices", "load_questions", "opened",
    "read_questions", "read_verdict_file", "read_verdicts", "run_judge", "spent", "verdict_path",
]  # fmt: skip

_CLAUDE = ("ClaudeJudge", "ClaudeMessages", "FRAME_TOKENS", "image_block")


def __getattr__(name: str) -> Any:
    if name in _CLAUDE:
        return getattr(import_module(f"{__name__}.claude"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
