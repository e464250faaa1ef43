"""`fluxlens plan` and `fluxlens run` on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluxlens.study.plan import Plan
    from fluxlens.study.run import Settings, Summary

__all__ = ["add_choice", "add_part", "chosen_plan", "register"]


def add_part(parser: argparse.ArgumentParser) -> None:
    """Options that say whose tasks, and which families and recipes."""
    parser.add_argument(
        "--world",
        choices=("paper", "mini"),
        help="whose tasks (default: mini's for a mini, else the paper's)",
    )
    parser.add_argument(
        "--family",
        nargs="+",
        metavar="NAME",
        help="only cells of color, style, people, add, remove (default: all)",
    )
    parser.add_argument(
        "--recipe",
        nargs="+",
        metavar="NAME",
        help="only cells of t2i_lens, color_lens, attention_knockout, i2i_patch (default: all)",
    )
    parser.add_argument(
        "--paper-data",
        type=Path,
        metavar="DIR",
        help="a clone of the authors' repository (default: FLUXLENS_PAPER_DATA)",
    )


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Options that say which part of the study is meant."""
    parser.add_argument(
        "--model",
        default="mini",
        help="mini, klein-9b, kontext-dev, another name that `fluxlens.load` knows, a hub id or a "
        "folder (default: mini)",
    )
    parser.add_argument(
        "--cells",
        nargs="+",
        metavar="JUDGE",
        help="cells of the tables by the names of their judges, or globs: 'i2i_unc_*' "
        "(default: all 28)",
    )
    parser.add_argument(
        "--extras",
        nargs="+",
        choices=("variants", "nulls", "edits", "controls", "all"),
        default=(),
        help="beyond the tables: variants (lenses on each part of the text for every family, "
        "patches of template and pads), nulls (the empty prompt's generations, null controls of "
        "the lenses), edits (every task's plain edit, for figures), controls (placebo patches, "
        "edges that should not matter, steering by padding, the halves of the padding cut apart)",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="only the first N tasks or pairs of each cell"
    )
    parser.add_argument(
        "--available", action="store_true", help="only tasks whose references are on this machine"
    )
    add_part(parser)


def chosen_plan(args: argparse.Namespace) -> Plan:
    """The plan that these options mean, with what the model's family refuses left out."""
    from fluxlens.study.cells import EXTRAS, choose
    from fluxlens.study.plan import make_plan
    from fluxlens.study.sampling import sampling_named
    from fluxlens.study.world import world_of
    from fluxlens.tasks import Assets

    extras = EXTRAS if "all" in args.extras else args.extras
    plan = make_plan(
        args.world or world_of(args.model),
        choose(args.cells, args.family, args.recipe, extras),
        limit=args.limit,
        assets=Assets.from_environment(args.paper_data),
        only_available=args.available,
    )
    return plan.fitted(sampling_named(args.model))


def _plan(args: argparse.Namespace) -> None:
    from fluxlens.study.report import plan_json, plan_text

    plan = chosen_plan(args)
    print(json.dumps(plan_json(plan), indent=2) if args.format == "json" else plan_text(plan))


def _run(args: argparse.Namespace) -> None:
    from fluxlens.study.report import summary_text
    from fluxlens.study.run import Settings
    from fluxlens.tasks import Assets

    plan = chosen_plan(args)
    settings = Settings(
        tokens=args.tokens_per_batch,
        shard=args.shard,
        remake=args.remake,
        assets=Assets.from_environment(args.paper_data),
    )
    try:
        summary = _made(args, plan, settings)
    except KeyboardInterrupt:
        print("\nfluxlens: stopped; run it again to make the rest", file=sys.stderr)
        raise SystemExit(130) from None
    print(summary_text(summary))
    if summary.failures or summary.stopped:
        lines = ["not everything was made; run it again to try the rest"]
        lines += [summary.stopped] if summary.stopped else []
        lines += [f"{failure.batch}: {failure.error}" for failure in summary.failures]
        raise ValueError("\n  ".join(lines))


def _made(args: argparse.Namespace, plan: Plan, settings: Settings) -> Summary:
    import torch

    import fluxlens as fl
    from fluxlens.study.run import run
    from fluxlens.study.workers import run_with_workers
    from fluxlens.tasks import require

    assert settings.assets is not None
    require(plan.references.values(), settings.assets)  # before a model is loaded
    loading = {
        "dtype": None if args.dtype is None else getattr(torch, args.dtype),
        "device": args.device,
        "device_map": args.device_map,
        "offload": args.offload,
        "revision": args.revision,
    }
    if args.workers != 1:
        if args.device_map:
            raise ValueError("--device-map takes all GPUs for one worker: leave out --workers")
        return run_with_workers(
            args.model, plan, args.results, settings, workers=args.workers, **loading
        )
    print(f"fluxlens: loading {args.model}", file=sys.stderr)
    return run(fl.load(args.model, **loading), plan, args.results, settings)


def _shard(text: str) -> tuple[int, int]:
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n with i from 1 to n, as 3/8")
    return int(part), int(parts)


def register(commands: Any) -> None:
    """Add the commands to the parser of `fluxlens`."""
    plan = commands.add_parser(
        "plan",
        help="what a study would run, and what needs it",
        description="The smallest set of pictures and runs behind the chosen cells of the paper's "
        "tables. Nothing is loaded or made.",
    )
    add_choice(plan)
    plan.add_argument("--format", choices=("text", "json"), default="text")
    plan.set_defaults(run=_plan)

    run = commands.add_parser(
        "run",
        help="make the pictures of a study, or those that are missing",
        description="Makes every picture of the chosen cells that is not there yet, at "
        "results/<model>/<recipe>/<variant>/<task>.png. Stop it whenever you like, run it again.",
    )
    add_choice(run)
    run.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)"
    )
    run.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes, one for each GPU or a share of the CPUs, by Ray (default: 1, without Ray)",
    )
    run.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="only the I-th of N equal parts, from 1 to N: for job arrays",
    )
    run.add_argument(
        "--tokens-per-batch",
        type=int,
        metavar="N",
        help="how much fits into a run of the model, at least one picture (default: what this "
        "folder was made with before, else what one edit finds to fit into the GPU's memory; 8704, "
        "an edit at 1024², on a CPU and for --shard)",
    )
    run.add_argument(
        "--remake", action="store_true", help="make anew what another model or request made"
    )
    run.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    run.add_argument("--device", help="as torch names it (default: cuda if there is one, else cpu)")
    run.add_argument(
        "--device-map",
        metavar="MAP",
        help="balanced: the model's components over all GPUs of this machine, for one worker",
    )
    run.add_argument(
        "--offload", action="store_true", help="keep only the running component on the GPU"
    )
    run.add_argument("--revision", help="of a hub id (default: its newest)")
    run.set_defaults(run=_run)
