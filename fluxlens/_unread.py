"""Leave undone what the last block would make for nobody.

Context: of the last block's output the pipeline reads the image's tokens alone. Details: of text
and reference only the keys and values are computed there, which the image's queries read; queries,
feed-forward and output of these rows are not, and the output layer never sees them. Intuition: the
picture is the same to rounding, for an edit's last block at under half the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ._attention import Routes, unread_behind, why_masked

if TYPE_CHECKING:
    from .models import Flux

Rows = Float[Tensor, "rows tokens width"]


@contextmanager
def image_only(flux: Flux, text: int, image: int) -> Iterator[None]:
    """Run the last block for the image's tokens only, wherever that is the stock arithmetic.

    The sequence is `text` tokens, `image` tokens, and any number of reference tokens. Where
    somebody listens behind the block, or it is not the stock block (offloaded, quantized,
    compiled, under a mask), it runs whole.
    """
    name = flux.blocks[-1]
    block: Any = flux.module(name)
    if not _is_stock(block) or why_masked(flux, name):
        yield
        return
    whole = block.forward

    def forward(*args: Any, joint_attention_kwargs: Any = None, **kwargs: Any) -> Any:
        routes = (joint_attention_kwargs or {}).get("attention_mask")
        known = {"hidden_states", "encoder_hidden_states", "temb_mod", "image_rotary_emb"}
        free = routes is None or (isinstance(routes, Routes) and routes.only is not None)
        plain = not args and kwargs.keys() == known and kwargs["encoder_hidden_states"] is None
        if not (plain and free and unread_behind(flux)):
            return whole(*args, joint_attention_kwargs=joint_attention_kwargs, **kwargs)
        hidden, angles = kwargs["hidden_states"], kwargs["image_rotary_emb"]
        made = _rows(block, hidden, kwargs["temb_mod"], angles, slice(text, text + image), routes)
        # the transformer takes the text's rows off, whatever is in them
        return torch.cat([hidden[:, :text], made], dim=1)

    block.forward = forward
    try:
        yield
    finally:
        del block.forward


def _is_stock(block: Any) -> bool:
    from diffusers.models.transformers import transformer_flux2 as stock

    if type(block) is not stock.Flux2SingleTransformerBlock or block._compiled_call_impl:
        return False
    linear = block.attn.to_qkv_mlp_proj, block.attn.to_out
    # offloading puts a forward of its own on what it moves
    moved = any("forward" in vars(module) for module in block.modules())
    return all(type(module) is nn.Linear for module in linear) and not moved


def _rows(
    block: Any, hidden: Rows, moment: Tensor, angles: Any, at: slice, routes: Routes | None
) -> Rows:
    """The block's output at some rows: its arithmetic, where their attention reads all rows."""
    from diffusers.models.transformers import transformer_flux2 as stock

    shift, scale, gate = stock.Flux2Modulation.split(moment, 1)[0]
    normed = (1 + scale) * block.norm(hidden) + shift
    own, attn = normed[:, at], block.attn
    width, into = attn.inner_dim, attn.to_qkv_mlp_proj

    def project(rows: Rows, outputs: slice) -> Rows:
        bias = None if into.bias is None else into.bias[outputs]
        return functional.linear(rows, into.weight[outputs], bias)

    def heads(rows: Rows) -> Tensor:
        return rows.unflatten(-1, (-1, attn.head_dim))

    query = attn.norm_q(heads(project(own, slice(0, width))))
    key, value = map(heads, project(normed, slice(width, 3 * width)).chunk(2, dim=-1))
    key = attn.norm_k(key)
    if angles is not None:
        own_angles = tuple(angle[at] for angle in angles)
        query = stock.apply_rotary_emb(query, own_angles, sequence_dim=1)
        key = stock.apply_rotary_emb(key, angles, sequence_dim=1)
    backend = attn.processor._attention_backend
    read = stock.dispatch_attention_fn(query, key, value, attn_mask=routes, backend=backend)
    read = read.flatten(2, 3).to(query.dtype)
    gated = attn.mlp_act_fn(project(own, slice(3 * width, None)))
    out = hidden[:, at] + gate * attn.to_out(torch.cat([read, gated], dim=-1))
    return out.clip(-65504, 65504) if out.dtype == torch.float16 else out
