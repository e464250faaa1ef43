"""Does an intervention push the model off its beaten track? Norms, cosines, distances, percentiles.

```python
from fluxlens.activations import Spread, summarize

with flux.capture("*", tokens="text") as clean:
    flux.edit(prompts, ref=refs, seed=seeds)
with flux.knockout("ref->text"), flux.capture("*", tokens="text") as cut:
    flux.edit(prompts, ref=refs, seed=seeds)
found = summarize(cut, "text[padding]", beside=clean)
found.cosine                                # (blocks, steps, runs): 1 where nothing has moved
distance, percentile = Spread(fitted, summarize(clean, "text[padding]")).of(found)
```
Context: the paper's interventions (Section 3) show its model's natural flow only if they leave
activations where clean runs could be. Details: a region's tokens are pooled to their mean; clean
runs of some tasks fit a basis, clean runs of *other* tasks say how far from it clean runs lie.
Intuition: at percentile 50 a run is as far out as the middle clean run, at 100 further than all.

A capture sees what the contexts opened before it have done: open it last.

Memory: activations of one row of klein-9B, all 32 blocks, four steps, bfloat16, are 0.54 GB of text
and 4.3 GB of image at 1024². A `Summary` of that row is 2 MB a region, so summarize each run as it
ends, and keep the `Activations` only of the one that others are put beside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .core import Activations, Layout, Region

__all__ = ["Natural", "Spread", "Summary", "joined", "percentiles", "summarize"]

EXPLAINED = 0.9  # of the fitted runs' variance: what the components of a basis are to explain
RUNS_EACH = 4  # fitted runs that every component takes at least, or its variance is not known


@dataclass(frozen=True, eq=False)
class Summary:
    """What is left of a region's activations: ``summarize(acts, "image").norm[0, 0]``.

    The first axes are `blocks` and `steps`, as named here, then a run each. `norm` is the mean L2
    norm of the region's tokens and `mean` their mean vector. Where another run was put beside this
    one, `cosine` is the mean over tokens of the cosine similarity with the same token of the other,
    and `same` whether all numbers are equal, bit for bit; otherwise both are None.
    """

    blocks: tuple[str, ...]
    steps: tuple[int, ...]
    norm: Float[ndarray, "blocks steps runs"]
    mean: Float[ndarray, "blocks steps runs width"]
    cosine: Float[ndarray, "blocks steps runs"] | None = None
    same: Bool[ndarray, "blocks steps runs"] | None = None


def summarize(
    acts: Activations,
    region: str | Region | None = None,
    *,
    beside: Activations | None = None,
    layouts: Sequence[Layout] | None = None,
) -> Summary:
    """Pool a region's tokens: ``summarize(acts, "text[padding]", beside=clean)`` (Section 3).

    `region` lies within what was captured, and is all of it by default. `beside` are the same rows
    of another run, at these blocks and steps at least. `layouts`, a row each, place the region by
    another prompt than the run's: a lens's target has an empty one. `ValueError` where the region
    was not captured, or the two runs do not fit together.
    """
    inside = _inside(acts, Region.parse(acts.region if region is None else region), layouts)
    keys = [[(block, step) for step in acts.steps] for block in acts.blocks]
    _check(acts, beside)

    def over(what: Callable[[tuple[str, int]], Tensor]) -> ndarray:
        return np.array([[what(key).cpu().numpy() for key in line] for line in keys])

    def average(values: Float[Tensor, "rows tokens"]) -> Float[Tensor, " rows"]:
        mask = inside.to(values.device)
        return (values.double() * mask).sum(1) / mask.sum(1)

    def mean(key: tuple[str, int]) -> Float[Tensor, "rows width"]:
        mask = inside.to(acts[key].device)[..., None]
        return (acts[key].float() * mask).sum(1) / mask.sum(1)

    pooled = over(lambda key: average(acts[key].float().norm(dim=-1))), over(mean)
    if beside is None:
        return Summary(acts.blocks, acts.steps, *pooled)
    cosine = over(
        lambda key: average(cosine_similarity(acts[key].float(), beside[key].float(), dim=-1))
    )
    same = over(
        lambda key: ((acts[key] == beside[key]).all(-1) | ~inside.to(acts[key].device)).all(1)
    )
    return Summary(acts.blocks, acts.steps, *pooled, cosine, same)


def _inside(
    acts: Activations, region: Region, layouts: Sequence[Layout] | None
) -> Bool[Tensor, "rows tokens"]:
    """Which captured tokens of each row are in the region."""
    if acts.positions is None:
        raise ValueError("nothing was captured yet: leave the capture's `with` block first")
    placed = acts.layouts if layouts is None else layouts
    if len(placed) != acts.rows:
        raise ValueError(f"{len(placed)} layouts for {acts.rows} captured rows: give one a row")
    out = torch.zeros(acts.positions.shape, dtype=torch.bool)
    for row, layout in enumerate(placed):
        wanted = torch.tensor(layout.positions(region))
        out[row] = torch.isin(acts.positions[row], wanted)
        if int(out[row].sum()) != len(wanted):
            raise ValueError(f"{region} is not within the captured {acts.region}: capture it too")
    return out


def _check(acts: Activations, beside: Activations | None) -> None:
    if beside is None:
        return
    if lost := [key for key in acts.data if key not in beside.data]:
        block, step = lost[0]
        raise ValueError(f"the run beside was not captured at {block}, step {step}: capture both")
    if any(acts[key].shape != beside[key].shape for key in acts.data):
        raise ValueError(
            f"{acts.region} and {beside.region} of the run beside have other rows, tokens or "
            "widths: capture the same region of the same rows of one model"
        )


def joined(parts: Sequence[Summary]) -> Summary:
    """Summaries of several runs as one: ``joined([summarize(a), summarize(b)])``."""
    first = parts[0]
    if any((part.blocks, part.steps) != (first.blocks, first.steps) for part in parts):
        raise ValueError("summaries of other blocks or steps cannot be joined")

    def all_of(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays, axis=2)

    values = {name: all_of(name) for name in ("norm", "mean", "cosine", "same")}
    return Summary(first.blocks, first.steps, **values)


@dataclass(frozen=True, eq=False)
class Natural:
    """Where clean runs lie at one place: ``Natural.fit(means).distances(others)``.

    A principal component analysis of clean runs: their `center`, orthonormal `axes` and the
    `variances` along them. As many axes as explain nine tenths of the variance, but no more than
    one for every four runs. The directions left out share the mean of their variances, `rest`:
    without it, what leaves the plane of the axes would not count as far.
    """

    center: Float[ndarray, " width"]
    axes: Float[ndarray, "components width"]
    variances: Float[ndarray, " components"]
    rest: float

    @classmethod
    def fit(cls, means: Float[ndarray, "runs width"]) -> Natural:
        """``Natural.fit(summary.mean[block, step])``; `ValueError` for fewer than 3 runs."""
        runs, width = means.shape
        if runs < 3:
            raise ValueError(f"a natural spread takes at least 3 clean runs, not {runs}")
        values = means.astype(np.float64)
        center = values.mean(0)
        _, scale, axes = np.linalg.svd(values - center, full_matrices=False)
        variances = scale**2 / (runs - 1)
        total = float(variances.sum())
        if total == 0:
            raise ValueError("these clean runs are all equal: nothing varies that could be natural")
        enough = int(np.searchsorted(variances.cumsum() / total, EXPLAINED)) + 1
        kept = min(enough, max(1, runs // RUNS_EACH), width)
        left = total - float(variances[:kept].sum())
        # rounding may leave nothing, or less: a floor keeps what is off the plane far away
        rest = max(left / max(1, width - kept), np.finfo(np.float64).eps * total)
        return cls(center, axes[:kept], variances[:kept], rest)

    def distances(self, means: Float[ndarray, "runs width"]) -> Float[ndarray, " runs"]:
        """The Mahalanobis distance of each run from the center, in standard deviations."""
        off = means.astype(np.float64) - self.center
        along = off @ self.axes.T
        across = ((off - along @ self.axes) ** 2).sum(1)
        return np.asarray(np.sqrt((along**2 / self.variances).sum(1) + across / self.rest))


def percentiles(
    found: Float[ndarray, " runs"], clean: Float[ndarray, " runs"]
) -> Float[ndarray, " runs"]:
    """``percentiles(clean, clean)`` is 0 to 100 in even steps: how many clean runs lie below.

    Run i of `found` is of the same task as clean run i, which is left out of the comparison; so an
    intervention that does nothing is as likely at one percentile as at another. Ties count half.
    `ValueError` unless there are two runs, and as many of each.
    """
    if found.shape != clean.shape or len(clean) < 2:
        raise ValueError(
            f"percentiles take one clean run for each run found, and at least 2; got {len(found)} "
            f"and {len(clean)}"
        )
    others = ~np.eye(len(clean), dtype=bool)
    below = (clean < found[:, None]) & others
    ties = (clean == found[:, None]) & others
    return np.asarray(100 * (below.sum(1) + ties.sum(1) / 2) / (len(clean) - 1))


class Spread:
    """How far out a run is among clean ones: ``Spread(fitted, held_out).of(found)``.

    Bases (see `Natural`) are fitted to the clean runs `fitted`, one at each block and step; the
    percentiles are among the clean runs `held_out`, of other tasks. Distances of fitted runs are
    too small to compare with: their own numbers made the basis.
    """

    def __init__(self, fitted: Summary, held_out: Summary) -> None:
        if (fitted.blocks, fitted.steps) != (held_out.blocks, held_out.steps):
            raise ValueError("fitted and held-out runs must be of the same blocks and steps")
        self.blocks, self.steps = fitted.blocks, fitted.steps
        self._held_out = held_out.mean
        self._fits = [[Natural.fit(means) for means in line] for line in fitted.mean]

    def of(
        self, found: Summary
    ) -> tuple[Float[ndarray, "blocks steps runs"], Float[ndarray, "blocks steps runs"]]:
        """Mahalanobis distances, and percentiles; run i is of the task of held-out run i.

        `found` may have fewer blocks and steps than the clean runs: a color lens has one step.
        """
        distance, percentile = np.empty(found.norm.shape), np.empty(found.norm.shape)
        for b, block in enumerate(found.blocks):
            for s, step in enumerate(found.steps):
                at = self.blocks.index(block), self.steps.index(step)
                fit = self._fits[at[0]][at[1]]
                distance[b, s] = fit.distances(found.mean[b, s])
                percentile[b, s] = percentiles(distance[b, s], fit.distances(self._held_out[at]))
        return distance, percentile
