"""Where the oracle's rules draw their lines: read from ``thresholds.json``, never typed.

>>> chosen().more_drawn > 0
True

The file is what ``python -m fluxlens.judge.calibrate --write`` makes of renders whose truth is
known (:mod:`fluxlens.judge.calibrate`); it says with what seed, on how many and by what criterion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("thresholds.json")

__all__ = ["FILE", "Thresholds", "chosen", "load_thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """One number for each line that a rule draws.

    Errors are root mean squares in levels. A gain is the share of the background's squared error
    that a drawing explains away. Beyond these, nothing of the kind is taken to be there.
    """

    object_error: float
    object_gain: float
    color: float  # levels between a dye and a color that is visibly the same
    area: float  # share of a picture that is visibly of a color, where no object is made out
    figure_error: float
    drawn: float  # from here on a picture is a drawing; photograph 0, drawing 1
    more_drawn: float  # how much nearer to a drawing is visibly so
    person_error: float
    person_gain: float
    same_head: float  # of the six attributes of a head, for one person recognized again
    took_person: float  # share of what tells A from B, for A to be seen in a picture
    scene_error: float  # a place that is further off is unclear
    enough: float  # bits that a picture must share with a place, and another must not
    enough_unread: float  # the same where the place is unclear


def load_thresholds(told: dict[str, Any]) -> Thresholds:
    """The thresholds of a file's contents. ValueError when one is missing, or is no such thing."""
    names, found = set(Thresholds.__dataclass_fields__), told.get("thresholds", {})
    if wrong := sorted(names ^ set(found)):
        raise ValueError(
            f"{FILE.name}: {', '.join(wrong)} missing or unknown; "
            "python -m fluxlens.judge.calibrate --write makes the file anew"
        )
    return Thresholds(**{name: float(value) for name, value in found.items()})


@lru_cache(maxsize=1)
def chosen() -> Thresholds:
    """Those that the package carries."""
    return load_thresholds(json.loads(FILE.read_text()))
