"""One block of klein-9B's real width under every cut: 4096 wide, 32 heads of 128, MLP 12288.

Random weights, a square picture edited with one of its own size: ``tokens`` of 8704 are 512 of text
and two pictures of 4096. At full size a call takes up to a minute on a few cores and some 4 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isqrt
from typing import Any

import torch
from diffusers.models.transformers import transformer_flux2 as stock

from fluxlens.core import Bias, Layout, TextTokens, parse_edges, seam

from .measure import Case
from .recipes import CUTS

WIDTH, HEADS, HEAD = 4096, 32, 128


def layout_of(tokens: int, text: int = 512, content: int = 12) -> Layout:
    """Text, and the largest square picture that fits twice behind it."""
    side = isqrt((tokens - text) // 2)
    if side < 1:
        raise ValueError(f"{tokens} tokens leave no room for a picture behind {text} of text")
    words = tuple(range(3, 3 + content))
    template = (0, 1, 2, *range(3 + content, 12 + content))
    tokens_of = TextTokens("", text, {"content": words, "template": template})
    return Layout(1, text, (side, side), ((side, side),), (tokens_of,))


def block_of(
    kind: str, dtype: torch.dtype, lengths: Sequence[int]
) -> tuple[torch.nn.Module, Callable[..., Any]]:
    """A block, and its forward on random inputs as a function of their length and of the mask."""
    torch.manual_seed(0)
    single = kind == "single"
    made = stock.Flux2SingleTransformerBlock if single else stock.Flux2TransformerBlock
    with torch.device("meta"):
        block = made(WIDTH, HEADS, HEAD).to(dtype)
    block = block.to_empty(device="cpu").eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.02)

    joints = {length: torch.randn(1, length, WIDTH, dtype=dtype) for length in lengths}
    rotary = torch.randn(2, max(lengths), HEAD)
    moment = torch.randn(1, WIDTH * (3 if single else 6), dtype=dtype) * 0.1

    @torch.no_grad()
    def run(length: int, text: int, mask: Any = None) -> Any:
        joint, angles = joints[length], (rotary[0, :length], rotary[1, :length])
        more = {"image_rotary_emb": angles, "joint_attention_kwargs": {"attention_mask": mask}}
        if single:
            return block(joint, None, moment, **more)
        return block(joint[:, text:], joint[:, :text], moment, moment, **more)

    return block, run


def cases(kind: str, tokens: int, dtype: torch.dtype, few: bool = False) -> list[Case]:
    """The block plain, under each cut and a gain with and without a mask, read, and without the
    reference.

    With `few` what the goals name: the two whole cuts, a gain, a reading, and the mask of one cut.
    """
    layout = layout_of(tokens)
    text, length, without = layout.text, layout.length, layout.without_refs().length
    made, block = block_of(kind, dtype, [length, without])

    def free(plan: seam.Plan, *observers: Callable[..., Any]) -> None:
        undo = seam.install(made, plan)
        seam.announced.now = seam.Announcement(plan, observers)
        try:
            block(length, text)
        finally:
            seam.announced.now = None
            undo()

    def dense(plan: seam.Plan) -> None:
        mask = plan.mask(HEADS)
        if mask.dtype == torch.bool:  # as the paper's authors hand it over
            mask = torch.zeros(mask.shape).masked_fill_(~mask, float("-inf"))
        block(length, text, mask.to(dtype))

    def read(plan: seam.Plan, query: Any, key: Any, out: Any, **call: Any) -> None:
        for _, weights in plan.weights(query, key, pads, 0, **call):
            weights[..., start:stop].sum(2)

    pads, (start, stop) = torch.tensor(layout.positions("text[pad]")), layout.span("ref")
    out = [
        Case("block", lambda: block(length, text)),
        Case("block without reference", lambda: block(without, text), "block"),
        Case("reading ref->text[pad]", lambda: free(seam.Plan(layout, ()), read), "block", 1.05),
    ]
    cuts = CUTS[:2] if few else CUTS
    for name, edge, amount, goal in (
        *((cut, cut, float("-inf"), 1.0) for cut in cuts),
        ("gain of ref->text[pad]", "ref->text[pad]", 2.0, 1.03),
    ):
        plan = seam.Plan(layout, [Bias(*parse_edges(edge), amount)])
        out += [
            Case(name, partial(free, plan), "block", goal),
            # made at each call, as at each task: kept, four of them would fill the memory
            Case(f"{name}, attention_kwargs", partial(dense, plan), "block"),
        ]
    skipped = {"block without reference", "ref->text, attention_kwargs"}
    skipped.add("gain of ref->text[pad], attention_kwargs")
    return [case for case in out if not few or case.name not in skipped]
