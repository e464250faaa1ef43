"""Verdicts on disk: one CSV for each judge's question, in the authors' columns and a few more.

>>> with VerdictFile(path, question) as file:
...     file.add("solid_red_mug_s0", verdict)
>>> read_verdicts(Path("results/mini/verdicts/oracle"))["i2i_unc_color_text_lens"].keys()
dict_keys(['solid_red_mug_s0'])

The first six columns are those of the authors' published files (Appendix E), so theirs load as they
are. A row is one line, appended as it comes: a failure has a blank ``pass``, counts for nothing and
is tried again; of several verdicts about an entity the last one holds. A line that a killed process
left torn is left out. A verdict belongs to the pictures that were judged: their `fingerprint` is in
its row, and other pictures are judged anew. One process writes at a time.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, get_args

from fluxlens.files import hold, printable, write_whole
from fluxlens.judge.base import Verdict
from fluxlens.judge.questions import Question, QuestionError, QuestionSet, load_questions

__all__ = [
    "COLUMNS", "NULL", "VerdictError", "VerdictFile", "Verdicts", "belongs", "read_verdict_file",
    "read_verdicts", "spent", "verdict_path",
]  # fmt: skip

COLUMNS = (
    "entity_id", "pass", "reason", "model", "input_tokens", "output_tokens",
    "cache_read_tokens", "cache_write_tokens", "cost_usd", "error", "question", "judged_at",
    "pictures",
)  # fmt: skip
OLDER = COLUMNS[:-1]  # files of before verdicts knew their pictures
WHOLE = (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", r"([0-9a-f]{16})?")  # how our rows end
NULL = "__null"  # ends the name of a judge's answers about pictures where nothing was done
MARKS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False, "": None}
FORMULA = re.compile(r"'*[=+\-@\t\r]")  # a spreadsheet would run a text that begins so

Verdicts = dict[str, dict[str, Verdict]]  # judge → entity → its verdict

log = logging.getLogger(__name__)


class VerdictError(ValueError):
    """A file of verdicts cannot be read, or may not be written."""


def verdict_path(results: Path, judge: str, question: Question) -> Path:
    """Name a question's file of verdicts: the blind set has a folder of its own.

    >>> verdict_path(Path("results/mini"), "oracle", load_questions()["i2i_unc_add"]).as_posix()
    'results/mini/verdicts/oracle/i2i_unc_add.csv'
    """
    folder = judge if question.set == "paper" else f"{judge}-{question.set}"
    return Path(results) / "verdicts" / folder / f"{question.name}.csv"


# ---- reading -------------------------------------------------------------------------------------


def read_verdict_file(path: Path, failures: bool = False) -> dict[str, Verdict]:
    """Read the verdicts of one file by entity, the last for each.

    ``failures``: those too of entities that have no verdict yet. A file that is not there holds
    none; `VerdictError` names the line of one that is no file of verdicts.

    >>> read_verdict_file(Path("vlm_judge/i2i_unc_add.csv"))["add_sun397_..."].passed
    True
    """
    return {
        entity: row for entity, row in _last(_rows(Path(path))).items()
        if failures or row.passed is not None
    }  # fmt: skip


def read_verdicts(folder: Path | str, questions: QuestionSet | None = None) -> Verdicts:
    """Read a folder of verdicts: judge → entity → its last verdict.

    ``<folder>/<judge>.csv`` (as the authors publish them) and ``<folder>/<judge>/*.csv`` are both
    read. A judge's answers on images where nothing was done are under ``<judge>__null``, or all in
    a folder beside this one whose name ends in ``__null``; those on pictures of no table's, under
    ``<judge>__<variant>``. `questions` is the set that was asked, ``paper`` or ``blind``, whose
    answers may count the other way round; a folder tells by its name.

    >>> read_verdicts("results/mini/verdicts/oracle")["ko_color_ref_to_text"]["..."].passed
    True
    """
    folder = Path(folder)
    if questions not in (None, *get_args(QuestionSet)):
        raise QuestionError(f"the sets of questions are 'paper' and 'blind', not {questions!r}")
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; verdicts come from `fluxlens judge`")
    known = load_questions()
    rows: dict[str, list[Verdict]] = {}
    for judge, path in _files(folder):
        counts = _counts(judge, path, questions)
        of_a_judge = path.stem.removesuffix(NULL) in known
        found = _rows(path) if of_a_judge or _columns(path) else []
        rows.setdefault(judge, []).extend(replace(row, counts=counts) if counts else row
                                          for row in found)  # fmt: skip
    verdicts = {
        judge: {entity: row for entity, row in _last(some).items() if row.passed is not None}
        for judge, some in rows.items()
    }
    return {judge: some for judge, some in verdicts.items() if some}


def _last(rows: Iterable[Verdict]) -> dict[str, Verdict]:
    """The row that holds for each entity: a failure undoes the verdict on other pictures alone."""
    found: dict[str, Verdict] = {}
    for row in rows:
        old = found.get(row.entity_id)
        other = row.pictures and old is not None and row.pictures != old.pictures
        if row.passed is not None or old is None or old.passed is None or other:
            found[row.entity_id] = row
    return found


def _counts(judge: str, path: Path, questions: QuestionSet | None) -> str:
    """Which answer counts, where not the paper's own question was asked."""
    if questions is None:  # another set has a folder of its own, ``oracle-blind``
        near = [parent.name.removesuffix(NULL) for parent in path.resolve().parents[:2]]
        questions = "blind" if any(name.endswith("-blind") for name in near) else "paper"
    question = load_questions(questions).get(judge.partition("__")[0])
    return "" if questions == "paper" or question is None else question.counts


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every verdict file with the name of its judge, however the folder is laid out."""
    known = load_questions()
    judges: list[str] = []
    for path in sorted(folder.glob("*.csv")):
        yield path.stem, path
    for sub in sorted(path for path in folder.iterdir() if path.is_dir()):
        name, null = sub.name.removesuffix(NULL), NULL if sub.name.endswith(NULL) else ""
        files = sorted(sub.glob("*.csv"))
        # a folder of one question, or the folder of a whole judge with a file for each question?
        if name in known or not any(path.stem.removesuffix(NULL) in known for path in files):
            yield from ((sub.name, path) for path in files)
            continue
        judges += [] if null else [name]
        if len(judges) > 1:
            raise VerdictError(f"{folder} holds several judges; name one: {', '.join(judges)}")
        yield from ((path.stem.removesuffix(NULL) + null, path) for path in files)
    here = folder.resolve()
    beside = here.with_name(here.name + NULL)
    if beside.is_dir() and not here.name.endswith(NULL):
        yield from ((name.removesuffix(NULL) + NULL, path) for name, path in _files(beside))


def spent(path: Path) -> float:
    """Add up what all rows of a file have cost, in USD: failures too."""
    return sum(row.cost for row in _rows(Path(path)))


def _rows(path: Path) -> list[Verdict]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    if _begun(data):
        return []
    lines = _lines(path, data)
    header = _fields(path, 1, lines[0])
    if not {"entity_id", "pass"} <= {*header}:
        raise VerdictError(f"{path} has no columns entity_id and pass")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = _fields(path, number, line)
        if len(fields) != len(header):
            raise VerdictError(
                f"{path}, line {number} has {len(fields)} fields, not {len(header)}: "
                f"{printable(line, 40)!r}"
            )
        try:
            rows.append(_verdict(dict(zip(header, fields, strict=True))))
        except ValueError as error:
            raise VerdictError(f"{path}, line {number}: {error}") from None
    return rows


def _begun(data: bytes) -> bool:
    """Whether a file is empty, or its header was torn while one of ours was begun."""
    return ",".join(COLUMNS).encode().startswith(data)


def _lines(path: Path, data: bytes) -> list[str]:
    """A file's lines, without a torn last one."""
    whole, _, last = data.rpartition(b"\n")
    if last and not _is_whole(whole.partition(b"\n")[0] or last, last):
        log.warning("%s: the last line is incomplete; it is left out", path)
        data = whole
    try:
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise VerdictError(f"{path}: not a readable CSV: {error}") from None


def _is_whole(header: bytes, line: bytes) -> bool:
    """Whether a last line without its newline is a whole row; ours show where they end."""
    try:
        names, fields = (next(csv.reader([part.decode("utf-8-sig")], strict=True), [])
                         for part in (header, line))  # fmt: skip
    except (UnicodeDecodeError, csv.Error):
        return False
    ends = WHOLE[: max(0, len(names) - len(OLDER) + 1)] if tuple(names[:12]) == OLDER else ()
    return len(fields) == len(names) and all(
        re.fullmatch(pattern, field)
        for pattern, field in zip(ends, fields[len(OLDER) - 1 :], strict=False)
    )


def _fields(path: Path, number: int, line: str) -> list[str]:
    """The fields of one line: a quote that is not closed ends with it."""
    try:
        return next(csv.reader([line.removesuffix("\r")], strict=True), [])
    except csv.Error as error:
        raise VerdictError(f"{path}, line {number}: not a readable CSV: {error}") from None


def _columns(path: Path) -> bool:
    """Whether a file that no judge is named after holds verdicts all the same."""
    try:
        return {"entity_id", "pass"} <= {*_fields(path, 1, _lines(path, path.read_bytes())[0])}
    except VerdictError:
        return False


def _verdict(fields: dict[str, str]) -> Verdict:
    if not fields["entity_id"]:
        raise ValueError("no entity_id")
    mark = fields["pass"].strip().lower()
    if mark not in MARKS:
        raise ValueError(f"pass is 1, 0 or blank, not {printable(mark, 20)!r}")
    passed, reason = MARKS[mark], _plain(fields.get("reason", ""))
    error = "" if mark else _plain(fields.get("error", "")) or reason or "no verdict"
    known: dict[str, Any] = {name: fields.get(name, "") for name in (COLUMNS[0], *COLUMNS[10:])}
    known |= {name: int(fields.get(name) or 0) for name in COLUMNS[4:8]}
    cost = float(fields.get("cost_usd") or 0)
    return Verdict(passed, reason, _plain(fields.get("model", "")), cost=cost, error=error, **known)


def _cell(text: str) -> str:
    """A judge's text on one line, which no spreadsheet takes for a formula."""
    line = printable(text)
    return f"'{line}" if FORMULA.match(line) else line


def _plain(text: str) -> str:
    """What `_cell` was given, on one line."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def belongs(verdict: Verdict | None, pictures: str, changed: float = 0.0) -> bool:
    """Say whether a verdict is there and is about these pictures.

    ``pictures`` is their `fingerprint`, blank where it is not known. A verdict that does not know
    its pictures is about them if none was ``changed`` (seconds since 1970) after it was given.

    >>> belongs(Verdict(True, pictures="7a3f00c1d2e4b596"), "0b1c2d3e4f5a6978")
    False
    """
    if verdict is None or not pictures or verdict.pictures:
        return verdict is not None and (not pictures or verdict.pictures == pictures)
    try:
        return changed < datetime.fromisoformat(verdict.judged_at).timestamp() + 1
    except ValueError:
        return False


# ---- writing -------------------------------------------------------------------------------------


class VerdictFile:
    """A question's file, held open for appending by one process.

    >>> with VerdictFile(path, question) as file:
    ...     todo = [entity for entity in entities if not file.holds(entity, pictures[entity])]

    `VerdictError` for a file that is not ours or answers another wording, which is left untouched;
    `fluxlens.files.FileInUse` where another process writes it.
    """

    def __init__(self, path: Path, question: Question) -> None:
        self.path = Path(path)
        self.digest = question.digest
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()
        try:
            self._begin()
            rows = _rows(self.path)
            other = {row.question for row in rows if row.question not in ("", self.digest)}
            if other:
                raise VerdictError(
                    f"{self.path}: these are answers to another wording of {question.name} "
                    f"({', '.join(sorted(other))}, now {self.digest}): move the file away"
                )
            self._held = {k: row for k, row in _last(rows).items() if row.passed is not None}
            self.spent = sum(row.cost for row in rows)
        except BaseException:
            self.close()
            raise

    def _open(self) -> int:
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            hold(fd, self.path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _begin(self) -> None:
        """Begin a new file; of one of ours, end the last line or cut off what was torn of it."""
        data = self.path.read_bytes()
        if _begun(data):
            os.ftruncate(self._fd, 0)
            self._write(",".join(COLUMNS))
            return
        header, _, rest = data.partition(b"\n")
        columns = tuple(_fields(self.path, 1, header.decode("utf-8-sig", "replace")))
        if columns not in (COLUMNS, OLDER):
            raise VerdictError(
                f"{self.path}: its columns are not ours; it can be read, not added to"
            )
        if rest and not rest.endswith(b"\n"):
            before, _, last = data.rpartition(b"\n")
            if _is_whole(header, last):
                os.write(self._fd, b"\n")
            else:
                log.warning("%s: cut off an incomplete last line", self.path)
                os.ftruncate(self._fd, len(before) + 1)
        if columns == OLDER:
            ends = "\r\n" if header.endswith(b"\r") else "\n"
            lines = [line.rstrip("\r") for line in self.path.read_text("utf-8-sig").split("\n")]
            text = [",".join(COLUMNS), *(f"{line}," for line in lines[1:] if line)]
            write_whole(self.path, ends.join([*text, ""]))
            old, self._fd = self._fd, self._open()
            os.close(old)

    def _write(self, line: str) -> None:
        data = line.encode("utf-8", "replace") + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]

    def __contains__(self, entity_id: str) -> bool:
        return entity_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def holds(self, entity_id: str, pictures: str = "", changed: float = 0.0) -> bool:
        """Say whether an entity has its verdict on these pictures: see `belongs`."""
        return belongs(self._held.get(entity_id), pictures, changed)

    def add(self, entity_id: str, verdict: Verdict, pictures: str = "") -> None:
        """Append a verdict on pictures of this fingerprint, or a failure.

        `VerdictError` for an entity that has its verdict on them.
        """
        old = self._held.get(entity_id)
        if old is not None and old.pictures == pictures:
            raise VerdictError(f"{self.path}: {entity_id} is judged already")
        if not entity_id or entity_id != printable(entity_id):
            raise VerdictError(f"{self.path}: {entity_id!r} cannot name an entity")
        row = replace(
            verdict, entity_id=entity_id, question=self.digest, pictures=pictures,
            judged_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([
            entity_id,
            "" if row.passed is None else int(row.passed),
            *map(_cell, (row.reason, row.model)),
            *(getattr(row, name) for name in COLUMNS[4:8]),
            f"{row.cost:.8f}",
            _cell(row.error),
            row.question, row.judged_at, row.pictures,
        ])  # fmt: skip
        self._write(line.getvalue())
        self.spent += row.cost
        if row.passed is not None:
            self._held[entity_id] = row
        elif old is not None:
            del self._held[entity_id]  # it was about other pictures

    def close(self) -> None:
        """Let another process write."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
