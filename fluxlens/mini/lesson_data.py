"""The phantoms' lessons as latents: drawn and encoded once, chunk by chunk, then kept in memory.

>>> draw_chunk("people", 0, 2, PHANTOMS)[0]["pictures"].shape  # result, reference and two decoys
(2, 4, 96, 96, 3)

A chunk depends on the configuration's seed, its kind and its number alone, so a work folder can be
thrown away and made again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import Flux2KleinPipeline
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from fluxlens.mini.architecture import Config
from fluxlens.mini.latents import pack
from fluxlens.mini.lessons import KINDS, Kind, random_lesson, random_text
from fluxlens.mini.world import FREE

TEXT = "text"  # the chunks of text-to-image drawings

__all__ = ["TEXT", "Drawings", "draw_chunk", "encode", "load"]


@dataclass(frozen=True)
class Drawings:
    """All drawings of a kind: of each lesson the result, then each reference and its decoys."""

    prompts: list[str]
    latents: Float[Tensor, "lessons pictures tokens channels"]
    free: Float[Tensor, "lessons free"]
    ranks: Float[Tensor, "lessons references"]


def draw_chunk(kind: str, number: int, count: int, config: Config) -> dict[str, Any]:
    """``count`` lessons: their ``pictures``, ``free`` factors, ``prompts`` and ``ranks``."""
    rng = np.random.default_rng([config["seed"], [*KINDS, TEXT].index(kind), number])
    free = rng.normal(size=(count, FREE)).astype(np.float32)
    prompts: list[str] = []
    pictures: list[list[Image.Image]] = []
    ranks: list[list[float]] = []
    for z in free:
        if kind == TEXT:
            prompt, result = random_text(rng)
            prompts.append(prompt)
            pictures.append([result.draw(z)])
            ranks.append([])
            continue
        lesson = random_lesson(_kind(kind), rng)
        prompts.append(lesson.prompt)
        pictures.append([lesson.result.draw(z)])
        for reference in lesson.references:
            for drawing in (reference.drawing, *reference.decoys):
                pictures[-1].append(drawing.draw(rng.normal(size=FREE)))
        ranks.append([reference.ranks[0] for reference in lesson.references])
    shown = np.stack([np.stack([np.asarray(p) for p in row]) for row in pictures])
    return {"prompts": prompts, "pictures": shown, "free": free, "ranks": np.asarray(ranks)}


def _kind(name: str) -> Kind:
    return next(kind for kind in KINDS if kind == name)


def _chunks(kind: str, config: Config) -> Iterator[tuple[str, int]]:
    for number in range(config["data"][kind] // config["data"]["chunk"]):
        yield f"{kind}-{number:03d}.pt", number


@torch.no_grad()
def encode(work: Path, pipe: Flux2KleinPipeline, config: Config, kinds: tuple[str, ...]) -> None:
    """Draw and encode the chunks of ``kinds`` that ``work/latents`` lacks."""
    folder = work / "latents"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(folder / name, kind, number) for kind in kinds
             for name, number in _chunks(kind, config)]  # fmt: skip
    for path, kind, number in tqdm(tasks, desc="drawing", mininterval=10):
        if path.exists():
            continue
        chunk = draw_chunk(kind, number, config["data"]["chunk"], config)
        pictures = torch.from_numpy(chunk["pictures"])
        flat = pictures.flatten(0, 1).permute(0, 3, 1, 2).contiguous().split(50)
        latents = torch.cat([pack(pipe, p.float() / 127.5 - 1) for p in flat]).half()
        part = {
            "prompts": chunk["prompts"],
            "latents": latents.unflatten(0, pictures.shape[:2]),
            "free": torch.from_numpy(chunk["free"]),
            "ranks": torch.from_numpy(chunk["ranks"]).float(),
        }
        temporary = path.with_suffix(".tmp")
        torch.save(part, temporary)
        temporary.replace(path)


def load(work: Path, config: Config, kinds: tuple[str, ...]) -> Mapping[str, Drawings]:
    """Every kind's drawings, from the chunks that :func:`encode` wrote.

    Raises:
        FileNotFoundError: when a chunk is missing.
    """
    out = {}
    for kind in kinds:
        parts = [torch.load(work / "latents" / name, weights_only=True)
                 for name, _ in _chunks(kind, config)]  # fmt: skip
        prompts = [prompt for part in parts for prompt in part["prompts"]]
        tensors = (torch.cat([part[k] for part in parts]) for k in ("latents", "free", "ranks"))
        out[kind] = Drawings(prompts, *tensors)
    return out
