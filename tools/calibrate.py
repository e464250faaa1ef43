"""Where the oracle's rules should draw their lines: calibrated on fresh renders of known truth.

>>> calibrate(n=2, families=("color",))["thresholds"].keys()
dict_keys(['object_error', 'object_gain', 'color', 'area'])

``python -m tools.calibrate [--n 30] [--processes 2] [--write]`` prints the thresholds;
with ``--write`` it replaces ``thresholds.json``, which the rules read. Limits of reading ("is there
an object at all?") are chosen on ``n`` pictures that show the thing and ``n`` that do not
(:mod:`tools.detection_cases`); lines between yes and no on ``n`` cases of each family and recipe
(:mod:`tools.labelled_cases`). All are spoilt as bad generations are, mini's autoencoder and latent
noise among the ways. No picture that a transformer made has any part in it. The error rates that
are published are of another seed (:mod:`tools.verdict_accuracy`).

One criterion for every threshold: the balanced accuracy, (hits / yes + right refusals / no) / 2,
its mean over the questions that it bears on and the ways of spoiling, as large as can be. Of values
that serve equally well, the middle one of the longest run, which leaves the most room to either
side. Thresholds of one family are chosen in turn, the limits of reading first, until none moves.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from fluxlens.files import write_whole
from fluxlens.judge import Question
from fluxlens.oracle import Thresholds, verdict_on
from fluxlens.oracle.thresholds import FILE
from tools.detection_cases import THERE, presence
from tools.reading_accuracy import each
from tools.verdict_accuracy import WAYS, Trial, by_recipe, cases

SEED = 20_261_128  # used for nothing else

# What each may be, from the strictest on; the steps are as fine as the differences are felt.
ERRORS = tuple(float(v) for v in range(10, 56))
GAINS = tuple(round(0.05 * v, 2) for v in range(16, 1, -1))
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "object": {"object_error": ERRORS, "object_gain": GAINS},
    "color": {
        "color": tuple(float(v) for v in range(16, 101, 4)),
        "area": tuple(round(0.02 * v, 2) for v in range(15, 0, -1)),
    },
    "figure": {"figure_error": ERRORS},
    "style": {
        "more_drawn": tuple(round(0.02 * v, 2) for v in range(35, 0, -1)),
        "drawn": tuple(round(0.02 * v, 2) for v in range(40, 9, -1)),
    },
    "person": {"person_error": ERRORS, "person_gain": GAINS},
    "human": {
        "same_head": (6.0, 5.0, 4.0, 3.0, 2.0),
        "took_person": tuple(round(0.05 * v, 2) for v in range(18, 1, -1)),
    },
    "place": {"scene_error": ERRORS},
    "scene": {
        "enough": tuple(round(0.2 * v, 1) for v in range(57, 0, -1)),
        "enough_unread": tuple(round(0.2 * v, 1) for v in range(57, 0, -1)),
    },
}
# By family: what is read first, then what is asked about it; and whose cases it is asked in.
FAMILIES = {
    "color": ("object", "color", ("color",)),
    "style": ("figure", "style", ("style",)),
    "human": ("person", "human", ("human",)),
    "scene": ("place", "scene", ("add", "remove")),
}
ROUNDS = 5
# Lines of reading that no question bears on by itself: set by hand.
SET = {"figure_gain": 0.45, "prop_gain": 0.55, "prop_error": 14.0, "gone_error": 20.0}
# Where the search sets out: the middle of everything.
START = Thresholds(**SET, **{
    name: grid[len(grid) // 2] for grids in GRIDS.values() for name, grid in grids.items()
})  # fmt: skip

__all__ = ["FAMILIES", "GRIDS", "SEED", "START", "Answered", "calibrate", "choose", "score"]


class Answered(NamedTuple):
    """One question of known truth, and what thresholds make of it."""

    cell: tuple[str, ...]  # accuracy is of each of these, and then averaged
    truth: bool
    answer: Callable[[Thresholds], bool | None]


def score(trials: Sequence[Answered], thresholds: Thresholds) -> float:
    """The criterion: balanced accuracy, the mean over questions and ways of spoiling."""
    found: dict[tuple[str, ...], dict[bool, list[bool]]] = {}
    for cell, truth, answer in trials:
        right = bool(answer(thresholds)) == truth
        found.setdefault(cell, {}).setdefault(truth, []).append(right)
    cells = [np.mean([np.mean(right) for right in cell.values()]) for cell in found.values()]
    return float(np.mean(cells))


def choose(
    name: str, grid: Sequence[float], thresholds: Thresholds, trials: Sequence[Answered]
) -> float:
    """The value of one threshold that serves best, the others being what they are."""
    scores = [round(score(trials, replace(thresholds, **{name: value})), 9) for value in grid]
    runs = [list(run) for _, run in groupby(range(len(grid)), key=lambda i: scores[i])]
    best = max((run for run in runs if scores[run[0]] == max(scores)), key=len)
    return grid[best[(len(best) - 1) // 2]]


def _settled(group: str, start: Thresholds, trials: Sequence[Answered]) -> Thresholds:
    """A group's thresholds chosen in turn until none moves."""
    now = start
    for _ in range(ROUNDS):
        before = now
        for name, grid in GRIDS[group].items():
            now = replace(now, **{name: choose(name, grid, now, trials)})
        if now == before:
            break
    return now


def _family(
    name: str, n: int, seed: int, ways: tuple[str, ...]
) -> tuple[dict[str, float], dict[str, float]]:
    kind, group, families = FAMILIES[name]
    there = [
        Answered((way,), truth, partial(THERE[kind], look))
        for way, truth, look in presence(kind, n, seed, ways)
    ]
    asked = [
        Answered((question.name, question.set, trial.way), truth, _passed(question, trial))
        for key in by_recipe()
        if key[0] in families
        for trial in cases(key, n, seed, ways)
        for question, truth in zip(trial.asked, trial.truths, strict=True)
    ]
    thresholds = _settled(group, _settled(kind, START, there), asked)
    chosen = {one: getattr(thresholds, one) for one in (*GRIDS[kind], *GRIDS[group])}
    return chosen, {kind: score(there, thresholds), group: score(asked, thresholds)}


def _passed(question: Question, trial: Trial) -> Callable[[Thresholds], bool | None]:
    return lambda thresholds: verdict_on(question, trial.looks, thresholds).passed


def calibrate(
    n: int = 30, seed: int = SEED, ways: Sequence[str] = WAYS, processes: int = 1,
    families: Sequence[str] = tuple(FAMILIES), quiet: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """What the file holds: thresholds, how they were chosen, and the criterion that they reach
    (``balanced_accuracy``) on the pictures that they were chosen on."""
    one = partial(_family, n=n, seed=seed, ways=tuple(ways))
    parts = each(one, list(families), processes, quiet)
    return {
        "seed": seed,
        "n": n,
        "ways": list(ways),
        "criterion": "balanced accuracy, mean over questions and ways; the middle of equals",
        "balanced_accuracy": {k: round(v, 4) for part in parts for k, v in part[1].items()},
        "thresholds": {name: value for part in parts for name, value in part[0].items()},
        "set": SET,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.calibrate", description=__doc__)
    parser.add_argument("--n", type=int, default=30, help="cases of each family and recipe")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"replace {FILE.name}")
    options = parser.parse_args()
    if min(options.n, options.processes) < 1:
        parser.error("--n and --processes must be at least 1")
    made = calibrate(options.n, processes=options.processes, quiet=False)
    text = json.dumps(made, indent=1) + "\n"
    if options.write:
        write_whole(FILE, text)
    print(text, end="")


if __name__ == "__main__":
    main()
