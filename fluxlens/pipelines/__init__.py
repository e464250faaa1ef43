"""The only places that name a diffusers class: one file a family, and the sampler over them."""

from typing import Any

from fluxlens.core import ModelError

from .adapter import AdaptedModel, Family, Row
from .encodings import Encodings, remembering
from .flux2 import Flux2Dev, Flux2Klein
from .kontext import Kontext
from .qwen_edit import QwenEdit, QwenEditPlus
from .sampler import Stop, broadcast, distinct, layout_of, rows_of, sample

FAMILIES: tuple[type[Family], ...] = (Flux2Klein, Flux2Dev, Kontext, QwenEdit, QwenEditPlus)


def family_of(pipeline: str) -> type[Family]:
    """The family of a pipeline's class, by its name; `ModelError` lists those there are."""
    for family in FAMILIES:
        if pipeline in family.pipelines:
            return family
    known = ", ".join(name for family in FAMILIES for name in family.pipelines)
    caches = (
        " (it caches reference keys and ignores attention masks, so a knockout would do nothing)"
    )
    raise ModelError(
        f"fluxlens does not work on a {pipeline}{caches if 'KV' in pipeline else ''}; it works on "
        f"{known}, and book/your-own-pipeline says how to add one"
    )


def adapt(pipe: Any, **settings: Any) -> Family:
    """Put the adapter of its family around a pipeline."""
    return family_of(type(pipe).__name__)(pipe, **settings)


__all__ = [
    "FAMILIES",
    "AdaptedModel",
    "Encodings",
    "Family",
    "Row",
    "Stop",
    "adapt",
    "broadcast",
    "distinct",
    "family_of",
    "layout_of",
    "remembering",
    "rows_of",
    "sample",
]
