"""What the pictures of a plan cost a model.

>>> costs = Costs(model_shape("klein-9b"))
>>> size = Size(1024, 1024, ref=4096, patches=1369)
>>> f"{costs.own(knockout, size) / costs.own(edit, size):.3f}"  # of ref->image
'0.945'

All counts are of operations, for one row at a time: a batch costs the sum of its rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import Any

from fluxlens.study.flops import Flops, Tokens
from fluxlens.study.pictures import Picture, Unit
from fluxlens.study.plan import Plan
from fluxlens.study.shapes import ModelShape
from fluxlens.study.sizes import TOKEN, Mix, Size, Sizes
from fluxlens.study.treatments import Treatment

__all__ = ["Costs", "transformer_flops"]


class Costs:
    """The transformer's work for a picture of a size.

    With ``shared_only`` every forward is run to its end, its reference too, and a knockout
    computes what it then masks: what sharing alone saves. Otherwise captures stop after their
    block, knockouts skip what they cut and a dropped reference is gone, as fluxlens does all three.
    """

    def __init__(self, model: ModelShape, *, shared_only: bool = False) -> None:
        self.model, self.shared_only = model, shared_only

    def tokens(self, size: Size) -> Tokens:
        """The joint sequence of an edit."""
        return Tokens(self.model.text_tokens, size.image, size.ref)

    def forward(self, size: Size, edit: bool = True, **how: Any) -> Flops:
        """Count a forward of an edit or a generation; `how` goes to `TransformerCost.forward`."""
        tokens = self.tokens(size) if edit else self.tokens(size).without_refs()
        return self.model.transformer.forward(tokens, **how)

    def decode(self, size: Size) -> float:
        """The VAE's work for a picture."""
        return self.model.vae.decode(size.pixels)

    def encode(self, size: Size) -> float:
        """The VAE's work for a reference."""
        return self.model.vae.encode(size.ref * TOKEN**2)

    def own(self, picture: Picture, size: Size) -> float:
        """A picture's own run, without the source run that it may read.

        Under true guidance only the conditional pass of a step spares what is cut.
        """
        what, sampling = picture.treatment, self.model.sampling
        reads = what.recipe.reads_ref
        how = {} if self.shared_only else what.forward(self.block(picture))
        whole = self.forward(size, reads).total
        first = self.forward(size, reads, **how).total if how else whole
        steps = sampling.steps if what.steps is None else what.steps
        return steps * (first + (sampling.passes - 1) * whole)

    def block(self, picture: Picture) -> str | None:
        """The block that a lens or a patch reads its source after, or a reference goes after."""
        binding = picture.binding
        return picture.treatment.block or (self.model.binding[binding] if binding else None)

    def capture(self, steps: int | None, block: str, size: Size) -> float:
        """A source run that nobody looks at; its last forward ends after `block`."""
        whole = self.forward(size).total
        stopped = whole if self.shared_only else self.forward(size, last=block).total
        return (self.model.sampling.forwards(steps, stops=True) - 1) * whole + stopped

    def deepest(self, unit: Unit) -> str:
        """The block after which a unit's source run may stop.

        Where units of a batch read different blocks all stop after the deepest, which is not
        counted: only a sweep over blocks does that.
        """
        named = [str(self.block(picture)) for picture in unit.pictures if picture.reads_source]
        return max(named, key=self.model.transformer.index)


def transformer_flops(plan: Plan, sizes: Sizes, costs: Costs) -> dict[str, float]:
    """Recipe → operations of its own runs; ``capture`` are source runs that make no picture."""
    own: dict[tuple[Treatment, str | None, Mix], list[Picture]] = {}
    stopped: Counter[tuple[int | None, str, Mix]] = Counter()
    for unit in plan.units:
        for picture in unit.pictures:
            key = picture.treatment, picture.binding, sizes.of(picture.task)
            own.setdefault(key, []).append(picture)
        run = unit.source_run
        if run is not None and run.stops:
            stopped[run.steps, costs.deepest(unit), sizes.of(unit.task)] += 1
        if unit.donors:
            block = costs.model.binding["color" if unit.task.family == "color" else "style"]
            stopped[None, block, sizes.of(unit.task)] += len(unit.donors)
    out: defaultdict[str, float] = defaultdict(float)
    for (what, _, mix), pictures in own.items():
        out[what.name] += len(pictures) * mix.mean(partial(costs.own, pictures[0]))
    for (steps, block, mix), count in stopped.items():
        out["capture"] += count * mix.mean(partial(costs.capture, steps, block))
    return dict(out)
