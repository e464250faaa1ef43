"""`fluxlens instructions` on the command line: the tasks' instructions, written (Appendix F).

```sh
fluxlens instructions --world mini
fluxlens instructions --world paper --family scenes --limit 5 --budget 1
fluxlens instructions --world paper --lay-out my-tasks
```
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxlens.commands.claude import PAPERS_JUDGE, add_claude, asking, stoppable

if TYPE_CHECKING:
    from fluxlens.tasks.claude_writer import ClaudeWriter

__all__ = ["register"]

CLAUDES = {"budget": None, "claude_model": PAPERS_JUDGE, "attempts": 3, "concurrency": 10}
FAMILIES = ("scenes", "style", "people_shared")


def _instructions(args: argparse.Namespace) -> None:
    for name, default in CLAUDES.items():
        if args.world == "mini" and getattr(args, name) is not None:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is for --world paper: mini's world writes its own")
        if getattr(args, name) is None:
            setattr(args, name, default)
    for name in ("limit", "attempts", "concurrency"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, not {value}")
    if args.lay_out is not None:
        _lay_out(args)
    elif args.world == "mini":
        _mini(args)
    else:
        _claude(args)


def _mini(args: argparse.Namespace) -> None:
    from fluxlens.tasks.wanted import mini_instructions
    from fluxlens.tasks.written import WrittenFile

    print("mini's world writes its own instructions, by rule: no model is asked")
    for family in args.family:
        rows = mini_instructions(family)[: args.limit]
        with WrittenFile(args.to / "mini" / f"{family}.jsonl", "") as file:
            new = [row for row in rows if row.id not in file]
            file.add(*new)
        print(f"{len(new)} written, {len(rows) - len(new)} before: {file.path}")


def _lay_out(args: argparse.Namespace) -> None:
    from fluxlens.tasks import Assets
    from fluxlens.tasks.laid_out import lay_out

    if args.world == "mini":
        raise ValueError("--lay-out is for --world paper: mini's tasks are made by rule")
    written = args.to / args.claude_model
    counts = lay_out(written, args.lay_out, Assets.from_environment(args.paper_data))
    found = ", ".join(f"{count} {family}" for family, count in counts.items())
    print(f"{found}; study them with --paper-data {args.lay_out}")


def _claude(args: argparse.Namespace) -> None:
    from fluxlens.judge import Budget
    from fluxlens.tasks import Assets
    from fluxlens.tasks.wanted import wanted

    items = wanted(args.family, Assets.from_environment(args.paper_data), args.limit)

    def make() -> ClaudeWriter:
        from fluxlens.tasks.claude_writer import ClaudeWriter

        return ClaudeWriter(args.claude_model, budget=Budget(args.budget))

    with asking(make) as writer, stoppable():
        from fluxlens.tasks.claude_writer import write_all

        tally = write_all(
            items, writer, args.to, attempts=args.attempts, concurrency=args.concurrency,
            progress=None if args.progress else False,
        )  # fmt: skip
    print(
        f"{tally.written} written now, {tally.skipped} before, {tally.failed} failed, "
        f"${tally.cost:.2f}: {args.to / writer.name}"
    )
    if tally.stopped:
        raise ValueError(f"not everything was written: {tally.stopped}")
    if tally.failed:
        raise ValueError(
            f"{tally.failed} have no instructions, the files say why; run it again to try them anew"
        )


def register(commands: Any) -> None:
    """Add the command to the parser of `fluxlens`."""
    parser = commands.add_parser(
        "instructions",
        help="have the tasks' instructions written",
        description="Asks Claude for the instructions of the paper's tasks, with the paper's own "
        "prompts, checks every answer against their rules and asks again where one is broken. One "
        "JSON object a picture or subject goes to DIR/<writer>/<family>.jsonl; what could not be "
        "written stands there with the reason. Stop it whenever you like and run it again. mini's "
        "world writes its own instructions into the same files. Exit code 0: all are written.",
    )
    parser.add_argument(
        "--world",
        choices=("paper", "mini"),
        default="mini",
        help="the paper's, by Claude (needs ANTHROPIC_API_KEY), or mini's own (default: mini)",
    )
    parser.add_argument(
        "--family",
        nargs="+",
        choices=FAMILIES,
        default=FAMILIES,
        metavar="NAME",
        help="scenes (add and remove, one call a picture; needs SUN397), style (four more prompts "
        "a subject; needs the clone for the first), people_shared (default: all)",
    )
    parser.add_argument(
        "--to", type=Path, default=Path("instructions"), metavar="DIR",
        help="(default: instructions)",
    )  # fmt: skip
    parser.add_argument(
        "--lay-out",
        type=Path,
        metavar="DIR",
        help="ask nothing: lay the scenes and style prompts that were written out as tasks, in a "
        "folder that `fluxlens run --paper-data DIR` takes for a clone",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N of each family")
    parser.add_argument(
        "--paper-data",
        type=Path,
        metavar="DIR",
        help="a clone of the authors' repository: then its pictures are asked about, else the "
        "first two of each SUN397 category (default: FLUXLENS_PAPER_DATA)",
    )
    parser.add_argument(
        "--attempts",
        type=int,
        metavar="N",
        help="how often one thing is asked for before it counts as failed (default: 3)",
    )
    add_claude(parser, "10", None)
    parser.set_defaults(run=_instructions)
