"""Pictures through mini's own autoencoder, with noise on the latents: as soft as mini's are.

>>> pixels = np.asarray(StillLife("mug", COLORS["red"]).draw(NO_FREE), np.float32)
>>> encoded(pixels, np.random.default_rng(0), noise=0.4).shape
(96, 96, 3)

What mini paints has gone through this decoder, and its latents are never quite those of a drawing.
Nothing of the transformer enters here: the latents are a drawing's own, and the noise is white.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import fluxlens

if TYPE_CHECKING:
    from diffusers import AutoencoderKLFlux2

FOLDER = Path(fluxlens.__file__).parent / "mini" / "weights" / "mini" / "vae"

__all__ = ["encoded"]


@lru_cache(maxsize=1)
def _autoencoder() -> AutoencoderKLFlux2:
    from diffusers import AutoencoderKLFlux2

    return AutoencoderKLFlux2.from_pretrained(FOLDER).float().eval()


def encoded(pixels: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Pixels (96, 96, 3), in levels, encoded and decoded again.

    ``noise``: standard deviation of what is added to the packed, normalized latents, in units of
    their own; the same generator adds the same noise.
    """
    import torch  # what only reads pictures does without it

    vae = _autoencoder()
    spread = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)
    with torch.inference_mode():
        levels = torch.from_numpy(np.asarray(pixels, np.float32).transpose(2, 0, 1).copy())
        latents = vae.encode(levels[None] / 127.5 - 1).latent_dist.mode()
        _, channels, rows, columns = latents.shape
        added = rng.normal(0, noise, (channels, 2, 2, rows // 2, columns // 2)).astype(np.float32)
        # The normalization is of 2x2 latents packed into one token, a spread for each channel.
        scaled = torch.from_numpy(added) * spread.view(channels, 2, 2, 1, 1)
        latents = latents + scaled.permute(0, 3, 1, 4, 2).reshape(1, channels, rows, columns)
        picture = vae.decode(latents).sample[0]
    out: np.ndarray = (picture.numpy().transpose(1, 2, 0) + 1) * 127.5
    return out
