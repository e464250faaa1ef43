"""What the commands that ask Claude share: their options, a client, and a quiet stop."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

__all__ = ["PAPERS_JUDGE", "add_claude", "asking", "stoppable"]

PAPERS_JUDGE = "claude-opus-4-7"

T = TypeVar("T")


def add_claude(parser: argparse.ArgumentParser, concurrency: str, model: str | None) -> None:
    """``add_claude(parser, "10", PAPERS_JUDGE)``; `concurrency` is its default, in words."""
    parser.add_argument(
        "--claude-model",
        default=model,
        metavar="MODEL",
        help=f"which Claude (default: {PAPERS_JUDGE}, the paper's)",
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        metavar="N",
        help=f"questions at once (default: {concurrency})",
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="USD",
        help="stop before Claude has cost more, earlier runs on these files included",
    )
    parser.add_argument("--no-progress", dest="progress", action="store_false", help="no bar")


@contextmanager
def asking(make: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """A client, open; what it lacks (the SDK, a key) is a `ValueError` for the user."""
    from fluxlens.judge import JudgeStopped

    try:
        client = make()
    except (ImportError, JudgeStopped) as error:
        raise ValueError(str(error)) from None
    with client as opened:
        yield opened


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C ends a run as a signal does, without a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        print("fluxlens: stopped; run it again to go on", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
