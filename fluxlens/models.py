"""The models that have a name here: where each is, what it is, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# The one place that says where the shipped models are.
SHIPPED = Path(__file__).parent / "mini" / "weights"
SHIPPED_NAMES = ("mini", "mini-direct")


@dataclass(frozen=True)
class Known:
    """A model on the hub: its id, the class that loads it, and its licence as its card names it."""

    hub_id: str
    pipeline: str
    licence: str


_BFL, _KLEIN = "black-forest-labs/", "Flux2KleinPipeline"
KNOWN = {
    "klein-9b": Known(_BFL + "FLUX.2-klein-9B", _KLEIN, "FLUX Non-Commercial License"),
    "klein-4b": Known(_BFL + "FLUX.2-klein-4B", _KLEIN, "Apache 2.0"),
    "klein-base-9b": Known(_BFL + "FLUX.2-klein-base-9B", _KLEIN, "FLUX Non-Commercial License"),
    "klein-base-4b": Known(_BFL + "FLUX.2-klein-base-4B", _KLEIN, "Apache 2.0"),
    "flux2-dev": Known(_BFL + "FLUX.2-dev", "Flux2Pipeline", "FLUX Non-Commercial License"),
    "kontext-dev": Known(
        _BFL + "FLUX.1-Kontext-dev", "FluxKontextPipeline", "FLUX.1 [dev] Non-Commercial License"
    ),
    "qwen-image-edit": Known("Qwen/Qwen-Image-Edit", "QwenImageEditPipeline", "Apache 2.0"),
    "qwen-image-edit-2509": Known(
        "Qwen/Qwen-Image-Edit-2509", "QwenImageEditPlusPipeline", "Apache 2.0"
    ),
    "qwen-image-edit-2511": Known(
        "Qwen/Qwen-Image-Edit-2511", "QwenImageEditPlusPipeline", "Apache 2.0"
    ),
}


def known() -> str:
    """The names that `load` knows, for messages."""
    return ", ".join((*SHIPPED_NAMES, *KNOWN)) + ", a hub id (owner/name), or a folder"
