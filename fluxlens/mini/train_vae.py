"""Stage 1: the autoencoder, on crops of random shapes and then of the world.

>>> confetti(np.random.default_rng(0)).shape
(96, 96, 3)

Random shapes come first and stay in the mix, so that references which the world never drew (a
reader's own picture) are still seen. The decoder learns from latents that noise has moved: that is
how it draws sharp edges from the transformer's approximate ones.
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
from fluxlens.mini.world import COLORS

__all__ = ["confetti", "fit_statistics", "train_vae"]


def confetti(rng: np.random.Generator) -> np.ndarray:
    """A picture of random shapes in random colours, (96, 96, 3) uint8."""

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
                canvas.ellipse(x, y, s, s * rng.uniform(0.5, 1.5), color(), angle=rng.uniform(0, 90))
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
    return torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2).contiguous()


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
    optimizer = torch.optim.AdamW(model.parameters(), lr=c["learning_rate"], betas=(0.9, 0.95))
    run = Run(work, "vae", model, [optimizer], average=0.995)
    total = c["steps_confetti"] + c["steps"]
    pictures = shapes = None
    for step in run.steps(total):
        if shapes is None:
            rng = np.random.default_rng(CONFIG["seed"])
            drawn = [confetti(rng) for _ in tqdm(range(4000), desc="confetti")]
            shapes = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()
        if pictures is None and step >= c["steps_confetti"]:
            pictures = _pictures(data, c["pictures"])
        rate = c["learning_rate"] * min(1.0, (step + 1) / 50) * (1 - 0.95 * step / total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = _crop(shapes, c["batch"], c["crop"])
        if pictures is not None:
            seen = 7 * c["batch"] // 8
            batch[:seen] = _crop(pictures, seen, c["crop"])
        posterior = model.encode(batch).latent_dist
        z = posterior.sample()
        far = c["latent_noise"] * torch.rand(len(z), 1, 1, 1) * z.detach().std()
        off = model.decode(z + far * torch.randn_like(z)).sample - batch
        edges = (off[..., 1:] - off[..., :-1]).abs().mean() + (off[..., 1:, :] - off[..., :-1, :]).abs().mean()
        loss = off.abs().mean() + off.square().mean() + 0.5 * edges
        loss = loss + c["kl"] * posterior.kl().mean() / c["latent_channels"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        run.report(loss=loss.item(), psnr=10 * math.log10(4 / off.square().mean().item()))
    model.load_state_dict(run.averaged)
    fit_statistics(model, _pictures(data, 2000))
    return model.eval()


@torch.no_grad()
def fit_statistics(model: AutoencoderKLFlux2, pictures: Tensor) -> None:
    """Set the BatchNorm's mean and variance to those of the packed latents of ``pictures``."""
    latents = torch.cat([model.encode(p.float() / 127.5 - 1).latent_dist.mode() for p in pictures.split(64)])
    packed = torch.nn.functional.pixel_unshuffle(latents, 2)
    model.bn.running_mean.copy_(packed.mean(dim=(0, 2, 3)))
    model.bn.running_var.copy_(packed.var(dim=(0, 2, 3)))
