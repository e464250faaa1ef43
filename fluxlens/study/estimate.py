"""What a plan takes, before anything runs: operations, hours, disk, a judge's tokens and dollars.

>>> plan, sizes = make_plan("mini", choose()), Sizes("paper", standing_in=True)
>>> estimate = make_estimate(plan, model_shape("klein-9b"), sizes, tflops=396, price=price)
>>> f"{estimate.flops / 1e18:.2f} EFLOP, {estimate.hours:.1f} GPU-hours"
'6.50 EFLOP, 4.6 GPU-hours'

Operations are counted on the model's configuration, everything else follows from them and from the
pictures' sizes. The same cells as the authors' released code runs them stand beside it.
"""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fluxlens.judge.prices import Price
from fluxlens.study.costs import Costs, transformer_flops
from fluxlens.study.judging import Bill, judging
from fluxlens.study.plan import Plan
from fluxlens.study.released import ReleasedCell, released
from fluxlens.study.sampling import KLEIN, Sampling
from fluxlens.study.shapes import ModelShape
from fluxlens.study.sizes import TOKEN, Mix, Sizes
from fluxlens.study.treatments import Edit

__all__ = ["SUSTAINED", "Estimate", "Gpu", "Line", "gpus", "make_estimate"]

# The share of a GPU's bfloat16 peak that is assumed where no rate is given: 396 TFLOP/s of an H100.
# The authors' 18 H200-hours are 0.16 of it, one picture at a time (Appendix G).
SUSTAINED = 0.4
PNG_BYTES = 1.6  # a pixel of a photograph takes in a PNG file; 3 is the most


@dataclass(frozen=True)
class Gpu:
    """A GPU as in ``gpus.toml``: dense bfloat16 TFLOP/s at most, and GB of memory."""

    name: str
    tflops: float
    memory: float
    source: str


def gpus() -> dict[str, Gpu]:
    """The GPUs whose data sheets are known: ``gpus()["h100"].tflops``."""
    text = Path(__file__).with_name("gpus.toml").read_text(encoding="utf-8")
    return {name: Gpu(name, **facts) for name, facts in tomllib.loads(text).items()}


@dataclass(frozen=True)
class Line:
    """A recipe in all its variants: its pictures, forwards, operations, bytes and judges.

    ``transformer`` and ``vae`` are operations; ``text`` and ``reference`` are lines too, what is
    encoded once for all, and ``capture`` the source runs that make no picture.
    """

    recipe: str
    images: int = 0
    forwards: int = 0
    transformer: float = 0
    vae: float = 0
    text: float = 0
    disk: float = 0
    bill: Bill = field(default_factory=Bill)

    @property
    def flops(self) -> float:
        return self.transformer + self.vae + self.text


@dataclass(frozen=True)
class Estimate:
    """A plan's price on one GPU that sustains `tflops`."""

    model: str
    tflops: float
    lines: tuple[Line, ...]
    shared_only: float  # the transformer's operations, with every forward run to its end
    released: tuple[ReleasedCell, ...]  # none for another sampling than the distilled klein's
    sampling: Sampling = KLEIN

    @cached_property
    def total(self) -> Line:
        """All lines together."""
        return Line(
            "in all",
            images=sum(line.images for line in self.lines),
            forwards=sum(line.forwards for line in self.lines),
            transformer=sum(line.transformer for line in self.lines),
            vae=sum(line.vae for line in self.lines),
            text=sum(line.text for line in self.lines),
            disk=sum(line.disk for line in self.lines),
            bill=sum((line.bill for line in self.lines), Bill()),
        )

    @property
    def flops(self) -> float:
        """All operations: transformer, text encoder, VAE."""
        return self.total.flops

    @property
    def hours(self) -> float:
        return self.hours_of(self.flops)

    def hours_of(self, flops: float) -> float:
        """How long so many operations take."""
        return flops / (self.tflops * 1e12) / 3600

    @property
    def counted(self) -> float:
        """Transformer and text encoder, as the published figures count: without the VAE."""
        return self.total.transformer + self.total.text

    @property
    def released_counted(self) -> float:
        """The same of the authors' schedule."""
        return sum(cell.transformer + cell.text for cell in self.released)


def make_estimate(
    plan: Plan,
    model: ModelShape,
    sizes: Sizes,
    *,
    tflops: float,
    price: Price,
    nulls: bool = False,
) -> Estimate:
    """Price a plan: `sizes` say how large its tasks are, `price` what a judge's tokens cost.

    With `nulls` the judge is asked about the null controls too.
    """
    if not tflops > 0:
        raise ValueError(f"a rate is above 0 TFLOP/s, not {tflops!r}")
    costs = Costs(model)
    work = transformer_flops(plan, sizes, costs)
    bills = judging(plan, sizes, price, nulls)
    vae, disk = _pictures(plan, sizes, costs)
    lines = [
        Line(
            recipe=recipe,
            images=images,
            forwards=forwards,
            transformer=work[recipe],
            vae=vae[recipe],
            disk=disk[recipe],
            bill=bills.get(recipe, Bill()),
        )
        for recipe, (images, forwards) in plan.counts().items()
    ]
    unshared = transformer_flops(plan, sizes, Costs(model, shared_only=True))
    return Estimate(
        model=model.name,
        tflops=tflops,
        lines=(*_preparation(plan, sizes, costs), *lines),
        shared_only=sum(unshared.values()),
        released=tuple(released(plan, sizes, model)) if model.sampling == KLEIN else (),
        sampling=model.sampling,
    )


def _pictures(plan: Plan, sizes: Sizes, costs: Costs) -> tuple[dict[str, float], dict[str, float]]:
    """Recipe → the VAE's operations, and bytes on disk, of its pictures."""
    made: Counter[tuple[str, Mix]] = Counter((p.recipe, sizes.of(p.task)) for p in plan)
    vae: defaultdict[str, float] = defaultdict(float)  # captures make no picture
    disk: defaultdict[str, float] = defaultdict(float)
    for (recipe, mix), count in made.items():
        vae[recipe] += count * mix.mean(costs.decode)
        disk[recipe] += count * mix.mean(lambda size: PNG_BYTES * size.pixels)
    return vae, disk


def _preparation(plan: Plan, sizes: Sizes, costs: Costs) -> tuple[Line, Line]:
    """Each distinct prompt and each distinct reference, encoded once.

    Where rows run one by one, by the stock call, every run encodes its own, and under true guidance
    a second prompt.
    """
    model = costs.model
    if sizes.standing_in:
        tasks = {task.task_id: task for p in plan for task in (p.task, p.origin)}
        families = Counter(task.family for task in tasks.values())
        prompts = sizes.prompts(families) + ("" in plan.prompts)
        references = [(sizes.of_family(f), n) for f, n in sizes.references(families).items()]
    else:
        prompts = len(plan.prompts)
        references = [(sizes.of(task), 1) for task in plan.references.values()]
    text = model.text.encode(model.text_tokens).total
    count = sum(number for _, number in references)
    encoded = references
    if not plan.sampling.batches:
        runs = _runs(plan, sizes)
        prompts = plan.sampling.passes * runs.total()
        encoded = [(mix, number) for (mix, reads), number in runs.items() if reads]
    vae = sum(number * mix.mean(costs.encode) for mix, number in encoded)
    disk = sum(
        number * mix.mean(lambda size: PNG_BYTES * size.ref * TOKEN**2)
        for mix, number in references
    )
    return Line("text", text=prompts * text), Line("reference", count, vae=vae, disk=disk)


def _runs(plan: Plan, sizes: Sizes) -> Counter[tuple[Mix, bool]]:
    """Runs of the model by their size, and whether they read a reference."""
    runs: Counter[tuple[Mix, bool]] = Counter()
    for unit in plan.units:
        edits = len(unit.donors) + (unit.source_run is not None)
        runs[sizes.of(unit.task), True] += edits
        for picture in unit.pictures:
            if not isinstance(picture.treatment, Edit):
                runs[sizes.of(picture.task), picture.treatment.recipe.reads_ref] += 1
    return runs
