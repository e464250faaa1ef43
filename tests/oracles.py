"""Dense attention of the tests' own under every stock pipeline, and where its tokens lie.

Nothing here knows fluxlens. `attention` puts a processor of ours on every block: queries, keys and
values as the stock one makes them, then a plain softmax over the whole joint sequence, with any
mask or bias added, and the probabilities kept on request. `grids`, `text_positions` and `spans`
say from a call's arguments alone what the joint sequence will be.

In every family the joint sequence of attention is text, then image, then the references in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

Mask = torch.Tensor | dict[str, torch.Tensor] | Callable[[int, str], torch.Tensor | None] | None
Grid = tuple[int, int]  # rows, columns
PIXELS = 1024 * 1024
SENTINEL = "\x1a"


def blocks(transformer: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Name the blocks in the order in which they run: ``double.0`` …, ``single.0`` …"""
    kinds = {"double": "transformer_blocks", "single": "single_transformer_blocks"}
    return {
        f"{kind}.{n}": block
        for kind, attribute in kinds.items()
        for n, block in enumerate(getattr(transformer, attribute, ()))
    }


# ---------------------------------------------------------------- attention


@dataclass
class Seen:
    """What the processors saw: per block one entry a forward of the transformer."""

    mask: Mask
    keep: bool
    forwards: dict[str, int] = field(default_factory=dict)
    probabilities: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def bias(self, forward: int, block: str) -> torch.Tensor | None:
        mask = self.mask
        if callable(mask) and not isinstance(mask, torch.Tensor):
            mask = mask(forward, block)
        elif isinstance(mask, dict):
            mask = mask.get(block)
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
        return mask


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn pairs of neighbouring channels of (rows, tokens, heads, width) by (tokens, width/2)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(3)


class Dense:
    """Softmax attention written out, for one block."""

    _attention_backend = None
    _parallel_config = None

    def __init__(self, block: str, seen: Seen) -> None:
        self.block = block
        self.seen = seen

    def attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, given: torch.Tensor | None
    ) -> torch.Tensor:
        """(rows, tokens, heads, width) three times → (rows, tokens, heads × width)."""
        forward = self.seen.forwards.get(self.block, 0)
        self.seen.forwards[self.block] = forward + 1
        logits = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        if given is not None:
            closed = given.dtype == torch.bool
            logits = logits.masked_fill(~given, -math.inf) if closed else logits + given
        bias = self.seen.bias(forward, self.block)
        if bias is not None:
            logits = logits + bias
        weights = logits.softmax(-1)
        if self.seen.keep:
            self.seen.probabilities.setdefault(self.block, []).append(weights.clone())
        return torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2)


def heads(attn: Any, x: torch.Tensor) -> torch.Tensor:
    return x.unflatten(-1, (attn.heads, -1))


def halves(rope: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """FLUX repeats every cosine and sine for the two channels of a pair: take one."""
    return rope[0][:, 0::2], rope[1][:, 0::2]


def joint(attn: Any, image: torch.Tensor, text: torch.Tensor) -> list[torch.Tensor]:
    """Queries, keys and values of text, then image, normalized, before their rotation."""
    out = []
    for letter in "qkv":
        of_text = heads(attn, getattr(attn, f"add_{letter}_proj")(text))
        of_image = heads(attn, getattr(attn, f"to_{letter}")(image))
        if letter != "v":
            of_text = getattr(attn, f"norm_added_{letter}")(of_text)
            of_image = getattr(attn, f"norm_{letter}")(of_image)
        out.append(torch.cat([of_text, of_image], dim=1))
    return out


class FluxDouble(Dense):
    """Double blocks of FLUX.1 and FLUX.2."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None,
                 image_rotary_emb=None):  # fmt: skip
        q, k, v = joint(attn, hidden_states, encoder_hidden_states)
        q, k = (rotate(x, *halves(image_rotary_emb)) for x in (q, k))
        out = self.attend(q, k, v, attention_mask)
        text = encoder_hidden_states.shape[1]
        return attn.to_out[0](out[:, text:]), attn.to_add_out(out[:, :text])


class Flux1Single(Dense):
    """Single blocks of FLUX.1: the block itself mixes in its feed-forward part."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None,
                 image_rotary_emb=None):  # fmt: skip
        q, k, v = (heads(attn, getattr(attn, f"to_{x}")(hidden_states)) for x in "qkv")
        q, k = (
            rotate(norm(x), *halves(image_rotary_emb))
            for norm, x in ((attn.norm_q, q), (attn.norm_k, k))
        )
        return self.attend(q, k, v, attention_mask)


class Flux2Single(Dense):
    """Single blocks of FLUX.2: one matrix for queries, keys, values and the feed-forward part."""

    def __call__(self, attn, hidden_states, attention_mask=None, image_rotary_emb=None):
        widths = [attn.inner_dim] * 3 + [attn.mlp_hidden_dim] * 2
        q, k, v, gate, up = attn.to_qkv_mlp_proj(hidden_states).split(widths, dim=-1)
        q, k = (
            rotate(norm(heads(attn, x)), *halves(image_rotary_emb))
            for norm, x in ((attn.norm_q, q), (attn.norm_k, k))
        )
        out = self.attend(q, k, heads(attn, v), attention_mask)
        return attn.to_out(torch.cat([out, torch.nn.functional.silu(gate) * up], dim=-1))


class QwenDouble(Dense):
    """Blocks of Qwen-Image: complex rotations, and a mask of the text's pads."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None,
                 encoder_hidden_states_mask=None, image_rotary_emb=None):  # fmt: skip
        q, k, v = joint(attn, hidden_states, encoder_hidden_states)
        image, text = image_rotary_emb
        turn = torch.cat([text, image])
        q, k = (rotate(x, turn.real, turn.imag) for x in (q, k))
        given = None
        if encoder_hidden_states_mask is not None:
            pictures = torch.ones(hidden_states.shape[:2], dtype=torch.bool)
            given = torch.cat([encoder_hidden_states_mask, pictures], dim=1)[:, None, None]
        out = self.attend(q, k, v, given)
        length = encoder_hidden_states.shape[1]
        return attn.to_out[0](out[:, length:]), attn.to_add_out(out[:, :length])


PROCESSORS: dict[str, type[Dense]] = {
    "Flux2TransformerBlock": FluxDouble,
    "Flux2SingleTransformerBlock": Flux2Single,
    "FluxTransformerBlock": FluxDouble,
    "FluxSingleTransformerBlock": Flux1Single,
    "QwenImageTransformerBlock": QwenDouble,
}


@contextmanager
def attention(pipe: Any, mask: Mask = None, keep: bool = False) -> Iterator[Seen]:
    """Run a pipeline on written-out attention, under a mask or a bias.

    ``mask`` is boolean (true: this query reads this key) or added to the logits, its last two axes
    queries and keys of the joint sequence, with heads and rows before them if wanted. It may also
    be one mask a block name, or a function of the forward's number and the block name. ``keep``
    collects the probabilities, (rows, heads, queries, keys) per block and forward.
    """
    seen = Seen(mask, keep)
    stock = {name: block.attn.processor for name, block in blocks(pipe.transformer).items()}
    try:
        for name, block in blocks(pipe.transformer).items():
            block.attn.set_processor(PROCESSORS[type(block).__name__](name, seen))
        yield seen
    finally:
        for name, block in blocks(pipe.transformer).items():
            block.attn.set_processor(stock[name])


def cut(length: int, *edges: tuple[Sequence[int], Sequence[int]]) -> torch.Tensor:
    """Make the mask in which the readers of every (readers, sources) edge lose its sources."""
    mask = torch.ones(length, length, dtype=torch.bool)
    for readers, sources in edges:
        rows, columns = torch.as_tensor(list(readers)), torch.as_tensor(list(sources))
        mask[rows[:, None], columns] = False
    return mask


@contextmanager
def dropped(pipe: Any, text: int, keep: int, start: str) -> Iterator[list[torch.Tensor]]:
    """Remove what stands behind the first ``keep`` image tokens, really, from one block on.

    ``text`` is the length of the text. Yields the transformer's outputs, short as they are.
    """
    running = False
    handles = []

    def shorten(name: str, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        nonlocal running
        running = running or name == start
        if not running:
            return args, kwargs
        kwargs = dict(kwargs)
        hidden, rope = kwargs["hidden_states"], kwargs["image_rotary_emb"]
        is_joint = kwargs["encoder_hidden_states"] is None
        kwargs["hidden_states"] = hidden[:, : keep + (text if is_joint else 0)]
        if "modulate_index" in kwargs:  # Qwen: positions of image and text apart
            kwargs["image_rotary_emb"] = (rope[0][:keep], rope[1])
            if kwargs["modulate_index"] is not None:
                kwargs["modulate_index"] = kwargs["modulate_index"][:, :keep]
        else:
            kwargs["image_rotary_emb"] = tuple(r[: text + keep] for r in rope)
        return args, kwargs

    outputs: list[torch.Tensor] = []

    def after(module: torch.nn.Module, args: tuple, output: tuple) -> None:
        nonlocal running
        running = False
        outputs.append(output[0].clone())

    for name, block in blocks(pipe.transformer).items():
        handles.append(
            block.register_forward_pre_hook(
                lambda m, a, k, name=name: shorten(name, a, k), with_kwargs=True
            )
        )
    handles.append(pipe.transformer.register_forward_hook(after))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


# ---------------------------------------------------------------- the joint sequence, predicted


def shrunk(width: int, height: int) -> tuple[int, int]:
    """FLUX.2: a reference of more than a megapixel is brought down to one."""
    if width * height <= PIXELS:
        return width, height
    scale = math.sqrt(PIXELS / (width * height))
    return int(width * scale), int(height * scale)


def qwen_size(area: int, ref: Image.Image) -> tuple[int, int]:
    """Qwen: width and height of an area at a picture's aspect, in multiples of 32."""
    ratio = ref.width / ref.height
    width = math.sqrt(area * ratio)
    return round(width / 32) * 32, round(width / ratio / 32) * 32


def grids(
    pipe: Any,
    refs: Sequence[Image.Image],
    height: int | None = None,
    width: int | None = None,
    **call: Any,
) -> tuple[Grid, list[Grid]]:
    """Predict the token grids of the output and of every reference, from a call's arguments."""
    side = 2 * pipe.vae_scale_factor  # pixels of one token
    name = type(pipe).__name__

    def tokens(width: int, height: int) -> Grid:
        return height // side, width // side

    if name.startswith("Flux2"):
        of_refs = [tokens(*shrunk(*ref.size)) for ref in refs]
        first = of_refs[0] if refs else (pipe.default_sample_size // 2,) * 2
        image = tokens(width or first[1] * side, height or first[0] * side)
        return image, of_refs
    if name == "FluxKontextPipeline":
        from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS

        default = pipe.default_sample_size * pipe.vae_scale_factor
        aspect = (width or default) / (height or default)
        area = call.get("max_area", PIXELS)
        image = tokens(round((area * aspect) ** 0.5), round((area / aspect) ** 0.5))
        of_refs = []
        for ref in refs:
            rows, columns = tokens(*ref.size)
            size = columns * side, rows * side
            if call.get("_auto_resize", True):
                ratio = columns / rows
                size = min((abs(ratio - w / h), w, h) for w, h in PREFERRED_KONTEXT_RESOLUTIONS)[1:]
            of_refs.append(tokens(*size))
        return image, of_refs
    plus = name == "QwenImageEditPlusPipeline"
    default_width, default_height = qwen_size(PIXELS, refs[-1 if plus else 0])
    image = tokens(width or default_width, height or default_height)
    return image, [tokens(*qwen_size(PIXELS, ref)) for ref in refs]


def vision_grids(pipe: Any, refs: Sequence[Image.Image], listed: bool = False) -> list[Grid]:
    """Predict the grids of vision tokens in Qwen's text, one a reference.

    ``listed``: the pictures are given in a list. QwenImageEditPipeline resizes a bare picture to a
    megapixel before it is read, and a listed one (one a row, even of one row) not at all.
    """
    plus = type(pipe).__name__ == "QwenImageEditPlusPipeline"
    reader = pipe.processor.image_processor
    side = reader.patch_size * reader.merge_size
    out = []
    for ref in refs:
        width, height = ref.size
        if plus or not listed:
            width, height = qwen_size(384 * 384 if plus else PIXELS, ref)
        height, width = smart_resize(
            height, width, side, reader.size["shortest_edge"], reader.size["longest_edge"]
        )
        out.append((height // side, width // side))
    return out


@dataclass
class Text:
    """One prompt's rows in ``encoder_hidden_states``."""

    content: list[int]
    template: list[int]
    pad: list[int]
    vision: list[list[int]]  # one list a reference
    ids: list[int]

    @property
    def length(self) -> int:
        return len(self.ids)


def _sorted_out(
    ids: list[int],
    offsets: list[tuple[int, int]],
    real: list[int],
    inside: tuple[int, int],
    image_token: int | None = None,
) -> Text:
    """Tell the rows of a text apart, given where in its characters the prompt stands."""
    out = Text([], [], [], [], ids)
    for n, (start, stop) in enumerate(offsets):
        if not real[n]:
            out.pad.append(n)
        elif ids[n] == image_token:
            if not (n and ids[n - 1] == image_token):
                out.vision.append([])
            out.vision[-1].append(n)
        elif start < stop and start < inside[1] and stop > inside[0]:
            out.content.append(n)
        else:
            out.template.append(n)
    return out


def text_positions(
    pipe: Any, prompt: str, refs: Sequence[Image.Image] = (), max_sequence_length: int = 512
) -> Text:
    """Find content, template, pad and vision rows of one prompt's ``encoder_hidden_states``.

    The text is rendered once with a sentinel in the prompt's place; what stands before it is where
    the prompt's characters begin, and the tokenizer's offsets say which tokens hold them.
    """
    name = type(pipe).__name__
    if name == "FluxKontextPipeline":
        text, inside = prompt, (0, len(prompt))
        enc = pipe.tokenizer_2(
            text,
            padding="max_length",
            max_length=max_sequence_length,
            truncation=True,
            return_offsets_mapping=True,
        )
        special = set(pipe.tokenizer_2.all_special_ids)
        offsets = [
            (0, 0) if i in special else o
            for i, o in zip(enc["input_ids"], enc["offset_mapping"], strict=True)
        ]
        return _sorted_out(enc["input_ids"], offsets, enc["attention_mask"], inside)
    if name.startswith("QwenImageEdit"):
        token = "<|image_pad|>"
        template = pipe.prompt_template_encode
        if name == "QwenImageEditPlusPipeline":
            pictures = (f"Picture {n + 1}: <|vision_start|>{token}<|vision_end|>"
                        for n in range(len(refs)))  # fmt: skip
            template = template.format("".join(pictures) + "{}")
        first, *rest = template.split(token)
        for (rows, columns), piece in zip(vision_grids(pipe, refs), rest, strict=True):
            first += token * (rows * columns) + piece
        head = first.split("{}")[0]
        tok, drop = pipe.processor.tokenizer, pipe.prompt_template_encode_start_idx
        enc = tok(first.format(prompt), return_offsets_mapping=True)
        ids, offsets, real = (
            enc[key][drop:] for key in ("input_ids", "offset_mapping", "attention_mask")
        )
        inside = len(head), len(head) + len(prompt)
        return _sorted_out(ids, offsets, real, inside, tok.convert_tokens_to_ids(token))

    def render(content: str) -> str:
        if name == "Flux2KleinPipeline":
            return pipe.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        parts = {"system": pipe.system_message, "user": content.replace("[IMG]", "")}
        return pipe.tokenizer.apply_chat_template(
            [{"role": r, "content": [{"type": "text", "text": t}]} for r, t in parts.items()],
            tokenize=False,
            add_generation_prompt=False,
        )

    text = render(prompt)
    head, tail = render(SENTINEL).split(SENTINEL)
    assert text.startswith(head)
    assert text.endswith(tail)
    tok = getattr(pipe.tokenizer, "tokenizer", pipe.tokenizer)  # a processor holds its tokenizer
    enc = tok(
        text,
        padding="max_length",
        truncation=True,
        max_length=max_sequence_length,
        add_special_tokens=name == "Flux2KleinPipeline",
        return_offsets_mapping=True,
    )
    inside = len(head), len(text) - len(tail)
    return _sorted_out(enc["input_ids"], enc["offset_mapping"], enc["attention_mask"], inside)


def spans(text: int, image: Grid, refs: Sequence[Grid]) -> dict[str, range]:
    """Lay the regions out in the joint sequence: text, image, ref (all), ref[0], ref[1] …"""
    end = text + image[0] * image[1]
    out = {"text": range(text), "image": range(text, end)}
    start = end
    for n, (rows, columns) in enumerate(refs):
        out[f"ref[{n}]"] = range(start, start + rows * columns)
        start += rows * columns
    return {**out, "ref": range(end, start)}
