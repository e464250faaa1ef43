"""Floating point operations, counted on a model's configuration: no weights, nothing is run.

>>> klein = model_shape("klein-9b")
>>> edit = klein.transformer.forward(Tokens(text=512, image=4096, ref=4096))
>>> f"{edit.linear / 1e12:.1f} + {edit.attention / 1e12:.1f} = {edit.blocks / 1e12:.1f} TFLOP"
'121.5 + 39.7 = 161.2 TFLOP'

A multiplication and an addition are two operations. In the blocks a forward is linear in its rows
and quadratic in what its attention reads, so one formula a block serves every size; counting the
stock modules at each of some hundred sizes takes minutes. ``tests/test_flops.py`` holds these
formulas to torch's own counter over the stock forward, at several sizes and configurations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Flops", "Tokens", "TransformerCost"]

TEMPLATE = 12  # tokens of Qwen3's chat template around an instruction


@dataclass(frozen=True)
class Tokens:
    """A joint sequence: ``Tokens(text=512, image=4096, ref=4096).length`` (Section 3).

    ``ref`` counts all references of a row together, 0 for a generation. ``content`` tokens of the
    text are the instruction's own; without a tokenizer a dozen stands for them, and ten more or
    less move a knockout's forward by 0.02 %.
    """

    text: int
    image: int
    ref: float = 0
    content: int = 12

    @property
    def length(self) -> float:
        return self.text + self.image + self.ref

    def without_refs(self) -> Tokens:
        """The same sequence, its references taken out."""
        return replace(self, ref=0)

    def cut(self, edge: str) -> float:
        """How many pairs of query and key an edge's knockout takes out of one attention.

        >>> Tokens(512, 4096, 4096).cut("ref->text[padding]")
        2048000
        """
        source, _, reader = edge.partition("->")
        parts = {"content": self.content, "padding": self.text - self.content}
        parts |= {"template": TEMPLATE, "pad": parts["padding"] - TEMPLATE}
        rows = {"text": self.text, "image": self.image, "ref": self.ref}
        rows |= {f"text[{part}]": count for part, count in parts.items()}
        if source not in rows or reader not in rows:
            raise ValueError(f"cannot count the tokens of {edge!r}; regions are {', '.join(rows)}")
        return rows[source] * rows[reader]


@dataclass(frozen=True)
class Flops:
    """A count by what it is spent on: ``Flops(linear=2.0, attention=1.0).total``.

    ``linear`` and ``attention`` belong to the blocks; ``ends`` are the embedders before them, the
    modulations and the output layer after, 0.04 % of an edit, which ``blocks`` leaves out.
    """

    linear: float = 0
    attention: float = 0
    ends: float = 0

    @property
    def blocks(self) -> float:
        return self.linear + self.attention

    @property
    def total(self) -> float:
        return self.linear + self.attention + self.ends


@dataclass(frozen=True)
class TransformerCost:
    """What a forward of a `Flux2Transformer2DModel` costs: ``of(config).forward(tokens)``.

    Every row passes the same number of weights in both kinds of block: queries, keys, values and
    output (4 width²), and a gated feed-forward (3 width × hidden).
    """

    double: int
    single: int
    width: int
    hidden: int
    text_width: int
    channels: int
    time: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TransformerCost:
        """From a transformer's ``config.json``, whose gaps have the class's defaults."""
        width = config["num_attention_heads"] * config["attention_head_dim"]
        return cls(
            double=config["num_layers"],
            single=config["num_single_layers"],
            width=width,
            hidden=int(width * config.get("mlp_ratio", 3.0)),
            text_width=config["joint_attention_dim"],
            channels=config["in_channels"],
            time=config.get("timestep_guidance_channels", 256),
        )

    @property
    def blocks(self) -> int:
        return self.double + self.single

    @property
    def weights(self) -> int:
        """Weights that a row passes in one block."""
        return 4 * self.width**2 + 3 * self.width * self.hidden

    @property
    def parameters(self) -> int:
        """All of its weights but the norms'; a double block has two sets, one for each stream."""
        ends = (self.text_width + 2 * self.channels + self.time + 18 * self.width) * self.width
        return (2 * self.double + self.single) * self.weights + ends

    def index(self, block: str) -> int:
        """A block's place in running order: ``index("single.9")`` is 17 at klein-9b."""
        kind, _, number = block.partition(".")
        size = {"double": self.double, "single": self.single}.get(kind, 0)
        if not number.isdecimal() or int(number) >= size:
            raise ValueError(
                f"no block {block!r}; there are double.0 … double.{self.double - 1} and "
                f"single.0 … single.{self.single - 1}"
            )
        return int(number) + (self.double if kind == "single" else 0)

    def forward(
        self,
        tokens: Tokens,
        *,
        cut: Sequence[str] = (),
        last: str | None = None,
        ref_until: str | None = None,
    ) -> Flops:
        """Count one forward of one row.

        ``cut`` edges are not computed. ``last`` ends the forward after that block. After
        ``ref_until`` the reference's rows are gone, for ``"none"`` from the first block on; ``cut``
        holds up to there. `ValueError` for blocks and edges that there are not.
        """
        stop = self._count(last)
        gone = 0 if ref_until == "none" else self._count(ref_until)
        linear = attention = 0.0
        there = tokens
        for block in range(stop):
            there = tokens if block < gone else tokens.without_refs()
            lost = sum(there.cut(edge) for edge in cut) if block < gone else 0
            linear += 2 * self.weights * there.length
            attention += 4 * self.width * (there.length**2 - lost)
        after = 0 if last else self._after(there.length - there.text)
        return Flops(linear, attention, self._before(tokens) + after)

    def _count(self, last: str | None) -> int:
        """Count the blocks up to and including `last`, which is by default the last of all."""
        return self.blocks if last is None else self.index(last) + 1

    def _before(self, tokens: Tokens) -> float:
        """Both embedders, the time's, and the three modulations."""
        context = tokens.text * self.text_width * self.width
        latents = (tokens.image + tokens.ref) * self.channels * self.width
        time = self.time * self.width + self.width**2
        return 2 * (context + latents + time + 15 * self.width**2)

    def _after(self, rows: float) -> float:
        return 2 * (2 * self.width**2 + rows * self.width * self.channels)
