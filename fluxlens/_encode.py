"""Prompts and references as the transformer reads them, each encoded once.

Context: a study repeats few prompts and references thousands of times. Details: each is encoded
alone, so no batch changes it, and remembered while its encoder stays as it is. Intuition: what the
stock pipeline computes and then throws away is not computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
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
    if flux.shelf is not None and not _listeners(flux.pipe.text_encoder):
        if (prompt, path) not in flux.shelf:
            flux.shelf[prompt, path] = make().to("cpu")
        return flux.shelf[prompt, path].to(device)
    return _cached(flux, ("text", prompt, path, device), flux.pipe.text_encoder, make)


class Shelf:
    """A study's prompts in main memory, each encoded once, for as long as something needs it.

    ```python
    with Shelf(flux) as shelf:
        …                                  # runs with some prompts
        shelf.keep({"draw a mug"})         # all that is still to come
    ```
    The cache, which is on the model's device, holds some forty prompts at klein-9B's width. Once
    all that is needed is here, the text encoder leaves the GPU until the shelf is closed. Its
    weights are taken to stay as they are.
    """

    def __init__(self, flux: Flux) -> None:
        self.flux = flux
        self._left: torch.device | None = None  # where the text encoder was

    def __enter__(self) -> Shelf:
        self.flux.shelf = {}
        return self

    def __exit__(self, *error: object) -> None:
        self.flux.shelf = None
        if self._left is not None:
            self.flux.pipe.text_encoder.to(self._left)
            self._left = None

    def keep(self, prompts: Collection[str]) -> None:
        """Forget all others."""
        shelf = self.flux.shelf
        assert shelf is not None
        for key in [key for key in shelf if key[0] not in prompts]:
            del shelf[key]
        if prompts and {prompt for prompt, _ in shelf}.issuperset(prompts):
            self._unload()

    def _unload(self) -> None:
        encoder: Any = self.flux.pipe.text_encoder
        offloaded = getattr(encoder, "_hf_hook", None) is not None  # it comes and goes by itself
        if self._left is None and not offloaded and encoder.device.type != "cpu":
            self._left = encoder.device
            encoder.to("cpu")


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
    flux.cache[key] = flux.cache.pop(key)  # the last to go
    return flux.cache[key]


def _listeners(module: torch.nn.Module) -> bool:
    tables = [t for m in module.modules() for t in (m._forward_hooks, m._forward_pre_hooks)]
    origins = [str(getattr(hook, "__module__", "")) for t in tables for hook in t.values()]
    # transformers leaves hooks of its own behind, which only collect hidden states
    return any(not origin.startswith("transformers.") for origin in origins)


def _bytes(cache: dict[Any, Tensor]) -> int:
    return sum(value.nbytes for value in cache.values())
