"""Read activations out of a run, and write them into another.

Context: the paper's lens and patching experiments move text-stream activations between runs.
Details: `capture` copies rows out of block outputs; `patch` writes them over the same places, or
over the output of the context embedder (the T2I Lens). Intuition: tensors are edited only at block
boundaries; the model's arithmetic is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._context import Context, Run
from .layout import Layout, Region

if TYPE_CHECKING:
    from .models import Flux


@dataclass(eq=False)
class Activations:
    """Rows copied out of a run, keyed by block and step.

    ```python
    with flux.capture("double.*") as acts:
        flux.edit("draw a mug in this color", ref=red)
    acts["double.1", 0].shape          # (rows, tokens, width)
    ```
    `layouts` holds one layout per row: what the positions mean. `total` is the number of steps of
    the run they come from.
    """

    region: Region
    total: int | None = None
    data: dict[tuple[str, int], Float[Tensor, "rows tokens width"]] = field(default_factory=dict)
    positions: Int[Tensor, "rows tokens"] | None = None
    layouts: tuple[Layout, ...] = ()

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
        return Activations(self.region, self.total, data, self.positions[index], layouts)


def stream(block: str, output: Any, region: Region, text: int) -> tuple[Tensor, int]:
    """The tensor of a block's output that holds `region`, and the joint position of its start."""
    if block.startswith("double"):
        return (output[0], 0) if region.kind == "text" else (output[1], text)
    return output, 0  # single blocks carry the joint sequence, the context embedder text alone


class Capture(Context):
    """Context manager behind `flux.capture`."""

    kind = "capture"
    behind = True
    changes = False

    def __init__(self, flux: Flux, region: Region, **where: Any) -> None:
        super().__init__(flux, **where)
        self.region = region
        if "context" in self.blocks and region.kind != "text":
            raise ValueError(f"the context embedder holds text only, not {region}")

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        return {**super().to_json(row), "tokens": str(self.region)}

    def attach(self, block: str) -> Any:
        def copy_out(module: Any, args: Any, output: Any) -> None:
            if not self.due():
                return
            tensor, start = stream(block, output, self.region, self._text)
            rows, positions = (i.to(tensor.device) for i in self._index)
            # indexing copies: a view would keep the whole activation alive
            key = block, self.flux.watch.step
            self._chunks.setdefault(key, []).append(tensor[rows, positions - start].detach())
            self.count(block)

        return self.flux.module(block).register_forward_hook(copy_out)

    def result(self) -> Activations:
        self.acts = Activations(self.region)
        self._chunks: dict[tuple[str, int], list[Tensor]] = {}
        self._order: list[int] = []
        self._positions: list[Tensor] = []
        self._layouts: list[Layout] = []
        return self.acts

    def prepare(self, run: Run, local: list[int]) -> None:
        rows = [run.rows[i] for i in local]
        if set(rows) & set(self._order):
            raise ValueError("one capture holds one run: open another for a second run")
        mask = run.layout.mask(self.region)[local]
        counts = mask.sum(1).tolist() + [p.shape[1] for p in self._positions]
        if len(set(counts)) > 1:
            raise ValueError(
                f"{self.region} has {sorted(set(counts))} tokens in different rows: capture 'text' "
                "and choose the part when patching, or capture rows of one kind at a time"
            )
        positions = mask.nonzero()[:, 1].reshape(len(local), counts[0])
        self._index = torch.tensor(local)[:, None], positions
        self._text = run.layout.text
        self._positions.append(positions)
        self._order += rows
        self._layouts += [run.layout.take([i]) for i in local]
        self.acts.total = run.steps

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        super().__exit__(kind, error, trace)
        if kind is not None:
            return
        # rows of different sizes ran in different batches: put them back in the caller's order
        back = sorted(range(len(self._order)), key=self._order.__getitem__)
        names = {name: n for n, name in enumerate(("context", *self.flux.blocks))}
        for key in sorted(self._chunks, key=lambda k: (names[k[0]], k[1])):
            value = self._chunks.pop(key)
            whole = value[0] if len(value) == 1 else torch.cat(value)
            self.acts.data[key] = whole if back == sorted(back) else whole[back]
        self.acts.positions = torch.cat(self._positions)[back]
        self.acts.layouts = tuple(self._layouts[i] for i in back)


class Patch(Context):
    """Context manager behind `flux.patch`."""

    kind = "patch"
    behind = True

    def __init__(
        self,
        flux: Flux,
        acts: Activations,
        region: Region,
        *,
        source_block: str | None,
        source_step: int | None,
        positions: str,
        **where: Any,
    ) -> None:
        super().__init__(flux, **where)
        self.acts, self.region, self.positions = acts, region, positions
        self.source_block, self.source_step = source_block, source_step
        if not acts.data:
            raise ValueError("nothing was captured yet: leave the capture's `with` block first")
        if positions not in ("same", "source"):
            raise ValueError(f"positions is 'same' or 'source', not {positions!r}")
        if region.kind != "text" and (positions == "source" or "context" in self.blocks):
            raise ValueError(f"only text tokens can be patched this way, not {region}")
        absent = [b for b in self.blocks if (source_block or b) not in acts.blocks]
        if absent:
            raise ValueError(
                f"{', '.join(absent)} was not captured (captured: {', '.join(acts.blocks)}); name "
                "another place to write with into=…"
            )

    def to_json(self, row: int | None = None) -> dict[str, Any]:
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
        tokens = {"tokens": str(self.region), "positions": self.positions}
        return {**super().to_json(row), **tokens, "source": source}

    def attach(self, block: str) -> Any:
        def write(module: Any, args: Any, output: Any) -> Any:
            if not self.due():
                return None
            step = self.flux.watch.step if self.source_step is None else self.source_step
            values = self.acts[self.source_block or block, step]
            tensor, start = stream(block, output, self.region, self._text)
            if values.shape[-1] != tensor.shape[-1]:
                raise ValueError(
                    f"{block} is {tensor.shape[-1]} wide, the captured rows {values.shape[-1]}: "
                    "they come from another model"
                )
            to_row, to, from_row, at = (i.to(tensor.device) for i in self._index)
            changed = tensor.clone()
            changed[to_row, to - start] = values.to(tensor)[from_row, at]
            self.count(block)
            if not isinstance(output, tuple):
                return changed
            return (changed, output[1]) if self.region.kind == "text" else (output[0], changed)

        return self.flux.module(block).register_forward_hook(write)

    def prepare(self, run: Run, local: list[int]) -> None:
        self._check_steps(run)
        acts, targets = self.acts, self.rows or range(run.total)
        if acts.rows not in (1, len(targets)):
            raise ValueError(
                f"{acts.rows} rows were captured and {len(targets)} are to be patched: the numbers "
                "must agree (acts.pick(rows=…), rows=…), or one row is written to all"
            )
        assert acts.positions is not None
        index = []
        for n in local:
            source_row = 0 if acts.rows == 1 else list(targets).index(run.rows[n])
            source, target = acts.layouts[source_row], run.layout.take([n])
            self._check_row(source, target)
            ruling = source if self.positions == "source" else target
            held = {p: i for i, p in enumerate(acts.positions[source_row].tolist())}
            for position in ruling.positions(self.region):
                if position not in held:
                    raise ValueError(f"{self.region} is not within the captured {acts.region}")
                index.append((n, position, source_row, held[position]))
        self._index = torch.tensor(index).unbind(1)
        self._text = run.layout.text

    def _check_steps(self, run: Run) -> None:
        acts = self.acts
        if self.source_step is not None:
            return
        if acts.total != run.steps:
            raise ValueError(
                f"the captured run had {acts.total} steps, this one has {run.steps}: its steps are "
                "at other noise levels. Use the same number, or name one source_step"
            )
        wanted = self.steps or range(run.steps or 1)
        absent = [step for step in wanted if step not in acts.steps]
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
