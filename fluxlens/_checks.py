"""Models on which an intervention would silently do nothing are refused, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._folder import PIPELINE, ModelError

if TYPE_CHECKING:
    from .models import Flux


def _processor(flux: Flux, block: str) -> Any:
    attention: Any = flux.module(block).attn
    return attention.processor


def attention_backend(flux: Flux) -> str:
    """The attention kernel in use, as diffusers names it; several are joined by commas."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    active = _AttentionBackendRegistry.get_active_backend()[0]
    names = set()
    for block in flux.blocks:
        own = getattr(_processor(flux, block), "_attention_backend", None) or active
        names.add(getattr(own, "value", str(own)))
    return ",".join(sorted(names))


def check_attention(flux: Flux) -> None:
    """Raise `ModelError` if a knockout would silently vanish in this model's attention."""
    backend = attention_backend(flux)
    if "varlen" in backend:
        raise ModelError(
            f"the attention backend {backend!r} reduces a mask to key padding, so a knockout would "
            "silently vanish: use flux.pipe.transformer.set_attention_backend('native')"
        )
    for block in flux.blocks:
        processor = type(_processor(flux, block)).__name__
        if "KV" in processor:
            raise ModelError(
                f"{block} runs {processor}, which ignores attention masks, so a knockout would do "
                f"nothing: load a {PIPELINE} model with its own processors"
            )


def check_pipeline(flux: Flux) -> None:
    """Raise `ModelError` unless this is a distilled klein whose text settings fit together."""
    pipe, kind = flux.pipe, type(flux.pipe).__name__
    if "KV" in kind:
        raise ModelError(
            f"a {kind} caches reference keys and ignores attention masks, so a knockout would do "
            f"nothing: use a {PIPELINE}"
        )
    if not pipe.config.is_distilled:
        raise ModelError(
            f"{flux.name} is not step-distilled: its pipeline runs every step twice for guidance, "
            "and interventions would fire on both; use a distilled klein"
        )
    check_attention(flux)
    layers = pipe.text_encoder.config.num_hidden_layers
    if max(flux.text_layers) > layers:
        raise ModelError(
            f"text layers {flux.text_layers} do not exist in a text encoder of {layers}: pass "
            "text_layers=…"
        )
    width = len(flux.text_layers) * pipe.text_encoder.config.hidden_size
    reads = pipe.transformer.config.joint_attention_dim
    if width != reads:
        raise ModelError(
            f"{len(flux.text_layers)} text layers make {width} numbers a token, the transformer "
            f"reads {reads}: pass text_layers=…"
        )
