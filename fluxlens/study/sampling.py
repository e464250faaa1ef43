"""How a model samples: its steps, its forwards a step, and what its family refuses.

>>> Sampling().forwards(), Sampling(steps=50, guidance=4.0, passes=2).forwards()
(4, 100)

A plan is made for a model that may not be here yet, so its sampling is known by name
(`sampling_named`); a loaded model tells its own (`sampling_of`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fluxlens.loading import read_facts
from fluxlens.models import KNOWN, SHIPPED_NAMES
from fluxlens.pipelines import Family, family_of

if TYPE_CHECKING:
    from fluxlens.editor import Editor

__all__ = ["KLEIN", "Sampling", "sampling_named", "sampling_of"]


@dataclass(frozen=True)
class Sampling:
    """A model's sampling: ``Sampling(steps=28, family="kontext").forwards(1)``.

    Arguments: `steps` of a run unless told; `passes` forwards a step (2 under true guidance);
    `batches` says whether rows share a forward, and then prompts and references are encoded once;
    `refusals` maps a recipe's name, ``"generate"`` or a part of the text (``"pad"``) to why the
    family has no such thing. The defaults are those of the distilled klein.
    """

    family: str = "flux2-klein"
    steps: int = 4
    guidance: float | None = None
    passes: int = 1
    batches: bool = True
    refusals: Mapping[str, str] = field(default_factory=dict, hash=False)

    def forwards(self, steps: int | None = None, stops: bool = False) -> int:
        """Count the forwards of a run of `steps`; one that `stops` ends in the first pass."""
        count = self.passes * (self.steps if steps is None else steps)
        return count - (self.passes - 1) if stops else count


KLEIN = Sampling()


def sampling_of(editor: Editor) -> Sampling:
    """Read a loaded model's sampling off its family: ``sampling_of(editor).steps``."""
    family = editor.family
    side = editor.default_size
    layout = editor.layout("a", Image.new("RGB", (side, side)))
    refusals = dict(family.refusals)
    for text in layout.texts or ():
        refusals |= text.reasons
    return _sampling(type(family), editor.steps, family.guidance, family.batches, refusals)


def sampling_named(model: str) -> Sampling:
    """Tell a model's sampling before it is loaded; a hub id that is not known has klein's."""
    folder = Path(model)
    by_id = {known.hub_id: known for known in KNOWN.values()}
    known = KNOWN.get(model) or by_id.get(model)
    if model in SHIPPED_NAMES or (known is None and not folder.is_dir()):
        return KLEIN
    if known is not None:
        return _stock(known.pipeline, distilled="klein-base" not in known.hub_id, guidance=None)
    facts = read_facts(folder)
    index = (folder / facts.get("base", "") / "model_index.json").resolve()
    if not index.is_file():  # loading it will say what is wrong
        return KLEIN
    parts = json.loads(index.read_text(encoding="utf-8"))
    name, distilled = str(parts.get("_class_name")), bool(parts.get("is_distilled"))
    return _stock(name, distilled, facts.get("guidance"))


def _stock(pipeline: str, distilled: bool, guidance: float | None) -> Sampling:
    family = family_of(pipeline)
    if family.name == KLEIN.family and distilled:
        return KLEIN
    guidance = family.guidance if guidance is None else guidance
    return _sampling(family, family.steps, guidance, family.batches, family.refusals)


def _sampling(
    family: type[Family],
    steps: int,
    guidance: float | None,
    batches: bool,
    refusals: Mapping[str, str],
) -> Sampling:
    twice = family.true_guidance and guidance is not None and guidance > 1
    return Sampling(family.name, steps, guidance, 1 + twice, batches, dict(refusals))
