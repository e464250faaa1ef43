"""Cut what one part of the sequence may read of another, strengthen it, or see how much it reads.

Context: the paper's attention knockout, its authors' amplification, and the attention maps that
readers ask for. Details: ``"ref->text"`` is the flow from reference to text, that is, text
*queries* reading reference *keys*; `Cut` closes it, `Gain` adds λ to its logits, `Read` measures
what flows along it, and `Drop` takes the references out of the sequence where nobody reads them any
more. Intuition: if a property of the reference still arrives, it travels along another edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from . import seam
from .intervention import Intervention, Run, as_numbers
from .layout import Layout
from .model import Model
from .seam import Bias, Edge, parse_edges


class Gain(Intervention):
    """Add λ to the logits of edges; the context manager of `editor.gain`.

    `attention` is ``"auto"``, or ``"mask"`` for one dense mask in the place of groups and channels.
    """

    kind = "gain"
    verb = "gain"

    def __init__(
        self,
        model: Model,
        edges: Any,
        amount: float,
        blocks: Any = "*",
        *,
        heads: Any = None,
        attention: str = "auto",
        **where: Any,
    ) -> None:
        if attention not in ("auto", "mask"):
            raise ValueError(f"attention is 'auto' or 'mask', not {attention!r}")
        self.cut, self.amount = parse_edges(edges), float(amount)
        if not (self.amount < float("inf")):
            raise ValueError(f"a gain is a number, or -inf for a cut; not {amount!r}")
        self.only_heads, self.dense = as_numbers(heads, "heads"), attention == "mask"
        super().__init__(model, blocks, **where)
        count = model.pipe.transformer.config.num_attention_heads
        if self.only_heads and self.only_heads[-1] >= count:
            raise ValueError(f"heads count from 0 to {count - 1} in {model.name}; got {heads!r}")
        self._masked = False

    def prepare(self, run: Run) -> None:
        """Refuse edges of which a side is absent or empty, or whose sides share a token."""
        seam.check(run.layout, self.cut, self.among(run))

    def edges(self, block: str) -> Sequence[Bias]:
        """The biases, in the rows that it acts on."""
        local = self.local
        rows = None if len(local) == self.run.layout.rows else tuple(local)
        return [Bias(edge, self.amount, rows, self.only_heads) for edge in self.cut]

    def observe(self, block: str, plan: seam.Plan, query: Any, key: Any, **call: Any) -> None:
        """Take note of a mask that the call brought."""
        self._masked = self._masked or call.get("attn_mask") is not None

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        """As every intervention's, with its edges and how attention was told of them."""
        why = "asked for" if self.dense else "the call brings a mask of its own"
        how = {"attention": "mask", "because": why}
        out = {
            **super().to_json(row),
            self.verb: [str(edge) for edge in self.cut],
            **(how if self.dense or self._masked else {"attention": "mask-free"}),
        }
        if self.only_heads is not None:
            out["heads"] = list(self.only_heads)
        return out if self.verb == "cut" else {**out, "amount": self.amount}


class Cut(Gain):
    """Close edges: their readers lose these keys; the context manager of `editor.knockout`."""

    kind = "knockout"
    verb = "cut"

    def __init__(self, model: Model, edges: Any, blocks: Any = "*", **where: Any) -> None:
        super().__init__(model, edges, float("-inf"), blocks, **where)


@dataclass(eq=False)
class AttentionMaps:
    """How much flows along an edge, as attention's weights say; ``editor.attention`` gives it.

    ```python
    with editor.attention("ref->text[pad]") as seen:
        editor.edit("draw a mug in this color", ref=red, seed=0)
    seen.mass                  # (blocks, steps, heads): the share of what pads read
    seen.map("double.1")       # a picture over the reference
    ```
    `weights` maps (block, step, row) to the attention mass of each head and reader, [heads,
    readers]; `sources` to what each source token gets: [heads, sources], the mean over readers, or
    with ``maps="readers"`` [readers, sources], the mean over heads. Attention is not use: a cut
    says what is used.
    """

    edge: Edge
    maps: str
    weights: dict[tuple[str, int, int], Float[Tensor, "heads readers"]] = field(
        default_factory=dict
    )
    sources: dict[tuple[str, int, int], Float[Tensor, "of sources"]] = field(default_factory=dict)
    layouts: dict[int, Layout] = field(default_factory=dict)

    @property
    def blocks(self) -> list[str]:
        """Blocks that were read, in running order."""
        return list(dict.fromkeys(block for block, _, _ in self.weights))

    @property
    def steps(self) -> list[int]:
        """Steps that were read."""
        return sorted({step for _, step, _ in self.weights})

    @property
    def mass(self) -> Float[Tensor, "blocks steps heads"]:
        """The share of attention that readers spend on the sources, the mean over readers and rows.

        NaN where a block was not read at a step.
        """
        heads = next(iter(self.weights.values())).shape[0]
        out = torch.full((len(self.blocks), len(self.steps), heads), float("nan"))
        for b, block in enumerate(self.blocks):
            for s, step in enumerate(self.steps):
                rows = [v.mean(1) for k, v in self.weights.items() if k[:2] == (block, step)]
                if rows:
                    out[b, s] = torch.stack(rows).mean(0)
        return out

    def grid(
        self, block: str | None = None, step: int | None = None, row: int = 0, of: int | None = None
    ) -> np.ndarray:
        """Weights over the source's grid of tokens [rows, columns]; the mean of what is not named.

        `of` is a head, or with ``maps="readers"`` a reader. `ValueError` for a source without grid,
        or one that was not read.
        """
        region = self.edge.source
        layout = self.layouts.get(row)
        chosen = [
            value if of is None else value[of : of + 1]
            for (b, s, r), value in self.sources.items()
            if block in (None, b) and step in (None, s) and r == row
        ]
        if not chosen or layout is None:
            raise ValueError(
                f"nothing was read of row {row}, block {block} and step {step}: blocks "
                f"{', '.join(self.blocks) or 'none'}, steps {self.steps}"
            )
        rows, columns = layout.grid(region)
        out = torch.zeros(rows * columns)
        start = layout.span(region)[0]
        at = torch.tensor(layout.positions(region)) - start
        out[at] = torch.stack([value.mean(0) for value in chosen]).mean(0)
        return out.reshape(rows, columns).numpy()

    def map(
        self, block: str | None = None, step: int | None = None, row: int = 0, of: int | None = None
    ) -> Image.Image:
        """The same as a gray picture, a token of 16×16 pixels each, white the most that is read."""
        grid = self.grid(block, step, row, of)
        gray = np.round(255 * grid / max(float(grid.max()), 1e-12)).astype(np.uint8)
        side = self.layouts[row].pixels
        return Image.fromarray(gray.repeat(side, axis=0).repeat(side, axis=1))


class Read(Intervention):
    """Measure what flows along an edge; the context manager of `editor.attention`."""

    kind = "attention"

    def __init__(
        self, model: Model, edge: Any, blocks: Any = "*", *, maps: str = "heads", **where: Any
    ) -> None:
        if maps not in ("heads", "readers"):
            raise ValueError(f"maps is 'heads' or 'readers', not {maps!r}")
        (self.edge,) = parse_edges(edge)
        self.maps = maps
        super().__init__(model, blocks, **where)

    def result(self) -> AttentionMaps:
        """What is read, complete once the ``with`` block is left."""
        self.seen = AttentionMaps(self.edge, self.maps)
        return self.seen

    def prepare(self, run: Run) -> None:
        """Refuse an edge of which a side is absent, and rows that were read before."""
        local = self.among(run)
        seam.check(run.layout, [self.edge], local)
        if {run.rows[n] for n in local} & self.seen.layouts.keys():
            raise ValueError("one reading holds one run: open another for a second run")
        self.seen.layouts.update({run.rows[n]: run.layout.take([n]) for n in local})
        sides = self.edge.reader, self.edge.source
        self._sides = {
            (run.number, n): [torch.tensor(run.layout.positions(side, n)) for side in sides]
            for n in local
        }

    def observe(self, block: str, plan: seam.Plan, query: Any, key: Any, **call: Any) -> None:
        """Weigh, for each reader, what it reads of the sources; in chunks of readers."""
        run, heads = self.run, query.shape[2]
        for n in self.local:
            readers, sources = (at.to(query.device) for at in self._sides[run.number, n])
            mass = torch.empty(heads, len(readers))
            kept = torch.zeros(heads if self.maps == "heads" else len(readers), len(sources))
            for at, weights in plan.weights(query, key, readers, n, **call):
                flow = weights.index_select(2, sources)  # (heads, chunk, sources)
                mass[:, at] = flow.sum(2).cpu()
                if self.maps == "heads":
                    kept += flow.sum(1).cpu() / len(readers)
                else:
                    kept[at] = flow.mean(0).cpu()
            place = block, self.step, run.rows[n]
            self.seen.weights[place], self.seen.sources[place] = mass, kept

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        """As every intervention's, with its edge."""
        return {**super().to_json(row), "read": str(self.edge)}


class Drop(Intervention):
    """Take the references out of the sequence from the first of `blocks` on (Appendix B).

    What nothing reads any more is not carried on: the rest of a forward costs what a generation
    costs, and its picture is that of a knockout of every edge from and to the reference.
    """

    kind = "drop"

    def prepare(self, run: Run) -> None:
        """Refuse what cannot be: some rows of a batch alone, or interventions on what is gone."""
        run.layout.span("ref")
        if len(self.among(run)) < run.layout.rows:
            raise ValueError(
                "the references of some rows of a batch cannot be dropped alone, for rows of a "
                "batch are of one length: use editor.edit, which runs such rows apart"
            )
        for one in self.watch.mine:
            late = [block for block in one.blocks if block in self.blocks]
            edge = getattr(one, "edge", None)
            regions = [one.tokens, *([edge.source, edge.reader] if edge else [])]
            for region in filter(None, regions):
                if region.kind == "ref" and late:
                    raise ValueError(f"{region} is not there at {late[0]}: it was dropped before")

    def enter(self, block: str, call: dict[str, Any]) -> dict[str, Any]:
        """Shorten what goes into the block."""
        self.watch.now.whole = False
        return self.model.adapter.without_refs(call, self.run.layout)

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        """As every intervention's; what is dropped are the references."""
        return {**super().to_json(row), "tokens": "ref"}
