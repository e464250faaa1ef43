"""Read rows out of a run, write them into another, or put any function of them in place.

Context: the paper's lens and patching experiments move text tokens' activations between runs.
Details: `Capture` copies rows out of block outputs; `Patch` writes them over the same places, or
over the output of the context embedder (the T2I Lens); `Apply` writes a function of what is there.
Intuition: tensors are edited only at block boundaries; the model's arithmetic is never touched.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .intervention import Intervention, Rows, Run, as_numbers
from .layout import Layout, Region
from .model import Model


@dataclass(eq=False)
class Activations:
    """Rows copied out of a run, keyed by block and step.

    ```python
    with editor.capture("double.*") as acts:
        editor.edit("draw a mug in this color", ref=red)
    acts["double.1", 0].shape          # (rows, tokens, width)
    ```
    `layouts` holds one layout per row: what the positions mean; `schedules` the noise levels of
    each row's run, which differ with the size of its image. `origin` refers to its transformer:
    rows are patched into no other model, unless you set it to None.
    """

    region: Region
    data: dict[tuple[str, int], Float[Tensor, "rows tokens width"]] = field(default_factory=dict)
    positions: Int[Tensor, "rows tokens"] | None = None
    layouts: tuple[Layout, ...] = ()
    schedules: tuple[tuple[float, ...] | None, ...] = ()
    origin: Callable[[], object] | None = None

    def __getitem__(self, key: tuple[str, int]) -> Float[Tensor, "rows tokens width"]:
        try:
            return self.data[key]
        except KeyError:
            raise KeyError(
                f"{key} was not captured: blocks {', '.join(self.blocks) or 'none'}; "
                f"steps {list(self.steps)}"
            ) from None

    @property
    def blocks(self) -> tuple[str, ...]:
        """Blocks that were captured, in running order."""
        return tuple(dict.fromkeys(block for block, _ in self.data))

    @property
    def steps(self) -> tuple[int, ...]:
        """Denoising steps that were captured."""
        return tuple(sorted({step for _, step in self.data}))

    @property
    def rows(self) -> int:
        """Rows of the captured batch."""
        return len(self.layouts)

    def pick(
        self, blocks: Sequence[str] | str | None = None, rows: Sequence[int] | None = None
    ) -> Activations:
        """Some blocks, and rows in the order given, repeats allowed: `acts.pick(rows=[0, 0])`."""
        keep = self.blocks if blocks is None else ([blocks] if isinstance(blocks, str) else blocks)
        index = list(range(self.rows)) if rows is None else list(rows)
        assert self.positions is not None
        data = {key: value[index] for key, value in self.data.items() if key[0] in keep}
        layouts = tuple(self.layouts[i] for i in index)
        schedules = tuple(self.schedules[i] for i in index)
        at = self.positions[index]
        return Activations(self.region, data, at, layouts, schedules, self.origin)


class Capture(Intervention):
    """Copy a region's rows out of block outputs; the context manager of `editor.capture`."""

    kind = "capture"

    def change(self, block: str, rows: Rows) -> None:
        """Keep the rows (indexing has copied them: a view would keep the whole activation)."""
        self._chunks.setdefault((block, self.step), []).append(rows.detach())

    def result(self) -> Activations:
        """The activations, complete once the ``with`` block is left."""
        if len(self.passes) > 1:
            raise ValueError("one capture reads one pass of guidance: 'cond' or 'uncond'")
        region = self.tokens or Region("text")
        self.acts = Activations(region, origin=weakref.ref(self.model.transformer))
        self._chunks: dict[tuple[str, int], list[Tensor]] = {}
        self._order: list[int] = []
        self._positions: list[Tensor] = []
        self._layouts: list[Layout] = []
        self._schedules: list[tuple[float, ...] | None] = []
        return self.acts

    def prepare(self, run: Run) -> None:
        """Refuse a second run, and rows with other numbers of tokens."""
        super().prepare(run)
        local = self.among(run)
        rows, groups = [run.rows[n] for n in local], self._places[run.number]
        if set(rows) & set(self._order):
            raise ValueError("one capture holds one run: open another for a second run")
        counts = {at.shape[1] for _, at in groups} | {at.shape[1] for at in self._positions}
        if len(counts) > 1:
            raise ValueError(
                f"{self.tokens} has {sorted(counts)} tokens in different rows: capture 'text' and "
                "choose the part when patching, or capture rows of one kind at a time"
            )
        self._positions.append(groups[0][1])
        self._order += rows
        self._layouts += [run.layout.take([n]) for n in local]
        self._schedules += [run.schedule] * len(local)

    def finish(self) -> None:
        """Put rows that ran in different batches back in the caller's order."""
        back = sorted(range(len(self._order)), key=self._order.__getitem__)
        names = {name: n for n, name in enumerate(("context", *self.model.blocks))}
        for key in sorted(self._chunks, key=lambda k: (names[k[0]], k[1])):
            value = self._chunks.pop(key)
            whole = value[0] if len(value) == 1 else torch.cat(value)
            self.acts.data[key] = whole if back == sorted(back) else whole[back]
        self.acts.positions = torch.cat(self._positions)[back]
        self.acts.layouts = tuple(self._layouts[i] for i in back)
        self.acts.schedules = tuple(self._schedules[i] for i in back)


class Apply(Intervention):
    """Put a function of a region's rows in their place; the context manager of `editor.apply`."""

    kind = "apply"

    def __init__(
        self, model: Model, function: Callable[[Rows], Rows], blocks: Any, **where: Any
    ) -> None:
        super().__init__(model, blocks, **where)
        self.function = function

    def change(self, block: str, rows: Rows) -> Rows:
        """Call the function; rows whose regions have other numbers of tokens come apart."""
        changed = self.function(rows)
        if changed is None:
            raise ValueError(f"the function must give rows like those it got, {tuple(rows.shape)}")
        return changed

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        """As every intervention's, with the function's name."""
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        return {**super().to_json(row), "function": name}


class Patch(Intervention):
    """Write captured rows over a run; the context manager of `editor.patch`."""

    kind = "patch"

    def __init__(
        self,
        model: Model,
        acts: Activations,
        blocks: Any = None,
        *,
        tokens: str | Region | None = None,
        into: str | None = None,
        source_step: int | None = None,
        positions: str = "same",
        **where: Any,
    ) -> None:
        if not acts.data:
            raise ValueError("nothing was captured yet: leave the capture's `with` block first")
        if positions not in ("same", "source"):
            raise ValueError(f"positions is 'same' or 'source', not {positions!r}")
        self.acts, self.source_block = acts, None
        self.source_step = None if source_step is None else as_numbers([source_step])[0]
        targets = acts.blocks if blocks is None else model.select(blocks, extra=("context",))
        if into is not None:
            if len(targets) != 1 or targets[0] not in acts.blocks:
                raise ValueError(
                    f"into={into!r} writes one captured block elsewhere: name it with blocks=… "
                    f"(captured: {', '.join(acts.blocks)})"
                )
            self.source_block, targets = targets[0], model.select(into, extra=("context",))
            if into == "context":
                positions = "source"
                if source_step is None and len(acts.steps) == 1:
                    self.source_step = acts.steps[0]
        self.positions = positions
        super().__init__(model, targets, tokens=acts.region if tokens is None else tokens, **where)
        if self.region.kind != "text" and positions == "source":
            raise ValueError(f"only text tokens can be patched this way, not {self.region}")
        absent = [b for b in self.blocks if (self.source_block or b) not in acts.blocks]
        if absent:
            raise ValueError(
                f"{', '.join(absent)} was not captured (captured: {', '.join(acts.blocks)}); name "
                "another place to write with into=…"
            )
        if acts.origin is not None and acts.origin() is not model.transformer:
            raise ValueError(
                "these rows come from another model; to write them here all the same, set "
                "acts.origin = None"
            )

    @property
    def region(self) -> Region:
        """What is written over."""
        return self.tokens or self.acts.region

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        """As every intervention's, with the source of the rows."""
        layouts = self.acts.layouts
        if row is not None and len(layouts) > 1:
            layouts = (layouts[self.rows.index(row) if self.rows else row],)
        prompts = [layout.texts[0].prompt if layout.texts else None for layout in layouts]
        source = {
            "block": self.source_block,
            "step": self.source_step,
            "steps": list(self.acts.steps),
            "prompts": list(dict.fromkeys(prompts)),
        }
        return {**super().to_json(row), "positions": self.positions, "source": source}

    def leave(self, block: str, output: Any) -> Any:
        """Write the captured rows over their places."""
        step = self.step if self.source_step is None else self.source_step
        values = self.acts[self.source_block or block, step]
        tensor, start, put = self.part(block, output, self.region)
        if values.shape[-1] != tensor.shape[-1]:
            raise ValueError(
                f"{block} is {tensor.shape[-1]} wide, the captured rows {values.shape[-1]}: they "
                "come from another model"
            )
        index = self._index[self.run.number]
        to_row, to, from_row, at = (i.to(tensor.device) for i in index)
        changed = tensor.clone()
        changed[to_row, to - start] = values.to(tensor)[from_row, at]
        return put(changed)

    def __enter__(self) -> Any:
        self._index: dict[int, tuple[Tensor, ...]] = {}
        return super().__enter__()

    def prepare(self, run: Run) -> None:
        """Find where each captured row goes; refuse runs whose positions mean something else."""
        acts, targets = self.acts, self.rows or range(run.total)
        if acts.rows not in (1, len(targets)):
            raise ValueError(
                f"{acts.rows} rows were captured and {len(targets)} are to be patched: the numbers "
                "must agree (acts.pick(rows=…), rows=…), or one row is written to all"
            )
        assert acts.positions is not None
        index = []
        for n in self.among(run):
            source_row = 0 if acts.rows == 1 else list(targets).index(run.rows[n])
            source, target = acts.layouts[source_row], run.layout.take([n])
            self._check_row(source, target)
            self._check_schedule(acts.schedules[source_row], run)
            ruling = source if self.positions == "source" else target
            held = {p: i for i, p in enumerate(acts.positions[source_row].tolist())}
            for position in ruling.positions(self.region):
                if position not in held:
                    raise ValueError(f"{self.region} is not within the captured {acts.region}")
                index.append((n, position, source_row, held[position]))
        self._index[run.number] = torch.tensor(index).unbind(1)

    def _check_schedule(self, captured: tuple[float, ...] | None, run: Run) -> None:
        acts = self.acts
        if self.source_step is not None:
            return
        if captured != run.schedule:
            counts = [0 if s is None else len(s) for s in (captured, run.schedule)]
            steps = f"the captured run had {counts[0]} steps, this one has {counts[1]}"
            if counts[0] == counts[1]:
                steps = "the captured run had as many steps by another scheduler or shift"
            raise ValueError(
                f"{steps}: its steps are at other noise levels. Use the same, or name one "
                "source_step"
            )
        absent = [s for s in self.steps or range(run.steps or 1) if s not in acts.steps]
        if absent:
            raise ValueError(
                f"step(s) {absent} were not captured (captured: {list(acts.steps)}): capture them, "
                "patch only those with steps=…, or name one source_step"
            )

    def _check_row(self, source: Layout, target: Layout) -> None:
        if source.text != target.text:
            raise ValueError(
                f"the captured run had {source.text} text tokens, this one has {target.text}"
            )
        if source.image != target.image or (
            self.region.kind == "ref" and source.refs != target.refs
        ):
            raise ValueError(
                "the captured run has other sizes: image "
                f"{source.image} and references {list(source.refs)} in tokens, this run "
                f"{target.image} and {list(target.refs)}"
            )
        if self.region.kind != "text" or self.positions == "source":
            return
        if source.texts and target.texts and source.texts[0].prompt != target.texts[0].prompt:
            raise ValueError(
                f"the captured run's prompt was {source.texts[0].prompt!r}, this run's is "
                f"{target.texts[0].prompt!r}: its positions mean other words. To place them by the "
                "captured prompt all the same, pass positions='source'"
            )
