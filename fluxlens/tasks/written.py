"""Instructions on disk: one JSON object a picture or subject, by whoever wrote them (Appendix F).

>>> with WrittenFile(path, wording("style")) as file:
...     file.add(Written("fox", "style", {"snow": "A photograph of the fox …"}, "claude-opus-4-7"))
>>> read_written(path)["fox"].status
'written'

A file is replaced as a whole after every change, so a process may be killed at any moment.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from fluxlens.files import checked, lock, write_whole

__all__ = ["Written", "WrittenFile", "read_written"]


@dataclass(frozen=True)
class Written:
    """The instructions of one picture or subject, or why there are none: then ``error`` says it.

    >>> Written("fox", "style", {"snow": "A photograph of the fox …"}, "claude-opus-4-7").status
    'written'

    ``instructions`` holds prompts by their slugs; of a scene ``add`` and ``remove``, as far as
    something fits. Tokens, dollars and attempts are of all runs that have asked for it.
    """

    id: str
    family: str
    instructions: Mapping[str, str]
    writer: str
    wording: str = ""  # `wording` of the prompts that were sent
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    error: str = ""

    @property
    def status(self) -> str:
        return "failed" if self.error else "written"

    def to_json(self) -> str:
        """One line of a file."""
        row = asdict(self)
        return json.dumps({"id": row.pop("id"), "status": self.status, **row}, ensure_ascii=False)


def read_written(path: Path) -> dict[str, Written]:
    """The records of a file by id; none if it is not there. `ValueError` names a bad line.

    >>> read_written(Path("instructions/mini/style.jsonl"))["fox"].instructions["snow"]
    'a photograph of the fox in this image playing in snow'
    """
    if not path.exists():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            del row["status"]
            found[row["id"]] = checked(Written, row, "it")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path}: line {number} is no record of instructions: {error}"
            ) from None
    return found


class WrittenFile:
    """A family's records on disk, whole after every change; one process writes at a time."""

    def __init__(self, path: Path, words: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = path, threading.Lock()
        self._fd = lock(path.with_name(f".{path.stem}.lock"))
        try:
            self.rows = read_written(path)
            if other := {row.wording for row in self.rows.values()} - {words}:
                raise ValueError(
                    f"{path}: these are answers to other prompts ({', '.join(sorted(other))}, now "
                    f"{words}): move the file away"
                )
        except BaseException:
            os.close(self._fd)
            raise

    def __contains__(self, id: str) -> bool:
        return id in self.rows and not self.rows[id].error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def add(self, *rows: Written) -> None:
        """Put records in place; one that was asked for before keeps what that has cost."""
        with self._lock:
            for row in rows:
                old = self.rows.get(row.id)
                if old is not None:
                    counts = ("attempts", "input_tokens", "output_tokens", "cost_usd")
                    sums = {name: getattr(old, name) + getattr(row, name) for name in counts}
                    row = replace(row, **sums)
                self.rows[row.id] = row
            lines = [self.rows[id].to_json() + "\n" for id in sorted(self.rows)]
            write_whole(self.path, "".join(lines))
