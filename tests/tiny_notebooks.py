"""Every notebook on a model that it has never met: a tiny random klein in the hub's format.

```sh
python tests/tiny_notebooks.py                      # all of them, into runs/tiny-klein
python tests/tiny_notebooks.py notebooks/05-*.ipynb
```
What such a model paints is noise. What is tested is that a page asks nothing of a model that only
mini can answer, and says in plain words what it cannot show.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tiny

ROOT = Path(__file__).resolve().parent.parent
SHAPE = tiny.Shape(double=1, single=2, heads=1, length=160)  # long enough for the paper's prompts


def run(paths: Sequence[Path], into: Path, limit: int = 2) -> int:
    """Execute notebooks with ``-p model=<folder> -p contrast= -p limit=2``; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = tiny.save(work / "tiny-klein", SHAPE)
        given = {"model": model, "contrast": "", "limit": limit, "results": work / "results"}
        words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
        command = [sys.executable, "-m", "tools.notebooks", "execute", *map(str, paths)]
        return subprocess.run([*command, "--into", str(into), *words], cwd=ROOT).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--into", type=Path, default=ROOT / "runs" / "tiny-klein")
    parser.add_argument("--limit", type=int, default=2)
    args = parser.parse_args()
    paths = [path.resolve() for path in args.notebooks]
    return run(paths, args.into.resolve(), args.limit)


if __name__ == "__main__":
    sys.exit(main())
