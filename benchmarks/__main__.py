"""Measure, and write a table: ``python -m benchmarks`` recipes, compiled, block or fullsize."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from . import block, compiled, fullsize, recipes
from .measure import measure

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    """Parse, run, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder")
    parser.add_argument("--rounds", type=int, default=11, help="times each case is run (11)")
    parser.add_argument("--only", default="", help="run only cases whose name contains this")
    kinds = parser.add_subparsers(dest="kind", required=True)
    whole_models = {
        "recipes": "every recipe beside a plain edit",
        "compiled": "interventions over compiled blocks beside the same over plain ones",
    }
    for kind, said in whole_models.items():
        of_model = kinds.add_parser(kind, help=said)
        of_model.add_argument("--model", help="a name or folder; default: mini's shape, random")
        of_model.add_argument(
            "--side", type=int, default=96, help="pixels of a picture's side (96)"
        )
    of_block = kinds.add_parser("block", help="a block of klein-9B's width under every cut")
    of_block.add_argument("--stream", choices=["single", "double"], default="single")
    of_block.add_argument("--tokens", type=int, default=8704, help="of the joint sequence (8704)")
    of_block.add_argument("--dtype", choices=list(DTYPES), default="float32")
    of_block.add_argument("--few", action="store_true", help="only what the goals name: minutes")
    of_size = kinds.add_parser("fullsize", help="a model of the real shape with random weights")
    of_size.add_argument("--model", choices=["klein-9b", "klein-4b", "mini"], default="klein-9b")
    of_size.add_argument("--side", type=int, default=1024, help="pixels of a picture's side")
    of_size.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    of_size.add_argument("--dtype", choices=list(DTYPES), default="bfloat16")
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error("--rounds is at least 2: a ratio of one round says nothing")

    if args.kind in whole_models:
        flux = recipes.load(args.model)
        title = recipes.describe(args.model, flux)
        if args.kind == "recipes":
            cases = recipes.cases(flux, args.side)
        else:
            title, cases = f"{title}, compiled", compiled.cases(args.model, args.side)
        facts = {"side": args.side, "dtype": str(flux.dtype).removeprefix("torch.")}
        name = f"{args.kind}-{Path(args.model).name if args.model else 'random'}"
    elif args.kind == "fullsize":
        editor = fullsize.load(args.model, args.device, DTYPES[args.dtype])
        title, cases = editor.name, fullsize.cases(editor, args.side)
        facts = {
            "side": args.side,
            "dtype": args.dtype,
            "identities": fullsize.identities(editor, args.side),
        }
        name = f"fullsize-{args.model}-{args.side}-{args.dtype}"
    else:
        title = f"a {args.stream} block of klein-9B's width"
        cases = block.cases(args.stream, args.tokens, DTYPES[args.dtype], args.few)
        facts = {"tokens": block.layout_of(args.tokens).length, "dtype": args.dtype}
        name = f"block-{args.stream}-{args.tokens}-{args.dtype}"
    wanted = {case.name for case in cases if args.only in case.name}
    wanted |= {case.base for case in cases if case.name in wanted and case.base}
    timings = measure([case for case in cases if case.name in wanted], args.rounds)
    table = {"title": title, **facts, "rounds": args.rounds, **machine(), "cases": []}
    table["cases"] = [timing.to_json() for timing in timings]
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / f"{name}.json", json.dumps(table, indent=1) + "\n")
    write(args.out / f"{name}.md", markdown(table))
    print(markdown(table), end="")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    return {
        "device": device or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(x, 1) for x in os.getloadavg()],
        "versions": {package: version(package) for package in ("torch", "diffusers")},
    }


def markdown(table: dict[str, Any]) -> str:
    """The table as a page shows it; a missed goal is said to be missed."""
    lines = [
        f"**{table['title']}**: medians of {table['rounds']} paired rounds, {table['dtype']}, "
        f"{table['threads']} thread(s), load {table['load'][0]}.",
        "",
        "| case | of | by the clock | quartiles | by processor time | goal | peak memory |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for case in table["cases"]:
        goal = "" if case["goal"] is None else f"≤ {case['goal']:.2f}"
        if case["goal"] is not None and case["ratio"] > case["goal"]:
            goal += ", missed"
        low, high = case["quartiles"]
        of = f"{case['seconds']:.3g} s" if case["base"] == case["case"] else case["base"]
        lines.append(
            f"| {case['case']} | {of} | {case['ratio']:.3f} | {low:.3f} to {high:.3f} | "
            f"{case['processor_ratio']:.3f} | {goal} | {case['peak_bytes'] / 2**20:.1f} MB |"
        )
    if "identities" in table:
        lines += ["", "| what must agree | levels of 255 apart at most |", "|---|---:|"]
        lines += [f"| {name} | {levels:.0f} |" for name, levels in table["identities"].items()]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    os.replace(file.name, path)


if __name__ == "__main__":
    main()
