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
from fluxlens._attention import Routes, installed

from fluxlens.core import Layout, TextTokens, parse_edges

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
    return Layout(1, text, (side, side), ((side, side),), (TextTokens("", text, words, template),))


def block_of(kind: str, dtype: torch.dtype, lengths: Sequence[int]) -> Callable[..., Any]:
    """A block and random inputs of each length, as a function of the length and of the mask."""
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

    return run


def cases(kind: str, tokens: int, dtype: torch.dtype, few: bool = False) -> list[Case]:
    """The block plain, under each cut with and without a mask, and without the reference.

    With `few` what the goals name: the two whole cuts, and the mask of one of them.
    """
    layout = layout_of(tokens)
    text, length, without = layout.text, layout.length, layout.without_refs().length
    block = block_of(kind, dtype, [length, without])

    def free(routes: Routes) -> None:
        with installed():
            block(length, text, routes)

    def dense(routes: Routes) -> None:
        block(length, text, _additive(routes, dtype))

    out = [
        Case("block", lambda: block(length, text)),
        Case("block without reference", lambda: block(without, text), "block"),
    ]
    for cut in CUTS[:2] if few else CUTS:
        routes = Routes(layout, [parse_edges(cut)])
        out += [
            Case(cut, partial(free, routes), "block", 1.0),
            # made at each call, as at each task: kept, four of them would fill the memory
            Case(f"{cut}, attention_kwargs", partial(dense, routes), "block"),
        ]
    skipped = ("block without reference", "ref->text, attention_kwargs") if few else ()
    return [case for case in out if case.name not in skipped]


def _additive(routes: Routes, dtype: torch.dtype) -> torch.Tensor:
    allowed = routes.dense()
    return torch.zeros(allowed.shape, dtype=dtype).masked_fill_(~allowed, float("-inf"))
