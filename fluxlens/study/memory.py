"""How many tokens a run of the model may have: found by one edit, not guessed.

>>> editor = fl.load("klein-9b")                    # on a GPU of 80 GB
>>> found_tokens(editor)
69632

On a GPU one edit of the model's own size is made, in one step, and the most memory that it took is
held against what is free: as many such edits may run together as fit into four fifths of it, for
captures and the allocator's gaps take some too. Counted in edits of 8,704 tokens, at least one and
at most eight, so that a little memory more or less finds the same. On a CPU it is one.

What a batch is made of follows from the plan and from this number, so it is part of a folder: the
manifest has it, and whoever goes on there later uses it again, on whatever machine. The shards of a
study must agree on it without seeing one another: they use 8,704 unless told otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from fluxlens.study.plan import TOKENS
from fluxlens.study.store import Store

if TYPE_CHECKING:
    from fluxlens.editor import Editor

__all__ = ["Meter", "agreed_tokens", "found_tokens"]

SHARE = 0.8  # of what is free
MOST = 8  # edits of 8,704 tokens: a GPU is busy long before, and more is only more to lose


@dataclass(frozen=True)
class Meter:
    """What a device has free, in bytes, and the most that a run took of it."""

    free: Callable[[], float]
    peak: Callable[[Callable[[], Any]], float]


def found_tokens(editor: Editor, meter: Meter | None = None) -> int:
    """Tokens that fit into a run on the model's device; `ValueError` if not one edit does."""
    if meter is None:
        if editor.device.type != "cuda":
            return TOKENS
        meter = _cuda(editor.device)
    side = editor.default_size
    gray = Image.new("RGB", (side, side), "gray")
    length = editor.layout("", gray).length
    try:
        editor.edit("", gray, steps=1)  # what the first run alone takes is taken
        taken = meter.peak(lambda: editor.edit("", gray, steps=1))
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"not one edit of {side}×{side} pixels fits into the memory of {editor.device}: load "
            "the model with offload (--offload), or in bfloat16 (--dtype bfloat16)"
        ) from error
    fit = SHARE * meter.free() / taken * length
    return TOKENS * min(MOST, max(1, int(fit // TOKENS)))


def _cuda(device: torch.device) -> Meter:
    def free() -> float:
        # what torch holds without using it is free as well
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held

    def peak(run: Callable[[], Any]) -> float:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return max(1, torch.cuda.max_memory_allocated(device) - before)

    return Meter(free, peak)


def agreed_tokens(
    store: Store, asked: int | None, shard: tuple[int, int], find: Callable[[], int]
) -> int:
    """What was `asked` for, else what this folder was made with, else what is found here."""
    if asked is not None:
        return asked
    if shard != (1, 1):
        return TOKENS
    try:
        runs = json.loads((store.folder / "manifest.json").read_text(encoding="utf-8"))["runs"]
        return next(int(run["tokens"]) for run in reversed(runs) if run.get("tokens"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return find()
