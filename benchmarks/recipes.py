"""Every recipe beside a plain edit, at the size of mini or of any other model's folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import fluxlens as fl
from fluxlens.pipelines import adapt

from .measure import Case

PROMPT = "draw a mug in this color"
CUTS = ("ref->text", "ref->image", "ref->text[padding]", "ref->text[content]")


def load(model: str | None) -> fl.Editor:
    """A model by name or folder; without one, random weights of mini's shape."""
    return fl.load(model) if model else random_mini()


def random_mini() -> fl.Editor:
    """The stock classes at mini's sizes: what its weights are does not change how long it takes."""
    from diffusers import Flux2KleinPipeline

    from fluxlens.mini import architecture as mini

    torch.manual_seed(0)
    tokens, text = mini.tokenizer([PROMPT, "draw a hat"]), mini.CONFIG["text"]
    pipe = Flux2KleinPipeline(
        scheduler=mini.scheduler(),
        vae=mini.vae().eval(),
        text_encoder=mini.text_encoder(len(tokens)).eval(),
        tokenizer=tokens,
        transformer=mini.transformer().eval(),
        is_distilled=True,
    )
    pipe.set_progress_bar_config(disable=True)
    settings = {"max_sequence_length": text["max_sequence_length"], "default_size": 96}
    family = adapt(pipe, text_layers=tuple(text["out_layers"]), **settings)
    return fl.Editor(pipe, family, name="mini's shape, random weights")


def cases(flux: fl.Editor, side: int) -> list[Case]:
    """Single edits of one `side` by `side` picture, and the sweep."""
    ref, other = (picture(side, seed) for seed in (1, 2))
    edit = flux.edit

    def plain() -> Any:
        return edit(PROMPT, ref, seed=0)

    style, color = flux.binding.style, flux.binding.color
    with flux.capture([style, color]) as acts:
        plain()
    early, late = acts.pick(style), acts.pick(color)

    def capture() -> None:
        with flux.capture(style):
            plain()

    def patch() -> None:
        with flux.patch(early):
            edit(PROMPT, other, seed=1)

    out = [
        Case("edit", plain),
        Case("generation", lambda: flux.generate(PROMPT, height=side, width=side), "edit"),
        Case("capture", capture, "edit", 1.03),
        Case("patch", patch, "edit", 1.03),
        Case("stock edit", lambda: stock(flux, ref)),
    ]
    for cut in CUTS:
        out += knockouts(flux, ref, cut, plain)
    for edge in ("ref->text", "ref->text[pad]"):
        for name, under in (
            (f"gain of {edge}", partial(flux.gain, edge, 2.0)),
            (f"gain of {edge}, by mask", partial(flux.gain, edge, 2.0, attention="mask")),
            (f"reading {edge}", partial(flux.attention, edge)),
        ):
            goal = None if "mask" in name else 1.06
            out.append(Case(name, partial(_under, under, plain), "edit", goal))
    for block in (style, color):
        name = f"reference dropped after {block}"
        drop = partial(fl.drop_reference, flux, PROMPT, ref, after=block)
        masked = partial(drop, attention="mask")
        out += [Case(name, drop, "edit"), Case(f"{name}, by mask", masked, "edit")]
    pair: dict[str, Any] = {"source": ref, "target": other, "seeds": (0, 1)}
    kinds = ["all", "padding", "content"]
    out += [
        Case("T2I lens", lambda: fl.t2i_lens(flux, PROMPT, ref), "edit"),
        Case("color lens", lambda: fl.color_lens(flux, PROMPT, ref), "edit"),
        Case("I2I patch", lambda: fl.i2i_patch(flux, PROMPT, block=color, **pair), "edit"),
        Case(
            "I2I patch, three kinds of tokens in one call",
            lambda: fl.i2i_patch(flux, PROMPT, block=color, tokens=kinds, **pair),
            "edit",
        ),
        Case(
            "I2I patch, its source captured before",
            lambda: fl.i2i_patch(flux, PROMPT, block=color, acts=late, **pair),
            "edit",
        ),
        Case("lens at every block, one by one", lambda: one_by_one(flux, ref)),
        Case(
            "lens at every block, in a batch",
            lambda: fl.layer_sweep(flux, fl.t2i_lens, PROMPT, ref, batch=len(flux.blocks)),
            "lens at every block, one by one",
            0.5,
        ),
        Case(
            "reference dropped after every block, by mask",
            lambda: fl.layer_sweep(flux, fl.drop_reference, PROMPT, ref, attention="mask"),
        ),
        Case(
            "reference dropped after every block",
            lambda: fl.layer_sweep(flux, fl.drop_reference, PROMPT, ref),
            "reference dropped after every block, by mask",
        ),
    ]
    return out


def knockouts(flux: fl.Editor, ref: Image.Image, cut: str, plain: Callable[[], Any]) -> list[Case]:
    """A cut without a mask, with our mask, and as the pipeline's own `attention_kwargs`."""

    def run(attention: str) -> None:
        with flux.knockout(cut, attention=attention):
            plain()

    mask = fl.attention_mask(flux.layout(PROMPT, ref), cut, device=flux.device)
    dense = torch.zeros(mask.shape, dtype=flux.dtype, device=flux.device)
    dense.masked_fill_(~mask, float("-inf"))  # as the paper's authors hand it over
    return [
        Case(cut, lambda: run("auto"), "edit", 1.06),
        Case(f"{cut}, by mask", lambda: run("mask"), "edit"),
        Case(f"{cut}, attention_kwargs", lambda: stock(flux, ref, dense), "stock edit"),
    ]


def stock(flux: fl.Editor, ref: Image.Image, mask: torch.Tensor | None = None) -> Any:
    """The pipeline's own call, which encodes prompt and reference each time."""
    return flux.pipe(
        prompt=PROMPT,
        image=ref,
        generator=torch.Generator(flux.device).manual_seed(0),
        num_inference_steps=4,
        guidance_scale=1.0,
        attention_kwargs=None if mask is None else {"attention_mask": mask},
        **flux.pipe_kwargs,
    ).images[0]


def _under(context: Callable[[], Any], run: Callable[[], Any]) -> None:
    with context():
        run()


def one_by_one(flux: fl.Editor, ref: Image.Image) -> None:
    for block in flux.blocks:
        fl.t2i_lens(flux, PROMPT, ref, block=block)


def picture(side: int, seed: int) -> Image.Image:
    """A colorful random reference."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize((side, side), Image.Resampling.BICUBIC)


def describe(model: str | None, flux: fl.Editor) -> str:
    return flux.name if model is None else f"{flux.name} ({Path(model).name})"
