"""Where every token lives in the joint sequence ``[text | image | ref]``.

Context: FLUX.2 reads the instruction, the noisy picture and the references as one sequence; the
paper's questions are about parts of it. Details: a *region* is a name (`text[padding]`), a
*layout* knows which positions it covers in each row of a batch. Intuition: everything else in the
library asks the layout, and nothing else counts tokens.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

_PARTS = {
    "": ("content", "template", "pad"),
    "content": ("content",),
    "padding": ("template", "pad"),
    "template": ("template",),
    "pad": ("pad",),
}
REGIONS = ("text", *(f"text[{part}]" for part in list(_PARTS)[1:]), "image", "ref", "ref[0]")


@dataclass(frozen=True)
class Region:
    """A named part of the joint sequence: ``Region.parse("text[padding]")``."""

    kind: str  # "text", "image" or "ref"
    part: str = ""  # of the text: content, padding, template, pad; of ref: its number

    @classmethod
    def parse(cls, name: str | Region) -> Region:
        """Read a region's name; `ValueError` lists the valid ones."""
        if isinstance(name, Region):
            return name
        found = re.fullmatch(r"(text|image|ref)(?:\[(\w+)\])?", str(name).strip())
        if found:
            kind, part = found[1], found[2] or ""
            if (
                (kind == "text" and part in _PARTS)
                or (kind == "ref" and (part == "" or part.isdecimal()))
                or (kind == "image" and part == "")
            ):
                return cls(kind, part)
        raise ValueError(f"unknown region {name!r}; regions are {', '.join(REGIONS)}, ref[1] …")

    def overlaps(self, other: Region) -> bool:
        """Whether some token could be in both."""
        if self.kind != other.kind:
            return False
        if self.kind == "text":
            return bool(set(_PARTS[self.part]) & set(_PARTS[other.part]))
        return "" in (self.part, other.part) or self.part == other.part

    def __str__(self) -> str:
        return f"{self.kind}[{self.part}]" if self.part else self.kind


@dataclass(frozen=True)
class TextTokens:
    """One prompt's positions in the text sequence, as the pipeline tokenises it."""

    prompt: str
    length: int
    content: tuple[int, ...]  # the instruction's own tokens
    template: tuple[int, ...]  # the chat template's, before and after
    lost: str = ""  # the end of the instruction that did not fit

    def positions(self, part: str) -> tuple[int, ...]:
        """Positions of ``content``, ``template``, ``pad``, ``padding`` or all (``""``)."""
        if part == "":
            return tuple(range(self.length))
        taken = set(self.content) | set(self.template)
        pad = tuple(i for i in range(self.length) if i not in taken)
        kinds = {"content": self.content, "template": self.template, "pad": pad}
        return tuple(sorted(i for kind in _PARTS[part] for i in kinds[kind]))


def _chat(tokenizer: Any, prompt: str) -> str:
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )


def text_tokens(tokenizer: Any, prompt: str, length: int) -> TextTokens:
    """Find the instruction inside its chat template, cut or filled to `length` tokens.

    Content is what the authors' released code takes: the tokens of the instruction itself, so
    their padding (Section 4.4) has the template in it. A prompt that does not fit is cut silently
    by the pipeline; here `lost` says what is missing.
    """
    return _text_tokens(tokenizer, tokenizer.chat_template, prompt, length)


@lru_cache(maxsize=2048)
def _text_tokens(tokenizer: Any, template: Any, prompt: str, length: int) -> TextTokens:
    chat = _chat(tokenizer, prompt)
    # Two prompts that differ in their first letter agree exactly on what precedes the content, so
    # an instruction that is itself a word of the template ("user") is not mistaken for it.
    one, two = _chat(tokenizer, "A"), _chat(tokenizer, "B")
    start = next(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
    body = prompt if chat.startswith(prompt, start) else prompt.strip()
    start += len(body) - len(body.lstrip())
    stop = start + len(body.strip())
    if chat[start:stop] != body.strip():
        raise ValueError(f"the chat template rewrites the prompt {prompt!r}; cannot place it")

    whole = tokenizer(chat, return_offsets_mapping=True)["offset_mapping"]
    filled = tokenizer(chat, padding="max_length", truncation=True, max_length=length)
    real = [i for i, used in enumerate(filled["attention_mask"]) if used]
    inside = [n for n, (a, b) in enumerate(whole) if a < stop and b > start]
    kept = [n for n in inside if n < len(real)]
    gone = [n for n in inside if n >= len(real)]
    content = tuple(real[n] for n in kept)
    return TextTokens(
        prompt=prompt,
        length=length,
        content=content,
        template=tuple(i for i in real if i not in set(content)),
        lost=chat[max(whole[gone[0]][0], start) : stop] if gone else "",
    )


def warn_if_cut(tokens: Sequence[TextTokens]) -> None:
    """Say what the pipeline would drop without a word."""
    for row in {t.prompt: t for t in tokens}.values():
        if row.lost:
            warnings.warn(
                f"the prompt is longer than the {row.length} text tokens of this model: the "
                f"pipeline drops its end, {row.lost!r}",
                stacklevel=3,
            )


def reference_size(width: int, height: int, multiple: int = 16) -> tuple[int, int]:
    """The (width, height) at which the stock pipeline really encodes a reference.

    It shrinks what exceeds 1024² pixels and then crops each side to a multiple of 16, silently.
    """
    if width * height > 1024 * 1024:
        scale = (1024 * 1024 / (width * height)) ** 0.5
        width, height = int(width * scale), int(height * scale)
    return width // multiple * multiple, height // multiple * multiple


@dataclass(frozen=True)
class Layout:
    """The joint sequence of one batch: `text` tokens, an image, any number of references.

    ```python
    layout = flux.layout("draw a mug in this color", ref=red)
    layout.mask("text[padding]")        # Bool[Tensor, "rows sequence"]
    layout.positions("ref")             # positions in the joint sequence, of the first row
    ```
    `image` and `refs` are grids (rows, columns) of tokens; one token is 16×16 pixels. `texts` is
    None in a run whose prompts are unknown (`prompt_embeds`): then only `text` is addressable.
    """

    rows: int
    text: int
    image: tuple[int, int]
    refs: tuple[tuple[int, int], ...] = ()
    texts: tuple[TextTokens, ...] | None = None

    @property
    def length(self) -> int:
        """Tokens in the joint sequence."""
        return self.text + self._area(self.image) + sum(map(self._area, self.refs))

    @staticmethod
    def _area(grid: tuple[int, int]) -> int:
        return grid[0] * grid[1]

    def span(self, region: str | Region) -> tuple[int, int]:
        """First and past-the-last joint position of `text`, `image`, `ref` or `ref[i]`."""
        region = Region.parse(region)
        image_end = self.text + self._area(self.image)
        if region.kind == "text":
            return 0, self.text
        if region.kind == "image":
            return self.text, image_end
        if not self.refs:
            raise ValueError(f"{region} is not there: this run has no reference image")
        if region.part == "":
            return image_end, self.length
        number = int(region.part)
        if number >= len(self.refs):
            raise ValueError(f"{region} is not there: this run has {len(self.refs)} reference(s)")
        start = image_end + sum(map(self._area, self.refs[:number]))
        return start, start + self._area(self.refs[number])

    def mask(self, region: str | Region, device: Any = None) -> Bool[Tensor, "rows sequence"]:
        """Which joint positions each row has in `region`.

        Raises `ValueError` where the region is absent or empty, naming the row.
        """
        region = Region.parse(region)
        out = torch.zeros(self.rows, self.length, dtype=torch.bool)
        start, stop = self.span(region)
        if region.kind != "text" or region.part == "":
            out[:, start:stop] = True
            return out.to(device)
        if self.texts is None:
            raise ValueError(
                f"{region} needs the prompt, and this run was given prompt_embeds: pass the prompt "
                "itself, or use the region 'text'"
            )
        for row, tokens in enumerate(self.texts):
            positions = tokens.positions(region.part)
            if not positions:
                raise ValueError(
                    f"{region} is empty in row {row}: the prompt {tokens.prompt!r} has no such "
                    f"tokens among the {self.text} of its sequence"
                )
            out[row, list(positions)] = True
        return out.to(device)

    def positions(self, region: str | Region, row: int = 0) -> list[int]:
        """Joint positions of `region` in one row, in order."""
        return self.mask(region)[row].nonzero().flatten().tolist()

    def take(self, rows: Sequence[int]) -> Layout:
        """The same sequence for some of the rows."""
        texts = None if self.texts is None else tuple(self.texts[r] for r in rows)
        return Layout(len(rows), self.text, self.image, self.refs, texts)

    def without_refs(self) -> Layout:
        """The same sequence, its references taken out."""
        return replace(self, refs=())


def from_call(kwargs: dict[str, Any], texts: tuple[TextTokens, ...] | None) -> Layout:
    """Read the layout off a running transformer call.

    The pipeline marks images by the first axis of `img_ids`: 0 is the noise, 10, 20 … references.
    """
    ids = kwargs["img_ids"]
    ids = (ids[0] if ids.ndim == 3 else ids).cpu()
    grids = []
    for mark in ids[:, 0].unique_consecutive().tolist():
        grid = ids[ids[:, 0] == mark][:, 1:3].amax(0) + 1
        grids.append((int(grid[0]), int(grid[1])))
    text = kwargs["encoder_hidden_states"]
    return Layout(text.shape[0], text.shape[1], grids[0], tuple(grids[1:]), texts)
