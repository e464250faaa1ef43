"""A key that must not get out, a question, and what a run wrote."""

from __future__ import annotations

from pathlib import Path

from fluxlens.judge import Verdict, read_verdict_file, verdict_path
from fluxlens.judge.questions import Question, load_questions

KEY = "-".join(["sk", "ant", "api03", "kept0from1every2record3"])
COLOR = load_questions()["i2i_unc_color_text_lens"]


def verdicts(
    results: Path, question: Question = COLOR, judge: str = "claude-opus-4-7"
) -> dict[str, Verdict]:
    """What a run wrote, failures too."""
    return read_verdict_file(verdict_path(results, judge, question), failures=True)
