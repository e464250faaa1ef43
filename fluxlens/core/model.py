"""A diffusers pipeline, and what is known about it: the bottom of the house.

Context: the paper studies FLUX.2-klein-9B through the stock `diffusers` pipeline. Details: a
`Model` is that pipeline, unmodified, beside the `Adapter` of its family, which says how its blocks
are named, what they return and where its words stand. Intuition: instruments ask the model, the
model asks its adapter, and no instrument names a pipeline.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from diffusers.models import attention_dispatch
from torch import nn

from fluxlens.errors import ModelError

from .layout import Grid, Layout, TextTokens

Kwargs = dict[str, Any]


class Adapter(Protocol):
    """What the core asks of a family of pipelines; `fluxlens.pipelines` has one class a family.

    `stacks` names the transformer's lists of blocks by the kind that block names begin with, in
    running order: ``{"double": "transformer_blocks"}``. `returns` says what a block of that kind
    gives: ``"pair"`` (text, rest) or ``"joint"`` (the whole sequence). `context` is the module
    that embeds the text.
    """

    stacks: Mapping[str, str]
    returns: Mapping[str, str]
    context: str

    @property
    def multiple(self) -> int:
        """Pixels along the side of a token."""

    def shape(self, call: Kwargs) -> tuple[int, int, Grid, tuple[Grid, ...]]:
        """Read a transformer call: its rows, text tokens, and grids of image and references."""

    def text_tokens(self, prompt: str, length: int, call: Kwargs) -> TextTokens:
        """Find a prompt's tokens in its text sequence, for a call of `encode_prompt`."""

    def without_refs(self, call: Kwargs, layout: Layout) -> Kwargs:
        """Take the references out of what goes into a block."""


class Model:
    """A pipeline under the instruments: `pipe`, its `adapter`, and the `blocks` by name.

    `name` and `revision` stand in the records. `ModelError` for a pipeline whose blocks could not
    be heard or may be skipped.
    """

    def __init__(
        self, pipe: Any, adapter: Adapter, *, name: str = "custom", revision: str | None = None
    ) -> None:
        self.pipe, self.adapter = pipe, adapter
        self.name, self.revision = name, revision
        self.blocks: tuple[str, ...] = tuple(
            f"{kind}.{n}"
            for kind, stack in adapter.stacks.items()
            for n in range(len(getattr(pipe.transformer, stack)))
        )
        self.check()

    @property
    def transformer(self) -> nn.Module:
        """The module whose blocks are studied."""
        return self.pipe.transformer

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes."""
        return self.pipe._execution_device

    @property
    def dtype(self) -> torch.dtype:
        """The transformer's number format."""
        return self.pipe.transformer.dtype

    @property
    def attention_backend(self) -> str:
        """The attention kernel in use, as diffusers names it; several are joined by commas."""
        active = attention_dispatch._AttentionBackendRegistry.get_active_backend()[0]
        names = set()
        for stack in self.adapter.stacks.values():
            for block in self.stack(stack):
                processor = getattr(getattr(block, "attn", None), "processor", None)
                own = getattr(processor, "_attention_backend", None) or active
                names.add(str(getattr(own, "value", own)))
        return ",".join(sorted(names))

    def stack(self, name: str) -> Any:
        """One of the transformer's lists of blocks, by its own name."""
        return getattr(self.transformer, name)

    def module(self, block: str) -> nn.Module:
        """The module that a block's name stands for; ``"context"`` embeds the text."""
        if block == "context":
            return self.transformer.get_submodule(self.adapter.context)
        kind, _, number = block.partition(".")
        stack = self.transformer.get_submodule(self.adapter.stacks[kind])
        return stack.get_submodule(number)

    def returns(self, block: str) -> str:
        """What a block gives: ``"pair"`` (text, rest), ``"joint"``, or ``"text"`` alone."""
        return "text" if block == "context" else self.adapter.returns[block.partition(".")[0]]

    def select(self, blocks: str | Iterable[str], extra: Sequence[str] = ()) -> tuple[str, ...]:
        """Block names from a name, a glob, an inclusive range, or several (list or commas).

        ``"double.1"``, ``"single.*"``, ``"double.1..single.2"``, ``"..single.0"``, ``"*"``.
        `ValueError` lists the valid names.
        """
        chosen: list[str] = []
        for name in blocks.split(",") if isinstance(blocks, str) else blocks:
            name = str(name).strip()
            if ".." in name:
                first, _, last = name.partition("..")
                ends = [first or self.blocks[0], last or self.blocks[-1]]
                at = [self.blocks.index(e) for e in ends if e in self.blocks]
                matches = list(self.blocks[at[0] : at[1] + 1]) if len(at) == 2 else []
            else:
                matches = fnmatch.filter(self.blocks, name) or [e for e in extra if e == name]
            if not matches:
                raise ValueError(
                    f"unknown block {name!r}; {self.name} has {self._summary()}"
                    + "".join(f", and {e!r}" for e in extra)
                )
            chosen += matches
        if not chosen:
            raise ValueError(f"no block was named; {self.name} has {self._summary()}")
        return tuple(sorted(set(chosen), key=[*extra, *self.blocks].index))

    def _summary(self) -> str:
        kinds = [[b for b in self.blocks if b.startswith(kind)] for kind in self.adapter.stacks]
        return " and ".join(f"{names[0]} … {names[-1]}" for names in kinds if names)

    def check(self) -> None:
        """Raise `ModelError` if blocks may be skipped, sharded or hidden, so that hooks miss them.

        Asked when a model is made, when an intervention opens and when a run begins.
        """
        transformer: Any = self.transformer
        blocks = [block for stack in self.adapter.stacks.values() for block in self.stack(stack)]
        attentions = [getattr(block, "attn", None) for block in blocks]
        processors = [getattr(attention, "processor", None) for attention in attentions]
        if torch.is_grad_enabled() and getattr(transformer, "gradient_checkpointing", False):
            raise ModelError(
                "gradient checkpointing runs blocks again backwards, where interventions would act "
                "twice: call pipe.transformer.disable_gradient_checkpointing(), or torch.no_grad()"
            )
        if hasattr(transformer, "_orig_mod"):
            raise ModelError(
                "torch.compile(pipe.transformer) hides its blocks, and no intervention would be "
                "heard: use pipe.transformer.compile_repeated_blocks() instead"
            )
        if getattr(transformer, "_parallel_config", None) is not None:
            raise ModelError(
                "context parallelism spreads the sequence over devices, and an intervention would "
                "see a part of it: load the model without enable_parallelism(…)"
            )
        skipping = {
            name
            for module in (transformer, *blocks, *attentions)
            for name, hook in getattr(getattr(module, "_diffusers_hook", None), "hooks", {}).items()
            if name.startswith("cp_")
            or (hasattr(hook, "new_forward") and name != "peft_autocast_disable")
        }
        if skipping or getattr(transformer, "is_cache_enabled", False):
            raise ModelError(
                f"{', '.join(sorted(skipping)) or 'a step cache'} may skip or replace blocks of "
                "the transformer, where an intervention would silently do nothing: switch it off "
                "(pipe.transformer.disable_cache()) before you intervene"
            )
        kinds = {type(processor).__name__ for processor in processors}
        if kept := [kind for kind in kinds if "KV" in kind]:
            raise ModelError(
                f"its blocks run {kept[0]}, which keeps the references' keys and ignores masks, so "
                "a knockout would do nothing: use a pipeline with its own processors"
            )
        if "varlen" in self.attention_backend:
            raise ModelError(
                f"the attention backend {self.attention_backend!r} reduces a mask to key padding, "
                "so a knockout would silently vanish: use "
                "pipe.transformer.set_attention_backend('native')"
            )
