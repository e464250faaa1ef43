"""Stage 1: the autoencoder, on crops of the world and of random shapes.

>>> confetti(np.random.default_rng(0)).shape
(96, 96, 3)

One crop in eight is of random shapes, so that references which the world never drew (a reader's
own picture) are seen as well. The decoder learns from latents that noise has moved, of a
size that we choose: that is how it draws sharp edges from the transformer's approximate ones. The
spread that the encoder could predict is not used (the pipeline takes the mode).
"""

import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from torch import Tensor
from tqdm import tqdm

from fluxlens.mini import architecture
from fluxlens.mini.architecture import CONFIG
from fluxlens.mini.canvas import Canvas, Color
from fluxlens.mini.checkpoint import Run
from fluxlens.mini.dataset import chunks
from fluxlens.mini.muon import Muon
from fluxlens.mini.world import COLORS

__all__ = ["confetti", "fit_statistics", "to_pixels", "train_vae"]


def confetti(rng: np.random.Generator) -> np.ndarray:
    """A picture of random shapes in random colors, (96, 96, 3) uint8."""

    def color() -> Color:
        if rng.random() < 0.4:
            return list(COLORS.values())[rng.integers(len(COLORS))]
        return tuple(int(v) for v in rng.integers(10, 250, 3))  # type: ignore[return-value]

    canvas = Canvas("photo" if rng.random() < 0.5 else "illustrated")
    canvas.backdrop(color(), color())
    if rng.random() < 0.7:
        canvas.backdrop(color(), color(), rng.uniform(30, 70), 96)
    for _ in range(rng.integers(3, 14)):
        x, y = rng.uniform(0, 96, 2)
        s = math.exp(rng.uniform(math.log(2), math.log(28)))
        match rng.integers(6):
            case 0 | 1:
                canvas.ellipse(
                    x, y, s, s * rng.uniform(0.5, 1.5), color(), angle=rng.uniform(0, 90)
                )
            case 2:
                w, h = s * rng.uniform(0.7, 2.5, 2)
                canvas.rect(x, y, x + w, y + h, color(), radius=float(rng.choice([0, 3, 8])))
            case 3:
                angles = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(3, 6)))
                corners = [(x + s * math.cos(a), y + s * math.sin(a)) for a in angles]
                canvas.polygon(corners, color())
            case 4:
                to = (x + rng.uniform(-30, 30), y + rng.uniform(-30, 30))
                canvas.limb([(x, y), to], color(), rng.uniform(2, 9))
            case 5:
                w, stripe = rng.uniform(3, 7), color()
                for i in range(rng.integers(2, 5)):
                    canvas.rect(x + 2 * w * i, y, x + 2 * w * i + w, y + s, stripe)
    return np.asarray(canvas.image())


def _pictures(data: Path, most: int) -> Tensor:
    """Drawings for the autoencoder, (n, 3, 96, 96) uint8: some of each chunk."""
    paths = chunks(data)
    share = max(1, most // max(1, 2 * len(paths)))
    parts = []
    for path in paths:
        with np.load(path) as chunk:
            parts += [chunk[key][:share] for key in ("result", "reference") if key in chunk]
    return to_pixels(np.concatenate(parts))


def to_pixels(pictures: np.ndarray) -> Tensor:
    """(n, height, width, 3) pictures as (n, 3, height, width), in memory in that order."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


def _crop(pictures: Tensor, batch: int, size: int) -> Tensor:
    """Random crops, (batch, 3, size, size) from -1 to 1."""
    y, x = (8 * int(v) for v in torch.randint(0, (96 - size) // 8 + 1, (2,)))
    some = pictures[torch.randint(len(pictures), (batch,))]
    return some[:, :, y : y + size, x : x + size].float().contiguous() / 127.5 - 1


def train_vae(work: Path, data: Path) -> AutoencoderKLFlux2:
    """The trained autoencoder, its BatchNorm statistics those of the world's latents."""
    torch.manual_seed(CONFIG["seed"])
    torch.set_flush_denormal(True)
    c = CONFIG["vae"]
    model = architecture.vae()
    kernels = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim == 1]
    optimizers = [
        Muon(kernels, c["muon_learning_rate"]),
        torch.optim.AdamW(rest, c["learning_rate"]),
    ]
    highest = (c["muon_learning_rate"], c["learning_rate"])
    run = Run(work, "vae", model, optimizers, average=0.995)
    total = sum(steps for steps, _, _ in c["phases"])
    rng = np.random.default_rng(CONFIG["seed"])
    drawn = [confetti(rng) for _ in tqdm(range(c["pictures"] // 8), desc="confetti")]
    pictures = torch.cat([_pictures(data, c["pictures"]), to_pixels(np.stack(drawn))])
    for step in run.steps(total):
        batch = _crop(
            pictures, *(c["phases"][0] if step < c["phases"][0][0] else c["phases"][1])[1:]
        )
        rate = min(1.0, (step + 1) / 50) * (1 - 0.97 * step / total)
        for optimizer, top in zip(optimizers, highest, strict=True):
            optimizer.param_groups[0]["lr"] = rate * top
        z = model.encode(batch).latent_dist.mode()
        far = c["latent_noise"] * min(1.0, 2 * step / total) * torch.rand(len(z), 1, 1, 1)
        off = model.decode(z + far * z.detach().std() * torch.randn_like(z)).sample - batch
        edges = off.diff(dim=-1).abs().mean() + off.diff(dim=-2).abs().mean()
        loss = off.abs().mean() + off.square().mean() + 0.25 * edges
        loss = loss + c["size"] * z.square().mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        run.report(loss=loss.item(), psnr=10 * math.log10(4 / off.square().mean().item()))
    model.load_state_dict(run.averaged)
    fit_statistics(model, _pictures(data, 2000))
    return model.eval()


@torch.no_grad()
def fit_statistics(model: AutoencoderKLFlux2, pictures: Tensor) -> None:
    """Set the BatchNorm's mean and variance to those of the packed latents of ``pictures``."""
    latents = torch.cat(
        [model.encode(p.float() / 127.5 - 1).latent_dist.mode() for p in pictures.split(64)]
    )
    packed = torch.nn.functional.pixel_unshuffle(latents, 2)
    model.bn.running_mean.copy_(packed.mean(dim=(0, 2, 3)))
    model.bn.running_var.copy_(packed.var(dim=(0, 2, 3)))
