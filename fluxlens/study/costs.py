"""What the pictures of a plan cost a model.

>>> costs = Costs(model_shape("klein-9b"))
>>> size = Size(1024, 1024, ref=4096, patches=1369)
>>> f"{costs.own(knockout, size) / costs.own(edit, size):.3f}"  # of ref->image
'0.941'

All counts are of operations, for one row at a time: a batch costs the sum of its rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import Any

from fluxlens.interventions import PREFIX
from fluxlens.study.flops import Flops, Tokens
from fluxlens.study.pictures import Picture, Unit
from fluxlens.study.plan import Plan
from fluxlens.study.shapes import ModelShape
from fluxlens.study.sizes import TOKEN, Mix, Size, Sizes

__all__ = ["Costs", "transformer_flops"]


class Costs:
    """The transformer's work for a picture of a size.

    With ``shared_only`` every forward is run to its end and a knockout computes what it then
    masks: what sharing alone saves. Otherwise captures stop behind their block and knockouts skip
    what they cut, as fluxlens does both.
    """

    def __init__(self, model: ModelShape, *, shared_only: bool = False) -> None:
        self.model, self.shared_only = model, shared_only

    def tokens(self, size: Size) -> Tokens:
        """The joint sequence of an edit."""
        return Tokens(self.model.text_tokens, size.image, size.ref)

    def forward(self, size: Size, edit: bool = True) -> Flops:
        """A forward with nothing done to it."""
        tokens = self.tokens(size)
        return self.model.transformer.forward(tokens if edit else tokens.without_refs())

    def decode(self, size: Size) -> float:
        """The VAE's work for a picture."""
        return self.model.vae.decode(size.pixels)

    def encode(self, size: Size) -> float:
        """The VAE's work for a reference."""
        return self.model.vae.encode(size.ref * TOKEN**2)

    def own(self, picture: Picture, size: Size) -> float:
        """A picture's own run, without the source run that it may read."""
        edits = picture.edits and picture.variant != "none"  # a reference severed from the start
        forward = self.forward(size, edits)
        if edits and not self.shared_only:
            if picture.recipe == "attention_knockout":
                forward = self._forward(size, cut=(picture.variant,))
            if picture.recipe == "drop_reference":
                forward = self._forward(size, cut=PREFIX, ref_until=picture.variant)
        return picture.steps * forward.total

    def _forward(self, size: Size, **how: Any) -> Flops:
        return self.model.transformer.forward(self.tokens(size), **how)

    def capture(self, steps: int, block: str, size: Size) -> float:
        """A source run that nobody looks at; its last forward ends behind `block`."""
        whole = self.forward(size).total
        if self.shared_only:
            return steps * whole
        return (steps - 1) * whole + self._forward(size, last=block).total

    def deepest(self, unit: Unit) -> str:
        """The block behind which a unit's source run may stop."""
        binding = self.model.binding
        named = [p.block or binding[p.depth] for p in unit.pictures if p.depth is not None]
        return max(named, key=self.model.transformer.index)


def transformer_flops(plan: Plan, sizes: Sizes, costs: Costs) -> dict[str, float]:
    """Recipe → operations of its own runs; ``capture`` are source runs that make no picture."""
    own: dict[tuple[str, str, Mix], list[Picture]] = {}
    stopped: Counter[tuple[int, str, Mix]] = Counter()
    for unit in plan.units:
        for picture in unit.pictures:
            key = picture.recipe, picture.variant, sizes.of(picture.task)
            own.setdefault(key, []).append(picture)
        run = unit.source_run
        if run is not None and run.stops:
            stopped[run.steps, costs.deepest(unit), sizes.of(unit.task)] += 1
    out: defaultdict[str, float] = defaultdict(float)
    for (recipe, _, mix), pictures in own.items():
        out[recipe] += len(pictures) * mix.mean(partial(costs.own, pictures[0]))
    for (steps, block, mix), count in stopped.items():
        out["capture"] += count * mix.mean(partial(costs.capture, steps, block))
    return dict(out)
