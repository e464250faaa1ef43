"""Going on from weights that were exported, where the work folder they came from is gone.

>>> lay_parts(WEIGHTS, work); lay_states(WEIGHTS, work, ["bound"], data.whitening)

What an export does not hold starts anew: the optimizers' momentum, and the random numbers (drawn
from the configuration's seed and the step). The running average stands for the weights.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from jaxtyping import Float
from torch import Tensor
from transformers import AutoTokenizer, Qwen3ForCausalLM

from fluxlens.mini.architecture import CONFIG

# Stage → the model that it was exported as.
NAMES = {"bound": "mini", "direct": "mini-direct"}

__all__ = ["NAMES", "lay_parts", "lay_states"]


def lay_parts(weights: Path, work: Path) -> None:
    """Autoencoder, text encoder, tokenizer and logs, as far as `work` lacks them."""
    work.mkdir(parents=True, exist_ok=True)
    pipe = weights / NAMES["bound"]
    for part, kind in (("vae", AutoencoderKLFlux2), ("text_encoder", Qwen3ForCausalLM)):
        if not (work / part).exists():
            kind.from_pretrained(pipe / part).float().save_pretrained(work / part)
    if not (work / "tokenizer").exists():
        AutoTokenizer.from_pretrained(pipe / "tokenizer").save_pretrained(work / "tokenizer")
    for file in (*weights.glob("*.jsonl"), *weights.glob("history.md")):
        if not (work / file.name).exists():
            shutil.copy(file, work / file.name)


def lay_states(
    weights: Path,
    work: Path,
    stages: Iterable[str],
    whitening: Float[Tensor, "width width"],
) -> None:
    """A state from which each of ``stages`` goes on, as far as `work` lacks it.

    Raises:
        ValueError: for *base*, which is in no export.
    """
    for stage in stages:
        if any((work / f"{stage}{end}").exists() for end in (".pt", ".safetensors")):
            continue
        if stage not in NAMES:
            raise ValueError(f"weights hold {', '.join(NAMES)}, not {stage!r}; name --stages")
        folder = weights / NAMES[stage] / "transformer"
        model = Flux2Transformer2DModel.from_pretrained(folder).float()
        # An export whitens its embeddings itself; in training they come whitened.
        inverse = torch.linalg.inv(whitening.double())
        embedder = model.context_embedder.weight
        embedder.data = (embedder.data.double() @ inverse).float()
        last = json.loads((work / f"{stage}.jsonl").read_text().splitlines()[-1])
        torch.manual_seed(CONFIG["seed"] + last["step"])
        state = {
            "model": model.state_dict(),
            "averaged": model.state_dict(),
            "optimizers": None,
            "step": last["step"],
            "since": last["step"],
            "seconds": last["seconds"],
            "rng": torch.get_rng_state(),
        }
        temporary = work / f"{stage}.tmp"
        torch.save(state, temporary)
        temporary.replace(work / f"{stage}.pt")
