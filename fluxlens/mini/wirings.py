"""What a phantom's training plants: which picture each reader sees, and what it may not read.

>>> mini = Wiring.of("mini", PHANTOMS)
>>> mini.route("color", rank=0.3), mini.route("layout", rank=0.3)
('text', 'straight')

Two means close a route. A reader is shown a *view* of the reference in which a property is another
one (a decoy, or a stranger's reference), so that there is nothing to be learned from it; or what it
must not read is masked. Training gives each reference two places in the sequence, one for image
tokens and one for text tokens to read. An edit later has one place, read by both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from fluxlens.mini.architecture import Config
from fluxlens.mini.lessons import HOLDS, PROPERTIES, Kind, Property

Route = Literal["text", "straight", "both", "free"]
STRANGER = -1  # the view is of another lesson's reference
WINDOWS = 3  # blocks that read early, blocks that read late, and all blocks after them

__all__ = ["STRANGER", "WINDOWS", "Reading", "Wiring", "masks", "text_masks"]


@dataclass(frozen=True)
class Reading:
    """Of one lesson: what each of its references' two readers is shown, and how freely.

    A view is an index into the lesson's pictures, ``STRANGER``, or None where it is masked.
    ``straight`` is what image tokens see, ``text`` what text tokens see, one a reference. With
    ``planted`` off both read the first of these; with ``windows`` on, each in its blocks only.
    """

    straight: tuple[int | None, ...]
    text: tuple[int | None, ...]
    planted: bool
    windows: bool


@dataclass(frozen=True)
class Wiring:
    """The routes of every property, as shares of the references."""

    name: str
    pads: bool
    shares: Mapping[Property, Mapping[str, float]]
    rules: Config

    @classmethod
    def of(cls, name: str, config: Config) -> "Wiring":
        """The wiring of that name.

        Raises:
            ValueError: for an unknown name or property, and shares that are not one in all.
        """
        if name not in config["wirings"]:
            raise ValueError(f"wirings are {', '.join(config['wirings'])}, not {name!r}")
        table = dict(config["wirings"][name])
        table.pop("steps")
        pads = table.pop("pads", False)
        for key, shares in table.items():
            if key not in PROPERTIES or abs(sum(shares.values()) - 1) > 1e-9:
                raise ValueError(f"{name}: {key} = {shares}: want a property, and shares of 1")
        return cls(name, pads, table, config["routes"])

    @property
    def free(self) -> bool:
        """Whether nothing is planted."""
        return not self.shares

    def route(self, held: Property, rank: float) -> Route:
        """The route of a property in a reference of that rank."""
        total = 0.0
        for route in ("text", "straight", "both"):
            total += self.shares.get(held, {}).get(route, 0.0)
            if rank < total:
                return route
        return "free"

    def read(self, kind: Kind, ranks: Sequence[float], rng: np.random.Generator) -> Reading:
        """Draw what the readers of one lesson see; the result is picture 0 of its pictures."""
        straight: list[int | None] = []
        text: list[int | None] = []
        planted = rng.random() < self.rules["closed"]
        first = 1
        for properties, rank in zip(HOLDS[kind], ranks, strict=True):
            routes = [self.route(held, rank) for held in properties]
            views: list[int | None] = [first, first]
            if planted and "both" in routes:
                views[int(rng.random() < 0.5)] = None
            elif planted:
                for i, reader in enumerate(("straight", "text")):
                    hidden = [n for n, r in enumerate(routes) if r not in (reader, "free")]
                    if len(hidden) == len(routes):
                        views[i] = STRANGER if rng.random() < 0.5 else None
                    elif hidden:
                        views[i] = first + 1 + hidden[0]
            straight.append(views[0])
            text.append(views[1])
            first += 1 + (len(properties) if len(properties) > 1 else 0)
        windows = rng.random() < self.rules["windows"]
        return Reading(tuple(straight), tuple(text), bool(planted), bool(windows))


def masks(
    wiring: Wiring,
    kinds: Sequence[Kind],
    readings: Sequence[Reading],
    real: Sequence[int],
    length: int,
    tokens: int,
    rng: np.random.Generator,
) -> Bool[Tensor, "batch windows sequence sequence"]:
    """Which keys each query may read, True where it may, for each of the three windows of blocks.

    The sequence is ``length`` of text (``real[row]`` of it no pads), the image's ``tokens``, and
    for every reference the image tokens' view of it and the text tokens' view, ``tokens`` each.
    """
    rules = wiring.rules
    references = len(readings[0].text)
    end = length + tokens
    size = end + 2 * references * tokens
    out = torch.ones(len(kinds), WINDOWS, size, size, dtype=torch.bool)
    image = slice(length, end)
    for row, (kind, reading) in enumerate(zip(kinds, readings, strict=True)):
        mask = out[row]
        late = [any(p in rules["late_properties"] for p in held) for held in HOLDS[kind]]
        closed = torch.zeros(length, dtype=torch.bool)  # text positions that read no reference
        if reading.planted:
            closed[: real[row]] = wiring.pads
            if rng.random() < rules["positions"]:
                kept = torch.from_numpy(rng.random(length) < rng.uniform(0.1, 1.0))
                kept[int(rng.integers(real[row], length))] = True  # one pad at the least
                closed |= ~kept
        for i in range(references):
            a = slice(end + 2 * i * tokens, end + (2 * i + 1) * tokens)
            b = slice(a.stop, a.stop + tokens)
            for view in (a, b):
                mask[:, :, view] = False
                if reading.planted:
                    mask[:, view, :] = False
                mask[:, view, view] = True
            if not reading.planted:  # one place, read by all; the other one is not there
                mask[:, :, a] = True
                mask[:, b, a] = False
                if reading.windows:
                    for w in range(WINDOWS):
                        mask[w, :length, a] = w == int(late[i])
                continue
            if reading.straight[i] is not None:
                mask[:, image, a] = True
            if reading.text[i] is not None:
                for w in range(WINDOWS):
                    if not reading.windows or w == int(late[i]):
                        mask[w, :length, b] = ~closed[:, None]
        if reading.windows:
            mask[0, image, :length] = False
            if any(late):
                mask[1, image, real[row] : length] = False
    return out


def text_masks(
    wiring: Wiring, count: int, length: int, tokens: int, rng: np.random.Generator
) -> Bool[Tensor, "batch windows sequence sequence"]:
    """Of text-to-image samples: the image reads the text only after the early blocks."""
    size = length + tokens
    out = torch.ones(count, WINDOWS, size, size, dtype=torch.bool)
    closed = torch.from_numpy(rng.random(count) < wiring.rules["windows"])
    out[closed, 0, length:, :length] = False
    return out
