"""Files written whole or not at all, one writer at a time; and text made safe for a name or a line.

>>> write_whole(Path("facts.json"), "{}")
>>> file_name("claude/opus 4.7"), printable("a\\nb")
('claude-opus-4.7', 'a b')
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

__all__ = ["FileInUse", "checked", "file_name", "hold", "lock", "printable", "write_whole"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class FileInUse(ValueError):
    """Another process is writing this file."""


def write_whole(path: Path, data: str | bytes) -> None:
    """Replace a file by these contents at once: whoever reads it, or kills this process, finds the
    old contents or the new, never a part."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def file_name(text: str) -> str:
    """Turn a name into letters, digits and ``-._``, which every file system takes.

    >>> file_name("Qwen/Qwen2.5 VL")
    'Qwen-Qwen2.5-VL'
    """
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in text)


def printable(text: str, most: int | None = None) -> str:
    """Put text of any origin on one line of at most `most` characters, without anything that ends
    a line or steers a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:most]


def lock(path: Path) -> int:
    """Hold a lock file until the returned descriptor is closed, or the process ends.

    `FileInUse` where another process holds it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        hold(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def hold(fd: int, path: Path) -> None:
    """Hold an open file against other processes; `FileInUse` where one of them holds it.

    Where the file system knows no locks, a warning says so.
    """
    if sys.platform == "win32":
        return  # nothing there lets go of a lock when a process is killed
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise FileInUse(f"{path}: another process is writing here") from None
        log.warning("%s: no locks here (%s): let one process write at a time", path, error.strerror)


def checked(kind: type[T], data: object, where: str) -> T:
    """Check what was read from TOML or JSON against a type; `ValueError` names the entry.

    >>> checked(dict[str, int], {"a": "x"}, "counts.json")
    Traceback (most recent call last):
    ValueError: counts.json: a: Input should be a valid integer, ... not 'x'
    """
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(_names(data, first["loc"]))
        given = "" if first["type"] == "missing" else f", not {first['input']!r}"[:120]
        said = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {place}: {said}{given}" if place else f"{where}: {said}") from (
            None
        )


def _names(data: Any, loc: tuple[int | str, ...]) -> list[str]:
    """An entry's place in words: a row of a list goes by its name, if it has one."""
    out = []
    for key in loc:
        try:
            data = data[key]
        except (LookupError, TypeError):
            data = None
        name = data.get("name") if isinstance(key, int) and isinstance(data, dict) else None
        out.append(name if isinstance(name, str) else str(key))
    return out
