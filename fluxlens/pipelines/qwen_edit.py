"""Qwen-Image-Edit and Qwen-Image-Edit-Plus: text, and the reference as a language model read it.

The vision-language encoder reads the reference too, so its tokens (``text[vision]``) stand among
the text: cutting ``ref->text`` no longer isolates the text from the reference. A single prompt is
not padded, guidance is true (two forwards a step), and there is no text-to-image mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as edit
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus
from PIL import Image

from fluxlens.core import Grid, Layout, TextTokens

from .adapter import Row, locate
from .encodings import Encodings
from .kontext import Kontext

_ONLY_EDITS = "this pipeline always reads a reference and has no text-to-image mode"
_LENS = f"a lens decodes the text through a generation without reference, and {_ONLY_EDITS}"


class QwenEdit(Kontext):
    """Qwen-Image-Edit: one reference, seen by the text encoder at its full size."""

    name = "qwen-edit"
    pipelines = ("QwenImageEditPipeline",)
    stacks = MappingProxyType({"double": "transformer_blocks"})
    returns = MappingProxyType({"double": "pair"})
    context = "txt_in"
    steps = 50
    true_guidance = True
    guidance: float | None = 4.0
    refusals = MappingProxyType({"generate": _ONLY_EDITS, "t2i_lens": _LENS, "color_lens": _LENS})
    caveat = (
        "text[vision] holds the reference as the vision-language encoder read it: cutting "
        "ref->text does not isolate the text from the reference"
    )

    @property
    def pipe_kwargs(self) -> dict[str, Any]:
        """What a stock call needs: nothing, for the prompt is as long as it is."""
        return {}

    # text

    def seen(self, image: Image.Image) -> tuple[int, int]:
        """The (width, height) at which the text encoder sees a reference."""
        return self.ref_size(*image.size)

    def lead(self, count: int) -> str:
        """What stands before the instruction for `count` references, beside the template."""
        return ""

    def text_of(self, row: Row) -> TextTokens:
        """A row's text, before anything runs."""
        return self._text(row.prompt, tuple(self.seen(image) for image in row.refs))

    def text_tokens(self, prompt: str, length: int, call: dict[str, Any]) -> TextTokens:
        """Where a prompt's tokens are, for the references that `encode_prompt` was given."""
        images = call.get("image")
        several = images if isinstance(images, list) else [] if images is None else [images]
        return self._text(prompt, tuple(image.size for image in several))

    def _text(self, prompt: str, sizes: tuple[tuple[int, int], ...]) -> TextTokens:
        tokenizer = getattr(self.pipe.processor, "tokenizer", self.pipe.tokenizer)
        pad = getattr(self.pipe.processor, "image_token", "<|image_pad|>")
        counts = [self._vision(size) for size in sizes]

        def chat(instruction: str) -> str:
            text = self.pipe.prompt_template_encode.format(self.lead(len(sizes)) + instruction)
            first, *rest = text.split(pad)
            return first + "".join(pad * n + part for n, part in zip(counts, rest, strict=True))

        ids = tokenizer(chat(prompt))["input_ids"]
        found = locate(tokenizer, prompt, len(ids), chat)
        # the system message is encoded and then dropped
        start, mark = (
            self.pipe.prompt_template_encode_start_idx,
            tokenizer.convert_tokens_to_ids(pad),
        )
        vision = {n for n, token in enumerate(ids) if token == mark}
        parts = {
            "content": found.content,
            "template": tuple(n for n in found.template if n not in vision),
            "vision": tuple(sorted(vision)),
        }
        kept = {part: tuple(n - start for n in at if n >= start) for part, at in parts.items()}
        return replace(
            found,
            length=len(ids) - start,
            parts=kept,
            reasons={"pad": "a single prompt has no pads"},
        )

    @lru_cache(maxsize=256)  # noqa: B019 - a family lives as long as its pipeline
    def _vision(self, size: tuple[int, int]) -> int:
        """Tokens that the text encoder makes of a picture, by its own processor."""
        processor = self.pipe.processor.image_processor
        grid = processor(images=[Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"]
        return int(grid.prod()) // processor.merge_size**2

    # pictures

    def shape(self, call: dict[str, Any]) -> tuple[int, int, Grid, tuple[Grid, ...]]:
        """Rows, text tokens, and the grids of image and references, off a transformer call."""
        text, grids = call["encoder_hidden_states"], [(h, w) for _, h, w in call["img_shapes"][0]]
        return text.shape[0], text.shape[1], grids[0], tuple(grids[1:])

    def without_refs(self, call: dict[str, Any], layout: Layout) -> dict[str, Any]:
        """What goes into a block, its references taken out of rows and positions."""
        kept = layout.span("ref")[0] - layout.text
        image, text = call["image_rotary_emb"]
        changed = {
            "hidden_states": call["hidden_states"][:, :kept],
            "image_rotary_emb": (image[:kept], text),
        }
        if call.get("modulate_index") is not None:
            changed["modulate_index"] = call["modulate_index"][:, :kept]
        return {**call, **changed}

    def ref_size(self, width: int, height: int) -> tuple[int, int]:
        """A megapixel at its own aspect."""
        found = edit.calculate_dimensions(1024 * 1024, width / height)
        return int(found[0]), int(found[1])

    def run(self, rows: Sequence[Row], steps: int, encodings: Encodings) -> list[Image.Image]:
        """One row, by the stock call."""
        (row,) = rows
        guided = {} if self.guidance is None else {"true_cfg_scale": self.guidance}
        negative = " " if self.guidance is not None and self.guidance > 1 else None
        return self.pipe(
            image=self.images(row), negative_prompt=negative, **guided, **self.call(row, steps)
        ).images

    def images(self, row: Row) -> Any:
        """A row's references as the stock call takes them."""
        return row.refs[0]


class QwenEditPlus(QwenEdit):
    """Qwen-Image-Edit-2509 and later: several references, which the text encoder sees small."""

    name = "qwen-edit-plus"
    pipelines = ("QwenImageEditPlusPipeline",)
    max_refs: int | None = None

    def seen(self, image: Image.Image) -> tuple[int, int]:
        """The (width, height) at which the text encoder sees a reference."""
        width, height = image.size
        found = plus.calculate_dimensions(plus.CONDITION_IMAGE_SIZE, width / height)
        return int(found[0]), int(found[1])

    def lead(self, count: int) -> str:
        """The references, numbered."""
        picture = "Picture {}: <|vision_start|><|image_pad|><|vision_end|>"
        return "".join(picture.format(n + 1) for n in range(count))

    def images(self, row: Row) -> Any:
        """A row's references as the stock call takes them."""
        return list(row.refs)
