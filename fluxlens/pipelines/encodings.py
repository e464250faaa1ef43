"""Prompts and references as the transformer reads them, each encoded once while somebody owns them.

Context: a study repeats few prompts and references thousands of times. Details: what is remembered
lives as long as a ``with`` block: of one call, of a recipe, of a study. Intuition: nobody guesses
whether an encoder has changed since; outside the block, every run encodes anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor


class Encodings:
    """A store of encodings: prompts in main memory, references on the model's device.

    ```python
    with editor.remember() as encodings:
        editor.edit("draw a mug in this color", ref=red)    # encoded once, as often as it comes
        encodings.keep({"draw a mug in this color"})        # all that is still to come
    ```
    Encoders are taken to stay as they are while it is open. Once `keep` has been told of prompts
    that are all here, the text encoder leaves the GPU until the block is left.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.texts: dict[str, Any] = {}
        self.images: dict[Any, Tensor] = {}
        self._left: torch.device | None = None  # where the text encoder was

    def text(self, prompt: str, encode: Callable[[str], Tensor], device: torch.device) -> Tensor:
        """A prompt's embedding [1, tokens, width]; `encode` makes it the first time."""
        if prompt not in self.texts:
            self.texts[prompt] = encode(prompt).to("cpu")
        return self.texts[prompt].to(device)

    def image(self, image: Image.Image, encode: Callable[[Image.Image], Tensor]) -> Tensor:
        """A reference's tokens [1, tokens, channels]; `encode` makes them the first time."""
        key = image.size, hashlib.sha256(image.tobytes()).hexdigest()
        if key not in self.images:
            while sum(value.nbytes for value in self.images.values()) > 2**29:
                self.images.pop(next(iter(self.images)))
            self.images[key] = encode(image)
        return self.images[key]

    def keep(self, prompts: Collection[str]) -> None:
        """Forget all other prompts."""
        self.texts = {key: value for key, value in self.texts.items() if key in prompts}
        if prompts and self.texts.keys() >= set(prompts):
            self._unload()

    def _unload(self) -> None:
        encoder: Any = self.pipe.text_encoder
        offloaded = getattr(encoder, "_hf_hook", None) is not None  # it comes and goes by itself
        if self._left is None and not offloaded and encoder.device.type != "cpu":
            self._left = encoder.device
            encoder.to("cpu")

    def close(self) -> None:
        """Put the text encoder back where it was."""
        if self._left is not None:
            self.pipe.text_encoder.to(self._left)
            self._left = None


@contextmanager
def remembering(editor: Any) -> Iterator[Encodings]:
    """The encodings that are open on an editor, or new ones for this block."""
    if editor.encodings is not None:
        yield editor.encodings
        return
    editor.encodings = Encodings(editor.pipe)
    try:
        yield editor.encodings
    finally:
        editor.encodings.close()
        editor.encodings = None
