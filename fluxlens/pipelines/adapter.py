"""What is asked of a family of pipelines; the base of its one class in this room.

Context: FLUX.2 klein, FLUX.2-dev, FLUX.1 Kontext and Qwen-Image-Edit are editors of one kind that
differ in their text encoders, what their blocks return and how they are called. Details: the core
asks a `Family` where tokens are and how references leave a block, the sampler asks it for layouts,
noise levels and pictures. Intuition: whatever names a diffusers class stands in this room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

from PIL import Image

from fluxlens.core import Grid, Layout, Model, ModelError, TextTokens

from .encodings import Encodings

Size = tuple[int, int]  # (height, width) in pixels


@dataclass(frozen=True)
class Row:
    """One picture to make: prompt, references, seed, its size in pixels, references' grids."""

    prompt: str
    refs: tuple[Image.Image, ...]
    seed: int
    size: Size
    grids: tuple[Grid, ...]


class Family:
    """A family of stock pipelines; subclasses fill in the table and the methods.

    `batches` says whether rows with prompts, references and seeds of their own can share a forward.
    `refusals` maps a recipe's name, or ``"generate"``, to the sentence that says why the family has
    no such thing.
    """

    name: ClassVar[str]
    pipelines: ClassVar[tuple[str, ...]]
    stacks: Mapping[str, str] = MappingProxyType(
        {"double": "transformer_blocks", "single": "single_transformer_blocks"}
    )
    returns: Mapping[str, str] = MappingProxyType({"double": "pair", "single": "joint"})
    context = "context_embedder"
    refusals: Mapping[str, str] = MappingProxyType({})
    batches = False
    text_layers: tuple[int, ...] | None = None
    max_sequence_length = 512
    default_size = 1024
    steps = 50  # what the stock pipeline is meant for
    guidance: float | None = None
    true_guidance: ClassVar[bool] = False  # two forwards a step where guidance is over 1
    max_refs: int | None = None
    caveat = ""  # what every record of this family must say

    def __init__(self, pipe: Any, **settings: Any) -> None:
        self.pipe = pipe
        for name, value in settings.items():
            if value is not None:
                setattr(self, name, tuple(value) if isinstance(value, list) else value)
        self.check()

    def check(self) -> None:
        """Raise `ModelError` for a pipeline of this family that cannot be studied."""

    @property
    def multiple(self) -> int:
        """Pixels along the side of a token."""
        return self.pipe.vae_scale_factor * 2

    @property
    def pipe_kwargs(self) -> dict[str, Any]:
        """What a stock call needs for this model: ``editor.pipe(…, **editor.pipe_kwargs)``."""
        return {"max_sequence_length": self.max_sequence_length}

    def default_binding(self, blocks: Sequence[str]) -> dict[str, str]:
        """The paper's blocks (the last of 8 double ones, the 10th of 24 single ones), or the same
        relative depth, until a sweep says better."""
        kinds = {kind: [b for b in blocks if b.startswith(kind)] for kind in self.stacks}
        double, single = kinds["double"], kinds.get("single")
        if not single:
            return {
                "style": double[max(len(double) // 4 - 1, 0)],
                "color": double[len(double) * 9 // 16],
            }
        return {"style": double[-1], "color": single[max(round(len(single) * 10 / 24) - 1, 0)]}

    # what the core asks

    def shape(self, call: dict[str, Any]) -> tuple[int, int, Grid, tuple[Grid, ...]]:
        """Rows, text tokens, and the grids of image and references, off a transformer call."""
        text, grids = call["encoder_hidden_states"], grids_of(call["img_ids"])
        return text.shape[0], text.shape[1], grids[0], grids[1:]

    def text_tokens(self, prompt: str, length: int, call: dict[str, Any]) -> TextTokens:
        """Where a prompt's tokens are; `call` holds the arguments of `encode_prompt`."""
        raise NotImplementedError

    def without_refs(self, call: dict[str, Any], layout: Layout) -> dict[str, Any]:
        """What goes into a block, its references taken out of rows, positions and masks."""
        kept, _ = layout.span("ref")
        text = call["encoder_hidden_states"]
        rows = kept - (0 if text is None else text.shape[1])
        changed = {
            "hidden_states": call["hidden_states"][:, :rows],
            "image_rotary_emb": tuple(part[:kept] for part in call["image_rotary_emb"]),
        }
        joint = call.get("joint_attention_kwargs") or {}
        mask = joint.get("attention_mask")
        if mask is not None:
            mask = mask[..., :kept] if mask.ndim == 2 else mask[..., :kept, :kept]
            changed["joint_attention_kwargs"] = {**joint, "attention_mask": mask}
        return {**call, **changed}

    # what the sampler asks

    def ref_size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) in pixels at which the stock pipeline encodes a reference."""
        raise NotImplementedError

    def text_of(self, row: Row) -> TextTokens:
        """A row's text, before anything runs."""
        return self.text_tokens(row.prompt, self.max_sequence_length, {})

    def levels(self, steps: int, tokens: int) -> tuple[float, ...]:
        """The noise levels (1 to 0) of a run over `tokens` image tokens; asked before a `run`."""
        raise NotImplementedError

    def run(self, rows: Sequence[Row], steps: int, encodings: Encodings) -> list[Image.Image]:
        """Make the pictures of a batch; of one row, by the stock call, unless `batches`."""
        raise NotImplementedError


class AdaptedModel(Model):
    """A model whose adapter is a `Family`: what the sampler runs, and `Editor` puts a face on."""

    adapter: Family
    encodings: Encodings | None = None  # what is open, see `fluxlens.Editor.remember`

    @property
    def family(self) -> Family:
        """What is particular about this family of pipelines."""
        return self.adapter

    @property
    def steps(self) -> int:
        """Denoising steps of a run, unless it is told otherwise."""
        return self.family.steps

    @property
    def default_size(self) -> int:
        """Pixels along each side of a generation."""
        return self.family.default_size

    @property
    def max_sequence_length(self) -> int:
        """Tokens of the text sequence."""
        return self.family.max_sequence_length

    @property
    def text_layers(self) -> tuple[int, ...] | None:
        """Layers of the text encoder that are read; None where a family reads its last."""
        return self.family.text_layers

    @property
    def multiple(self) -> int:
        """Pixels along the side of a token: 16."""
        return self.family.multiple

    @property
    def pipe_kwargs(self) -> dict[str, Any]:
        """What a stock call needs for this model's text: `editor.pipe(…, **editor.pipe_kwargs)`."""
        return self.family.pipe_kwargs

    def refuse(self, *names: str) -> None:
        """Raise `ValueError` for a recipe or mode that has no meaning in this family, with why."""
        for name in names:
            if name in self.family.refusals:
                raise ValueError(
                    f"{self.name} has no {name.replace('_', ' ')}: {self.family.refusals[name]}"
                )


def grids_of(ids: Any) -> tuple[Grid, ...]:
    """The grids of image and references, from their positions (their first axis tells them)."""
    return _grids_of(_Same(ids))


class _Same:
    """A tensor as a key that is equal only to itself: positions are read once, not every step."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __hash__(self) -> int:
        return id(self.tensor)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.tensor is self.tensor


@lru_cache(maxsize=8)
def _grids_of(key: _Same) -> tuple[Grid, ...]:
    ids = key.tensor
    ids = (ids[0] if ids.ndim == 3 else ids).cpu()
    grids = []
    for mark in ids[:, 0].unique_consecutive().tolist():
        grid = ids[ids[:, 0] == mark][:, 1:3].amax(0) + 1
        grids.append((int(grid[0]), int(grid[1])))
    return tuple(grids)


def locate(
    tokenizer: Any,
    prompt: str,
    length: int,
    chat: Callable[[str], str] = str,
    special: bool = True,
) -> TextTokens:
    """Find an instruction inside what is tokenised, cut or filled to `length` tokens.

    `chat` puts a prompt into its template; `special` says whether the tokenizer adds its own
    tokens. Content is what the paper's authors' code takes: the tokens of the instruction itself,
    so their padding (Section 4.4) has the template in it. A prompt that does not fit is cut by the
    pipeline without a word; `lost` says what is missing. Pads may stand on either side.
    """
    text = chat(prompt)
    # Two prompts that differ in their first letter agree exactly on what precedes the content, so
    # an instruction that is itself a word of the template ("user") is not mistaken for it.
    one, two = chat("A"), chat("B")
    start = next(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
    body = prompt if text.startswith(prompt, start) else prompt.strip()
    start += len(body) - len(body.lstrip())
    stop = start + len(body.strip())
    if text[start:stop] != body.strip():
        raise ValueError(f"the chat template rewrites the prompt {prompt!r}; cannot place it")
    whole = tokenizer(text, return_offsets_mapping=True, add_special_tokens=special)
    spans = whole["offset_mapping"]
    filled = tokenizer(
        text,
        padding="max_length",
        truncation=True,
        max_length=length,
        add_special_tokens=special,
    )
    real = [i for i, used in enumerate(filled["attention_mask"]) if used]
    inside = [n for n, (a, b) in enumerate(spans) if a < stop and b > start]
    # a tokenizer's own end is kept when the text is cut: it takes the place of the last word
    ends = 1 if special and len(spans) > len(real) and spans[-1] == (0, 0) else 0
    kept = [n for n in inside if n < len(real) - ends]
    lost = [n for n in inside if n >= len(real) - ends]
    content = tuple(real[n] for n in kept)
    shift = start - (len(prompt) - len(prompt.lstrip()))  # of the prompt's own first character
    return TextTokens(
        prompt=prompt,
        length=length,
        parts={"content": content, "template": tuple(i for i in real if i not in set(content))},
        offsets=tuple((spans[n][0] - shift, spans[n][1] - shift) for n in kept),
        reasons={"vision": "its encoder reads words alone"},
        lost=text[max(spans[lost[0]][0], start) : stop] if lost else "",
    )


def refuse_widths(text_layers: Sequence[int], encoder: Any, transformer: Any) -> None:
    """Raise `ModelError` unless the text encoder's layers give what the transformer reads."""
    count = encoder.config.get_text_config().num_hidden_layers
    if not text_layers or max(text_layers) > count or min(text_layers) < 0:
        raise ModelError(
            f"text layers {tuple(text_layers)} do not exist in a text encoder of {count}: pass "
            "text_layers=…"
        )
    width = len(text_layers) * encoder.config.get_text_config().hidden_size
    reads = transformer.config.joint_attention_dim
    if width != reads:
        raise ModelError(
            f"{len(text_layers)} text layers make {width} numbers a token, the transformer reads "
            f"{reads}: pass text_layers=…"
        )
