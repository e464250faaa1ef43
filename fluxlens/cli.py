"""`fluxlens` on the command line.

```sh
fluxlens mini evaluate --model mini --format json
```
Exit codes: 0 done, 1 something is wrong with the model or the data, 2 a wrong word on the line.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fluxlens import __version__
from fluxlens.commands import disagreements, estimate, instructions, judge, study, tables

__all__ = ["main"]


def _train(args: argparse.Namespace) -> None:
    from fluxlens.mini.export import export
    from fluxlens.mini.train import train

    train(args.work, args.stages, args.weights)
    if args.export is not None:
        export(args.work, args.export)


def _phantoms(args: argparse.Namespace) -> None:
    from fluxlens.mini import phantoms

    if args.status:
        print(phantoms.status(args.work).to_string(na_rep="", float_format="{:.3f}".format))
    elif args.export is not None:
        for folder in phantoms.export(args.work, args.export, args.stages):
            print(folder)
    else:
        if args.weights is not None:
            phantoms.restore(args.weights, args.work)
        phantoms.train(args.work, args.stages)


def _evaluate(args: argparse.Namespace) -> None:
    from fluxlens import load
    from fluxlens.mini.card import write_card
    from fluxlens.mini.evaluate import evaluate

    flux = load(args.model)
    scores = evaluate(flux, args.n)
    if args.write is not None:
        write_card(args.write, scores)
    if args.format == "json":
        print(json.dumps([asdict(score) for score in scores], indent=2))
        return
    print(f"{flux.name}: held-out tasks, 4 steps, read by the oracle")
    for s in scores:
        mark = "" if s.rate >= s.goal else "  short of its goal"
        print(f"  {s.name:<46} {s.rate:7.1%}  goal {s.goal:4.0%}  n {s.n}{mark}")


def _sample(args: argparse.Namespace) -> None:
    from fluxlens import load
    from fluxlens.mini.sheet import sheet

    picture = sheet(load(args.model), columns=args.columns, seed=args.seed)
    picture.save(args.to)
    print(args.to)


def _binding(args: argparse.Namespace) -> None:
    from fluxlens import load
    from fluxlens.mini import binding
    from fluxlens.mini.resume import NAMES

    models = [load(str(args.weights / name)) for name in NAMES.values()]
    sweeps = {
        flux.name: {family: binding.sweep(flux, family, args.n) for family in binding.LENS}
        for flux in models
    }
    for model, families in sweeps.items():
        for family, rates in families.items():
            print(f"{model}, {family}: the lens shows it in (n {args.n})")
            print("  " + "  ".join(f"{block} {rate:.0%}" for block, rate in rates.items()))
    print(f"binding blocks: {binding.write(args.weights, sweeps, args.n)}")


def _tasks(args: argparse.Namespace) -> None:
    from collections import Counter

    from fluxlens.tasks import Assets, mini_tasks, paper_tasks
    from fluxlens.tasks.task import chosen

    families = chosen(args.family)
    data = Assets.from_environment(args.paper_data).data
    tasks = mini_tasks(families) if args.world == "mini" else paper_tasks(data, families)
    if args.format == "jsonl":
        for task in tasks:
            print(json.dumps(task.to_json(), ensure_ascii=False))
        return
    counts = Counter(task.family for task in tasks)
    for family in families:
        print(f"  {family:<15} {counts[family]:5}")
    print(f"  {'in all':<15} {len(tasks):5}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fluxlens",
        description="How a reference image reaches the picture that FLUX.2 paints.",
    )
    parser.add_argument("--version", action="version", version=f"fluxlens {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    mini = commands.add_parser(
        "mini", help="train, evaluate and sample the small FLUX.2 that ships with fluxlens"
    ).add_subparsers(required=True, metavar="command")

    train = mini.add_parser(
        "train", help="train both wirings from nothing, or go on where training stopped"
    )
    train.add_argument(
        "--work", type=Path, default=None, help="work folder (default: the user's cache)"
    )
    train.add_argument(
        "--stages",
        nargs="+",
        choices=("base", "bound", "direct"),
        default=("base", "bound", "direct"),
        help="which transformers to train (default: all; bound and direct start from base)",
    )
    train.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="go on from what --export wrote, for states that the work folder does not have",
    )
    train.add_argument(
        "--export", type=Path, metavar="DIR", help="then write loadable models into DIR"
    )
    train.set_defaults(run=_train)

    phantoms = mini.add_parser(
        "phantoms",
        help="train the phantoms, or go on where training stopped; given twice, two at a time",
    )
    phantoms.add_argument(
        "--work", type=Path, default=None, help="work folder (default: the user's cache)"
    )
    phantoms.add_argument(
        "--stages", nargs="+", metavar="NAME", help="which models (default: all, in their order)"
    )
    phantoms.add_argument(
        "--status", action="store_true", help="only tell where every stage stands"
    )
    phantoms.add_argument(
        "--export", type=Path, metavar="DIR", help="only write what there is as loadable models"
    )
    phantoms.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="go on from what --export wrote, for stages of which the work folder has no state",
    )
    phantoms.set_defaults(run=_phantoms, default_work="phantoms")

    evaluate = mini.add_parser(
        "evaluate", help="measure a mini on tasks it never saw, as its model card does"
    )
    evaluate.add_argument("--model", default="mini", help="mini, mini-direct or a folder")
    evaluate.add_argument("--n", type=int, default=120, help="tasks per family (default: 120)")
    evaluate.add_argument("--format", choices=("text", "json"), default="text")
    evaluate.add_argument(
        "--write", type=Path, metavar="DIR", help="also write the model card into this model folder"
    )
    evaluate.set_defaults(run=_evaluate)

    sample = mini.add_parser("sample", help="a sheet of edits and generations, as a picture")
    sample.add_argument("--model", default="mini", help="mini, mini-direct or a folder")
    sample.add_argument("--columns", type=int, default=6, help="tasks per row (default: 6)")
    sample.add_argument("--seed", type=int, default=0, help="which tasks (default: 0)")
    sample.add_argument("--to", type=Path, default=Path("samples.png"), help="file to write")
    sample.set_defaults(run=_sample)

    binding = mini.add_parser(
        "binding", help="sweep the lenses over all blocks and write which block binds"
    )
    binding.add_argument("weights", type=Path, help="folder that holds mini and mini-direct")
    binding.add_argument("--n", type=int, default=40, help="tasks per family (default: 40)")
    binding.set_defaults(run=_binding)

    tasks = commands.add_parser("tasks", help="list the editing tasks of the study")
    tasks.add_argument(
        "--world",
        choices=("paper", "mini"),
        default="mini",
        help="the paper's tasks, or mini's own over the drawn world (default: mini)",
    )
    tasks.add_argument(
        "--family",
        nargs="+",
        choices=("color", "style", "manual", "people", "people_shared", "add", "remove"),
        metavar="NAME",
        help="%(choices)s (default: all)",
    )
    tasks.add_argument(
        "--paper-data",
        type=Path,
        metavar="DIR",
        help="a clone of the authors' repository, which holds the prompts of all the paper's "
        "families but color and people_shared (default: FLUXLENS_PAPER_DATA)",
    )
    tasks.add_argument(
        "--format",
        choices=("text", "jsonl"),
        default="text",
        help="how many there are, or one JSON object a line (default: text)",
    )
    tasks.set_defaults(run=_tasks)
    for group in (study, estimate, instructions, judge, tables, disagreements):
        group.register(commands)
    return parser


def _open_streams() -> None:
    """Give a closed stream a place to write to, and a poor encoding the letters that we print."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
            continue
        try:
            "−κ".encode(stream.encoding or "utf-8")
        except UnicodeEncodeError:
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    from fluxlens.errors import ModelError
    from fluxlens.optional import MissingExtraError

    _open_streams()
    args = _parser().parse_args(argv)
    if getattr(args, "work", 0) is None:
        from fluxlens.mini.train import WORK

        args.work = WORK.with_name(getattr(args, "default_work", WORK.name))
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough: `fluxlens tasks … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (MissingExtraError, ModelError, ValueError, OSError) as error:
        print(f"fluxlens: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
