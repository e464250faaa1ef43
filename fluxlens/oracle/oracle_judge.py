"""The oracle as a judge: mini's pictures, the study's questions, answers from pixels (Appendix E).

>>> with OracleJudge(processes=2) as judge:
...     run_judge(judge, load_questions().values(), items, "results/mini", concurrency=4)

It is shown what any judge is shown, the pictures of an entity and the question, and reads them with
:mod:`fluxlens.oracle.readings`; what "yes" means for each question stands in
:mod:`fluxlens.oracle.rules`. It costs nothing, its lines are calibrated
(:mod:`fluxlens.oracle.thresholds`) and its error rates are known (`fluxlens.oracle.accuracy`).
Pictures that are not of mini's world get no verdict worth having.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import zlib
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Self

from fluxlens.judge import JudgeStopped, Question, Request, Role, Verdict
from fluxlens.oracle.features import Look, look
from fluxlens.oracle.rules import CannotTell, rule_of
from fluxlens.oracle.thresholds import Thresholds, load_thresholds

__all__ = ["OracleJudge", "verdict_on"]

NAME = "oracle"


class OracleJudge:
    """Answers any of the 28 questions, paper's or blind, about mini's pictures.

    >>> OracleJudge().ask(Request("solid_red_mug_s0", question, images))
    Verdict(passed=True, reason="Image 2: mug, 167 levels from Image 1's color; ...", ...)

    ``processes`` above one answer in as many processes (each takes some ten seconds to draw what it
    compares with). A picture that cannot be read as a picture is a failure; one that shows nothing
    of the kind asked about is answered with 0, "cannot determine".
    """

    name = NAME

    def __init__(self, processes: int = 1) -> None:
        if processes < 1:
            raise ValueError(f"processes must be at least 1, not {processes}")
        self._workers = [_Worker() for _ in range(processes)] if processes > 1 else []

    def ask(self, request: Request) -> Verdict:
        """Answer one question. Everything about an entity is answered by the same process, which
        has read its pictures before."""
        if not self._workers:
            return _answer(request)
        which = zlib.crc32(request.entity_id.encode()) % len(self._workers)
        return self._workers[which].ask(request)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _answer(request: Request) -> Verdict:
    try:
        looks = {role: look(request.images[role]) for role in request.question.images}
    except (ValueError, OSError) as error:
        return Verdict(None, "", model=NAME, error=str(error)[:500])
    return verdict_on(request.question, looks)


def verdict_on(
    question: Question, looks: Mapping[Role, Look], lines: Thresholds | None = None
) -> Verdict:
    """Answer a question about pictures that may have been looked at for another one before."""
    try:
        passed, reason = rule_of(question)(looks, lines or load_thresholds())
    except CannotTell as why:
        return Verdict(False, f"cannot determine: {why}", model=NAME)
    except (ValueError, OSError) as error:
        return Verdict(None, "", model=NAME, error=str(error)[:500])
    return Verdict(passed, reason, model=NAME)


class _Worker:
    """A process that answers one request after another, and ends when its parent does."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._here, there = spawn.Pipe()
        self._lock = threading.Lock()
        self._process = spawn.Process(target=_serve, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def ask(self, request: Request) -> Verdict:
        with self._lock:
            try:
                self._here.send(request)
                verdict = self._here.recv()
            except (EOFError, OSError) as error:
                raise JudgeStopped("a process of the oracle has ended") from error
        assert isinstance(verdict, Verdict)
        return verdict

    def close(self) -> None:
        self._here.close()
        self._process.join()


def _serve(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        try:
            verdict = _answer(request)
        except Exception as error:
            verdict = Verdict(None, "", NAME, error=f"{type(error).__name__}: {error}"[:500])
        pipe.send(verdict)
