"""`fluxlens estimate` on the command line.

```sh
fluxlens estimate --model klein-9b --gpu h100
fluxlens estimate --model klein-4b --cells 'ko_*' --limit 5 --format json
fluxlens estimate --model klein-9b --ratios
```
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from fluxlens.commands.study import add_choice, chosen_plan

if TYPE_CHECKING:
    from fluxlens.study.estimate import Estimate
    from fluxlens.study.judging import Bill
    from fluxlens.study.released import ReleasedCell
    from fluxlens.study.shapes import ModelShape

__all__ = ["register"]

NAMES = {
    "text": "prompts, once each",
    "reference": "references, once each",
    "capture": "captures",
}
AUTHORS_HOURS = 18  # of one H200, for all that follows (paper, Appendix G)


def register(commands: Any) -> None:
    """Add the commands to the parser of `fluxlens`."""
    parser = commands.add_parser(
        "estimate",
        help="what a study takes: operations, hours, disk, judge calls, dollars; runs nothing",
        description="Count, before anything runs, what the chosen cells of the paper's tables take "
        "on a model: operations from its configuration, hours of one GPU, disk, and what Claude "
        "takes to judge the pictures. No weights or references are needed; without a clone of "
        "the authors' repository the sizes of their tasks come from a table that is shipped. "
        "Beside it stands what the same cells take as the authors' released drivers run them.",
    )
    add_choice(parser)
    parser.add_argument("--gpu", default="h100", help="of gpus.toml: h100, a100 … (default: h100)")
    parser.add_argument(
        "--tflops",
        type=float,
        metavar="N",
        help="what the GPU sustains, in TFLOP/s (default: 40 %% of its bfloat16 peak)",
    )
    parser.add_argument(
        "--judge",
        default="claude-opus-4-7",
        metavar="MODEL",
        help="whose prices (default: claude-opus-4-7, the paper's judge)",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--ratios",
        action="store_true",
        help="each recipe's operations beside a plain edit's at 1024² instead",
    )
    instead.add_argument(
        "--released",
        action="store_true",
        help="the authors' own schedule of these cells instead, family by family",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=_estimate)


def _estimate(args: argparse.Namespace) -> None:
    from fluxlens.judge import load_prices
    from fluxlens.study.estimate import SUSTAINED, gpus, make_estimate
    from fluxlens.study.sampling import KLEIN
    from fluxlens.study.shapes import model_shape
    from fluxlens.study.sizes import Sizes
    from fluxlens.study.world import world_of
    from fluxlens.tasks import Assets

    model = model_shape(args.model)
    if args.released and model.sampling != KLEIN:
        raise ValueError(
            f"the authors' drivers run a distilled klein in {KLEIN.steps} steps, which "
            f"{model.name} is not: leave out --released"
        )
    if args.ratios:
        _print_ratios(model, args.format)
        return
    known = gpus()
    if args.gpu not in known:
        raise ValueError(f"no GPU {args.gpu!r}; there are {', '.join(known)}; see also --tflops")
    gpu, prices = known[args.gpu], load_prices()
    price = prices.of(args.judge)
    world = args.world or world_of(args.model)
    assets = Assets.from_environment(args.paper_data)
    standing_in = world == "paper" and assets.data is None
    if standing_in and args.available:
        raise ValueError("--available looks at the tasks' references: name a clone, --paper-data")
    listed = "mini" if standing_in else world
    estimate = make_estimate(
        chosen_plan(argparse.Namespace(**{**vars(args), "world": listed})),
        model,
        Sizes(world, assets, standing_in=standing_in),
        tflops=SUSTAINED * gpu.tflops if args.tflops is None else args.tflops,
        price=price,
        nulls=not {"nulls", "all"}.isdisjoint(args.extras),
    )
    facts: dict[str, Any] = {
        "gpu": gpu.name,
        "gpu_peak_tflops": gpu.tflops,
        "gpu_memory_gb": gpu.memory,
        "weights_gb": 2 * model.parameters / 1e9,
        "world": world,
        "sizes": "shipped" if standing_in else "tasks",
        "judge": args.judge,
        "prices_of": prices.date,
    }
    part = args.cells or args.family or args.recipe or args.extras or args.limit or args.available
    if model.name == "klein-9b" and world == "paper" and not part:
        theirs = sum(cell.transformer for cell in estimate.released)
        facts["authors_tflops"] = theirs / (AUTHORS_HOURS * 3600) / 1e12
    if args.format == "json":
        print(json.dumps(_json(estimate, facts), indent=2))
    else:
        print(_released(estimate) if args.released else _text(estimate, facts))


def _json(estimate: Estimate, facts: dict[str, Any]) -> dict[str, Any]:
    recipes = [
        {
            "recipe": line.recipe,
            "images": line.images,
            "forwards": line.forwards,
            "flops": round(line.flops),
            "transformer_flops": round(line.transformer),
            "text_flops": round(line.text),
            "vae_flops": round(line.vae),
            "hours": estimate.hours_of(line.flops),
            "disk_bytes": round(line.disk),
            **_bill(line.bill),
        }
        for line in estimate.lines
    ]
    return {
        "model": estimate.model,
        **facts,
        "tflops": estimate.tflops,
        "total_flops": round(estimate.flops),
        "transformer_and_text_flops": round(estimate.counted),
        "images": estimate.total.images,
        "forwards": estimate.total.forwards,
        "hours": estimate.hours,
        "disk_bytes": round(estimate.total.disk),
        **_bill(estimate.total.bill),
        "recipes": recipes,
        "sharing_alone": {"transformer_flops": estimate.shared_only},
        "released": {
            "transformer_flops": sum(cell.transformer for cell in estimate.released),
            "transformer_and_text_flops": estimate.released_counted,
            "ratio": estimate.counted / estimate.released_counted if estimate.released else None,
            "cells": [{**vars(cell), "calls": cell.calls} for cell in estimate.released],
        },
    }


def _bill(bill: Bill) -> dict[str, Any]:
    return {
        "judge_calls": bill.calls,
        "input_tokens": round(bill.input_tokens),
        "output_tokens": round(bill.output_tokens),
        "dollars": bill.dollars,
        "dollars_with_cache": bill.cached,
        "dollars_in_batches": bill.batch,
    }


def _text(estimate: Estimate, facts: dict[str, Any]) -> str:
    from fluxlens.study.estimate import PNG_BYTES

    lines = [
        f"{estimate.model} on one {facts['gpu']} that sustains {estimate.tflops:.0f} TFLOP/s, "
        f"{estimate.tflops / facts['gpu_peak_tflops']:.0%} of its peak",
        f"weights in bfloat16: {facts['weights_gb']:.1f} GB, of {facts['gpu_memory_gb']} GB",
        f"tasks: {'the paper' if facts['world'] == 'paper' else 'mini'}'s, "
        + ("of their own sizes" if facts["sizes"] == "tasks" else "of sizes as shipped")
        + f"; PNG files at {PNG_BYTES} bytes a pixel",
    ]
    if not estimate.sampling.batches:
        lines.append(
            f"steps: {estimate.sampling.steps}, of {estimate.sampling.passes} forwards; rows run "
            "one by one, and each run encodes its own prompts and reference"
        )
    lines.append("")
    unit, scale = _unit(estimate.flops)
    hours, seconds = ("hours", 1) if estimate.hours >= 0.1 else ("seconds", 3600)
    lines.append(
        f"{'recipe':<24}{'images':>8}{'forwards':>10}{unit:>10}{hours:>9}{'GB':>8}"
        f"{'calls':>8}{'M tokens':>10}{'dollars':>9}"
    )
    for line in (*estimate.lines, estimate.total):
        bill = line.bill
        lines.append(
            f"{NAMES.get(line.recipe, line.recipe):<24}{line.images:>8,}{line.forwards:>10,}"
            f"{line.flops / scale:>10,.1f}{estimate.hours_of(line.flops) * seconds:>9.2f}"
            f"{line.disk / 1e9:>8.2f}{bill.calls:>8,}{bill.input_tokens / 1e6:>10.2f}"
            f"{bill.dollars:>9,.2f}"
        )
    bill = estimate.total.bill
    lines += [
        "",
        f"Judged by {facts['judge']} (prices of {facts['prices_of']}): ${bill.dollars:,.2f} one by "
        f"one, ${bill.cached:,.2f} with the prompt cache, ${bill.batch:,.2f} in batches.",
    ]
    if estimate.released:
        lines += _beside(estimate)
    if "authors_tflops" in facts:
        rate = facts["authors_tflops"]
        lines.append(
            f"Their {AUTHORS_HOURS} H200-hours are {rate:.0f} TFLOP/s; at that rate this takes "
            f"{estimate.flops / rate / 1e12 / 3600:.1f} hours."
        )
    return "\n".join(lines)


def _beside(estimate: Estimate) -> list[str]:
    cells = estimate.released
    unit, scale = _unit(sum(cell.transformer for cell in cells))
    transformer, text, vae = (
        sum(getattr(c, k) for c in cells) for k in ("transformer", "text", "vae")
    )
    return [
        f"As the released drivers run these cells: {sum(cell.calls for cell in cells):,} calls; "
        f"transformer {transformer / scale:,.1f} {unit}, text encoder {text / scale:,.1f}, "
        f"VAE {vae / scale:,.1f}.",
        f"Transformer and text encoder: {estimate.counted / scale:,.1f} {unit} here, "
        f"{estimate.counted / estimate.released_counted:.3f} of theirs. Sharing runs alone would "
        f"leave the transformer {estimate.shared_only / scale:,.1f}.",
    ]


def _unit(flops: float) -> tuple[str, float]:
    """The largest unit in which so many operations are at least ten."""
    units = [("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)]
    return next((unit for unit in units if flops >= 10 * unit[1]), units[-1])


def _released(estimate: Estimate) -> str:
    unit, scale = _unit(sum(cell.transformer for cell in estimate.released))
    lines = [
        f"{estimate.model}: these cells as the authors' released drivers run them; the operations "
        "are those in the transformer's blocks",
        f"{'recipe':<20}{'family':<15}{'edits':>8}{'generations':>13}{'edit':>10}{'generation':>12}"
        f"{unit:>10}",
        f"{'':<35}{'calls':>8}{'calls':>13}{'forwards':>10}{'forwards':>12}",
    ]
    rows = [(c.recipe, c.family, *_released_numbers(c)) for c in estimate.released]
    total = [sum(numbers) for numbers in zip(*(row[2:] for row in rows), strict=True)]
    for recipe, family, *numbers in (*rows, ("in all", "", *total)):
        counts = "".join(f"{n:>{w},}" for n, w in zip(numbers, (8, 13, 10, 12), strict=False))
        lines.append(f"{recipe:<20}{family:<15}{counts}{numbers[-1] / scale:>10,.1f}")
    return "\n".join(lines)


def _released_numbers(cell: ReleasedCell) -> tuple[float, ...]:
    return (
        cell.edits, cell.generations, cell.edit_forwards, cell.generation_forwards, cell.blocks,
    )  # fmt: skip


def _print_ratios(model: ModelShape, format: str) -> None:
    from fluxlens.study.ratios import ratios

    rows = ratios(model)
    if format == "json":
        print(json.dumps({"model": model.name, "recipes": [vars(row) for row in rows]}, indent=2))
        return
    print(f"{model.name}, 1024² with a reference of 1024², transformer alone")
    print(f"{'recipe':<48}{'forwards':>9}{'TFLOP':>9}{'of an edit':>12}{'goal':>8}")
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:>8.3f}"
        print(f"{row.recipe:<48}{row.forwards:>9}{row.flops / 1e12:>9.1f}{row.ratio:>12.4f}{goal}")
