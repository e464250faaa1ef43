"""Cut what one part of the sequence may read of another.

Context: the paper's attention knockout. Details: ``"ref->text"`` cuts the flow from reference to
text, that is, text *queries* cannot read reference *keys*; what may be read goes into the keyword
arguments of each block, as `Routes` (no mask, less work) or, where that cannot be, as a mask.
Intuition: if a property of the reference still arrives, it travels by another road.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool
from torch import Tensor

from ._attention import Edge, Routes, installed, unread_behind, why_masked
from ._checks import check_attention
from ._context import Context, Run
from .layout import Layout, Region

if TYPE_CHECKING:
    from .models import Flux

_IMAGE = Region("image")


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
    edges: str | Sequence[str],
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
    chosen = range(layout.rows) if rows is None else rows
    return Routes(layout, [()] * layout.rows).cut(parse_edges(edges), chosen).dense(device)


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
    """Context manager behind `flux.knockout`; `because` says what forced the mask, if it did."""

    kind = "knockout"

    def __init__(
        self, flux: Flux, edges: tuple[Edge, ...], *, attention: str = "auto", **where: Any
    ) -> None:
        super().__init__(flux, **where)
        if attention not in ("auto", "mask"):
            raise ValueError(f"attention is 'auto' or 'mask', not {attention!r}")
        self.edges = edges
        self._wanted = "asked for" if attention == "mask" else None
        self.because = self._forced = self._force()
        self._layout: Layout | None = None
        self._rows: list[int] = []
        self._made: dict[Any, tuple[Any, Routes | Tensor | None]] = {}
        self._dispatch = ExitStack()

    def _force(self) -> str | None:
        reasons = (why_masked(self.flux, block) for block in self.blocks)
        return self._wanted or next(filter(None, reasons), None)

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        """As every context's, with the cut and how it is made: "mask-free", or "mask" and why."""
        how = {"attention": "mask", "because": self.because}
        return {
            **super().to_json(row),
            "cut": [edge_name(e) for e in self.edges],
            **(how if self.because else {"attention": "mask-free"}),
        }

    def __enter__(self) -> Any:
        check_attention(self.flux)
        bound = super().__enter__()
        self.because = self._forced = self._force()
        self._layout = None
        self._dispatch.enter_context(installed())
        return bound

    def _close(self) -> None:
        self._dispatch.close()
        super()._close()

    def prepare(self, run: Run, local: list[int]) -> None:
        for edge in self.edges:
            for region in edge:
                run.layout.take(local).mask(region)
        same = self._layout == run.layout and self._rows == local
        kept = self._made.items() if same else ()
        self._made = {key: made for key, made in kept if not isinstance(made[0], Tensor)}
        self._layout, self._rows = run.layout, local

    def attach(self, block: str) -> Any:
        last = block == self.flux.blocks[-1]

        def cut(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            if not self.due():
                return None
            joint = kwargs.get("joint_attention_kwargs") or {}
            existing = joint.get("attention_mask")
            text, hidden = kwargs["encoder_hidden_states"], kwargs["hidden_states"]
            length = hidden.shape[1] + (0 if text is None else text.shape[1])
            masked = self._forced or isinstance(existing, Tensor)
            only = _IMAGE if last and not masked and unread_behind(self.flux) else None
            key = id(existing), length, only, hidden.device
            if key not in self._made:
                # kept beside what it was made from, whose id then stays its own
                self._made[key] = existing, self._make(existing, length, only, hidden.device)
            self.count(block)
            joint = {**joint, "attention_mask": self._made[key][1]}
            return args, {**kwargs, "joint_attention_kwargs": joint}

        return self.flux.module(block).register_forward_pre_hook(cut, with_kwargs=True)

    def _make(
        self, existing: Any, length: int, only: Region | None, device: Any
    ) -> Routes | Tensor | None:
        """What goes in the place of the block's mask: `existing` with these edges cut too."""
        layout, edges = self._layout, self.edges
        assert layout is not None
        if length < layout.length:  # the references are out of the sequence: nothing reads them
            layout = layout.without_refs()
            edges = tuple(edge for edge in edges if all(side.kind != "ref" for side in edge))
        if not edges:
            return existing
        if isinstance(existing, Tensor):
            self.because = self.because or "the call brings a mask of its own"
            mask = Routes(layout, [()] * layout.rows).cut(edges, self._rows).dense(device)
            return merge(existing, mask, layout.rows)
        routes = existing or Routes(layout, [()] * layout.rows, only)
        routes = routes.cut(edges, self._rows)
        return routes.dense(device) if self._forced else routes
