"""How often the oracle's verdicts are right: every question, on fresh renders of known truth.

>>> measure(n=2, seed=5)[0]
{'question': 'i2i_unc_color_text_lens', 'set': 'paper', 'way': 'clean', 'yes': 1, 'missed': 0, ...}

``python -m tools.verdict_accuracy [--n 100] [--processes 2] [--write]`` prints the
table; with ``--write`` it also replaces ``verdict_accuracy.json``, the table that the package
carries. The thresholds were chosen with another seed (:mod:`tools.calibrate`). The
cases are those of :mod:`tools.labelled_cases`; the pictures that a model would have made are
spoilt as bad generations are (:mod:`tools.reading_accuracy`), the references are not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fluxlens.judge import Question, Role, load_questions
from fluxlens.mini.world import FREE
from fluxlens.oracle import Look, verdict_on
from fluxlens.oracle.error_rates import TABLES
from tools.labelled_cases import CASES
from tools.reading_accuracy import each, measured, spoil

SEED = 20_261_123
WAYS = ("clean", "all", "encoded", "soft")
TABLE = TABLES["verdicts"]

Key = tuple[str, str]  # a family and a recipe

__all__ = ["SEED", "TABLE", "WAYS", "by_recipe", "cases", "measure"]


class Trial(NamedTuple):
    """One case, spoilt in one way."""

    way: str
    asked: list[Question]
    truths: list[bool]
    looks: dict[Role, Look]


def by_recipe() -> dict[Key, list[Question]]:
    """By family and recipe, one question of each different rule: variants are asked alike."""
    found: dict[tuple[str, str, str, str], Question] = {}
    for question in [*load_questions().values(), *load_questions("blind").values()]:
        key = (question.family, question.recipe, question.set, question.counts)
        found.setdefault(key, question)
    out: dict[Key, list[Question]] = {}
    for (family, recipe, _, _), question in found.items():
        out.setdefault((family, recipe), []).append(question)
    return out


def cases(key: Key, n: int, seed: int, ways: Iterable[str] = WAYS) -> Iterator[Trial]:
    """``n`` fresh cases of a family and recipe, each spoilt in every way: the way, the questions
    that it answers, what is true of each, and the pictures."""
    questions = by_recipe()
    asked, number = questions[key], list(questions).index(key)
    for i in range(n):
        rng = np.random.default_rng([seed, number, i])
        case = CASES[key](rng)
        images = {role: drawn.draw(rng.normal(size=FREE)) for role, drawn in case.images.items()}
        references = {r: Look(image) for r, image in images.items() if r.endswith("reference")}
        truths = [case.yes[question.set, question.counts] for question in asked]
        for way in ways:
            made = {r: Look(spoil(image, way, rng)) for r, image in images.items()
                    if r not in references}  # fmt: skip
            yield Trial(way, asked, truths, references | made)


def measure(n: int = 100, seed: int = SEED, ways: Iterable[str] = WAYS,
            families: Iterable[str] | None = None, quiet: bool = True, processes: int = 1,
            ) -> list[dict[str, Any]]:  # fmt: skip
    """A row for each question and way of spoiling: how many of the ``n`` cases ask for a yes, how
    many of these were ``missed``, how many of the others wrongly passed (``false_yes``), and the
    share of verdicts that are wrong (``error``). ``families``: of these alone."""
    keys = [key for key in by_recipe() if families is None or key[0] in families]
    one = partial(_measured, n=n, seed=seed, ways=tuple(ways))
    parts = each(one, keys, processes, quiet)
    return [row for part in parts for row in part]


def _measured(key: Key, n: int, seed: int, ways: tuple[str, ...]) -> list[dict[str, Any]]:
    wrong: dict[tuple[str, str, str], list[tuple[bool, bool]]] = {}
    for trial in cases(key, n, seed, ways):
        for question, truth in zip(trial.asked, trial.truths, strict=True):
            verdict = verdict_on(question, trial.looks)
            found = wrong.setdefault((question.name, question.set, trial.way), [])
            found.append((truth, bool(verdict.passed)))
    return [_row(*names, found) for names, found in wrong.items()]


def _row(name: str, set: str, way: str, found: list[tuple[bool, bool]]) -> dict[str, Any]:
    yes = [passed for truth, passed in found if truth]
    no = [passed for truth, passed in found if not truth]
    missed, false_yes = yes.count(False), no.count(True)
    return {
        "question": name, "set": set, "way": way, "yes": len(yes), "missed": missed,
        "no": len(no), "false_yes": false_yes, "error": (missed + false_yes) / len(found),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.verdict_accuracy", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="cases of each question")
    if not (rows := measured(parser, measure, TABLE, SEED)):
        return
    print(f"{'question':36}{'set':7}{'way':10}{'missed':>10}{'false yes':>11}{'wrong':>8}")
    for row in rows:
        missed, false_yes = (f"{row[a]}/{row[b]}" for a, b in (("missed", "yes"),
                                                               ("false_yes", "no")))  # fmt: skip
        name = f"{row['question']:36}{row['set']:7}{row['way']:10}"
        print(f"{name}{missed:>10}{false_yes:>11}{row['error']:8.1%}")


if __name__ == "__main__":
    main()
