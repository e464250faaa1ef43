"""An in-context image editor under the lens: what a user holds.

Context: the paper studies FLUX.2-klein-9B; diffusers has more editors of its kind. Details: an
`Editor` is a stock pipeline, unmodified, with the blocks where its bindings live; `fluxlens.load`
makes one. Intuition: everything you can do is a method here; everything stock is still at
`editor.pipe`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from . import __version__
from .core import (
    Activations,
    Apply,
    Capture,
    Cut,
    Gain,
    Layout,
    Patch,
    Read,
    Region,
    Watch,
)
from .pipelines import (
    AdaptedModel,
    Encodings,
    Family,
    layout_of,
    remembering,
    rows_of,
    sample,
)

Prompts = str | list[str]
Refs = Any  # an image, a tuple of several for one row, None, or a list with one of these per row
Numbers = int | list[int]
Sizes = int | None | list[int | None]
Images = Any  # an image for a single row, a list of them for several


@dataclass(frozen=True)
class Binding:
    """The blocks whose text tokens carry a style and a color best, by a model's own sweeps."""

    style: str
    color: str


class Editor(AdaptedModel):
    """A stock pipeline under the lens; made by `load`.

    ```python
    editor = fl.load("mini")
    edit = editor.edit("draw a mug in this color", ref=red, seed=0)
    with editor.knockout("ref->text", blocks="double.*"):
        cut = editor.edit("draw a mug in this color", ref=red, seed=0)
    ```
    Attributes: `pipe` (the stock pipeline), `family` (what is particular about it), `blocks` (names
    in running order), `binding`, `steps` (of a run unless told), `default_size` (pixels of a
    generation), `name`, `revision`, `wiring` (how a shipped mini was trained, None for others).
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        *,
        name: str = "custom",
        revision: str | None = None,
        wiring: str | None = None,
        binding: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(pipe, family, name=name, revision=revision)
        self.wiring = wiring
        self.binding = Binding(**{**family.default_binding(self.blocks), **(binding or {})})
        self.select([self.binding.style, self.binding.color])

    def record(self, **facts: Any) -> dict[str, Any]:
        """What made an image, as plain data: model, versions, open interventions and `facts`."""
        guidance = {} if self.family.guidance is None else {"guidance": self.family.guidance}
        return {
            "model": self.name,
            "family": self.family.name,
            "revision": self.revision,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
            "attention_backend": self.attention_backend,
            "versions": dict(_versions()),
            "interventions": [one.to_json() for one in Watch.of(self).mine],
            **guidance,
            **({"caveat": self.family.caveat} if self.family.caveat else {}),
            **facts,
        }

    # running it

    def edit(
        self,
        prompt: Prompts,
        ref: Refs,
        seed: Numbers = 0,
        steps: int | None = None,
        height: Sizes = None,
        width: Sizes = None,
    ) -> Images:
        """Edit a reference: ``editor.edit("draw a mug in this color", ref=red, seed=0)``.

        PIL images in, PIL image out, at the (first) reference's size unless told otherwise. Prompt,
        reference, seed and size may be lists, a row each, and then a list comes back; several
        references of one row are a tuple. One row equals the stock pipeline bit for bit on the CPU
        in float32. Transparency is composited on white, EXIF rotations are applied.
        """
        rows, single = rows_of(self, prompt, ref, seed, height, width)
        if any(not row.refs for row in rows):
            raise ValueError("an edit needs a reference image; without one, use editor.generate(…)")
        images = sample(self, rows, steps=steps)
        return images[0] if single else images

    def generate(
        self,
        prompt: Prompts,
        seed: Numbers = 0,
        steps: int | None = None,
        height: Sizes = None,
        width: Sizes = None,
    ) -> Images:
        """Generate from text alone, with no reference: ``editor.generate("a red mug", seed=0)``.

        `ValueError` where the family has no such mode.
        """
        self.refuse("generate")
        rows, single = rows_of(self, prompt, None, seed, height, width)
        images = sample(self, rows, steps=steps)
        return images[0] if single else images

    def layout(
        self, prompt: Prompts, ref: Refs = None, height: Sizes = None, width: Sizes = None
    ) -> Layout:
        """Find where every token of such a run lives; nothing is run. See `fluxlens.Layout`."""
        rows, _ = rows_of(self, prompt, ref, 0, height, width)
        return layout_of(self, rows)

    def remember(self) -> AbstractContextManager[Encodings]:
        """Encode each prompt and reference once while the block is open; encoders must not change.

        ```python
        with editor.remember():
            images = [editor.edit(prompt, ref=red, seed=seed) for seed in range(8)]
        ```
        """
        return remembering(self)

    # putting it under the lens

    def capture(
        self,
        block: str | Iterable[str],
        tokens: str | Region = "text",
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        passes: str = "cond",
    ) -> Capture:
        """Copy a region's rows out of block outputs: ``with editor.capture("double.1") as acts:``.

        `block` also takes ``"context"``, the output of the context embedder. Raises `FiringError`
        on exit if a block and step that were promised did not run.
        """
        return Capture(self, block, tokens=tokens, steps=steps, rows=rows, passes=passes)

    def patch(
        self,
        acts: Activations,
        tokens: str | Region | None = None,
        *,
        blocks: str | Iterable[str] | None = None,
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        passes: str = "cond",
        into: str | None = None,
        source_step: int | None = None,
        positions: str = "same",
    ) -> Patch:
        """Write captured rows over a run: ``with editor.patch(acts, tokens="text[padding]"):``.

        Same block and same step by default. `into` writes one captured block elsewhere: another
        block, or ``"context"``, the output of the context embedder, which is the paper's T2I Lens;
        there a single captured step serves all steps, and positions are the source prompt's.
        `source_step` reads one captured step for every step. ``positions="source"`` places tokens
        by the captured run's prompt, whatever the prompt of the patched run. `ValueError` for rows
        of another model, schedule, size or prompt.
        """
        return Patch(
            self,
            acts,
            blocks,
            tokens=tokens,
            into=into,
            source_step=source_step,
            positions=positions,
            steps=steps,
            rows=rows,
            passes=passes,
        )

    def apply(
        self,
        function: Callable[[Any], Any],
        block: str | Iterable[str],
        tokens: str | Region = "text",
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        passes: str = "cond",
    ) -> Apply:
        """Put a function of a region's rows in their place.

        ``with editor.apply(lambda rows: 0.5 * rows, "double.2", tokens="text[pad]"):``. The
        function gets and gives (rows, tokens, width).
        """
        return Apply(self, function, block, tokens=tokens, steps=steps, rows=rows, passes=passes)

    def knockout(
        self,
        edge: Any,
        blocks: str | Iterable[str] = "*",
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        heads: int | Iterable[int] | None = None,
        passes: str = "cond",
        attention: str = "auto",
    ) -> Cut:
        """Cut the flow along an edge: ``with editor.knockout("ref->text[padding]"):``.

        ``"ref->text"``: text queries cannot read reference keys. Several edges may be given. The
        paper cuts in all blocks, heads and steps, the default. No mask is made unless the call
        brings one or you ask: ``attention="mask"``. The record says which it was; they are equal to
        rounding.
        """
        how: dict[str, Any] = {"heads": heads, "attention": attention, "passes": passes}
        return Cut(self, edge, blocks, steps=steps, rows=rows, **how)

    def gain(
        self,
        edge: Any,
        amount: float,
        blocks: str | Iterable[str] = "*",
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        heads: int | Iterable[int] | None = None,
        passes: str = "cond",
        attention: str = "auto",
    ) -> Gain:
        """Strengthen (or weaken) an edge: ``with editor.gain("ref->text[pad]", 4.0):``.

        `amount` is added to its attention logits; minus infinity is the knockout, 0 changes
        nothing.
        """
        how: dict[str, Any] = {"heads": heads, "attention": attention, "passes": passes}
        return Gain(self, edge, amount, blocks, steps=steps, rows=rows, **how)

    def attention(
        self,
        edge: Any,
        blocks: str | Iterable[str] = "*",
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        maps: str = "heads",
        passes: str = "cond",
    ) -> Read:
        """Measure what flows along an edge: ``with editor.attention("ref->text[pad]") as seen:``.

        ``seen.mass`` is blocks × steps × heads, ``seen.map("double.1")`` a picture over the
        reference. ``maps="readers"`` keeps a map for each reader instead of each head.
        """
        return Read(self, edge, blocks, maps=maps, steps=steps, rows=rows, passes=passes)


@cache
def _versions() -> dict[str, str]:
    others = {package: version(package) for package in ("torch", "diffusers", "transformers")}
    return {"python": platform.python_version(), "fluxlens": __version__, **others}
