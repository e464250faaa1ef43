"""Activations for patches that should move nothing: placebos, made of some that might.

```python
with flux.capture("double.1", tokens="text") as acts:
    flux.edit("draw a mug in this color", ref=red, seed=0)
false = placebo.shuffled(acts, "text[pad]", seeds=[7])
fl.i2i_patch(flux, prompt, red, blue, (0, 1), tokens="pad", block="double.1", acts=false)
```
The paper's patches (Section 4.3.2) have no control; its review asks for these. Every function gives
new `Activations` of the same blocks, steps and layouts and leaves its argument as it is. Chance is
seeded, a seed a row, so a placebo can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .core import Activations

__all__ = ["blend", "mean", "noise", "shuffled"]


def shuffled(acts: Activations, tokens: str, seeds: Sequence[int]) -> Activations:
    """The rows of `tokens` in a random order: ``shuffled(acts, "text[pad]", seeds=[7])``.

    One order for each captured row, the same in all blocks and steps. What the tokens hold stays,
    where they hold it goes.
    """
    orders = []
    for row, made in enumerate(_generators(acts, seeds)):
        order = torch.arange(_positions(acts).shape[1])
        within = _held(acts, row, tokens)
        order[within] = within[torch.randperm(len(within), generator=made)]
        orders.append(order)
    index = torch.stack(orders)
    rows = torch.arange(acts.rows)[:, None]
    data = {key: value[rows, index] for key, value in acts.data.items()}
    return replace(acts, data=data)


def noise(acts: Activations, seeds: Sequence[int]) -> Activations:
    """Gaussian noise, every token as long (L2) as it was: ``noise(acts, seeds=[7])``.

    Drawn anew for each block, step and token. Length stays, direction goes.
    """
    made = _generators(acts, seeds)
    data = {}
    for key, value in acts.data.items():
        drawn = torch.stack([torch.randn(value.shape[1:], generator=one) for one in made])
        length = value.float().norm(dim=-1, keepdim=True)
        drawn = drawn.to(value.device)
        data[key] = (drawn / drawn.norm(dim=-1, keepdim=True) * length).to(value.dtype)
    return replace(acts, data=data)


def mean(acts: Activations, groups: Sequence[Sequence[int]]) -> Activations:
    """The mean of some rows, for each group: ``mean(acts, [[0, 1, 2]])`` has one row.

    `ValueError` for a group that is empty or whose runs had different prompts, whose positions mean
    different words.
    """
    for group in groups:
        if len({_prompt(acts, row) for row in group}) != 1:
            raise ValueError(f"a mean is over runs of one prompt, and at least one; not {group}")
    means = acts.pick(rows=[group[0] for group in groups])
    data = {
        key: torch.stack([value[list(group)].float().mean(0) for group in groups]).to(value.dtype)
        for key, value in acts.data.items()
    }
    return replace(means, data=data)


def blend(own: Activations, other: Activations, strength: float) -> Activations:
    """``(1 − strength) × own + strength × other``: a patch of any strength.

    0 gives `own` and 1 `other`, exactly; above 1 goes beyond. Both hold the same blocks and steps,
    a row each for the same prompts, or it is a `ValueError`.
    """
    if own.data.keys() != other.data.keys() or own.rows != other.rows:
        raise ValueError("a blend is of two captures of the same blocks, steps and rows")
    if any(_prompt(own, row) != _prompt(other, row) for row in range(own.rows)):
        raise ValueError("a blend is of runs with the same prompts, row by row")

    def mixed(key: tuple[str, int], value: Tensor) -> Tensor:
        both = (1 - strength) * value.float() + strength * other.data[key].float()
        return both.to(value.dtype)

    return replace(own, data={key: mixed(key, value) for key, value in own.data.items()})


def _generators(acts: Activations, seeds: Sequence[int]) -> list[torch.Generator]:
    if len(seeds) != acts.rows:
        raise ValueError(f"{acts.rows} rows need as many seeds, not {len(seeds)}")
    return [torch.Generator().manual_seed(seed) for seed in seeds]  # on the CPU, on every machine


def _positions(acts: Activations) -> Tensor:
    if acts.positions is None:
        raise ValueError("nothing was captured yet: leave the capture's `with` block first")
    return acts.positions


def _held(acts: Activations, row: int, tokens: str) -> Tensor:
    """Where among a row's captured tokens those of a region are."""
    places = {p: n for n, p in enumerate(_positions(acts)[row].tolist())}
    wanted = acts.layouts[row].positions(tokens)
    if lost := [p for p in wanted if p not in places]:
        raise ValueError(f"{tokens} is not within the captured {acts.region}: {len(lost)} are not")
    return torch.tensor([places[p] for p in wanted])


def _prompt(acts: Activations, row: int) -> str | None:
    texts = acts.layouts[row].texts
    return texts[0].prompt if texts else None
