"""Stages 3 to 5: the transformer. Text to image first; then edits, once for each wiring.

>>> model = train_flow("base", work, data)

Flow matching: a latent is moved along the straight line to its noise, x = (1 - s) x0 + s x1, and
the transformer predicts the line's direction x1 - x0 from any point on it. Most of the training is
spent on the four noise levels at which sampling asks.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import Flux2Transformer2DModel
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fluxlens.mini import architecture
from fluxlens.mini.architecture import CONFIG, Config
from fluxlens.mini.checkpoint import Run
from fluxlens.mini.latents import Batch, Latents
from fluxlens.mini.muon import Muon

__all__ = ["STAGES", "levels", "optimizers", "positions", "precision", "train_flow"]

STAGES = ("base", "bound", "direct")


def positions(side: int, length: int, references: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The pipeline's positions (T, H, W, L): of text, and of image and reference tokens.

    ``references`` are their numbers, from 1, in the order in which they stand.
    """
    zero = torch.tensor([0])
    text = torch.cartesian_prod(zero, zero, zero, torch.arange(length))
    rows, columns = torch.arange(side), torch.arange(side)
    image = [
        torch.cartesian_prod(torch.tensor([10 * i]), rows, columns, zero) for i in (0, *references)
    ]
    return text[None], torch.cat(image)[None]


def optimizers(model: Flux2Transformer2DModel, c: Config) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for everything that faces in or out."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, p in model.named_parameters():
        inside = "transformer_blocks" in name and p.ndim == 2
        (matrices if inside else others).append(p)
    return [
        Muon(matrices, lr=c["muon_learning_rate"], weight_decay=0.01),
        torch.optim.AdamW(others, lr=c["learning_rate"], betas=(0.9, 0.98), weight_decay=0.0),
    ]


def levels(count: int, config: Config) -> Tensor:
    """Noise levels for training, (count, 1, 1): the four of sampling, or any."""
    grid = config["train"]["grid_sigmas"]
    four = architecture.sigmas(4)[torch.randint(4, (count,))]
    shift, s = config["transformer"]["shift"], torch.rand(count)
    some = shift * s / (1 + (shift - 1) * s)
    return torch.where(torch.rand(count) < grid, four, some)[:, None, None]


@contextmanager
def precision() -> Iterator[None]:
    """bfloat16 matrix products, where the processor has units for them, over float32 weights."""
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    with torch.autocast("cpu", torch.bfloat16, enabled=fast), warnings.catch_warnings():
        # The norms' weights stay float32: that is meant.
        warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
        yield


def train_flow(stage: str, work: Path, data: Latents) -> Flux2Transformer2DModel:
    """Train one stage to its end; *bound* and *direct* start from the end of *base*."""
    if stage not in STAGES:
        raise ValueError(f"stages are {', '.join(STAGES)}, not {stage!r}")
    torch.manual_seed(CONFIG["seed"] + STAGES.index(stage))
    torch.set_flush_denormal(True)
    c, length = CONFIG["train"], CONFIG["text"]["max_sequence_length"]
    model = architecture.transformer()
    if stage != "base" and not (work / f"{stage}.pt").exists():
        base = torch.load(work / "base.pt", weights_only=True)
        model.load_state_dict(base["averaged"])
    both = optimizers(model, c)
    run = Run(work, stage, model, both, average=c["average"], save_every=100)
    rates = [c["muon_learning_rate"], c["learning_rate"]]
    total = c[f"steps_{stage}"]
    places = [positions(6, length, some) for some in ((), (1,))]
    forward = torch.compile(model, dynamic=False) if c["compile"] else model

    def loss_of(batch: Batch) -> Tensor:
        level = levels(len(batch.latents), CONFIG)
        x = (1 - level) * batch.latents + level * batch.noise
        tokens = x.shape[1]
        text_ids, image_ids = places[batch.reference is not None]
        if batch.reference is not None:
            x = torch.cat([x, batch.reference], dim=1)
        with precision():
            out = forward(
                hidden_states=x,
                encoder_hidden_states=batch.text,
                timestep=level.flatten(),
                txt_ids=text_ids,
                img_ids=image_ids,
                joint_attention_kwargs={} if batch.mask is None else {"attention_mask": batch.mask},
                return_dict=False,
            )[0][:, :tokens]
        return (out.float() - (batch.noise - batch.latents)).square().mean()

    # Its backward pass is the faster one on a CPU.
    with sdpa_kernel(SDPBackend.MATH):
        for step in run.steps(total):
            up, down = step + 1 - run.since, total - step
            rate = min(1.0, up / c["warmup"], down / c["cooldown"])
            for optimizer, highest in zip(both, rates, strict=True):
                optimizer.param_groups[0]["lr"] = rate * highest
            edit = stage != "base" and float(torch.rand(())) < c["edits"]
            batch = (
                data.edits(c["batch"], dropout=stage == "bound")
                if edit
                else data.generations(c["batch"])
            )
            loss = loss_of(batch)
            for optimizer in both:
                optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in both:
                optimizer.step()
            run.report(**{"edit" if edit else "text": loss.item()})
    model.load_state_dict(run.averaged)
    # It has learned from whitened embeddings; from here on it whitens them itself.
    model.context_embedder.weight.data @= data.whitening
    return model.eval()
