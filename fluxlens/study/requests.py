"""What determines a picture, as data: a stored picture is this one if its request is the same.

>>> request = Requests(facts, References(assets)).of(Picture(Edit(), task))
>>> request["prompt"], request["seed"], request["revision"]
('draw a mug in this color', 3758691107, 'sha256:0f3c…')

A request names the model's weights, number format and text path, the run and the pixels of its
references. The device, the versions and the rest of the batch are in a picture's record but not in
its request: they move pixels by rounding only.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from fluxlens.study.pictures import Picture, donors
from fluxlens.study.sampling import KLEIN, Sampling, sampling_of
from fluxlens.study.treatments import Control, Generation
from fluxlens.tasks import Assets, Reference, Task, reference_image

if TYPE_CHECKING:
    from fluxlens.editor import Editor

__all__ = ["ModelFacts", "References", "Requests", "digest", "facts_of"]

KEPT = 2**28  # bytes of references in memory: all of mini's, or eighty of 1024²


@dataclass(frozen=True)
class ModelFacts:
    """What a model brings to every request: ``facts_of(editor)``."""

    name: str
    revision: str | None
    dtype: str
    max_sequence_length: int
    text_layers: tuple[int, ...]
    style: str
    color: str
    sampling: Sampling = KLEIN


def facts_of(editor: Editor) -> ModelFacts:
    """Read off a loaded model what it brings to every request."""
    return ModelFacts(
        name=editor.name,
        revision=editor.revision,
        dtype=str(editor.dtype).removeprefix("torch."),
        max_sequence_length=editor.max_sequence_length,
        text_layers=tuple(editor.text_layers or ()),
        style=editor.binding.style,
        color=editor.binding.color,
        sampling=sampling_of(editor),
    )


class References:
    """Reference pictures, drawn or read once while there is room, and their digests."""

    def __init__(self, assets: Assets | None = None) -> None:
        self.assets = Assets.from_environment() if assets is None else assets
        self._images: OrderedDict[Reference, Image.Image] = OrderedDict()
        self._bytes = 0
        self._digests: dict[Reference, str] = {}

    def image(self, task: Task) -> Image.Image:
        key = task.reference
        if key not in self._images:
            image = reference_image(task, self.assets)
            self._bytes += _size(image)
            while self._images and self._bytes > KEPT:
                self._bytes -= _size(self._images.popitem(last=False)[1])
            self._images[key] = image
        self._images.move_to_end(key)
        return self._images[key]

    def digest(self, task: Task) -> str:
        """Sixteen hex digits of its size and pixels."""
        if task.reference not in self._digests:
            image = self.image(task)
            data = f"{image.mode} {image.size} ".encode() + image.tobytes()
            self._digests[task.reference] = hashlib.sha256(data).hexdigest()[:16]
        return self._digests[task.reference]


def _size(image: Image.Image) -> int:
    return image.width * image.height * len(image.getbands())


class Requests:
    """Requests for pictures of one model."""

    def __init__(self, facts: ModelFacts, references: References) -> None:
        self.facts, self.references = facts, references

    def of(self, picture: Picture) -> dict[str, Any]:
        """The request for a picture; family and guidance stand in it where they are not klein's."""
        task, source, what = picture.task, picture.source, picture.treatment
        sampling = self.facts.sampling
        out: dict[str, Any] = {
            "revision": self.facts.revision or self.facts.name,
            "dtype": self.facts.dtype,
            "text": [self.facts.max_sequence_length, *self.facts.text_layers],
            "recipe": picture.recipe,
            "variant": picture.variant,
            "prompt": task.instruction,
            "seed": task.noise_seed,
            "height": task.height,
            "width": task.width,
            "steps": sampling.steps if picture.steps is None else picture.steps,
        }
        if sampling.family != KLEIN.family:
            out["family"] = sampling.family
        if sampling.guidance is not None:
            out["guidance"] = sampling.guidance
        if not what.recipe.reads_ref:
            out["target_seed"] = task.noise_seed + 1
        if picture.binding is not None:
            out["block"] = self.block(picture)
        if not isinstance(what, Generation):
            out["reference"] = self.references.digest(task)
        if source is not None:
            out["source_seed"] = source.noise_seed
            out["source_reference"] = self.references.digest(source)
        if isinstance(what, Control):
            read = donors(picture)
            out["donors"] = [[task.noise_seed, self.references.digest(task)] for task in read]
        return out

    def block(self, picture: Picture) -> str | None:
        """The block whose text tokens a lens or a patch moves, or after which a reference goes."""
        named = picture.treatment.block
        return named or (picture.binding and getattr(self.facts, picture.binding))

    def of_reference(self, task: Task) -> dict[str, Any]:
        return {"recipe": "reference", "reference": self.references.digest(task)}


def digest(request: dict[str, Any]) -> str:
    """Sixteen hex digits of a request.

    >>> digest({"seed": 1, "prompt": "x"}) == digest({"prompt": "x", "seed": 1})
    True
    """
    text = json.dumps(request, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
