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

STEPS = 4
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
    """A recipe's operations, all its forwards together, and as a share of a four-step edit's."""

    recipe: str
    forwards: int
    flops: float
    ratio: float
    goal: float | None = None


def ratios(model: ModelShape, image: int = 4096, ref: int = 4096) -> list[Ratio]:
    """The recipes at `image` and `ref` tokens (default: 1024² with a reference of 1024²)."""
    tokens = Tokens(model.text_tokens, image, ref)
    edit = STEPS * model.transformer.forward(tokens).total
    goals = GOALS if model.name == "klein-9b" and image == ref == 4096 else {}
    return [
        Ratio(name, forwards, flops, flops / edit, goals.get(name))
        for name, forwards, flops in _costs(model, tokens)
    ]


def _costs(model: ModelShape, tokens: Tokens) -> Iterator[tuple[str, int, float]]:
    """As the recipes and a study run them."""
    forward = model.transformer.forward
    edit, generation = forward(tokens).total, forward(tokens.without_refs()).total
    yield "plain edit", STEPS, STEPS * edit
    yield "generation", STEPS, STEPS * generation
    for cut in CUTS:
        yield f"knockout {cut}", STEPS, STEPS * forward(tokens, cut=(cut,)).total
    style, color = model.binding["style"], model.binding["color"]
    for block in (style, color):
        dropped = forward(tokens, cut=("ref->image",), ref_until=block).total
        yield f"reference dropped after {block}", STEPS, STEPS * dropped
    stopped = {block: forward(tokens, last=block).total for block in (style, color)}
    yield f"T2I Lens, capture at {style}", 1, stopped[style]
    yield "T2I Lens, capture and generation", 1 + STEPS, stopped[style] + STEPS * generation
    yield f"color lens, capture at {color} and generation", 2, stopped[color] + generation
    for block in (style, color):
        source = (STEPS - 1) * edit + stopped[block]
        yield f"patch at {block}, source and target", 2 * STEPS, source + STEPS * edit
