"""Pictures on disk: each one atomic file that carries the record of what made it.

>>> store = Store(Path("results/mini"))
>>> store.write(path, image, {"recipe": "edit", "asked": request, "request": digest(request)})
>>> store.state(path, request)
<State.MADE: 'made'>
>>> read_record(path)["recipe"]
'edit'

A file is written under another name on the same disk and then renamed, so a process may be killed
at any moment: what bears a picture's name is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from fluxlens.study.requests import digest

__all__ = ["State", "Store", "read_record"]

CHUNK = "fluxlens"  # the name of the record's iTXt chunk


class State(Enum):
    """What lies under a picture's name."""

    MISSING = "missing"
    MADE = "made"
    OTHER = "other"  # a picture that another request made, or no picture of a study


def read_record(path: Path) -> dict[str, Any] | None:
    """The record in a picture's file; None if it has none, or is no whole picture."""
    try:
        with path.open("rb") as file, Image.open(file, formats=("PNG",)) as image:
            record = json.loads(image.info[CHUNK])
            file.seek(-12, os.SEEK_END)
            whole = file.read()[4:8] == b"IEND"
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, UnidentifiedImageError):
        return None
    return record if whole and isinstance(record, dict) else None


class Store:
    """A model's folder of pictures: ``Store(model_folder(Path("results"), "mini"))``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._partial = folder / ".partial" / f"{socket.gethostname()}-{os.getpid()}"

    def state(self, path: Path, request: dict[str, Any]) -> State:
        try:
            record = read_record(path)
        except FileNotFoundError:
            return State.MISSING
        made = record is not None and record.get("request") == digest(request)
        return State.MADE if made else State.OTHER

    def write(self, path: Path, image: Image.Image, record: dict[str, Any]) -> None:
        """Put a picture and its record in place, whatever was there."""
        info = PngInfo()
        info.add_itxt(CHUNK, json.dumps(record, ensure_ascii=False))
        self._partial.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = self._partial / path.name
        image.save(made, format="PNG", pnginfo=info, compress_level=1)
        os.replace(made, path)

    def write_text(self, path: Path, text: str) -> None:
        self._partial.mkdir(parents=True, exist_ok=True)
        made = self._partial / path.name
        made.write_text(text, encoding="utf-8")
        os.replace(made, path)

    def clean(self) -> None:
        """Remove what killed processes of this machine left half-written, and our own folder."""
        partial = self._partial.parent
        for left in partial.glob(f"{socket.gethostname()}-*"):
            number = left.name.rpartition("-")[2]
            if left == self._partial or not (number.isdecimal() and _alive(int(number))):
                shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):  # it is not there, or another process is at work in it
            partial.rmdir()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
