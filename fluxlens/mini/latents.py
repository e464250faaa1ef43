"""What the transformer is trained on: packed latents, text embeddings and the routes they may take.

>>> data = Latents.load(work, pipe)
>>> batch = data.edits(48, dropout=True)
>>> batch.latents.shape, batch.mask.shape
(torch.Size([48, 36, 48]), torch.Size([48, 1, 120, 120]))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import Flux2KleinPipeline
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from fluxlens.mini.architecture import CONFIG
from fluxlens.mini.dataset import KINDS, chunks
from fluxlens.mini.noise import with_free
from fluxlens.mini.train_text import turns
from fluxlens.mini.world import FREE, prompts

# The chat template around an instruction: tokens before it and after it.
BEFORE, AFTER = 3, 9

__all__ = ["Batch", "Latents", "pack", "routes", "whitening"]


@dataclass(frozen=True)
class Batch:
    """What one training step sees; ``reference`` and ``mask`` only for edits."""

    latents: Float[Tensor, "batch tokens channels"]
    noise: Float[Tensor, "batch tokens channels"]
    text: Float[Tensor, "batch length width"]
    reference: Float[Tensor, "batch tokens channels"] | None = None
    mask: Bool[Tensor, "batch 1 sequence sequence"] | None = None


@torch.no_grad()
def pack(
    pipe: Flux2KleinPipeline, pictures: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch tokens channels"]:
    """Pictures from -1 to 1 as the transformer's tokens: encoded, packed, normalised."""
    latents = pipe._encode_vae_image(pictures, generator=None)
    return pipe._pack_latents(latents)


def routes(
    kinds: list[str],
    words: Int[Tensor, " batch"],
    tokens: int,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "batch 1 sequence sequence"]:
    """Route dropout: which keys each query may read, True where it may. (Wiring *bound*.)

    Color and style lose every way but the one over the text's pad tokens; people lose the way
    over the text; scenes lose the one or the other. Each with its share of ``config.toml``.
    """
    c, length = CONFIG["dropout"], CONFIG["text"]["max_sequence_length"]
    mask = torch.ones(len(kinds), 1, length + 2 * tokens, length + 2 * tokens, dtype=torch.bool)
    image = slice(length, length + tokens)
    ref = slice(length + tokens, length + 2 * tokens)
    luck = torch.rand(len(kinds), generator=generator)
    for row, kind in enumerate(kinds):
        real = slice(0, BEFORE + int(words[row]) + AFTER)
        if kind in ("color", "style"):
            if luck[row] < c["property"]:
                mask[row, :, image, ref] = False
                mask[row, :, real, ref] = False
        elif kind == "people":
            if luck[row] < c["identity"]:
                mask[row, :, :length, ref] = False
        elif luck[row] < c["scene_text"]:
            mask[row, :, :length, ref] = False
        elif luck[row] < c["scene_text"] + c["scene_image"]:
            mask[row, :, image, ref] = False
    return mask


def whitening(text: Float[Tensor, "prompts tokens width"]) -> Float[Tensor, "width width"]:
    """A symmetric map after which every direction of the embeddings is about equally strong.

    A language model holds words that stand in the same places nearly equal: of what tells *add a
    cactus* from *add a balloon*, a few percent are left, and a transformer is slow to find them.
    """
    flat = text.flatten(0, 1).double()
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    gain = (values + 0.01 * values.mean()).rsqrt()  # what is hardly there is not blown up
    return ((vectors * gain) @ vectors.T).float()


class Latents:
    """Every drawing as latents, every prompt as embeddings (whitened), in memory."""

    def __init__(self, drawings: dict[str, dict[str, Tensor]], text: Tensor, words: Tensor) -> None:
        self.drawings, self.words = drawings, words
        self.whitening = whitening(text)
        self.text = (text.float() @ self.whitening).half()
        self.texts = prompts()
        self.index = {prompt: i for i, prompt in enumerate(self.texts)}

    @classmethod
    def load(cls, work: Path, pipe: Flux2KleinPipeline) -> Latents:
        """Encode whatever drawings of ``work/data`` are not yet encoded, and load them all."""
        texts = prompts()
        index = {prompt: i for i, prompt in enumerate(texts)}
        folder = work / "latents"
        folder.mkdir(exist_ok=True)
        parts: dict[str, list[dict[str, Tensor]]] = {kind: [] for kind in KINDS}
        for path in tqdm(chunks(work / "data"), desc="encoding"):
            target = folder / f"{path.stem}.pt"
            if not target.exists():
                with np.load(path) as chunk:
                    part = {"free": torch.from_numpy(chunk["free"])}
                    part["prompt"] = torch.tensor([index[str(p)] for p in chunk["prompt"]])
                    for key in ("result", "reference"):
                        if key in chunk:
                            pixels = torch.from_numpy(chunk[key]).permute(0, 3, 1, 2)
                            part[key] = _encode(pipe, pixels)
                temporary = target.with_suffix(".tmp")
                torch.save(part, temporary)
                temporary.replace(target)
            parts[path.stem.split("-")[0]].append(torch.load(target, weights_only=True))
        drawings = {
            kind: {key: torch.cat([p[key] for p in some]) for key in some[0]}
            for kind, some in parts.items()
            if some
        }
        with torch.no_grad():
            text = torch.cat(
                [
                    pipe.encode_prompt(
                        texts[i : i + 64],
                        max_sequence_length=CONFIG["text"]["max_sequence_length"],
                        text_encoder_out_layers=tuple(CONFIG["text"]["out_layers"]),
                    )[0].half()
                    for i in range(0, len(texts), 64)
                ]
            )
        real = (turns(pipe.tokenizer, texts) != pipe.tokenizer.pad_token_id).sum(1)
        return cls(drawings, text, real - BEFORE - AFTER)

    def generations(self, count: int) -> Batch:
        """A batch of text-to-image drawings."""
        data = self.drawings["text"]
        pick = torch.randint(len(data["prompt"]), (count,))
        latents = data["result"][pick].float()
        noise = with_free(torch.randn_like(latents), data["free"][pick])
        return Batch(latents, noise, self.text[data["prompt"][pick]].float())

    def edits(self, count: int, *, dropout: bool) -> Batch:
        """A batch of edits; ``dropout`` closes routes as the *bound* wiring asks."""
        shares: dict[str, float] = CONFIG["shares"]
        luck = torch.multinomial(torch.tensor(list(shares.values())), count, replacement=True)
        kinds = [list(shares)[i] for i in luck]
        rows: dict[str, list[Tensor]] = {"latents": [], "reference": [], "free": [], "prompt": []}
        for kind in kinds:
            data = self.drawings["add" if kind == "remove" else kind]
            i = int(torch.randint(len(data["prompt"]), ()))
            result, reference, prompt = data["result"][i], data["reference"][i], data["prompt"][i]
            free = data["free"][i]
            if kind == "remove":
                # The same pair the other way round; where nothing is left free, any noise will do.
                result, reference, free = reference, result, torch.randn(FREE)
                thing = self.texts[int(prompt)].split(" ", 2)[2]
                prompt = torch.tensor(self.index[f"remove the {thing}"])
            for key, value in zip(rows, (result, reference, free, prompt), strict=True):
                rows[key].append(value)
        latents, reference, free, prompt = (torch.stack(v) for v in rows.values())
        latents, reference = latents.float(), reference.float()
        noise = with_free(torch.randn_like(latents), free)
        mask = routes(kinds, self.words[prompt], latents.shape[1])
        if not dropout:
            mask[:] = True
        return Batch(latents, noise, self.text[prompt].float(), reference, mask)


def _encode(pipe: Flux2KleinPipeline, pixels: Tensor) -> Tensor:
    some = pixels.contiguous().split(50)
    return torch.cat([pack(pipe, p.float() / 127.5 - 1) for p in some]).half()
