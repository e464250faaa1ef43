"""Floating point operations of the text encoder and the VAE, counted on configurations.

>>> text = model_shape("klein-9b").text
>>> whole, read = text.encode(512), text.encode(512, layers=27)
>>> f"{whole.total / 1e12:.1f} TFLOP, {read.total / 1e12:.1f} of them up to the last layer read"
'7.9 TFLOP, 5.5 of them up to the last layer read'

As `fluxlens.study.flops`, and held to the stock modules in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fluxlens.study.flops import Flops

__all__ = ["TextCost", "VaeCost"]


@dataclass(frozen=True)
class TextCost:
    """What a prompt costs in the language model that encodes it: ``of(config).encode(512)``."""

    layers: int
    hidden: int
    inner: int  # of the feed-forward
    queries: int  # heads × their width
    keys: int
    vocabulary: int
    tied: bool  # the head's weights are the embedding's

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TextCost:
        """From a Qwen3's ``config.json``."""
        head = config["head_dim"]
        return cls(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            inner=config["intermediate_size"],
            queries=config["num_attention_heads"] * head,
            keys=config["num_key_value_heads"] * head,
            vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", False),
        )

    @property
    def weights(self) -> int:
        """Weights that a token passes in one layer."""
        return 2 * self.hidden * (self.queries + self.keys) + 3 * self.hidden * self.inner

    @property
    def parameters(self) -> int:
        """All of its weights but the norms'."""
        return self.layers * self.weights + (2 - self.tied) * self.hidden * self.vocabulary

    def encode(self, tokens: int, layers: int | None = None) -> Flops:
        """A prompt of ``tokens``; the stock pipeline runs all layers and the vocabulary's head.

        With ``layers`` only so many are run, and no head: nothing behind the last layer whose
        states the transformer reads changes them.
        """
        ran = self.layers if layers is None else layers
        head = self.hidden * self.vocabulary if layers is None else 0
        return Flops(
            linear=2 * tokens * self.weights * ran,
            attention=4 * tokens**2 * self.queries * ran,
            ends=2 * tokens * head,
        )


@dataclass(frozen=True)
class VaeCost:
    """What a picture costs in an `AutoencoderKLFlux2`: ``of(config).decode(1024 * 1024)``."""

    encoder: tuple[int, ...]  # channels of each level, at full, half, … resolution
    decoder: tuple[int, ...]
    latents: int
    layers: int
    attention: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> VaeCost:
        """From a VAE's ``config.json``, whose gaps have the class's defaults."""
        encoder = tuple(config.get("block_out_channels", (128, 256, 512, 512)))
        return cls(
            encoder=encoder,
            decoder=tuple(config.get("decoder_block_out_channels") or encoder),
            latents=config.get("latent_channels", 32),
            layers=config.get("layers_per_block", 2),
            attention=config.get("mid_block_add_attention", True),
        )

    def encode(self, pixels: float) -> float:
        """A picture of so many pixels, whole tokens of them, into latents."""
        levels = self.encoder
        weights = 9.0 * 3 * levels[0]  # weights that a pixel passes
        before = levels[0]
        for n, channels in enumerate(levels):
            weights += self._level(before, channels, self.layers) / 4.0**n
            if n + 1 < len(levels):
                weights += 9 * channels**2 / 4.0 ** (n + 1)
            before = channels
        moments = 2 * self.latents
        weights += (9 * before * moments + moments**2) / 4.0 ** (len(levels) - 1)
        return 2 * pixels * weights + self._middle(levels, pixels)

    def decode(self, pixels: float) -> float:
        """Latents into a picture of so many pixels."""
        levels = self.decoder[::-1]
        depth = len(levels) - 1
        weights = (self.latents**2 + 9 * self.latents * levels[0]) / 4.0**depth
        before = levels[0]
        for n, channels in enumerate(levels):
            weights += self._level(before, channels, self.layers + 1) / 4.0 ** (depth - n)
            if n < depth:
                weights += 9 * channels**2 / 4.0 ** (depth - n - 1)
            before = channels
        weights += 9 * before * 3
        return 2 * pixels * weights + self._middle(self.decoder, pixels)

    @staticmethod
    def _level(before: int, channels: int, layers: int) -> int:
        """Residual blocks of two 3×3 convolutions; the first has a shortcut if widths differ."""
        first = 9 * before * channels + (before * channels if before != channels else 0)
        return first + 9 * channels**2 * (2 * layers - 1)

    def _middle(self, levels: Sequence[int], pixels: float) -> float:
        """Two residual blocks at the lowest resolution, around self-attention over all of it."""
        channels, places = levels[-1], pixels / 4.0 ** (len(levels) - 1)
        weights = 2 * self._level(channels, channels, 1)
        if not self.attention:
            return 2 * places * weights
        return 2 * places * (weights + 4 * channels**2) + 4 * places**2 * channels
