"""Run a study from its price to its pages; interrupted anywhere, the same command goes on.

    python -m tools.full --model klein-9b --judge claude --workers 8 --limit 20
    python -m tools.full --model mini --parts pictures verdicts tables

The parts, in this order: `estimate` says what it will take; `pictures` makes what is missing of the
study (`fluxlens run`); `verdicts` asks what has no verdict yet, the null controls too (`fluxlens
judge`); `tables` prints the paper's tables; `pages` executes notebooks into runs/<model>/. What
each part says is kept in runs/<model>/logs/. A mini's study has all extras, a large model's those
that its null controls and figures need, and what `--extras` adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fluxlens.files import file_name
from fluxlens.loading import digest
from fluxlens.mini.export import WEIGHTS
from fluxlens.models import SHIPPED_NAMES
from fluxlens.study.cells import EXTRAS
from fluxlens.study.paths import model_folder
from fluxlens.study.reading import open_study
from fluxlens.study.world import world_of

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "runs"
PARTS = ("estimate", "pictures", "verdicts", "tables", "pages")
FLUXLENS = [sys.executable, "-m", "fluxlens.cli"]
NOTEBOOKS = [sys.executable, "-m", "tools.notebooks"]
REVISION = "revision.txt"  # beside a mini's verdicts: the weights that they are on
USUAL = {"mini": tuple(EXTRAS), "paper": ("nulls", "edits")}
JUDGED = {"variants", "controls"}  # extras that are asked about


class Refused(Exception):
    """What was asked for cannot be done, and why."""


# --- what is run ------------------------------------------------------------------------------


def judge_name(args: argparse.Namespace) -> str:
    """The folder of verdicts that a judge writes, which is what pages call it."""
    kind, _, model = args.judge.partition(":")
    name = {"claude": args.claude_model, "local": Path(model).name}.get(kind, kind)
    return file_name(name)


def commands(part: str, args: argparse.Namespace) -> Iterator[list[str]]:
    """The command lines of one part."""
    results, extras = ["--results", str(args.results)], ["--extras", *args.extras]
    chosen = ["--limit", str(args.limit)] if args.limit else []
    chosen += ["--family", *args.family] if args.family else []
    here = ["--model", args.model, *(["--available"] if args.available else [])]
    if part == "estimate":
        yield [*FLUXLENS, "estimate", *here, *chosen, *extras, "--gpu", args.gpu]
    elif part == "pictures":
        here += ["--workers", str(args.workers), *(["--offload"] if args.offload else [])]
        yield [*FLUXLENS, "run", *here, *chosen, *extras, *results]
    elif part == "verdicts":
        yield from _judging(args, [*chosen, *results])
    elif part == "tables":
        yield [*FLUXLENS, "tables", "--verdicts", str(verdicts(args) / judge_name(args))]
    elif part == "pages":
        given = [word for n, v in parameters(args).items() for word in ("-p", f"{n}={v}")]
        into = ["--into", str(run_folder(args)), "--jobs", str(args.jobs)]
        yield [*NOTEBOOKS, "execute", *into, *given]


def _judging(args: argparse.Namespace, chosen: list[str]) -> Iterator[list[str]]:
    """The paper's questions, and ours that do not tell what was done where asking is free."""
    words = ["--model", verdicts(args).parent.name, "--world", world_of(args.model), *chosen]
    words += ["--judge", args.judge]
    if args.judge == "claude":
        words += ["--claude-model", args.claude_model, "--batch"]
        words += ["--budget", str(args.budget)] if args.budget else []
    asked = [extra for extra in args.extras if extra in JUDGED]
    yield [*FLUXLENS, "judge", *words, "--nulls", *(["--extras", *asked] if asked else [])]
    if args.judge == "oracle":
        yield [*FLUXLENS, "judge", *words, "--set", "blind"]


def verdicts(args: argparse.Namespace) -> Path:
    """``results/<model>/verdicts``, the model under the name that it gives itself."""
    return open_study(args.model, results=args.results).folder / "verdicts"


def parameters(args: argparse.Namespace) -> dict[str, str]:
    """What the notebooks are given, as YAML; each takes those that it has."""
    results = args.results
    if results.is_relative_to(ROOT):  # no page needs to say where this copy lies
        results = Path(os.path.relpath(results, ROOT / "notebooks"))
    values: dict[str, Any] = {
        "model": args.model,
        "contrast": args.contrast,
        "results": str(results),
    }
    if args.limit:
        values["limit"] = args.limit
    if args.judge != "none":
        values["judge"] = judge_name(args)
    return {name: json.dumps(value) for name, value in values.items()}


def run_folder(args: argparse.Namespace) -> Path:
    """``runs/<model>``: executed notebooks, their book, logs."""
    return model_folder(RUNS, args.model)


# --- what is refused --------------------------------------------------------------------------


def check(args: argparse.Namespace) -> None:
    """What cannot end well, before any work."""
    judging = {"verdicts", "tables"} & set(args.parts)
    if args.judge == "none":
        args.parts = [part for part in args.parts if part not in judging]
    elif args.judge == "oracle" and judging and world_of(args.model) != "mini":
        raise Refused(
            "the oracle reads pictures of mini's world alone: name another judge, claude or "
            "local:MODEL, or none"
        )
    if args.judge == "claude" and judging and not os.environ.get("ANTHROPIC_API_KEY"):
        raise Refused("the judge claude needs ANTHROPIC_API_KEY in the environment")
    if args.model in SHIPPED_NAMES and judging:
        check_weights(args.model, verdicts(args))


def check_weights(model: str, folder: Path) -> None:
    """A mini's verdicts are on the weights that ship now; write down which those are."""
    now, stamp = digest(WEIGHTS / model), folder / REVISION
    before = stamp.read_text().strip() if stamp.exists() else None
    if before != now and any(folder.rglob("*.csv")):
        raise Refused(
            f"the verdicts in {folder} are on {before or 'unknown weights'}, and {model} is now "
            f"{now}: remove {folder.parent} and run this again"
        )
    folder.mkdir(parents=True, exist_ok=True)
    stamp.write_text(f"{now}\n")


# --- running ----------------------------------------------------------------------------------


def logged(command: Sequence[str], log: Path) -> int:
    """Run a command; what it says goes to the terminal and to the end of `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {' '.join(command)}\n".encode())
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    sys.stdout.buffer.write(line)
                    sys.stdout.flush()
            except KeyboardInterrupt:  # the command has heard it too, and ends in its own way
                file.write(process.stdout.read())
        return process.returncode


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tools.full",
        description=summary,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", default="mini", help="mini, mini-direct, klein-9b, klein-4b, hub id or folder")
    add("--judge", help="oracle, claude, local:MODEL or none (default: oracle for minis)")
    add("--claude-model", default="claude-opus-4-7", help="(default: the paper's)")
    add("--budget", type=float, metavar="USD", help="of claude, all runs together")
    add("--contrast", help='beside it on the pages (default: mini-direct for mini, else none: "")')
    add("--workers", type=int, default=1, help="for the pictures, by Ray where more than one")
    add("--jobs", type=int, default=1, help="notebooks at a time, each loads the model")
    add("--extras", nargs="*", choices=tuple(EXTRAS), default=[], help="more than the usual ones")
    add("--limit", type=int, help="only the first so many tasks or pairs of each cell")
    add("--family", nargs="+", help="only these families of cells")
    add("--available", action="store_true", help="only tasks whose references are here")
    add("--offload", action="store_true", help="keep only the running component on the GPU")
    add("--gpu", default="h100", help="that the estimate is for (default: h100)")
    add("--results", type=Path, default=Path("results"), help="(default: results)")
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="(default: all)")
    args = parser.parse_args(argv)
    shipped = args.model in SHIPPED_NAMES
    if not shipped and Path(args.model).is_dir():
        args.model = str(Path(args.model).resolve())
    args.results = args.results.resolve()
    args.extras = list(dict.fromkeys([*USUAL[world_of(args.model)], *args.extras]))
    args.judge = args.judge or ("oracle" if world_of(args.model) == "mini" else "claude")
    if args.contrast is None:
        args.contrast = "mini-direct" if args.model == "mini" else ""
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    try:
        check(args)
    except Refused as refused:
        print(f"full: {refused}", file=sys.stderr)
        return 1
    for part in (name for name in PARTS if name in args.parts):
        log = run_folder(args) / "logs" / f"{part}.log"
        print(f"==> {args.model}: {part}", flush=True)
        for command in commands(part, args):
            if code := logged(command, log):
                print(
                    f"full: {part} stopped, see {log}; the same command goes on from here",
                    file=sys.stderr,
                )
                return code if code > 0 else 128 - code
    return 0


if __name__ == "__main__":
    sys.exit(main())
