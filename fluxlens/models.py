"""A FLUX.2 pipeline, and what it is.

Context: the paper studies FLUX.2-klein-9B through the stock `diffusers` pipeline. Details: a `Flux`
is that pipeline, unmodified, plus its block names, its text path and the blocks where its bindings
live; `fluxlens.load` makes one. Intuition: everything you can do is a method of `Flux`; everything
stock is still at `flux.pipe`.
"""

from __future__ import annotations

import fnmatch
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch

from . import _checks
from ._context import Watch, as_numbers

if TYPE_CHECKING:
    from .hooks import Activations, Capture, Patch
    from .knockout import Knockout
    from .layout import Layout

Prompts = str | list[str]
Refs = Any  # an image, a tuple of several for one row, None, or a list with one of these per row
Seeds = int | list[int]
Sizes = int | None | list[int | None]


@dataclass(frozen=True)
class Binding:
    """The blocks whose text tokens carry a style and a color best, by a model's own sweeps."""

    style: str
    color: str


class Flux:
    """A stock FLUX.2 pipeline under the lens; made by `load`.

    ```python
    flux = fl.load("mini")
    edit = flux.edit("draw a mug in this color", ref=red, seed=0)
    with flux.knockout("ref->text", blocks="double.*"):
        cut = flux.edit("draw a mug in this color", ref=red, seed=0)
    ```
    Attributes: `pipe` (the stock pipeline), `blocks` (names in running order), `binding`,
    `max_sequence_length` and `text_layers` (its text path), `default_size` (pixels of a
    generation), `name`, `revision`, `wiring` (how a shipped mini was trained, None for others).
    """

    def __init__(
        self,
        pipe: Any,
        *,
        name: str = "custom",
        revision: str | None = None,
        wiring: str | None = None,
        max_sequence_length: int = 512,
        text_layers: Sequence[int] = (9, 18, 27),
        binding: dict[str, str] | None = None,
        default_size: int = 1024,
    ) -> None:
        self.pipe = pipe
        self.name, self.revision, self.wiring = name, revision, wiring
        self.max_sequence_length = max_sequence_length
        self.text_layers = tuple(text_layers)
        self.default_size = default_size
        self._name_blocks(pipe, binding)
        self.watch = Watch(self)
        self.cache: dict[Any, Any] = {}
        self.shelf: dict[Any, Any] | None = None  # a study's prompts, see `_encode.Shelf`
        _checks.check_pipeline(self)

    def _name_blocks(self, pipe: Any, binding: dict[str, str] | None) -> None:
        config = pipe.transformer.config
        double, single = config.num_layers, config.num_single_layers
        self.blocks: tuple[str, ...] = tuple(
            [f"double.{i}" for i in range(double)] + [f"single.{i}" for i in range(single)]
        )
        # The paper's: the last of 8 double blocks, the 10th of 24 single ones; elsewhere, until a
        # sweep says better, the same relative depth.
        relative = {
            "style": f"double.{double - 1}",
            "color": f"single.{max(round(single * 10 / 24) - 1, 0)}",
        }
        self.binding = Binding(**{**relative, **(binding or {})})
        self.select([self.binding.style, self.binding.color])

    # what it is

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes; the pipeline walks all its modules to tell."""
        return self.pipe._execution_device

    @property
    def dtype(self) -> torch.dtype:
        """The transformer's number format."""
        return self.pipe.transformer.dtype

    @property
    def pipe_kwargs(self) -> dict[str, Any]:
        """What a stock call needs for this model's text: `flux.pipe(…, **flux.pipe_kwargs)`."""
        return {
            "max_sequence_length": self.max_sequence_length,
            "text_encoder_out_layers": self.text_layers,
        }

    @property
    def multiple(self) -> int:
        """Pixels along the side of a token: 16."""
        return self.pipe.vae_scale_factor * 2

    @property
    def attention_backend(self) -> str:
        """The attention kernel in use, as diffusers names it."""
        return _checks.attention_backend(self)

    def module(self, block: str) -> torch.nn.Module:
        """The module behind a block's name; ``"context"`` is the context embedder."""
        transformer = self.pipe.transformer
        if block == "context":
            return transformer.context_embedder
        kind, _, number = block.partition(".")
        stack = "transformer_blocks" if kind == "double" else "single_transformer_blocks"
        # as a list of modules finds its own, without its checks: contexts ask for every block
        found = transformer.get_submodule(stack)._modules[number]
        assert found is not None
        return found

    def select(self, blocks: str | Iterable[str], extra: Sequence[str] = ()) -> tuple[str, ...]:
        """Block names from a name, a glob, an inclusive range, or several (list or commas).

        ``"double.1"``, ``"single.*"``, ``"double.1..single.2"``, ``"..single.0"``, ``"*"``.
        `ValueError` lists the valid names.
        """
        wanted: list[str] = []
        for name in blocks.split(",") if isinstance(blocks, str) else blocks:
            name = name.strip()
            if ".." in name:
                first, _, last = name.partition("..")
                ends = [first or self.blocks[0], last or self.blocks[-1]]
                at = [self.blocks.index(e) for e in ends if e in self.blocks]
                found = list(self.blocks[at[0] : at[1] + 1]) if len(at) == 2 else []
            else:
                found = fnmatch.filter(self.blocks, name) or [e for e in extra if e == name]
            if not found:
                raise ValueError(
                    f"unknown block {name!r}; {self.name} has {self._summary()}"
                    + "".join(f", and {e!r}" for e in extra)
                )
            wanted += found
        if not wanted:
            raise ValueError(f"no block was named; {self.name} has {self._summary()}")
        return tuple(sorted(set(wanted), key=[*extra, *self.blocks].index))

    def _summary(self) -> str:
        config = self.pipe.transformer.config
        return (
            f"double.0 … double.{config.num_layers - 1} and "
            f"single.0 … single.{config.num_single_layers - 1}"
        )

    def record(self, **facts: Any) -> dict[str, Any]:
        """What made an image, as plain data: model, versions, open interventions and `facts`."""
        return {
            "model": self.name,
            "revision": self.revision,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
            "attention_backend": self.attention_backend,
            "versions": dict(_versions()),
            "interventions": [context.to_json() for context in self.watch.contexts],
            **facts,
        }

    # running it

    def edit(
        self,
        prompt: Prompts,
        ref: Refs,
        seed: Seeds = 0,
        steps: int = 4,
        height: Sizes = None,
        width: Sizes = None,
    ) -> Any:
        """An edit of a reference: ``flux.edit("draw a mug in this color", ref=red, seed=0)``.

        PIL images in, PIL image out, at the (first) reference's size unless told otherwise. Prompt,
        reference, seed and size may be lists, a row each, and then a list comes back; several
        references of one row are a tuple. One row equals the stock pipeline bit for bit on the CPU
        in float32. Transparency is composited on white, EXIF rotations are applied.
        """
        from .sampler import rows_of, sample

        rows, single = rows_of(self, prompt, ref, seed, height, width)
        if any(not row.refs for row in rows):
            raise ValueError("an edit needs a reference image; without one, use flux.generate(…)")
        images = sample(self, rows, steps=steps, whole=True)
        return images[0] if single else images

    def generate(
        self,
        prompt: Prompts,
        seed: Seeds = 0,
        steps: int = 4,
        height: Sizes = None,
        width: Sizes = None,
    ) -> Any:
        """A text-to-image generation, with no reference: ``flux.generate("a red mug", seed=0)``."""
        from .sampler import rows_of, sample

        rows, single = rows_of(self, prompt, None, seed, height, width)
        images = sample(self, rows, steps=steps, whole=True)
        return images[0] if single else images

    def layout(
        self, prompt: Prompts, ref: Refs = None, height: Sizes = None, width: Sizes = None
    ) -> Layout:
        """Where every token of such a run lives; nothing is run. See `fluxlens.layout.Layout`."""
        from .sampler import layout_of, rows_of

        rows, _ = rows_of(self, prompt, ref, 0, height, width)
        return layout_of(self, rows)

    # putting it under the lens

    def capture(
        self,
        block: str | Iterable[str],
        tokens: str = "text",
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
    ) -> Capture:
        """Copy a region's rows out of block outputs: ``with flux.capture("double.1") as acts:``.

        `block` also takes ``"context"``, the output of the context embedder. Raises `FiringError`
        on exit if a block and step that were promised did not run.
        """
        from .hooks import Capture
        from .layout import Region

        blocks = self.select(block, extra=("context",))
        region = Region.parse(tokens)
        return Capture(self, region, blocks=blocks, steps=as_numbers(steps), rows=as_numbers(rows))

    def patch(
        self,
        acts: Activations,
        tokens: str | None = None,
        *,
        blocks: str | Iterable[str] | None = None,
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        into: str | None = None,
        source_step: int | None = None,
        positions: str = "same",
    ) -> Patch:
        """Write captured rows over a run: ``with flux.patch(acts, tokens="text[padding]"):``.

        Same block and same step by default. `into` writes one captured block elsewhere: another
        block, or ``"context"``, the output of the context embedder, which is the paper's T2I Lens;
        there a single captured step serves all steps, and positions are the source prompt's.
        `source_step` reads one captured step for every step. ``positions="source"`` places tokens
        by the captured run's prompt, whatever the prompt of the patched run.
        """
        from .hooks import Patch
        from .layout import Region

        source_block = None
        targets = acts.blocks if blocks is None else self.select(blocks, extra=("context",))
        if into is not None:
            if len(targets) != 1 or targets[0] not in acts.blocks:
                raise ValueError(
                    f"into={into!r} writes one captured block elsewhere: name it with blocks=… "
                    f"(captured: {', '.join(acts.blocks)})"
                )
            source_block = targets[0]
            targets = self.select(into, extra=("context",))
            if into == "context":
                positions = "source"
                if source_step is None and len(acts.steps) == 1:
                    source_step = acts.steps[0]
        return Patch(
            self,
            acts,
            Region.parse(acts.region if tokens is None else tokens),
            source_block=source_block,
            source_step=source_step,
            positions=positions,
            blocks=targets,
            steps=as_numbers(steps),
            rows=as_numbers(rows),
        )

    def knockout(
        self,
        edge: str | Sequence[str],
        blocks: str | Iterable[str] = "*",
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        attention: str = "auto",
    ) -> Knockout:
        """Cut the flow along an edge: ``with flux.knockout("ref->text[padding]"):``.

        ``"ref->text"``: text queries cannot read reference keys. Several edges may be given. The
        paper cuts in all blocks at all steps, the default. No mask is made unless the call brings
        one, a block runs a processor of its own, or you ask: ``attention="mask"``. The record says
        which it was; they are equal to rounding.
        """
        from .knockout import Knockout, parse_edges

        return Knockout(
            self,
            parse_edges(edge),
            attention=attention,
            blocks=self.select(blocks),
            steps=as_numbers(steps),
            rows=as_numbers(rows),
        )


@cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("fluxlens", "torch", "diffusers", "transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # a checkout that is not installed
            versions[package] = "unknown"
    return versions
