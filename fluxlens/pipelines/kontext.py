"""FLUX.1 Kontext: T5 text, a pooled CLIP vector, one reference, guidance embedded.

The pooled vector reads the instruction as well, on a way of its own: no intervention on tokens
touches it. Both kinds of block give (text, rest).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux import pipeline_flux_kontext as stock
from PIL import Image

from fluxlens.core import TextTokens

from .adapter import Family, Row, locate
from .encodings import Encodings


class Kontext(Family):
    """FLUX.1-Kontext-dev, by the stock call, a row at a time."""

    name = "kontext"
    pipelines = ("FluxKontextPipeline",)
    returns = MappingProxyType({"double": "pair", "single": "pair"})
    steps = 28
    guidance: float | None = 3.5
    max_refs: int | None = 1
    caveat = (
        "a pooled vector of the instruction reaches every block beside the tokens: no cut or patch "
        "of tokens touches it"
    )

    @property
    def auto_resize(self) -> bool:
        """Whether references are brought to one of the sizes that Kontext was trained on."""
        return self.default_size >= 1024

    def text_tokens(self, prompt: str, length: int, call: dict[str, Any]) -> TextTokens:
        """Where a prompt's tokens are: T5 ends it with a token of its own, then come pads."""
        return locate(self.pipe.tokenizer_2, call.get("prompt_2") or prompt, length)

    def ref_size(self, width: int, height: int) -> tuple[int, int]:
        """The preferred size of the nearest aspect, or its own, cropped to whole tokens."""
        if self.auto_resize:
            ratio = width / height
            sizes = [(abs(ratio - w / h), w, h) for w, h in stock.PREFERRED_KONTEXT_RESOLUTIONS]
            _, width, height = min(sizes)
        return width // self.multiple * self.multiple, height // self.multiple * self.multiple

    def levels(self, steps: int, tokens: int) -> tuple[float, ...]:
        """The noise levels of a run, as the scheduler shifts them."""
        scheduler, config = self.pipe.scheduler, self.pipe.scheduler.config
        mu = stock.calculate_shift(
            tokens,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        sigmas, device = np.linspace(1.0, 1 / steps, steps), self.pipe._execution_device
        times, _ = stock.retrieve_timesteps(scheduler, steps, device, sigmas=sigmas, mu=mu)
        return tuple(float(time) / 1000 for time in times)

    def call(self, row: Row, steps: int) -> dict[str, Any]:
        """The stock call's arguments for a row."""
        height, width = row.size
        return {
            "prompt": row.prompt,
            "height": height,
            "width": width,
            "num_inference_steps": steps,
            "generator": torch.Generator(self.pipe._execution_device).manual_seed(row.seed),
            **self.pipe_kwargs,
        }

    def run(self, rows: Sequence[Row], steps: int, encodings: Encodings) -> list[Image.Image]:
        """One row, by the stock call."""
        (row,) = rows
        return self.pipe(
            image=row.refs[0] if row.refs else None,
            guidance_scale=self.guidance,
            max_area=row.size[0] * row.size[1],
            _auto_resize=self.auto_resize,
            **self.call(row, steps),
        ).images
