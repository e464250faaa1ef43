"""Verdicts on disk: one CSV for each judge's question, in the authors' columns and a few more.

>>> with VerdictFile(path, question) as file:
...     file.add("solid_red_mug_s0", verdict)
>>> read_verdicts(path)["solid_red_mug_s0"].passed
True

The first six columns are those of the authors' published files, so theirs load as they are. Rows
are appended as they come, one line and one write each. An entity is judged once: a failure is a row
with a blank ``pass``, which counts for nothing and is tried again, and of several verdicts the last
one holds. A line that a killed process left torn is cut off. One process writes at a time.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from fluxlens.judge.base import Verdict
from fluxlens.judge.questions import Question

__all__ = [
    "COLUMNS", "VerdictError", "VerdictFile", "VerdictRow", "lock", "read_verdicts", "spent",
    "verdict_path",
]  # fmt: skip

AUTHORS_COLUMNS = ("entity_id", "pass", "reason", "model", "input_tokens", "output_tokens")
COLUMNS = (
    *AUTHORS_COLUMNS,
    "cache_read_tokens", "cache_write_tokens", "cost_usd", "error", "question", "judged_at",
)  # fmt: skip

log = logging.getLogger(__name__)


class VerdictError(ValueError):
    """A file of verdicts cannot be read, or may not be written."""


@dataclass(frozen=True)
class VerdictRow(Verdict):
    """A verdict as a file holds it."""

    entity_id: str = ""
    question: str = ""  # `Question.digest`; blank in the authors' files
    judged_at: str = ""


def verdict_path(results: Path, judge: str, question: Question) -> Path:
    """Where a question's verdicts are: the blind set has a folder of its own.

    >>> verdict_path(Path("results/mini"), "oracle", load_questions()["i2i_unc_add"]).as_posix()
    'results/mini/verdicts/oracle/i2i_unc_add.csv'
    """
    folder = judge if question.set == "paper" else f"{judge}-{question.set}"
    return Path(results) / "verdicts" / folder / f"{question.name}.csv"


def read_verdicts(path: Path, failures: bool = False) -> dict[str, VerdictRow]:
    """The verdicts of a file by entity, the last for each; with ``failures``, those too for
    entities that have no verdict yet. A file that is not there holds none.

    >>> read_verdicts(Path("results_v4/vlm_judge/i2i_unc_add.csv"))["add_sun397_..."].passed
    True
    """
    found: dict[str, VerdictRow] = {}
    for row in _rows(Path(path)):
        old = found.get(row.entity_id)
        if row.passed is not None or old is None or old.passed is None:
            found[row.entity_id] = row
    return {k: row for k, row in found.items() if failures or row.passed is not None}


def spent(path: Path) -> float:
    """What all rows of a file have cost, in USD: failures too."""
    return sum(row.cost for row in _rows(Path(path)))


def _rows(path: Path) -> list[VerdictRow]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    if not data:
        return []
    if not data.endswith(b"\n"):
        data = _whole_lines(path, data)
    try:
        records = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise VerdictError(f"{path}: not a readable CSV: {error}") from None
    if not records:
        return []
    header = records[0]
    if tuple(header[: len(AUTHORS_COLUMNS)]) != AUTHORS_COLUMNS:
        raise VerdictError(f"{path}: the first columns must be {', '.join(AUTHORS_COLUMNS)}")
    rows = []
    for line, record in enumerate(records[1:], start=2):
        if not record:
            continue
        if len(record) != len(header):
            raise VerdictError(f"{path}: row {line} has {len(record)} fields, not {len(header)}")
        try:
            rows.append(_row(dict(zip(header, record, strict=True))))
        except ValueError as error:
            raise VerdictError(f"{path}: row {line}: {error}") from None
    return rows


def _whole_lines(path: Path, data: bytes) -> bytes:
    """All but a torn last line. Only a file of the authors', saved by an editor, ends without a
    newline and is whole."""
    lines = data.decode("utf-8-sig", errors="replace").split("\n")
    if lines[0].strip() == ",".join(AUTHORS_COLUMNS) and len(lines) > 1:
        last = next(csv.reader([lines[-1]]), [])
        if len(last) == len(AUTHORS_COLUMNS):
            return data
    log.warning("%s: the last line is incomplete; it is left out", path)
    return data[: data.rfind(b"\n") + 1]


def _row(fields: dict[str, str]) -> VerdictRow:
    if not fields["entity_id"]:
        raise ValueError("no entity_id")
    mark = fields["pass"].strip()
    if mark not in ("", "0", "1"):
        raise ValueError(f"'pass' is 0, 1 or blank, not {mark!r}")
    error = fields.get("error", "")
    return VerdictRow(
        passed=None if mark == "" else mark == "1",
        reason=fields["reason"],
        model=fields["model"],
        input_tokens=int(fields["input_tokens"] or 0),
        output_tokens=int(fields["output_tokens"] or 0),
        cache_read_tokens=int(fields.get("cache_read_tokens") or 0),
        cache_write_tokens=int(fields.get("cache_write_tokens") or 0),
        cost=float(fields.get("cost_usd") or 0),
        error="" if mark else error or fields["reason"] or "no verdict",
        entity_id=fields["entity_id"],
        question=fields.get("question", ""),
        judged_at=fields.get("judged_at", ""),
    )


class VerdictFile:
    """A question's file, held open for appending by one process.

    >>> with VerdictFile(path, question) as file:
    ...     todo = [entity for entity in entities if entity not in file]
    """

    def __init__(self, path: Path, question: Question) -> None:
        self.path = Path(path)
        self.digest = question.digest
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _hold(self._fd, self.path)
            self._mend()
            rows = _rows(self.path)
            other = {row.question for row in rows if row.question not in ("", self.digest)}
            if other:
                raise VerdictError(
                    f"{self.path}: these are answers to another wording of {question.name} "
                    f"({', '.join(sorted(other))}, now {self.digest}): move the file away"
                )
            self._judged = {row.entity_id for row in rows if row.passed is not None}
            self.spent = sum(row.cost for row in rows)
        except BaseException:
            os.close(self._fd)
            raise

    def _mend(self) -> None:
        """Cut off a torn last line; begin a new file with its header."""
        data = self.path.read_bytes()
        if data and not data.endswith(b"\n"):
            kept = data.rfind(b"\n") + 1
            log.warning("%s: cut off an incomplete last line", self.path)
            os.ftruncate(self._fd, kept)
            data = data[:kept]
        if not data:
            self._write(",".join(COLUMNS))
        elif data.split(b"\n", 1)[0].strip().decode("utf-8", "replace") != ",".join(COLUMNS):
            raise VerdictError(
                f"{self.path}: its columns are not ours; it can be read, not added to"
            )

    def _write(self, line: str) -> None:
        data = line.encode("utf-8", "replace") + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]

    def __contains__(self, entity_id: str) -> bool:
        return entity_id in self._judged

    def __len__(self) -> int:
        return len(self._judged)

    def add(self, entity_id: str, verdict: Verdict) -> None:
        """Append a verdict or a failure. `VerdictError` for an entity that has its verdict."""
        if entity_id in self._judged:
            raise VerdictError(f"{self.path}: {entity_id} is judged already")
        if not entity_id or entity_id != _one_line(entity_id):
            raise VerdictError(f"{self.path}: {entity_id!r} cannot name an entity")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([
            entity_id,
            "" if verdict.passed is None else int(verdict.passed),
            _one_line(verdict.reason),
            _one_line(verdict.model),
            verdict.input_tokens,
            verdict.output_tokens,
            verdict.cache_read_tokens,
            verdict.cache_write_tokens,
            f"{verdict.cost:.8f}",
            _one_line(verdict.error),
            self.digest,
            now,
        ])  # fmt: skip
        self._write(line.getvalue())
        self.spent += verdict.cost
        if verdict.passed is not None:
            self._judged.add(entity_id)

    def close(self) -> None:
        """Let another process write."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lock(path: Path) -> int:
    """Hold a lock file until the returned descriptor is closed, or the process ends."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _hold(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _hold(fd: int, path: Path) -> None:
    if sys.platform == "win32":
        return  # nothing there lets go of a lock when a process is killed
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise VerdictError(f"{path}: another process is writing here") from None


def _one_line(text: str) -> str:
    """Text of any origin, without the characters that end a line or steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
