"""`fluxlens disagreements` on the command line: where two judges differ, with the pictures.

```sh
fluxlens disagreements oracle claude-opus-4-7 --model mini
```
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fluxlens.commands.judge import add_pictures, model_of

__all__ = ["register"]


def _disagreements(args: argparse.Namespace) -> None:
    from fluxlens.files import write_whole
    from fluxlens.judge import load_questions, read_verdicts
    from fluxlens.pages import disagreements_page, show_disagreements
    from fluxlens.study.cells import choose
    from fluxlens.study.paths import judged
    from fluxlens.study.world import world_of
    from fluxlens.tasks import Assets

    world, data = args.world or world_of(args.model), Assets.from_environment(args.paper_data).data
    one, two = args.judges
    first, second = (read_verdicts(model_of(args) / "verdicts" / name) for name in (one, two))
    blind = all(name.endswith("-blind") for name in (one, two))
    questions = load_questions("blind" if blind else "paper")
    parts = []
    for need in choose(args.questions, args.family, args.recipe):
        if need.why in first and need.why in second:
            question = questions[need.why]
            items = judged(model_of(args), question, world, data)
            parts.append(
                show_disagreements(
                    first, second, question, items, names=(one, two), limit=args.limit
                )
            )
    if not parts:
        raise ValueError(f"no question was answered by both {one} and {two}")
    title = f"{args.model}: where {one} and {two} differ"
    write_whole(args.to, disagreements_page(parts, title))
    print(args.to)


def register(commands: Any) -> None:
    """Add the command to the parser of `fluxlens`."""
    parser = commands.add_parser(
        "disagreements",
        help="a page of the pictures on which two judges differ",
        description="Writes one HTML page, which needs no network: for each question, the pictures "
        "on which two judges of a model's study disagree, with what they said.",
    )
    parser.add_argument(
        "judges", nargs=2, metavar="JUDGE", help="two folders of results/<model>/verdicts"
    )
    add_pictures(parser)
    parser.add_argument(
        "--limit", type=int, default=20, metavar="N", help="at most N a question (default: 20)"
    )
    parser.add_argument("--to", type=Path, default=Path("disagreements.html"), help="file to write")
    parser.set_defaults(run=_disagreements)
