"""Kill `fluxlens run` at random moments, run it again each time, and see what is left.

```sh
python tests/study_kills.py --kills 20
```
A moment is a number of files that are there, and some milliseconds more: kills are spread over the
whole run, however fast the machine is. A killed run may have sent through the model the rows of the
batches that it finished, and beside them at most those of the batch in flight.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny
from PIL import Image
from study_tools import SHAPE, all_levels, equal, files, stamps

import fluxlens as fl
from fluxlens.study.cells import choose
from fluxlens.study.paths import model_folder
from fluxlens.study.plan import make_plan
from fluxlens.study.requests import References, Requests, facts_of
from fluxlens.study.store import Store, read_record
from fluxlens.study.survey import Found, survey

TOKENS = 700  # of a batch: four rows of the tiny model
FAMILIES = ["color", "style"]
PATIENCE = 600  # seconds without a new file: then something hangs


@dataclass(frozen=True)
class Outcome:
    """What the kills came to: rows run by all processes, those that killed ones ran beside the
    batches that they finished, and what was found wrong."""

    planned: int
    ran: int
    beside: tuple[int, ...]
    complaints: tuple[str, ...]


def _run(words: list[str], rows: Any) -> None:
    """The command, in a process of its own that counts the rows it sends through the model."""
    from diffusers import Flux2Transformer2DModel

    from fluxlens.cli import main

    forward = Flux2Transformer2DModel.forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        rows.value += kwargs["hidden_states"].shape[0]
        return forward(self, *args, **kwargs)

    Flux2Transformer2DModel.forward = counted
    sys.exit(main(words))


def _start(words: list[str], rows: Any) -> Any:
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["fluxlens.cli", "fluxlens.study.run", "diffusers", "tiny"])
    process = context.Process(target=_run, args=(words, rows))
    process.start()
    return process


def _wait_for(count: int, root: Path, process: Any) -> None:
    """Until so many pictures are there, or the process is over."""
    found, since = -1, time.monotonic()
    while found < count and process.is_alive():
        now = len(files(root))
        if now > found:
            found, since = now, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            raise TimeoutError(f"no new picture for {PATIENCE} seconds")
        time.sleep(0.005)


def _broken(root: Path) -> list[str]:
    """Pictures that are not whole, or lack their record."""
    bad = []
    for name, path in files(root).items():
        if ".partial" in path.parts:
            continue
        with Image.open(path) as image:
            image.load()
        if read_record(path) is None:
            bad.append(f"{name} has no record")
    return bad


def kill(kills: int, limit: int, work: Path, seed: int = 0) -> Outcome:
    """Run undisturbed, then killed and resumed, and compare."""
    model = tiny.save(work / "tiny", SHAPE)
    rng = random.Random(seed)
    context = mp.get_context("forkserver")
    rows = context.RawValue("q", 0)
    plan = make_plan("mini", choose(families=FAMILIES), limit=limit)
    flux = fl.load(model)
    facts = facts_of(flux)
    batches = plan.batches(facts.max_sequence_length, TOKENS)

    def left(root: Path) -> Found:
        requests = Requests(facts, References())
        return survey(batches, Store(model_folder(root, flux.name)), requests)

    def words(root: Path) -> list[str]:
        return [
            "run", "--model", str(model), "--world", "mini", "--family", *FAMILIES,
            "--limit", str(limit), "--tokens-per-batch", str(TOKENS), "--results", str(root),
        ]  # fmt: skip

    def finish(root: Path) -> int:
        process = _start(words(root), rows)
        process.join()
        return process.exitcode

    plain, killed = work / "undisturbed", work / "killed"
    complaints = [] if finish(plain) == 0 else ["the undisturbed run failed"]
    if rows.value != plan.forwards:
        complaints.append(f"{rows.value} rows were run, {plan.forwards} were planned")
    total = len(files(plain))
    rows.value = 0
    done: dict[str, tuple[int, int]] = {}
    beside: list[int] = []
    ran, due = 0, plan.forwards
    for moment in sorted(rng.randrange(total) for _ in range(kills)):
        process = _start(words(killed), rows)
        _wait_for(moment, killed, process)
        time.sleep(rng.random() * 0.05)
        process.kill()
        process.join()
        complaints += _broken(killed)
        found = left(killed).due
        still = sum(batch.forwards for batch in found)
        if process.exitcode == -9:
            beside.append(rows.value - (due - still))
            # batches are done in order: the first that lacks something was in flight
            if beside[-1] > (found[0].forwards if found else 0):
                complaints.append(f"{beside[-1]} rows were run beside the finished batches")
        due = still
        ran, rows.value = ran + rows.value, 0
        now = {name: stamp for name, stamp in stamps(killed).items() if ".partial" not in name}
        complaints += [f"{name} was made twice" for name in done if now.get(name) != done[name]]
        done = now
    if finish(killed) != 0:
        complaints.append("the last run failed")
    if not equal(all_levels(plain), all_levels(killed)):
        complaints.append("not the same files and pixels")
    if list(killed.rglob(".partial")):
        complaints.append("something half-written is left")
    if rows.value > due:
        complaints.append(f"the last run made {rows.value} rows where {due} were due")
    return Outcome(plan.forwards, ran + rows.value, tuple(beside), tuple(complaints))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill(args.kills, args.limit, Path(folder), args.seed)
    print(
        f"killed {len(outcome.beside)} times: {outcome.ran} rows run where {outcome.planned} were "
        f"planned; at most {max(outcome.beside)} beside finished batches"
    )
    for complaint in outcome.complaints:
        print(f"  {complaint}")
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
