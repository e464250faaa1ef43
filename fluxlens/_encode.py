"""Prompts and references as the transformer reads them, each encoded once.

Context: a study repeats few prompts and references thousands of times. Details: each is encoded
alone, so no batch changes it, and remembered while its encoder stays as it is. Intuition: what the
stock pipeline computes and then throws away is not computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from .models import Flux


class Stop(Exception):
    """Ends a forward whose rest nobody needs."""


def embed(flux: Flux, prompt: str, device: torch.device) -> Float[Tensor, "1 tokens width"]:
    """A prompt's embedding."""

    def make() -> Tensor:
        if _listeners(flux.pipe.text_encoder):
            return flux.pipe.encode_prompt(prompt=prompt, device=device, **flux.pipe_kwargs)[0]
        return used_layers(flux, prompt, device)

    path = flux.max_sequence_length, flux.text_layers
    return _cached(flux, ("text", prompt, path, device), flux.pipe.text_encoder, make)


def used_layers(flux: Flux, prompt: str, device: torch.device) -> Float[Tensor, "1 tokens width"]:
    """The same embedding; what follows the last layer that it reads is not run."""
    encoder = flux.pipe.text_encoder
    # hidden state k as transformers counts: the last is the only one behind the final norm
    stages = [encoder.model.embed_tokens, *encoder.model.layers[:-1], encoder.model.norm]
    last = max(flux.text_layers)
    states: dict[int, Tensor] = {}

    def keep(number: int, output: Any) -> None:
        states[number] = output[0] if isinstance(output, tuple) else output
        if number == last:
            raise Stop

    handles = [
        stages[k].register_forward_hook(lambda m, a, output, k=k: keep(k, output))
        for k in set(flux.text_layers)
    ]
    try:
        flux.pipe.encode_prompt(prompt=prompt, device=device, **flux.pipe_kwargs)
    except Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()
    joined = torch.cat([states[k] for k in flux.text_layers], dim=-1)
    return joined.to(device=device, dtype=encoder.dtype)


def encode(
    flux: Flux, image: Image.Image, device: torch.device
) -> Float[Tensor, "1 tokens channels"]:
    """A reference's tokens, resized and encoded as the pipeline does."""
    pipe = flux.pipe

    def make() -> Tensor:
        small = image
        if small.width * small.height > 1024 * 1024:
            small = pipe.image_processor._resize_to_target_area(small, 1024 * 1024)
        width, height = (side // flux.multiple * flux.multiple for side in small.size)
        pixels = pipe.image_processor.preprocess(
            small, height=height, width=width, resize_mode="crop"
        )
        return pipe.prepare_image_latents([pixels], 1, None, device, pipe.vae.dtype)[0]

    pixels = hashlib.sha256(image.tobytes()).hexdigest()
    return _cached(flux, ("image", image.size, pixels, device), pipe.vae, make)


def _cached(flux: Flux, key: Any, module: torch.nn.Module, make: Callable[[], Tensor]) -> Tensor:
    """Remember encodings, unless somebody listens to the encoder or has changed its weights."""
    if _listeners(module):
        return make()
    tensors = [*module.parameters(), *module.buffers()]
    weights = len(tensors), sum(0 if t.is_inference() else t._version for t in tensors)
    key = (*key, id(module), module.dtype, weights)
    if key not in flux.cache:
        while len(flux.cache) >= 512 or _bytes(flux.cache) > 2**29:
            flux.cache.pop(next(iter(flux.cache)))
        flux.cache[key] = make()
    return flux.cache[key]


def _listeners(module: torch.nn.Module) -> bool:
    tables = [t for m in module.modules() for t in (m._forward_hooks, m._forward_pre_hooks)]
    origins = [str(getattr(hook, "__module__", "")) for t in tables for hook in t.values()]
    # transformers leaves hooks of its own behind, which only collect hidden states
    return any(not origin.startswith("transformers.") for origin in origins)


def _bytes(cache: dict[Any, Tensor]) -> int:
    return sum(value.nbytes for value in cache.values())
