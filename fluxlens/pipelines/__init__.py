"""The only places that name a diffusers class: one file a family, and the sampler over them."""

from importlib import import_module
from typing import Any

from fluxlens.core import ModelError

from .adapter import AdaptedModel, Family, Row, grids_of, locate, refuse_widths
from .encodings import Encodings, remembering
from .sampler import Stop, broadcast, distinct, layout_of, rows_of, sample

# A stock class, and where its family is: read when it is asked for, for each imports a pipeline.
FAMILIES = {
    "Flux2KleinPipeline": ("flux2", "Flux2Klein"),
    "Flux2Pipeline": ("flux2", "Flux2Dev"),
    "FluxKontextPipeline": ("kontext", "Kontext"),
    "QwenImageEditPipeline": ("qwen_edit", "QwenEdit"),
    "QwenImageEditPlusPipeline": ("qwen_edit", "QwenEditPlus"),
}


def family_of(pipeline: str, own: type[Family] | None = None) -> type[Family]:
    """Find the family of a pipeline's class, by its name; `ModelError` lists those there are.

    `own` is a family of the user's, which is asked instead of ours.
    """
    if own is not None:
        if pipeline not in own.pipelines:
            known = ", ".join(own.pipelines)
            raise ModelError(
                f"{own.__name__} is for {known}, not for a {pipeline}: name that in its `pipelines`"
            )
        return own
    if pipeline in FAMILIES:
        home, name = FAMILIES[pipeline]
        return getattr(import_module(f"{__name__}.{home}"), name)
    caches = (
        " (it caches reference keys and ignores attention masks, so a knockout would do nothing)"
    )
    raise ModelError(
        f"fluxlens does not work on a {pipeline}{caches if 'KV' in pipeline else ''}; it works on "
        f"{', '.join(FAMILIES)}, and book/your-own-pipeline says how to add one"
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
