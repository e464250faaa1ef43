"""`fluxlens tables` on the command line: verdicts as the paper's tables.

```sh
fluxlens tables --verdicts results/mini/verdicts/oracle
```
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluxlens.judge import Verdict, Verdicts

__all__ = ["register"]


def _tables(args: argparse.Namespace) -> None:
    from fluxlens import results

    verdicts = results.read_verdicts(args.verdicts, args.questions)
    if not verdicts:
        print(f"fluxlens: no verdicts in {args.verdicts}; every cell is missing", file=sys.stderr)
    for line in _parted(args.verdicts, verdicts):
        print(f"fluxlens: {line}", file=sys.stderr)
    if args.against is not None:
        text = results.report_agreement(verdicts, results.read_verdicts(args.against), args.format)
    elif args.paired:
        text = results.report_comparisons(verdicts, args.format)
    elif args.by is not None:
        text = results.report_parts(verdicts, args.table, args.by, args.format)
    else:
        text = results.report(verdicts, args.table, args.format)
    print(text)


def _parted(folder: Path, verdicts: Verdicts) -> Iterator[str]:
    """Sentences on verdicts whose pictures have changed since: a study's folder is told by its
    place, ``<model>/verdicts/<judge>``."""
    from fluxlens.judge import NULL, load_questions
    from fluxlens.study.asked import asked
    from fluxlens.study.paths import judged, nulls
    from fluxlens.study.world import world_of
    from fluxlens.tasks import Assets, PaperDataError

    model = folder.resolve().parents[1]
    if folder.resolve().parent.name != "verdicts" or not (model / "reference").is_dir():
        return
    world, data = world_of(model.name), Assets.from_environment().data
    for name, found in verdicts.items():
        question, extra = load_questions().get(name.removesuffix(NULL)), asked().get(name)
        try:
            if question is not None:
                items = (nulls if name.endswith(NULL) else judged)(model, question, world, data)
            elif extra is not None:
                question, items = extra.question(), extra.items(model, world, data)
            else:
                continue
        except PaperDataError:
            return  # which pictures they were is not known here
        images = {e: [items[e][role] for role in question.images] for e in found if e in items}
        if other := sum(_parts(found[entity], seen) for entity, seen in images.items()):
            yield (
                f"{name}: {other} of {len(found)} verdicts are about other pictures than those in "
                f"{model.name} now; `fluxlens judge` judges these anew"
            )


def _parts(verdict: Verdict, seen: Sequence[Path]) -> bool:
    """Whether a verdict is not about these pictures; they are looked into only where one of them
    is younger than it."""
    from fluxlens.judge import belongs, changed, fingerprint

    last = changed(seen)
    if not last or belongs(replace(verdict, pictures=""), "?", last):
        return False
    return not belongs(verdict, fingerprint(seen), last)


def register(commands: Any) -> None:
    """Add the command to the parser of `fluxlens`."""
    parser = commands.add_parser(
        "tables",
        help="verdicts as the paper's tables, beside the paper's numbers",
        description="Tables 1, 2, 3 and D1 from a folder of verdict files. Rates, bounds and "
        "differences are in percent, in JSON too; what was not judged is missing (null).",
    )
    parser.add_argument(
        "--verdicts",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with a CSV file, or a folder of them, for each question",
    )
    parser.add_argument(
        "--questions",
        choices=("paper", "blind"),
        help="which questions were asked (default: blind in a folder named …-blind, else paper)",
    )
    parser.add_argument("--format", choices=("text", "markdown", "latex", "json"), default="text")
    parser.add_argument(
        "--table",
        nargs="+",
        choices=("1", "2", "3", "D1", "unpublished"),
        default=("1", "2", "3", "D1"),
        help="which tables (default: the paper's four); unpublished: judged, but not in the paper",
    )
    beside = parser.add_mutually_exclusive_group()
    beside.add_argument(
        "--by", choices=("cluster", "dataset"), help="take the tables apart instead"
    )
    beside.add_argument(
        "--paired",
        action="store_true",
        help="compare variants on the same tasks instead: padding against all, text against image",
    )
    beside.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="how far another judge's verdicts agree with these, instead",
    )
    parser.set_defaults(run=_tables)
