"""Where the free factors live in the noise: eight directions that the world reads.

>>> z = torch.randn(4, FREE); noise = with_free(torch.randn(4, 36, 48), z)
>>> torch.allclose(free_of(noise), z, atol=1e-5)
True

A generative model of few steps paints blurs wherever its conditions leave a choice, unless it is
distilled. mini needs no teacher: each choice the world leaves open is made by the noise itself.
Free factor ``k`` of a drawing is the sum of noise channel ``k`` over the N image tokens, divided by
the square root of N: a standard normal number. Training draws the picture first and then a noise
that agrees with it, which leaves the noise standard normal and the flow a straight, deterministic
map. This is what *distilled* means for mini (klein's own step distillation is another method).
"""

import math

from jaxtyping import Float
from torch import Tensor

from fluxlens.mini.world import FREE

__all__ = ["free_of", "with_free"]


def free_of(noise: Float[Tensor, "batch tokens channels"]) -> Float[Tensor, "batch free"]:
    """The free factors that a packed noise decides."""
    return noise[..., :FREE].sum(dim=1) / math.sqrt(noise.shape[1])


def with_free(
    noise: Float[Tensor, "batch tokens channels"], free: Float[Tensor, "batch free"]
) -> Float[Tensor, "batch tokens channels"]:
    """The same noise, moved along the eight directions alone to decide ``free``."""
    shift = (free - free_of(noise)) / math.sqrt(noise.shape[1])
    out = noise.clone()
    out[..., :FREE] += shift[:, None]
    return out
