"""A model of the real shape with random weights: what every recipe takes on one's own machine.

``python -m benchmarks fullsize --model klein-9b --device cuda --dtype bfloat16 --side 1024``. What
weights are does not change how long they take, so no hub and no licence is needed: the transformer
and the autoencoder are the stock classes at their real sizes, the text encoder is cut to the layers
that are read. On a CPU the same runs with ``--model mini --side 96``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from transformers import Qwen3Config, Qwen3ForCausalLM

import fluxlens as fl
from fluxlens.mini import architecture as mini
from fluxlens.pipelines import adapt
from fluxlens.study.shapes import configurations

from .measure import Case
from .recipes import PROMPT, picture, random_mini

LAYERS = (1, 2, 3)


def load(name: str, device: str, dtype: torch.dtype) -> fl.Editor:
    """A random editor of a known klein's shape, or of mini's, on a device."""
    editor = random_mini() if name == "mini" else _klein(name, dtype)
    for part in editor.pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(device, dtype)
    return editor


def _klein(name: str, dtype: torch.dtype) -> fl.Editor:
    """The stock classes, made where no weight is wasted: nothing is initialised twice."""
    config = configurations()[name]
    tokens = mini.tokenizer([PROMPT])
    width = config["transformer"]["joint_attention_dim"] // len(LAYERS)
    text = Qwen3Config(
        vocab_size=len(tokens),
        hidden_size=width,
        intermediate_size=config["text_encoder"]["intermediate_size"],
        num_hidden_layers=max(LAYERS),
        num_attention_heads=config["text_encoder"]["num_attention_heads"],
        num_key_value_heads=config["text_encoder"]["num_key_value_heads"],
        head_dim=config["text_encoder"]["head_dim"],
    )
    with torch.device("meta"):
        transformer = Flux2Transformer2DModel(**config["transformer"]).to(dtype)
    transformer = transformer.to_empty(device="cpu")
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    pipe = Flux2KleinPipeline(
        scheduler=mini.scheduler(),
        vae=AutoencoderKLFlux2().to(dtype).eval(),
        text_encoder=Qwen3ForCausalLM(text).to(dtype).eval(),
        tokenizer=tokens,
        transformer=transformer.eval(),
        is_distilled=True,
    )
    pipe.set_progress_bar_config(disable=True)
    family = adapt(pipe, text_layers=LAYERS)
    return fl.Editor(pipe, family, name=f"{name}'s shape, random weights")


def cases(editor: fl.Editor, side: int, rows: int = 2) -> list[Case]:
    """Every recipe and instrument on one edit, beside the plain edit; and rows in a batch."""
    red, blue = (picture(side, seed) for seed in (1, 2))
    size = {"height": side, "width": side}
    style = editor.binding.style

    def edit(context: Callable[[], Any] | None = None) -> None:
        if context is None:
            editor.edit(PROMPT, red, 0, **size)
            return
        with context():
            editor.edit(PROMPT, red, 0, **size)

    with editor.capture(style) as acts:
        edit()
    instruments: dict[str, Callable[[], Any]] = {
        "capture": lambda: editor.capture(style),
        "patch": lambda: editor.patch(acts),
        "apply": lambda: editor.apply(lambda rows: 0.5 * rows, style, "text[pad]"),
        "knockout ref->text": lambda: editor.knockout("ref->text"),
        "knockout ref->image": lambda: editor.knockout("ref->image"),
        "knockout ref->text[padding]": lambda: editor.knockout("ref->text[padding]"),
        "knockout ref->text, mask": lambda: editor.knockout("ref->text", attention="mask"),
        "gain ref->text": lambda: editor.gain("ref->text", 4.0),
        "gain ref->image": lambda: editor.gain("ref->image", 4.0),
        "gain ref->text, mask": lambda: editor.gain("ref->text", 4.0, attention="mask"),
        "attention ref->text[pad]": lambda: editor.attention("ref->text[pad]"),
    }
    recipes: dict[str, Callable[[], Any]] = {
        "t2i_lens": lambda: fl.t2i_lens(editor, PROMPT, red, 0, **size),
        "color_lens": lambda: fl.color_lens(editor, PROMPT, red, 0, **size),
        "attention_knockout": lambda: fl.attention_knockout(editor, PROMPT, red, 0, **size),
        "drop_reference": lambda: fl.drop_reference(editor, PROMPT, red, 0, **size),
        "i2i_patch": lambda: fl.i2i_patch(editor, PROMPT, red, blue, (0, 1), **size),
    }
    several = [PROMPT] * rows, [red] * rows, list(range(rows))
    return [
        Case("edit", edit),
        Case("generation", lambda: editor.generate(PROMPT, 0, **size), "edit"),
        *(Case(name, partial(edit, make), "edit") for name, make in instruments.items()),
        *(Case(name, run, "edit") for name, run in recipes.items()),
        Case(f"{rows} rows in a batch", lambda: editor.edit(*several, **size), "edit"),
    ]


def identities(editor: fl.Editor, side: int) -> dict[str, float]:
    """What must agree, on this machine and in this number format: the largest difference in levels.

    The first is of two plain edits, which is what the machine itself allows.
    """
    red, size = picture(side, 1), {"height": side, "width": side}

    def edit() -> Any:
        return editor.edit(PROMPT, red, 0, **size)

    def under(context: Any) -> Any:
        with context:
            return edit()

    plain = edit()
    with editor.capture("*") as acts:
        edit()
    both = ["ref->text", "ref->image"]
    clean = editor.generate(PROMPT, 0, **size)
    last = editor.blocks[-1]
    pairs = {
        "an edit made twice": (plain, edit()),
        "patched with itself": (plain, under(editor.patch(acts))),
        "gain 0": (plain, under(editor.gain("ref->image", 0.0))),
        "both edges cut, and a generation": (under(editor.knockout(both)), clean),
        "a cut without and with a mask": (
            under(editor.knockout("ref->text")),
            under(editor.knockout("ref->text", attention="mask")),
        ),
        "gain -inf, and the cut": (
            under(editor.gain("ref->text", float("-inf"))),
            under(editor.knockout("ref->text")),
        ),
        "a gain without and with a mask": (
            under(editor.gain("ref->text", 3.0)),
            under(editor.gain("ref->text", 3.0, attention="mask")),
        ),
        "dropped after the last block, and ref->image cut": (
            fl.drop_reference(editor, PROMPT, red, 0, after=last, **size).image,
            under(editor.knockout("ref->image")),
        ),
        "a row in a batch, and alone": (
            editor.edit([PROMPT] * 2, [red, picture(side, 2)], [0, 1], **size)[0],
            plain,
        ),
    }
    return {
        name: float(max(abs(a - b) for a, b in zip(one.tobytes(), two.tobytes(), strict=True)))
        for name, (one, two) in pairs.items()
    }
