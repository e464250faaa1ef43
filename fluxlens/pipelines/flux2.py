"""FLUX.2: klein (distilled and base) and dev.

klein's rows share a forward, each with its own prompt, references and seed: this is its denoising
loop, made of the stock pipeline's own methods. One row is the stock pipeline, bit for bit. klein
base runs true guidance (two forwards a step), dev embeds its guidance; both run by the stock call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux2 import pipeline_flux2 as dev
from diffusers.pipelines.flux2 import pipeline_flux2_klein as klein
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from fluxlens.core import TextTokens
from fluxlens.references import encoded_size

from .adapter import Family, Row, locate, refuse_widths
from .encodings import Encodings


class Flux2Dev(Family):
    """FLUX.2-dev: a Mistral encoder with a system message; guidance is embedded."""

    name = "flux2-dev"
    pipelines = ("Flux2Pipeline",)
    text_layers = (10, 20, 30)
    guidance: float | None = 4.0

    def check(self) -> None:
        """Refuse layers of the text encoder that do not exist or do not fit."""
        assert self.text_layers is not None
        refuse_widths(self.text_layers, self.pipe.text_encoder, self.pipe.transformer)

    @property
    def pipe_kwargs(self) -> dict[str, Any]:
        """What a stock call needs for this model's text."""
        return {**super().pipe_kwargs, "text_encoder_out_layers": self.text_layers}

    def chat(self, prompt: str) -> str:
        """A prompt in its template, system message first."""
        messages = dev.format_input([prompt], system_message=self.pipe.system_message)
        return self.pipe.tokenizer.apply_chat_template(
            messages[0], add_generation_prompt=False, tokenize=False
        )

    def text_tokens(self, prompt: str, length: int, call: dict[str, Any]) -> TextTokens:
        """Where a prompt's tokens are; the pads' side is the tokenizer's."""
        tokenizer = getattr(self.pipe.tokenizer, "tokenizer", self.pipe.tokenizer)
        return locate(tokenizer, prompt, length, self.chat, special=False)

    def ref_size(self, width: int, height: int) -> tuple[int, int]:
        """Shrunk to 1024² pixels if it exceeds them, then cropped to whole tokens."""
        return encoded_size(width, height, self.multiple)

    def levels(self, steps: int, tokens: int) -> tuple[float, ...]:
        """The noise levels of a run, as the scheduler shifts them; sets the scheduler's steps."""
        scheduler = self.pipe.scheduler
        own = getattr(scheduler.config, "use_flow_sigmas", False)
        sigmas = None if own else np.linspace(1.0, 1 / steps, steps)
        mu = klein.compute_empirical_mu(image_seq_len=tokens, num_steps=steps)
        device = self.pipe._execution_device
        times, _ = klein.retrieve_timesteps(scheduler, steps, device, sigmas=sigmas, mu=mu)
        return tuple(float(time) / 1000 for time in times)

    def run(self, rows: Sequence[Row], steps: int, encodings: Encodings) -> list[Image.Image]:
        """One row, by the stock call."""
        (row,) = rows
        pipe = self.pipe
        return pipe(
            prompt=row.prompt,
            image=list(row.refs) or None,
            height=row.size[0],
            width=row.size[1],
            num_inference_steps=steps,
            guidance_scale=self.guidance,
            generator=torch.Generator(pipe._execution_device).manual_seed(row.seed),
            **self.pipe_kwargs,
        ).images


class Flux2Klein(Flux2Dev):
    """FLUX.2-klein: distilled, rows in batches; or base, with true guidance."""

    name = "flux2-klein"
    pipelines = ("Flux2KleinPipeline",)
    true_guidance = True
    text_layers = (9, 18, 27)

    def __init__(self, pipe: Any, **settings: Any) -> None:
        self.batches = bool(pipe.config.is_distilled)
        self.steps = 4 if self.batches else 50
        self.guidance = None if self.batches else 4.0
        super().__init__(pipe, **settings)

    def chat(self, prompt: str) -> str:
        """A prompt in Qwen3's template, thinking switched off."""
        return self.pipe.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )

    def text_tokens(self, prompt: str, length: int, call: dict[str, Any]) -> TextTokens:
        """Where a prompt's tokens are."""
        return locate(self.pipe.tokenizer, prompt, length, self.chat)

    def run(self, rows: Sequence[Row], steps: int, encodings: Encodings) -> list[Image.Image]:
        """The pictures of rows of one size; one by one through the stock call under guidance."""
        if not self.batches:
            return super().run(rows, steps, encodings)
        return self._decode(self._denoise(rows, steps, encodings))

    def _denoise(
        self, rows: Sequence[Row], steps: int, encodings: Encodings
    ) -> Float[Tensor, "rows channels height width"]:
        pipe, device = self.pipe, self.pipe._execution_device
        prompts = {
            prompt: encodings.text(prompt, self._embed, device)
            for prompt in dict.fromkeys(row.prompt for row in rows)
        }
        text = torch.cat([prompts[row.prompt] for row in rows])
        text_ids = pipe._prepare_text_ids(text).to(device)
        height, width = rows[0].size
        latents, latent_ids = pipe.prepare_latents(
            batch_size=len(rows),
            num_latents_channels=pipe.transformer.config.in_channels // 4,
            height=height,
            width=width,
            dtype=text.dtype,
            device=device,
            generator=[torch.Generator(device).manual_seed(row.seed) for row in rows],
        )
        ids, noise, refs = latent_ids, latents.shape[1], None
        if rows[0].refs:
            images = {id(image): image for row in rows for image in row.refs}
            encoded = {key: encodings.image(image, self._encode) for key, image in images.items()}
            refs = torch.cat([torch.cat([encoded[id(i)] for i in row.refs], dim=1) for row in rows])
            shapes = [torch.empty(1, 1, *grid) for grid in rows[0].grids]
            ref_ids = pipe._prepare_image_ids(shapes).repeat(len(rows), 1, 1).to(device)
            ids = torch.cat([latent_ids, ref_ids], dim=1)
        pipe.scheduler.set_begin_index(0)
        for time in pipe.scheduler.timesteps:  # as `levels` has set them
            joint = latents if refs is None else torch.cat([latents, refs], dim=1)
            with pipe.transformer.cache_context("cond"):
                velocity = pipe.transformer(
                    hidden_states=joint.to(pipe.transformer.dtype),
                    timestep=time.expand(len(rows)).to(latents.dtype) / 1000,
                    guidance=None,
                    encoder_hidden_states=text,
                    txt_ids=text_ids,
                    img_ids=ids,
                    joint_attention_kwargs=None,
                    return_dict=False,
                )[0]
            latents = pipe.scheduler.step(velocity[:, :noise], time, latents, return_dict=False)[0]
        grid = height // self.multiple, width // self.multiple
        return pipe._unpack_latents_with_ids(latents, latent_ids, *grid)

    def _embed(self, prompt: str) -> Float[Tensor, "1 tokens width"]:
        return self.pipe.encode_prompt(prompt=prompt, **self.pipe_kwargs)[0]

    def _encode(self, image: Image.Image) -> Float[Tensor, "1 tokens channels"]:
        """A reference's tokens, resized and encoded as the pipeline does."""
        pipe = self.pipe
        if image.width * image.height > 1024 * 1024:
            image = pipe.image_processor._resize_to_target_area(image, 1024 * 1024)
        width, height = (side // self.multiple * self.multiple for side in image.size)
        pixels = pipe.image_processor.preprocess(
            image, height=height, width=width, resize_mode="crop"
        )
        device = pipe._execution_device
        return pipe.prepare_image_latents([pixels], 1, None, device, pipe.vae.dtype)[0]

    def _decode(self, latents: Float[Tensor, "rows channels height width"]) -> list[Image.Image]:
        pipe, vae = self.pipe, self.pipe.vae
        mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents.device, latents.dtype)
        spread = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)
        latents = latents * spread.to(latents.device, latents.dtype) + mean
        latents = pipe._unpatchify_latents(latents)
        pixels = latents.shape[-1] * latents.shape[-2] * pipe.vae_scale_factor**2
        images: list[Image.Image] = []
        for part in latents.split(max(1, 1024 * 1024 // pixels)):  # a megapixel at a time
            decoded = vae.decode(part, return_dict=False)[0]
            images += pipe.image_processor.postprocess(decoded, output_type="pil")
        return images
