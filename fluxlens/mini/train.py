"""Train mini from nothing: world, autoencoder, text encoder, base, and the two wirings.

>>> train(Path("~/.cache/fluxlens/mini-training").expanduser())  # hours; stops and goes on

Each stage keeps its state in the work folder and is skipped when it is done, so the same call
carries on wherever the last one stopped. Where the work folder is lost, exported weights carry on.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline
from safetensors.torch import save_file
from transformers import AutoTokenizer, Qwen3ForCausalLM

from fluxlens.mini import architecture, resume
from fluxlens.mini.dataset import render
from fluxlens.mini.latents import Latents
from fluxlens.mini.train_flow import STAGES, train_flow
from fluxlens.mini.train_text import train_text
from fluxlens.mini.train_vae import train_vae

__all__ = ["WORK", "parts", "train"]

WORK = Path(os.environ.get("FLUXLENS_CACHE", "~/.cache/fluxlens")).expanduser() / "mini-training"


def parts(work: Path) -> Flux2KleinPipeline:
    """The pipeline with its trained autoencoder and text encoder, and an untrained transformer."""
    if not (work / "vae").exists():
        train_vae(work, work / "data").save_pretrained(work / "vae")
    if not (work / "text_encoder").exists():
        words, model = train_text(work)
        words.save_pretrained(work / "tokenizer")
        model.save_pretrained(work / "text_encoder")
    return Flux2KleinPipeline(
        scheduler=architecture.scheduler(),
        vae=AutoencoderKLFlux2.from_pretrained(work / "vae").eval(),
        text_encoder=Qwen3ForCausalLM.from_pretrained(work / "text_encoder").eval(),
        tokenizer=AutoTokenizer.from_pretrained(work / "tokenizer"),
        transformer=architecture.transformer(),
        is_distilled=True,
    )


def train(work: Path = WORK, stages: Sequence[str] = STAGES, weights: Path | None = None) -> None:
    """Run every stage that is not done yet, the transformer's being ``stages``.

    ``weights``, a folder that :func:`~fluxlens.mini.export.export` wrote, stands in for states that
    ``work`` does not have (:mod:`fluxlens.mini.resume`).
    """
    if weights is not None:
        resume.lay_parts(weights, work)
    render(work / "data")
    data = Latents.load(work, parts(work))
    if weights is not None:
        resume.lay_states(weights, work, stages, data.whitening)
    for stage in stages:
        done = work / f"{stage}.safetensors"
        if not done.exists():
            model = train_flow(stage, work, data)
            temporary = done.with_suffix(".tmp")
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, temporary)
            temporary.replace(done)


def curves(work: Path) -> dict[str, list[dict[str, float]]]:
    """Every stage's log: lists of ``{"step", "seconds", <loss>…}``."""
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(work.glob("*.jsonl"))
    }
