"""The drawings that mini learns from: rendered once, in chunks, and then kept as latents.

>>> chunk = draw_chunk("color", 0, count=2)
>>> chunk["result"].shape
(2, 96, 96, 3)

A chunk is a file ``<kind>-<number>.npz``. Its drawings depend on the configuration's seed, the kind
and the number only, so a work folder can be thrown away and made again.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fluxlens.mini.architecture import CONFIG
from fluxlens.mini.world import FAMILIES, FREE, random_edit, random_generation

# "add" pairs serve removal as well, the other way round.
KINDS = ("color", "style", "people", "add", "text")

__all__ = ["KINDS", "chunks", "draw_chunk", "render"]


def draw_chunk(kind: str, number: int, count: int) -> dict[str, np.ndarray]:
    """``count`` drawings: ``result`` and (edits) ``reference`` pictures, ``free``, ``prompt``."""
    rng = np.random.default_rng([CONFIG["seed"], KINDS.index(kind), number])
    free = rng.normal(size=(count, FREE)).astype(np.float32)
    out: dict[str, list[object]] = {"prompt": [], "result": [], "reference": []}
    for z in free:
        if kind == "text":
            generation = random_generation(rng)
            out["prompt"].append(generation.prompt)
            out["result"].append(np.asarray(generation.result.draw(z)))
            continue
        edit = random_edit(next(f for f in FAMILIES if f == kind), rng)
        out["prompt"].append(edit.prompt)
        out["result"].append(np.asarray(edit.result.draw(z)))
        out["reference"].append(np.asarray(edit.reference.draw(rng.normal(size=FREE))))
    return {"free": free} | {k: np.asarray(v) for k, v in out.items() if v}


def _write(task: tuple[Path, str, int, int]) -> Path:
    folder, kind, number, count = task
    path = folder / f"{kind}-{number:03d}.npz"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            np.savez(file, **draw_chunk(kind, number, count))  # type: ignore[arg-type]
        temporary.replace(path)
    return path


def _tasks(folder: Path) -> Iterator[tuple[Path, str, int, int]]:
    c = CONFIG["data"]
    counts = {kind: c[kind] // c["chunk"] for kind in KINDS}
    for number in range(max(counts.values())):
        for kind in KINDS:
            if number < counts[kind]:
                yield folder, kind, number, c["chunk"]


def render(folder: Path, workers: int = 2) -> list[Path]:
    """Draw every chunk that is missing from ``folder``; the paths of all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = list(_tasks(folder))
    with ProcessPoolExecutor(workers) as pool:
        return list(tqdm(pool.map(_write, tasks), total=len(tasks), desc="drawing"))


def chunks(folder: Path) -> list[Path]:
    """The chunks that exist, in the order in which they were drawn."""
    return [
        path for path in (f / f"{k}-{n:03d}.npz" for f, k, n, _ in _tasks(folder)) if path.exists()
    ]
