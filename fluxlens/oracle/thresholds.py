"""Where the oracle draws its lines: read from ``thresholds.json``, never typed.

>>> load_thresholds().more_drawn > 0
True

The file is what ``python -m tools.calibrate --write`` makes of renders whose truth is known; it
says with what seed, on how many and by what criterion. Four lines of reading, which no question
bears on by itself, are not calibrated but set by hand there (``set``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fluxlens.files import checked

FILE = Path(__file__).with_name("thresholds.json")

__all__ = ["FILE", "Thresholds", "check_thresholds", "load_thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """One number for each line that a reading or a rule draws.

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
    figure_gain: float  # for somebody, and not an empty place alone
    prop_gain: float
    prop_error: float  # a background this good needs no prop
    gone_error: float  # over what a removed prop covered


def check_thresholds(data: dict[str, Any]) -> Thresholds:
    """Check the thresholds of a file's contents. `ValueError` when one is missing, or is none."""
    numbers = data.get("thresholds", {}) | data.get("set", {})
    if wrong := sorted({*Thresholds.__dataclass_fields__} ^ {*numbers}):
        raise ValueError(
            f"{FILE.name}: {', '.join(wrong)} missing or unknown; "
            "python -m tools.calibrate --write makes the file anew"
        )
    return checked(Thresholds, numbers, FILE.name)


@lru_cache(maxsize=1)
def load_thresholds() -> Thresholds:
    """Load those that the package carries."""
    return check_thresholds(json.loads(FILE.read_text(encoding="utf-8")))
