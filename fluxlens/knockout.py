"""Cut what one part of the sequence may read of another.

Context: the paper's attention knockout. Details: ``"ref->text"`` cuts the flow from reference to
text, that is, text *queries* cannot read reference *keys*; a mask is merged into the keyword
arguments of each block, so attention is only told what it may read. Intuition: if a property of
the reference still arrives, it travels by another road.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool
from torch import Tensor

from ._checks import check_attention
from ._context import Context, Run
from .layout import Layout, Region

if TYPE_CHECKING:
    from .models import Flux

Edge = tuple[Region, Region]  # (source of the information, its reader)


def parse_edges(edges: str | Sequence[str]) -> tuple[Edge, ...]:
    """Read ``"ref->text[padding]"``, or several; refuses an edge from a region to itself."""
    out = []
    for name in [edges] if isinstance(edges, str) else edges:
        source, arrow, reader = str(name).replace("→", "->").partition("->")
        if not arrow:
            raise ValueError(f"unknown edge {name!r}; an edge reads like 'ref->text[padding]'")
        edge = Region.parse(source), Region.parse(reader)
        if edge[0].overlaps(edge[1]):
            raise ValueError(
                f"{name!r} would cut tokens off from themselves: an edge joins two regions that "
                "share no token"
            )
        out.append(edge)
    return tuple(out)


def edge_name(edge: Edge) -> str:
    """``"ref->text"``"""
    return f"{edge[0]}->{edge[1]}"


def attention_mask(
    layout: Layout,
    edges: str | Sequence[str] | tuple[Edge, ...],
    rows: Sequence[int] | None = None,
    device: Any = None,
) -> Bool[Tensor, "rows_or_1 1 queries keys"]:
    """What may be read (True) once `edges` are cut, for `rows` of the batch (all by default).

    ```python
    mask = fl.attention_mask(flux.layout(prompt, ref=red), "ref->text")
    flux.pipe(prompt, image=red, attention_kwargs={"attention_mask": mask}, **flux.pipe_kwargs)
    ```
    is a knockout in all blocks without a hook. One mask serves the batch where its rows agree.
    """
    names = [edges] if isinstance(edges, str) else edges
    pairs = [pair for e in names for pair in ((e,) if isinstance(e, tuple) else parse_edges(e))]
    chosen = list(range(layout.rows)) if rows is None else list(rows)
    part = layout.take(chosen)
    cuts = [(part.mask(source, device), part.mask(reader, device)) for source, reader in pairs]
    agree = all(bool((side == side[:1]).all()) for cut in cuts for side in cut)
    shared = agree and len(chosen) == layout.rows
    shape = (1 if shared else layout.rows, 1, layout.length, layout.length)
    mask = torch.ones(shape, dtype=torch.bool, device=device)
    for n, row in enumerate([0] if shared else chosen):
        for keys, queries in cuts:
            mask[row, 0] &= ~(queries[n][:, None] & keys[n][None, :])
    return mask


def merge(existing: Tensor | None, mask: Tensor, rows: int) -> Tensor:
    """Both masks at once; `ValueError` where that leaves a query nothing to read."""
    if existing is None:
        return mask
    if existing.ndim == 2 and existing.shape == (rows, mask.shape[-1]):
        existing = existing[:, None, None, :]  # as attention reads a mask of keys
    if existing.dtype == torch.bool:
        both = existing & mask
        readable = both.any(-1)
    else:
        both = existing.masked_fill(~mask, float("-inf"))
        readable = (both > torch.finfo(both.dtype).min).any(-1)
    if not bool(readable.all()):
        raise ValueError(
            "these cuts together leave some tokens nothing to read, not even themselves; attention "
            "would return nan: drop one of the masks"
        )
    return both


class Knockout(Context):
    """Context manager behind `flux.knockout`."""

    kind = "knockout"

    def __init__(self, flux: Flux, edges: tuple[Edge, ...], **where: Any) -> None:
        super().__init__(flux, **where)
        self.edges = edges
        self._built_for: tuple[Layout, tuple[int, ...]] | None = None
        self._mask: Tensor | None = None

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        return {**super().to_json(row), "cut": [edge_name(e) for e in self.edges]}

    def __enter__(self) -> Any:
        check_attention(self.flux)
        return super().__enter__()

    def prepare(self, run: Run, local: list[int]) -> None:
        for edge in self.edges:
            for region in edge:
                run.layout.take(local).mask(region)
        if (run.layout, tuple(local)) != self._built_for:
            self._built_for, self._mask = (run.layout, tuple(local)), None
        self._merged: dict[int, tuple[Tensor, Tensor]] = {}

    def attach(self, block: str) -> Any:
        def cut(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            if not self.due():
                return None
            joint = dict(kwargs.get("joint_attention_kwargs") or {})
            joint["attention_mask"] = self._with(
                joint.get("attention_mask"), kwargs["hidden_states"].device
            )
            self.count(block)
            return args, {**kwargs, "joint_attention_kwargs": joint}

        return self.flux.module(block).register_forward_pre_hook(cut, with_kwargs=True)

    def _with(self, existing: Tensor | None, device: Any) -> Tensor:
        if self._mask is None or self._mask.device != device:
            assert self._built_for is not None
            self._mask = attention_mask(self._built_for[0], self.edges, self._local, device)
        if existing is None:
            return self._mask
        # every block brings the same masks: merge each once, not once a block
        if id(existing) not in self._merged:
            assert self._built_for is not None
            rows = self._built_for[0].rows
            self._merged[id(existing)] = existing, merge(existing, self._mask, rows)
        return self._merged[id(existing)][1]
