"""The one seam for attention: what is announced for a block is done where its processor calls.

Context: every transformer of `diffusers` calls attention by one name, the module global
`dispatch_attention_fn` of its own module. Details: while an intervention on attention is open that
name is wrapped; a hook on a block announces a `Plan`, and the wrapped function carries it out:
queries that may read the same keys attend together in an unmasked call (a *cut*), and a *gain* is
one more channel, 1 on the readers' queries and λ·√d on the sources' keys. Intuition: fewer keys are
less work, nothing else changes, and a matrix of the sequence by the sequence is never made.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fluxlens.errors import FiringError, ModelError

from .layout import Layout, Region

Heads = Float[Tensor, "rows tokens heads width"]
Attention = Callable[..., Heads]
Span = slice | Tensor  # positions, as they index a tensor
_CUT = float("-inf")


@dataclass(frozen=True)
class Edge:
    """The flow of information from one region to another: ``Edge.parse("ref->text[padding]")``.

    ``"ref->text"`` means that text *queries* read reference *keys*.
    """

    source: Region
    reader: Region

    @classmethod
    def parse(cls, name: str | Edge | tuple[str | Region, str | Region]) -> Edge:
        """Read an edge's name, or a pair of regions; `ValueError` if the two share tokens."""
        if isinstance(name, Edge):
            return name
        if isinstance(name, tuple):
            source, reader = name
        else:
            source, arrow, reader = str(name).replace("→", "->").partition("->")
            if not arrow:
                raise ValueError(f"unknown edge {name!r}; an edge reads like 'ref->text[padding]'")
        edge = cls(Region.parse(source), Region.parse(reader))
        if edge.source.overlaps(edge.reader):
            raise edge.shared()
        return edge

    def shared(self) -> ValueError:
        """The error for an edge whose two regions share tokens."""
        return ValueError(
            f"'{self}' would cut tokens off from themselves: an edge joins two regions that share "
            "no token"
        )

    def __str__(self) -> str:
        return f"{self.source}->{self.reader}"


def parse_edges(edges: Any) -> tuple[Edge, ...]:
    """One edge or several: a name, an `Edge`, or a list or tuple of them."""
    several = isinstance(edges, list | tuple) and not (
        len(edges) == 2 and all(isinstance(e, Region) for e in edges)
    )
    return tuple(Edge.parse(edge) for edge in (edges if several else [edges]))


@dataclass(frozen=True)
class Bias:
    """`amount` is added to the logits of an edge, in some rows and heads (all if None).

    Minus infinity is a cut.
    """

    edge: Edge
    amount: float
    rows: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """Queries that attend together: where they are, the keys they read, and a bias on these."""

    queries: Span
    keys: Span
    bias: Float[Tensor, " keys"] | None

    @cache  # noqa: B019 - of a handful of groups, which live as long as they are known
    def channels(self, scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Two more channels, of queries [8] and keys [keys, 8], whose product is the bias.

        The second holds what the number format rounds off the first; kernels want their channels in
        eights.
        """
        assert self.bias is not None
        exact = self.bias / scale
        first = exact.to(dtype)
        rest = (exact - first.to(exact.dtype)).to(dtype)
        on_queries, on_keys = first.new_zeros(8), first.new_zeros(len(first), 8)
        on_queries[:2] = 1
        on_keys[:, 0], on_keys[:, 1] = first, rest
        return on_queries, on_keys

    def attend(
        self, attention: Attention, query: Heads, key: Heads, value: Heads, **kwargs: Any
    ) -> Heads:
        """Call attention for these queries and keys alone."""
        query, key, value = (
            _take(query, self.queries),
            _take(key, self.keys),
            _take(value, self.keys),
        )
        if self.bias is None:
            return attention(query, key, value, **kwargs)
        width, scale = query.shape[-1], kwargs.pop("scale", None)
        scale = width**-0.5 if scale is None else scale
        on_queries, on_keys = self.channels(scale, key.dtype)
        query = torch.cat([query, on_queries.expand(*query.shape[:-1], 8)], dim=-1)
        key = torch.cat([key, on_keys[None, :, None].expand(*key.shape[:-1], 8)], dim=-1)
        value = torch.nn.functional.pad(value, (0, 8))  # kernels want as many as of keys
        return attention(query, key, value, scale=scale, **kwargs)[..., :width]


@dataclass(frozen=True, eq=False)
class Part:
    """Rows and heads (all if None) under the same biases, and the groups of their queries.

    `order` puts the groups' results, one after another, in the sequence's order (None: they are).
    """

    rows: Tensor | None
    heads: Tensor | None
    groups: tuple[Group, ...]
    order: Tensor | None

    def attend(
        self, attention: Attention, query: Heads, key: Heads, value: Heads, **kwargs: Any
    ) -> Heads:
        """The attention of these rows and heads."""
        qkv = [query, key, value]
        for axis, at in ((0, self.rows), (2, self.heads)):
            qkv = qkv if at is None else [heads.index_select(axis, at) for heads in qkv]
        results = [group.attend(attention, *qkv, **kwargs) for group in self.groups]
        joined = results[0] if len(results) == 1 else torch.cat(results, dim=1)
        return joined if self.order is None else joined.index_select(1, self.order)

    def write(self, out: Heads, result: Heads) -> None:
        """Put a result into its rows and heads of the whole."""
        rows = torch.arange(len(out), device=out.device) if self.rows is None else self.rows
        if self.heads is None:
            out[rows] = result
        else:
            out[rows[:, None], :, self.heads] = result.transpose(1, 2)


class Plan:
    """What is due in a block's attention: biases, as groups (or, with `dense`, as one mask)."""

    def __init__(self, layout: Layout, biases: Sequence[Bias], dense: bool = False) -> None:
        regions = [region for b in biases for region in (b.edge.source, b.edge.reader)]
        worded = any(region.needs_prompt for region in regions)
        # without the prompts where nobody asks where words stand: runs of other prompts are alike
        self.layout = layout if worded else layout.without_texts()
        # a gain of 0 is no gain, to the last bit
        self.biases, self.dense = tuple(b for b in biases if b.amount), dense
        self._merged: tuple[Tensor | None, Tensor] | None = None

    def attend(
        self,
        attention: Attention,
        query: Heads,
        key: Heads,
        value: Heads,
        attn_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Heads:
        """Call `attention` so that every query reads what it may, as strongly as it should."""
        if not self.biases:
            return attention(query, key, value, attn_mask=attn_mask, **kwargs)
        if attn_mask is not None or self.dense:
            if self._merged is None or self._merged[0] is not attn_mask:
                own = self.mask(query.shape[2], query.device)
                self._merged = attn_mask, merge(attn_mask, own, query.dtype)
            return attention(query, key, value, attn_mask=self._merged[1], **kwargs)
        parts = _parts(self.layout, self.biases, query.shape[2], query.device)
        results = [part.attend(attention, query, key, value, **kwargs) for part in parts]
        if len(parts) == 1:
            return results[0]
        out = torch.empty_like(query)
        for part, result in zip(parts, results, strict=True):
            part.write(out, result)
        return out

    def mask(
        self, heads: int, device: Any = None, row: int | None = None, queries: Any = slice(None)
    ) -> Tensor:
        """The same as a mask [rows or 1, heads or 1, queries, keys] for attention.

        True where a query may read if all biases are cuts, else numbers to add to the logits. Of
        one row and some queries if these are named.
        """
        rows = range(self.layout.rows) if row is None else [row]
        kinds = {_kind(self.layout, self.biases, n) for n in rows}
        rows = rows[:1] if len(kinds) == 1 else rows
        by_head = any(bias.heads is not None for bias in self.biases)
        count = len(torch.arange(self.layout.length)[queries])
        shape = len(rows), heads if by_head else 1, count, self.layout.length
        out = torch.zeros(shape, device=device)
        for n, place in enumerate(rows):
            for bias in _in_row(self.biases, place):
                source, reader = _sides(self.layout, bias.edge, place)
                both = (reader[queries, None] & source[None, :]).to(device)
                at = slice(None) if bias.heads is None else list(bias.heads)
                out[n, at] = (
                    out[n, at].masked_fill(both, _CUT)
                    if bias.amount == _CUT
                    else (out[n, at] + bias.amount * both)
                )
        return out == 0 if all(bias.amount == _CUT for bias in self.biases) else out

    def weights(
        self,
        query: Heads,
        key: Heads,
        readers: Int[Tensor, " readers"],
        row: int,
        scale: float | None = None,
        attn_mask: Tensor | None = None,
        budget: int = 2**24,
    ) -> Iterator[tuple[slice, Float[Tensor, "heads chunk keys"]]]:
        """How much each reader of one row attends to each key, in chunks of readers.

        Softmax over all keys, in float32, under the same biases and mask; `budget` bounds the
        numbers of a chunk.
        """
        heads, length = query.shape[2], key.shape[1]
        keys = key[row].float().permute(1, 2, 0)  # (heads, width, keys)
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        size = max(1, budget // (heads * length))
        for start in range(0, len(readers), size):
            at = readers[start : start + size]
            logits = (query[row, at].float().transpose(0, 1) * scale) @ keys
            for extra in self._extras(heads, row, at, attn_mask, query):
                logits = logits + extra
            yield slice(start, start + len(at)), logits.softmax(-1)

    def _extras(
        self, heads: int, row: int, at: Tensor, attn_mask: Tensor | None, query: Heads
    ) -> Iterator[Tensor]:
        if self.biases:
            yield _additive(self.mask(heads, query.device, row, at.cpu())[0])
        if attn_mask is not None:
            mask = _four(attn_mask)
            mask = mask[row if mask.shape[0] > 1 else 0]
            yield _additive(mask if mask.shape[1] == 1 else mask[:, at])


def _four(mask: Tensor) -> Tensor:
    """A mask with rows, heads, queries and keys; two sides are rows and keys, as kernels read."""
    if mask.ndim == 2:
        return mask[:, None, None, :]
    return mask[:, None] if mask.ndim == 3 else mask


def _additive(mask: Tensor) -> Tensor:
    zero = torch.zeros(mask.shape, device=mask.device)
    return zero.masked_fill(~mask, _CUT) if mask.dtype == torch.bool else mask.float()


def merge(existing: Tensor | None, mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Both masks at once; `ValueError` where that leaves a query nothing to read."""
    if existing is None:
        return mask if mask.dtype == torch.bool else mask.to(dtype)
    existing = _four(existing)
    if existing.dtype == mask.dtype == torch.bool:
        both = existing & mask
        readable = both.any(-1)
    else:
        both = (_additive(existing) + _additive(mask)).to(dtype)
        readable = (both > torch.finfo(dtype).min).any(-1)
    if not bool(readable.all()):
        raise ValueError(
            "these cuts together leave some tokens nothing to read, not even themselves; attention "
            "would return nan: drop one of the masks"
        )
    return both


def _take(heads: Heads, at: Span) -> Heads:
    """Some positions, at little cost: small models wait for each call."""
    if isinstance(at, Tensor):
        return heads.index_select(1, at)
    length = at.stop - at.start
    return heads if length == heads.shape[1] else heads.narrow(1, at.start, length)


def _in_row(biases: Sequence[Bias], row: int) -> tuple[Bias, ...]:
    return tuple(bias for bias in biases if bias.rows is None or row in bias.rows)


def _kind(layout: Layout, biases: Sequence[Bias], row: int) -> Any:
    """Rows of one kind have the same biases at the same positions."""
    parts = None if layout.texts is None else tuple(layout.texts[row].parts.values())
    return _in_row(biases, row), parts


def _sides(layout: Layout, edge: Edge, row: int) -> tuple[Tensor, Tensor]:
    """The keys and the queries of an edge in one row; `ValueError` if a token is on both sides."""
    part = layout.take([row])
    source, reader = part.mask(edge.source)[0], part.mask(edge.reader)[0]
    if bool((source & reader).any()):
        raise edge.shared()
    return source, reader


def check(layout: Layout, edges: Sequence[Edge], rows: Sequence[int]) -> None:
    """Raise `ValueError` for an edge with an absent or empty side, or with one token on both."""
    for edge in edges:
        for row in rows:
            _sides(layout, edge, row)


@lru_cache(maxsize=64)
def _parts(
    layout: Layout, biases: tuple[Bias, ...], heads: int, device: torch.device
) -> tuple[Part, ...]:
    """Who attends to what, in as few calls as there are kinds; found once for all such runs."""
    rows: dict[Any, list[int]] = {}
    for row in range(layout.rows):
        rows.setdefault(_kind(layout, biases, row), []).append(row)
    parts = []
    for members in rows.values():
        sets: dict[tuple[Bias, ...], list[int]] = {}
        for head in range(heads):
            in_row = _in_row(biases, members[0])
            own = tuple(bias for bias in in_row if bias.heads is None or head in bias.heads)
            sets.setdefault(own, []).append(head)
        for own, some in sets.items():
            groups, order = _groups(layout, own, members[0], device)
            across = None if len(rows) == 1 else torch.tensor(members, device=device)
            at = None if len(sets) == 1 else torch.tensor(some, device=device)
            parts.append(Part(across, at, groups, order))
    return tuple(parts)


def _groups(
    layout: Layout, biases: Sequence[Bias], row: int, device: torch.device
) -> tuple[tuple[Group, ...], Tensor | None]:
    """The groups of one row, and what puts their results in the sequence's order."""
    groups, places = [], []
    for (keys, amounts), queries in _readable(layout, biases, row).items():
        readable = torch.frombuffer(bytearray(keys), dtype=torch.bool).nonzero()[:, 0]
        bias = torch.frombuffer(bytearray(amounts), dtype=torch.float32)[readable]
        places.append(queries.nonzero()[:, 0])
        own = _span(places[-1], device), _span(readable, device)
        groups.append(Group(*own, bias.to(device) if bool(bias.any()) else None))
    order = torch.cat(places).argsort()
    in_order = torch.equal(order, torch.arange(len(order)))
    return tuple(groups), None if in_order else order.to(device)


def _readable(layout: Layout, biases: Sequence[Bias], row: int) -> dict[Any, Bool[Tensor, " s"]]:
    """The keys (as bytes) and their biases (as bytes), and the queries that read just so."""
    sides = [_sides(layout, bias.edge, row) for bias in biases]
    signature = torch.zeros(layout.length, dtype=torch.long)
    for n, (_, reader) in enumerate(sides):
        signature += reader.long() << n
    out: dict[Any, Tensor] = {}
    for kind in signature.unique().tolist():
        keys, amounts = torch.ones(layout.length, dtype=torch.bool), torch.zeros(layout.length)
        for n, ((source, _), bias) in enumerate(zip(sides, biases, strict=True)):
            if kind >> n & 1:
                if bias.amount == _CUT:
                    keys &= ~source
                else:
                    amounts += bias.amount * source
        name = keys.numpy().tobytes(), (amounts * keys).numpy().tobytes()
        queries = signature == kind
        out[name] = out[name] | queries if name in out else queries
    return out


def _span(numbers: Int[Tensor, " tokens"], device: torch.device) -> Span:
    """A slice where one does, else indices (and so a copy)."""
    first, last = int(numbers[0]), int(numbers[-1])
    whole = last - first + 1 == len(numbers)
    return slice(first, last + 1) if whole else numbers.to(device)


def attention_mask(
    layout: Layout, edges: Any, rows: Sequence[int] | None = None, device: Any = None
) -> Bool[Tensor, "rows_or_1 1 queries keys"]:
    """Make the mask (True where a query may read) of a knockout of `edges`, for `rows` of a batch.

    ```python
    mask = fl.attention_mask(editor.layout(prompt, ref=red), "ref->text")
    kwargs = {"attention_kwargs": {"attention_mask": mask}, **editor.pipe_kwargs}
    editor.pipe(prompt=prompt, image=red, **kwargs)
    ```
    is a knockout of FLUX.2 in all blocks without a hook. One mask serves the batch where its rows
    agree.
    """
    chosen = None if rows is None else tuple(rows)
    biases = [Bias(edge, _CUT, chosen) for edge in parse_edges(edges)]
    return Plan(layout, biases).mask(1, device)


@dataclass
class Announcement:
    """A block's plan, who wants to see its attention (`observers`), and how often it was called."""

    plan: Plan
    observers: Sequence[Callable[..., Tensor | None]] = ()
    calls: int = 0


class _Announced(threading.local):
    """What is due now, in this thread."""

    now: Announcement | None = None


announced = _Announced()


def module_of(transformer: Any) -> Any:
    """The module whose global a transformer's processors call for attention.

    `ModelError` if there is none, for then nothing could be cut.
    """
    for kind in type(transformer).__mro__:
        module = sys.modules.get(kind.__module__)
        if hasattr(module, "dispatch_attention_fn"):
            return module
    raise ModelError(
        f"{type(transformer).__name__} does not call diffusers' dispatch_attention_fn: its "
        "attention cannot be cut, amplified or read"
    )


def install(transformer: Any, user: object) -> Callable[[], None]:
    """Wrap the function that a transformer's processors call; gives what undoes it for `user`.

    Without an announcement it does what it did before.
    """
    module = module_of(transformer)
    original = module.dispatch_attention_fn
    if not hasattr(original, "users"):
        module.dispatch_attention_fn = _wrapped(original)
    module.dispatch_attention_fn.users.add(id(user))

    def undo() -> None:
        wrapper = module.dispatch_attention_fn
        if hasattr(wrapper, "users"):  # else somebody wrapped ours, which does nothing by itself
            wrapper.users.discard(id(user))
            if not wrapper.users:
                module.dispatch_attention_fn = wrapper.original

    return undo


def _wrapped(original: Callable[..., Heads]) -> Callable[..., Heads]:
    def dispatch_attention_fn(
        query: Heads,
        key: Heads,
        value: Heads,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        **kwargs: Any,
    ) -> Heads:
        due, kwargs = announced.now, {**kwargs, "dropout_p": dropout_p, "is_causal": is_causal}
        lengths = {query.shape[1], key.shape[1]}
        if due is None or lengths != {due.plan.layout.length}:
            return original(query, key, value, attn_mask=attn_mask, scale=scale, **kwargs)
        due.calls += 1
        out = due.plan.attend(original, query, key, value, attn_mask, scale=scale, **kwargs)
        for observe in due.observers:
            changed = observe(due.plan, query, key, out, attn_mask=attn_mask, scale=scale)
            out = out if changed is None else changed
        return out

    wrapper: Any = functools.wraps(original)(dispatch_attention_fn)
    wrapper.original, wrapper.users = original, set()
    return wrapper


def silent(block: str, module: Any) -> FiringError:
    """The error for a block whose processor never called attention where we could hear it."""
    processor = type(getattr(getattr(module, "attn", None), "processor", None)).__name__
    return FiringError(
        f"{block} runs {processor}, which did not call attention by the name that diffusers' own "
        "processors use, so nothing could be cut, amplified or read there: use the stock processor "
        "(module.attn.set_processor(…)), or have yours call dispatch_attention_fn of the "
        "transformer's module"
    )


def shortened(layout: Layout, biases: Sequence[Bias]) -> tuple[Layout, tuple[Bias, ...]]:
    """The same without references: what nobody can read is cut already."""
    kept = tuple(
        bias for bias in biases if "ref" not in (bias.edge.source.kind, bias.edge.reader.kind)
    )
    return replace(layout, refs=()), kept
