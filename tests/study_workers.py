"""Two workers against one: their pixels, and the ratio of their times on this machine.

```sh
python tests/study_workers.py --model mini --family color --limit 40
```
Times are of the whole command, Ray's start and the loading of the model included, and by the clock:
they say something where nothing else runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from study_tools import all_levels

from fluxlens.study.cells import choose
from fluxlens.study.plan import make_plan
from fluxlens.study.run import Settings
from fluxlens.study.workers import run_with_workers


def measure(model: str, families: list[str], limit: int, work: Path) -> bool:
    """Run the same plan with one worker and with two; True if they made the same."""
    plan = make_plan("mini", choose(families=families), limit=limit)
    seconds, made = {}, {}
    for workers in (1, 2):
        start = time.monotonic()
        summary = run_with_workers(
            model, plan, work / str(workers), Settings(shown=False), workers=workers, device="cpu"
        )
        seconds[workers], made[workers] = time.monotonic() - start, all_levels(summary.folder)
        print(f"{workers} workers: {summary.made} pictures in {seconds[workers]:.1f} s", flush=True)
        for failure in summary.failures:
            print(f"  {failure.batch}: {failure.error}")
    if made[1].keys() != made[2].keys() or not made[1]:
        print("they did not make the same pictures")
        return False
    apart = [name for name in made[1] if not np.array_equal(made[1][name], made[2][name])]
    print(f"{seconds[1] / seconds[2]:.2f} times as fast; {len(apart)} of {len(made[1])} differ")
    return not apart


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="a mini, or a folder with one")
    parser.add_argument("--family", nargs="+", default=["color"])
    parser.add_argument("--limit", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if measure(args.model, args.family, args.limit, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
