"""Attention without masks: queries that may read the same keys attend together.

Context: a mask of every query against every key is large (76 MB at 8,704 tokens) and rules out the
fast kernels. Details: `Routes` says which edges are cut in each row; it travels to the stock
processors in the place of a mask, and where they call for attention each group of queries attends,
unmasked, to the keys it may read. Intuition: fewer keys are less work, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .layout import Layout, Region

if TYPE_CHECKING:
    from .models import Flux

Edge = tuple[Region, Region]  # (source of the information, its reader)
Heads = Float[Tensor, "rows tokens heads width"]
Place = tuple[slice | Tensor, slice | Tensor]  # rows and positions, as they index a tensor
Order = range | Int[Tensor, " tokens"]
_ALL = slice(None)


class Routes:
    """Which edges are cut in each row of a batch; `only` names the queries whose result is read.

    Other queries give zeros, or are not given at all. A value: `cut` makes another one. The groups
    are found at first use.
    """

    def __init__(
        self, layout: Layout, cuts: Sequence[tuple[Edge, ...]], only: Region | None = None
    ) -> None:
        self.layout, self.cuts, self.only = layout, tuple(cuts), only
        self._places: dict[Any, tuple[list[tuple[Place, Place]], Order | None]] = {}

    def cut(self, edges: tuple[Edge, ...], rows: Sequence[int]) -> Routes:
        """The same with `edges` closed too, in `rows`."""
        cuts = [old + edges * (row in rows) for row, old in enumerate(self.cuts)]
        return Routes(self.layout, cuts, self.only)

    def dense(self, device: Any = None) -> Bool[Tensor, "rows_or_1 1 queries keys"]:
        """The same as a mask, True where a query may read; one for all rows where they agree."""
        kinds = [self._kind(row) for row in range(self.layout.rows)]
        rows = 1 if len(set(kinds)) == 1 else self.layout.rows
        length = self.layout.length
        mask = torch.ones((rows, 1, length, length), dtype=torch.bool, device=device)
        for row in range(rows):
            for keys, queries in self._sides(row):
                mask[row, 0] &= ~(queries.to(device)[:, None] & keys.to(device)[None, :])
        return mask

    def attend(
        self, attention: Callable[..., Heads], query: Heads, key: Heads, value: Heads, **kwargs: Any
    ) -> Heads:
        """What `attention` under the mask would give, from unmasked calls of it."""
        # queries of `only` alone may come without the others
        alone = self.only is not None and query.shape[1] < key.shape[1]
        start = self.layout.span(self.only)[0] if self.only and alone else 0
        where = query.device, start
        if where not in self._places:
            self._places[where] = _places(self._told(), self.cuts, self.only, *where)
        groups, order = self._places[where]
        results = (
            attention(_take(query, at), _take(key, read), _take(value, read), **kwargs)
            for at, read in groups
        )
        if order is not None and len(order) == query.shape[1]:
            joined = torch.cat(list(results), dim=1)
            return joined if isinstance(order, range) else joined.index_select(1, order)
        zeros = self.only is not None and not alone
        out = query.new_zeros(query.shape) if zeros else query.new_empty(query.shape)
        for (at, _), result in zip(groups, results, strict=True):
            out[at] = result
        return out

    def _told(self) -> Layout:
        """The layout, without the prompts where nobody asks where their words stand."""
        edges = {region for row in self.cuts for edge in row for region in edge}
        parts = any(
            region.kind == "text" and region.part for region in (*edges, self.only) if region
        )
        return self.layout if parts else replace(self.layout, texts=None)

    def _kind(self, row: int) -> Any:
        """Rows of one kind have the same cuts at the same positions."""
        texts = self.layout.texts
        return self.cuts[row], texts and (texts[row].content, texts[row].template)

    def _sides(self, row: int) -> list[tuple[Tensor, Tensor]]:
        """For each edge: the keys that are cut off, and the queries that lose them."""
        part = self.layout.take([row])
        return [(part.mask(source)[0], part.mask(reader)[0]) for source, reader in self.cuts[row]]

    def _readable(self, row: int) -> dict[bytes, Bool[Tensor, " sequence"]]:
        """Sets of keys, and the queries that may read just these."""
        sides = self._sides(row)
        wanted = torch.ones(self.layout.length, dtype=torch.bool)
        if self.only:
            wanted = self.layout.take([row]).mask(self.only)[0]
        readers = torch.zeros(self.layout.length, dtype=torch.long)
        for n, (_, queries) in enumerate(sides):
            readers += queries.long() << n
        out: dict[bytes, Tensor] = {}
        for kind in readers[wanted].unique().tolist():
            keys = torch.ones(self.layout.length, dtype=torch.bool)
            for n, (lost, _) in enumerate(sides):
                if kind >> n & 1:
                    keys &= ~lost
            name, queries = keys.numpy().tobytes(), wanted & (readers == kind)
            out[name] = out[name] | queries if name in out else queries
        return out

    def _groups(self, start: int = 0) -> list[tuple[Place, Place]]:
        """(queries, keys) of each call; rows under the same cuts share one.

        Queries are counted from position `start`.
        """
        found: dict[Any, dict[bytes, Tensor]] = {}
        members: dict[tuple[tuple[Edge, ...], bytes], list[tuple[int, Tensor]]] = {}
        for row, edges in enumerate(self.cuts):
            kind = self._kind(row)
            if kind not in found:
                found[kind] = self._readable(row)
            for keys, queries in found[kind].items():
                members.setdefault((edges, keys), []).append((row, queries.nonzero()[:, 0] - start))
        out = []
        for (_, name), group in members.items():
            readable = torch.tensor(list(name)).nonzero()[:, 0]
            rows, lists = [row for row, _ in group], [positions for _, positions in group]
            queries = lists[0]
            if any(not torch.equal(queries, other) for other in lists):
                # words stand elsewhere in each row: shorter lists repeat their last query
                longest = max(map(len, lists))
                filled = [torch.cat([p, p[-1:].expand(longest - len(p))]) for p in lists]
                queries = torch.stack(filled)
            of = len(self.cuts)
            out.append((_place(rows, queries, of), _place(rows, readable, of)))
        return out


@lru_cache(maxsize=64)
def _places(
    layout: Layout,
    cuts: tuple[tuple[Edge, ...], ...],
    only: Region | None,
    device: torch.device,
    start: int,
) -> tuple[list[tuple[Place, Place]], Order | None]:
    """`Routes._groups`, found once for all runs of a kind, and how their results are joined.

    Where the groups are of whole columns of the batch, position n of what they make is the n-th of
    `order` in their results behind one another; else each must be written to its place.
    """
    groups = Routes(layout, cuts, only)._groups(start)
    there = [(_moved(at, device), _moved(read, device)) for at, read in groups]
    if any(at[0] is not _ALL for at, _ in groups):
        return there, None
    numbers = torch.arange(layout.length)
    found = torch.cat([numbers[at[1]] for at, _ in groups])
    order = found.argsort()
    if not torch.equal(found[order], numbers[: len(order)]):
        return there, None
    in_order = torch.equal(order, numbers[: len(order)])
    return there, range(len(order)) if in_order else order.to(device)


def _moved(place: Place, device: torch.device) -> Place:
    rows, along = (part.to(device) if isinstance(part, Tensor) else part for part in place)
    return rows, along


def _take(heads: Heads, place: Place) -> Heads:
    """``heads[place]``, at less cost where all rows are meant: small models wait for each call."""
    rows, along = place
    if rows is not _ALL:
        return heads[place]
    if isinstance(along, Tensor):
        return heads.index_select(1, along)
    length = along.stop - along.start
    return heads if length == heads.shape[1] else heads.narrow(1, along.start, length)


def _place(rows: list[int], positions: Int[Tensor, "*rows tokens"], of: int) -> Place:
    """Slices where they do, indices (and so a copy) where the positions are scattered.

    `rows` of a batch of `of`.
    """
    across = _ALL if len(rows) == of else _span(torch.tensor(rows))
    along = _span(positions) if positions.ndim == 1 else positions
    if isinstance(along, Tensor) and (along.ndim == 2 or isinstance(across, Tensor)):
        across = torch.tensor(rows)[:, None]
    return across, along


def _span(numbers: Int[Tensor, " tokens"]) -> slice | Tensor:
    first, last = int(numbers[0]), int(numbers[-1])
    return slice(first, last + 1) if last - first + 1 == len(numbers) else numbers


def why_masked(flux: Flux, block: str) -> str | None:
    """Why a block's attention cannot be split into groups; None if it can."""
    from diffusers.models.transformers import transformer_flux2 as stock

    module: Any = flux.module(block)
    processor = module.attn.processor
    if type(processor) not in (stock.Flux2AttnProcessor, stock.Flux2ParallelSelfAttnProcessor):
        return f"{block} runs {type(processor).__name__}"
    if processor._parallel_config is not None:
        return f"the attention of {block} is spread over devices"
    return None


def unread_behind(flux: Flux) -> bool:
    """Whether nobody but the pipeline sees what comes out of the last block: nobody asks."""
    return False


_open = 0
_before: Any = None


@contextmanager
def installed() -> Iterator[None]:
    """Let the stock processors understand `Routes`; every other mask goes its old way."""
    from diffusers.models.transformers import transformer_flux2 as stock

    global _open, _before
    if not _open:
        _before = stock.dispatch_attention_fn
        stock.dispatch_attention_fn = _dispatch
    _open += 1
    try:
        yield
    finally:
        _open -= 1
        if not _open:
            stock.dispatch_attention_fn = _before


def _dispatch(
    query: Heads, key: Heads, value: Heads, attn_mask: Any = None, **kwargs: Any
) -> Heads:
    if isinstance(attn_mask, Routes):
        return attn_mask.attend(_before, query, key, value, **kwargs)
    return _before(query, key, value, attn_mask=attn_mask, **kwargs)
