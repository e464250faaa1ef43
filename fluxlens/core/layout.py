"""Where every token lives in the joint sequence ``[text | image | ref]``.

Context: an in-context editor reads the instruction, the noisy picture and the references as one
sequence; the paper's questions are about parts of it. Details: a *region* is a name
(``text[padding]``), a *layout* knows which positions it covers in each row of a batch. Intuition:
everything else in the library asks the layout, and nothing else counts tokens.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

_PARTS = {
    "content": ("content",),
    "padding": ("template", "pad"),
    "template": ("template",),
    "pad": ("pad",),
    "vision": ("vision",),
}
REGIONS = (
    *("text", "text[content]", "text[padding]", "text[template]", "text[pad]", "text[vision]"),
    *('text["word"]', 'text["word"][1]', "text[12:18]", "image", "ref", "ref[0]"),
    *("image[0:64, 32:96]", "ref[0][0:64, 32:96]"),
)
_NAME = re.compile(
    r"""(?P<kind>text|image|ref)
    (?:\[(?P<part>[a-z]+|\d+)\])?
    (?:\["(?P<word>[^"]+)"\](?:\[(?P<nth>\d+)\])?)?
    (?:\[(?P<span>\d*:\d*)\])?
    (?:\[(?P<box>\d+:\d+\s*,\s*\d+:\d+)\])?""",
    re.VERBOSE,
)
Grid = tuple[int, int]  # (rows, columns) of tokens


@dataclass(frozen=True)
class Region:
    """A named part of the joint sequence: ``Region.parse("text[padding]")``.

    `kind` is ``"text"``, ``"image"`` or ``"ref"``; `part` one of the text's parts or a reference's
    number. `word` (with `nth`, from 0; all occurrences without it) or `span` (first, past the last
    position) choose among the text; `box` (top, bottom, left, right in pixels) or `mask` (a PIL
    image or array of any size, nonzero where the region is) among the picture or a reference: a
    token counts if half of its pixels do.
    """

    kind: str
    part: str = ""
    word: str = ""
    nth: int | None = None
    span: tuple[int | None, int | None] | None = None
    box: tuple[int, int, int, int] | None = None
    mask: Any = field(default=None, compare=False, repr=False)
    digest: str = ""  # of the mask, which stands for it where regions are compared

    def __post_init__(self) -> None:
        if self.mask is not None and not self.digest:
            drawn = np.asarray(self.mask)
            drawn = (drawn if drawn.ndim == 2 else drawn.any(axis=-1)) != 0
            object.__setattr__(self, "mask", drawn)
            name = hashlib.sha256(drawn.tobytes() + str(drawn.shape).encode()).hexdigest()
            object.__setattr__(self, "digest", name[:12])

    @classmethod
    def parse(cls, name: str | Region) -> Region:
        """Read a region's name; `ValueError` lists what names look like."""
        if isinstance(name, Region):
            return name
        found = _NAME.fullmatch(str(name).strip())
        if found:
            kind, part, word = found["kind"], found["part"] or "", found["word"] or ""
            numbers = (
                [int(n) if n else None for n in found["span"].split(":")] if found["span"] else []
            )
            box = tuple(map(int, re.findall(r"\d+", found["box"] or "")))
            fits = {
                "text": (not part or part in _PARTS) and sum(map(bool, (part, word, numbers))) < 2,
                "image": not (part or word or numbers),
                "ref": (not part or part.isdecimal()) and not (word or numbers),
            }[kind]
            if fits and not (kind == "text" and box):
                return cls(
                    kind,
                    part,
                    word,
                    None if found["nth"] is None else int(found["nth"]),
                    (numbers[0], numbers[1]) if numbers else None,
                    (box[0], box[1], box[2], box[3]) if box else None,
                )
        raise ValueError(f"unknown region {name!r}; regions are {', '.join(REGIONS)}")

    @property
    def needs_prompt(self) -> bool:
        """Whether its positions depend on the prompt's words."""
        return self.kind == "text" and bool(self.part or self.word)

    @property
    def drawn(self) -> bool:
        """Whether it is a part of a picture's grid of tokens."""
        return self.box is not None or self.mask is not None

    def overlaps(self, other: Region) -> bool:
        """Whether they are sure to share tokens; drawn or worded ones are compared by position."""
        if self.kind != other.kind or self.drawn or other.drawn:
            return False
        if any(region.word or region.span for region in (self, other)):
            return False
        parts = [set(_PARTS[r.part]) if r.part in _PARTS else {r.part} for r in (self, other)]
        return "" in (self.part, other.part) or bool(parts[0] & parts[1])

    def __str__(self) -> str:
        name = f"{self.kind}[{self.part}]" if self.part else self.kind
        if self.word:
            name += f'["{self.word}"]' + ("" if self.nth is None else f"[{self.nth}]")
        if self.span:
            first, last = ("" if n is None else str(n) for n in self.span)
            name += f"[{first}:{last}]"
        if self.box:
            name += "[{}:{}, {}:{}]".format(*self.box)
        return f"{name}[mask {self.digest}]" if self.digest else name


@dataclass(frozen=True)
class TextTokens:
    """One prompt's positions in the text sequence, as its pipeline tokenises it.

    `parts` gives the positions of ``content`` (the instruction's own tokens), ``template`` (the
    chat template's and special tokens) and, where a family has it, ``vision``; all others are
    ``pad``. `offsets` are the characters (first, past the last) of each content token within
    `prompt`; `lost` is the end of the instruction that did not fit; `reasons` say why a family has
    none of some part.
    """

    prompt: str
    length: int
    parts: Mapping[str, tuple[int, ...]]
    offsets: tuple[tuple[int, int], ...] = ()
    lost: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __hash__(self) -> int:
        return hash((self.prompt, self.length, *self.parts.values()))

    @property
    def content(self) -> tuple[int, ...]:
        """Positions of the instruction's own tokens."""
        return self.parts["content"]

    @property
    def template(self) -> tuple[int, ...]:
        """Positions of the template's tokens, before and after the instruction."""
        return self.parts["template"]

    def positions(self, region: str | Region) -> tuple[int, ...]:
        """Positions of a region of the text; `ValueError` for a word that is not in the prompt."""
        region = Region.parse(region)
        if region.word:
            return self._word(region.word, region.nth)
        if region.span:
            return tuple(range(self.length))[slice(*region.span)]
        if not region.part:
            return tuple(range(self.length))
        taken = {position for part in self.parts.values() for position in part}
        pad = tuple(i for i in range(self.length) if i not in taken)
        kinds = {**self.parts, "pad": pad}
        return tuple(sorted(i for kind in _PARTS[region.part] for i in kinds.get(kind, ())))

    def _word(self, word: str, nth: int | None) -> tuple[int, ...]:
        pattern = rf"(?<!\w){re.escape(word)}(?!\w)"
        spans = [match.span() for match in re.finditer(pattern, self.prompt)]
        if not spans or (nth or 0) >= len(spans):
            raise ValueError(
                f"{word!r} stands {len(spans)} time(s) in the prompt {self.prompt!r}; occurrences "
                "count from 0"
            )
        spans = spans if nth is None else [spans[nth]]
        return tuple(
            position
            for position, (first, last) in zip(self.content, self.offsets, strict=False)
            if any(first < stop and last > start for start, stop in spans)
        )


@dataclass(frozen=True)
class Layout:
    """The joint sequence of one batch: `text` tokens, an image, any number of references.

    ```python
    layout = editor.layout("draw a mug in this color", ref=red)
    layout.mask("text[padding]")        # Bool[Tensor, "rows sequence"]
    layout.positions('text["mug"]')     # positions in the joint sequence, of the first row
    ```
    `image` and `refs` are grids (rows, columns) of tokens; one token is `pixels` (16) pixels wide
    and high. `texts` is None in a run whose prompts are unknown (`prompt_embeds`): then only `text`
    and spans of positions are addressable.
    """

    rows: int
    text: int
    image: Grid
    refs: tuple[Grid, ...] = ()
    texts: tuple[TextTokens, ...] | None = None
    pixels: int = 16

    @property
    def length(self) -> int:
        """Tokens in the joint sequence."""
        return self.text + sum(rows * columns for rows, columns in (self.image, *self.refs))

    def span(self, region: str | Region) -> tuple[int, int]:
        """First and past-the-last joint position of `text`, `image`, `ref` or `ref[i]`."""
        region = Region.parse(region)
        if region.kind == "text":
            return 0, self.text
        ends = [self.text]
        for rows, columns in (self.image, *self.refs):
            ends.append(ends[-1] + rows * columns)
        if region.kind == "image":
            return ends[0], ends[1]
        if not self.refs:
            raise ValueError(f"{region} is not there: this run has no reference image")
        if region.part == "":
            return ends[1], ends[-1]
        number = int(region.part)
        if number >= len(self.refs):
            raise ValueError(f"{region} is not there: this run has {len(self.refs)} reference(s)")
        return ends[number + 1], ends[number + 2]

    def mask(self, region: str | Region, device: Any = None) -> Bool[Tensor, "rows sequence"]:
        """Which joint positions each row has in `region`.

        Raises `ValueError` where the region is absent or empty, naming the row.
        """
        region = Region.parse(region)
        out = torch.zeros(self.rows, self.length, dtype=torch.bool)
        start, stop = self.span(region)
        if region.kind != "text":
            out[:, start:stop] = self._drawn(region) if region.drawn else True
            return out.to(device)
        if region.needs_prompt and self.texts is None:
            raise ValueError(
                f"{region} needs the prompt, and this run was given prompt_embeds: pass the prompt "
                "itself, or use the region 'text'"
            )
        texts = self.texts or (TextTokens("", self.text, {}),) * self.rows
        for row, tokens in enumerate(texts):
            positions = tokens.positions(region)
            if not positions:
                why = tokens.reasons.get(region.part)
                raise ValueError(
                    f"{region} is empty in row {row}: the prompt {tokens.prompt!r} has no such "
                    f"tokens among the {self.text} of its sequence"
                    + (f", for {why}" if why else "")
                )
            out[row, list(positions)] = True
        return out.to(device)

    def _drawn(self, region: Region) -> Bool[Tensor, " tokens"]:
        """Which tokens of a picture's grid a box or mask covers."""
        if region.kind == "ref" and not region.part and len(self.refs) > 1:
            raise ValueError(
                f"{region}: this run has {len(self.refs)} references, name one of them"
            )
        grid = self.image if region.kind == "image" else self.refs[int(region.part or 0)]
        height, width = (side * self.pixels for side in grid)
        if region.box:
            top, bottom, left, right = region.box
            drawn = np.zeros((height, width), dtype=bool)
            drawn[top:bottom, left:right] = True
        else:
            drawn = region.mask
        # how much of each token is covered, whatever the mask's own size
        rows = np.arange(height) * drawn.shape[0] // height
        columns = np.arange(width) * drawn.shape[1] // width
        tokens = drawn[rows][:, columns].reshape(grid[0], self.pixels, grid[1], self.pixels)
        covered = tokens.mean(axis=(1, 3)) >= 0.5
        if not covered.any():
            raise ValueError(
                f"{region} covers no token: half of one is needed, and tokens are {self.pixels} "
                f"pixels wide and high on {width}×{height}"
            )
        return torch.from_numpy(covered.ravel())

    def positions(self, region: str | Region, row: int = 0) -> list[int]:
        """Joint positions of `region` in one row, in order."""
        return self.take([row]).mask(region)[0].nonzero().flatten().tolist()

    def grid(self, region: str | Region) -> Grid:
        """Rows and columns of tokens of `image`, `ref` (if it is one) or `ref[i]`."""
        region = Region.parse(region)
        self.span(region)
        if region.kind == "text" or (region.kind == "ref" and not region.part and self.refs[1:]):
            raise ValueError(f"{region} is no single picture with a grid of tokens")
        return self.image if region.kind == "image" else self.refs[int(region.part or 0)]

    def take(self, rows: Sequence[int]) -> Layout:
        """The same sequence for some of the rows."""
        texts = None if self.texts is None else tuple(self.texts[r] for r in rows)
        return replace(self, rows=len(rows), texts=texts)

    def without_refs(self) -> Layout:
        """The same sequence, its references taken out."""
        return replace(self, refs=())

    def without_texts(self) -> Layout:
        """The same sequence, its prompts forgotten."""
        return replace(self, texts=None)
