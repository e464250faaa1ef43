"""Which block binds: the lens at every block, over tasks that neither training nor the study has.

>>> rates = sweep(fl.load("mini"), "color", n=40)
>>> choose(rates)
'single.2'

As in the paper's Appendix A, where the lens is read by eye at every block; here the oracle reads
it. Style by the T2I Lens, color by the color lens, each as the recipes use the block.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from fluxlens.mini.evaluate import read
from fluxlens.mini.resume import NAMES
from fluxlens.mini.world import FREE, random_edit
from fluxlens.recipes import Result, color_lens, t2i_lens
from fluxlens.results import wilson

if TYPE_CHECKING:
    from fluxlens.editor import Editor

Family = Literal["color", "style"]
# The evaluation, the study and the book draw their tasks from other streams.
SEED = 9_002
ROWS = {
    "color": "color: the reference’s color on the object",
    "style": "style: the reference’s manner",
}
LENS: dict[Family, Callable[..., Result]] = {"color": color_lens, "style": t2i_lens}

__all__ = ["choose", "sweep", "write"]


def sweep(flux: Editor, family: Family, n: int = 40) -> dict[str, float]:
    """Block → share of `n` held-out tasks whose property the lens shows there."""
    rng = np.random.default_rng([SEED, list(ROWS).index(family)])
    edits = [random_edit(family, rng, held=True) for _ in range(n)]
    refs = [edit.reference.draw(rng.normal(size=FREE)) for edit in edits]
    seeds = [int(s) for s in rng.integers(2**31, size=n)]
    prompts = [edit.prompt for edit in edits]
    found = {}
    for block in tqdm(flux.blocks, desc=f"{family} lens", leave=False, disable=None):
        images = LENS[family](flux, prompts, refs, seeds, block=block).images
        hits = [read(edit, image)[ROWS[family]] for edit, image in zip(edits, images, strict=True)]
        found[block] = float(np.mean(hits))
    return found


def choose(rates: dict[str, float], n: int = 40) -> str:
    """The first block that is not told from the best: its rate lies in the best one's interval."""
    best = max(rates.values())
    low, _ = wilson(round(best * n), n)
    return next(block for block, rate in rates.items() if rate >= low)


def write(
    folder: Path, sweeps: dict[str, dict[Family, dict[str, float]]], n: int
) -> dict[str, str]:
    """Put the blocks, and the sweeps behind them, into both models' ``fluxlens.json``.

    `sweeps` is model → family → rates. The blocks are those of *bound* in both models: where a lens
    shows nothing there is nothing to choose, and both are to be read at the same place.
    """
    bound, _ = NAMES.values()
    binding: dict[str, str] = {family: choose(rates, n) for family, rates in sweeps[bound].items()}
    for model, rates in sweeps.items():
        path = folder / model / "fluxlens.json"
        facts = json.loads(path.read_text())
        facts |= {"binding": binding, "sweep": {"n": n, "seed": SEED, "rates": rates}}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(facts, indent=2) + "\n")
        temporary.replace(path)
    return binding
