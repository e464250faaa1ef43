"""The only places that name a diffusers class: one file a family, and the sampler over them."""

from typing import Any

from fluxlens.core import ModelError

from .adapter import AdaptedModel, Family, Row, grids_of, locate, refuse_widths
from .encodings import Encodings, remembering
from .flux2 import Flux2Dev, Flux2Klein
from .kontext import Kontext
from .qwen_edit import QwenEdit, QwenEditPlus
from .sampler import Stop, broadcast, distinct, layout_of, rows_of, sample

FAMILIES: tuple[type[Family], ...] = (Flux2Klein, Flux2Dev, Kontext, QwenEdit, QwenEditPlus)


def family_of(pipeline: str, own: type[Family] | None = None) -> type[Family]:
    """The family of a pipeline's class, by its name; `ModelError` lists those there are.

    `own` is a family of the user's, which is asked instead of ours.
    """
    families = FAMILIES if own is None else (own,)
    for family in families:
        if pipeline in family.pipelines:
            return family
    known = ", ".join(name for family in families for name in family.pipelines)
    if own is not None:
        raise ModelError(
            f"{own.__name__} is for {known}, not for a {pipeline}: name that in its `pipelines`"
        )
    caches = (
        " (it caches reference keys and ignores attention masks, so a knockout would do nothing)"
    )
    raise ModelError(
        f"fluxlens does not work on a {pipeline}{caches if 'KV' in pipeline else ''}; it works on "
        f"{known}, and book/your-own-pipeline says how to add one"
    )


def adapt(pipe: Any, own: type[Family] | None = None, **settings: Any) -> Family:
    """Put the adapter of its family, or of the user's `own`, around a pipeline."""
    return family_of(type(pipe).__name__, own)(pipe, **settings)


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
    "grids_of",
    "layout_of",
    "locate",
    "refuse_widths",
    "remembering",
    "rows_of",
    "sample",
]
