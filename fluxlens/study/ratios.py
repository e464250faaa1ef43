"""Every recipe's operations beside the plain edit that it studies, at one size.

>>> [row.recipe for row in ratios(model_shape("klein-9b"))][:2]
['plain edit', 'generation']
>>> f"{ratios(model_shape('klein-9b'))[1].ratio:.3f}"
'0.468'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fluxlens.study.flops import Tokens
from fluxlens.study.shapes import ModelShape

__all__ = ["Ratio", "ratios"]

CUTS = ("ref->image", "ref->text", "ref->text[padding]", "ref->text[content]")


# What a recipe may take of the plain edit at 1024² with a reference of 1024², on klein-9b.
GOALS = {
    "knockout ref->image": 0.95,
    "knockout ref->text": 0.995,
    "reference dropped after double.7": 0.60,
    "reference dropped after single.9": 0.75,
    "T2I Lens, capture at double.7": 0.065,
}


@dataclass(frozen=True)
class Ratio:
    """A recipe's operations, all its forwards together, and as a share of a plain edit's."""

    recipe: str
    forwards: int
    flops: float
    ratio: float
    goal: float | None = None


def ratios(model: ModelShape, image: int = 4096, ref: int = 4096) -> list[Ratio]:
    """The recipes at `image` and `ref` tokens (default: 1024² with a reference of 1024²)."""
    tokens = Tokens(model.text_tokens, image, ref)
    edit = model.sampling.forwards() * model.transformer.forward(tokens).total
    goals = GOALS if model.name == "klein-9b" and image == ref == 4096 else {}
    return [
        Ratio(name, forwards, flops, flops / edit, goals.get(name))
        for name, forwards, flops in _costs(model, tokens)
    ]


def _costs(model: ModelShape, tokens: Tokens) -> Iterator[tuple[str, int, float]]:
    """As the recipes and a study run them."""
    forward = model.transformer.forward
    edit, generation = forward(tokens).total, forward(tokens.without_refs()).total
    count, once = model.sampling.forwards(), model.sampling.forwards(1)
    steps, again = model.sampling.steps, count - model.sampling.steps  # conditional, and the rest
    yield "plain edit", count, count * edit
    yield "generation", count, count * generation
    for cut in CUTS:
        yield f"knockout {cut}", count, steps * forward(tokens, cut=(cut,)).total + again * edit
    style, color = model.binding["style"], model.binding["color"]
    for block in (style, color):
        dropped = forward(tokens, cut=("ref->image",), ref_until=block).total
        yield f"reference dropped after {block}", count, steps * dropped + again * edit
    stopped = {block: forward(tokens, last=block).total for block in (style, color)}
    yield f"T2I Lens, capture at {style}", 1, stopped[style]
    yield "T2I Lens, capture and generation", 1 + count, stopped[style] + count * generation
    both = stopped[color] + once * generation
    yield f"color lens, capture at {color} and generation", 1 + once, both
    before = model.sampling.forwards(stops=True) - 1
    for block in (style, color):
        source = before * edit + stopped[block]
        yield f"patch at {block}, source and target", 1 + before + count, source + count * edit
