"""One editing task: an instruction, a reference, a noise seed and a size.

>>> red = Reference("solid", rgb=(220, 40, 40))
>>> seed = noise_seed("solid_red_mug_s0")
>>> Task("solid_red_mug_s0", "color", "draw a mug in this color", seed, 1024, 1024, red).noise_seed
3758691107

The paper has 2,875 of them in five families (section 4.1). Here each family of the tables has its
own name; ``manual`` is the style family's twin, whose references are photographs.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from fluxlens.mini.drawings import Drawing

Family = Literal["color", "style", "manual", "people", "people_shared", "add", "remove"]
World = Literal["paper", "mini"]
FAMILIES: tuple[Family, ...] = get_args(Family)
WORLDS: tuple[World, ...] = get_args(World)

__all__ = ["FAMILIES", "WORLDS", "Family", "Reference", "Task", "World", "chosen", "noise_seed"]


def noise_seed(text: str) -> int:
    """The seed that belongs to a task id: its unsigned CRC-32.

    >>> noise_seed("customize_dreambench_plus_live_subject_human_01_man")
    1231089401
    """
    return zlib.crc32(text.encode())


def chosen(families: Iterable[str] | str | None) -> tuple[Family, ...]:
    """The named families in the order of the tables; all of them for ``None``.

    >>> chosen(["style", "color"])
    ('color', 'style')
    """
    if families is None:
        return FAMILIES
    names = {families} if isinstance(families, str) else set(families)
    if unknown := names - set(FAMILIES):
        raise ValueError(
            f"no family {', '.join(map(repr, sorted(unknown)))}; there are {', '.join(FAMILIES)}"
        )
    return tuple(family for family in FAMILIES if family in names)


@dataclass(frozen=True)
class Reference:
    """Where a reference picture comes from; equal references are the same picture.

    >>> Reference("solid", rgb=(220, 40, 40)).to_json()
    {'kind': 'solid', 'rgb': [220, 40, 40]}

    ``solid`` is drawn from ``rgb``, ``drawing`` from mini's world. The others are files: ``style``
    has a path without suffix in the authors' repository, ``dreambench`` and ``sun397`` a path in
    the dataset (paper, Appendix G).
    """

    kind: Literal["solid", "style", "dreambench", "sun397", "drawing"]
    path: str | None = None
    rgb: tuple[int, int, int] | None = None
    drawing: Drawing | None = None

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"kind": self.kind}
        if self.path is not None:
            out["path"] = self.path
        if self.rgb is not None:
            out["rgb"] = list(self.rgb)
        if self.drawing is not None:
            factors = {k: list(v) if k == "rgb" else v for k, v in asdict(self.drawing).items()}
            out["drawing"] = {"type": type(self.drawing).__name__, **factors}
        return out


@dataclass(frozen=True)
class Task:
    """What one edit is asked to do, and with which noise.

    ``metadata`` holds the fields of the authors' task files or, in mini's world, the plain
    factors of the drawing and of the picture that is asked for.
    """

    task_id: str
    family: Family
    instruction: str
    noise_seed: int
    height: int
    width: int
    reference: Reference
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """The task as ``fluxlens tasks --format jsonl`` prints it."""
        return {
            "task_id": self.task_id,
            "family": self.family,
            "instruction": self.instruction,
            "noise_seed": self.noise_seed,
            "height": self.height,
            "width": self.width,
            "reference": self.reference.to_json(),
            "metadata": dict(self.metadata),
        }
