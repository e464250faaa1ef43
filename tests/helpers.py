"""How tests look at runs: pixels, final states as floats, stock calls."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch

PROMPT = "draw a mug in this color"


def pixels(image) -> np.ndarray:
    return np.asarray(image).astype(int)


def same(one, two) -> bool:
    """Pixel for pixel."""
    return one.size == two.size and bool((pixels(one) == pixels(two)).all())


def close(one, two) -> bool:
    """The same picture to rounding."""
    return one.size == two.size and abs(pixels(one) - pixels(two)).max() <= 1


@contextmanager
def final(flux):
    """Collects the transformer's last output of a run, for comparisons finer than 8 bits."""
    seen: list[torch.Tensor] = []
    transformer = flux.pipe.transformer
    handle = transformer.register_forward_hook(lambda m, a, out: seen.append(out[0].clone()))
    try:
        yield seen
    finally:
        handle.remove()


def states(flux, run) -> torch.Tensor:
    """All velocities of a run: (steps, rows, image tokens, channels)."""
    with final(flux) as seen:
        run()
    tokens = min(out.shape[1] for out in seen)
    return torch.stack([out[:, :tokens] for out in seen])


def image_states(flux, run, layout) -> torch.Tensor:
    """The same, of the image's own tokens only."""
    start, stop = layout.span("image")
    return states(flux, run)[:, :, : stop - start]


def stock(flux, prompt=PROMPT, image=None, seed=0, steps=4, **kwargs):
    """A plain user's call of the stock pipeline."""
    seeds = seed if isinstance(seed, list) else [seed]
    generators = [torch.Generator(flux.device).manual_seed(s) for s in seeds]
    return flux.pipe(
        image=image,
        prompt=prompt,
        generator=generators if len(seeds) > 1 else generators[0],
        num_inference_steps=steps,
        **{"guidance_scale": 1.0, **flux.pipe_kwargs, **kwargs},
    ).images


def ids_of(layout) -> torch.Tensor:
    """The positions of image and references as the pipeline numbers them: (tokens, 4)."""
    grids = [
        torch.cartesian_prod(torch.tensor([10 * n]), *map(torch.arange, grid), torch.arange(1))
        for n, grid in enumerate((layout.image, *layout.refs))
    ]
    return torch.cat(grids)


def call_of(flux, layout, time=1.0, seed=0, device=None) -> dict:
    """The arguments of a bare call of the transformer, random (or on the meta device)."""
    config, rows = flux.pipe.transformer.config, layout.rows
    generator = None if device else torch.Generator().manual_seed(seed)
    shapes = (
        (layout.length - layout.text, config.in_channels),
        (layout.text, config.joint_attention_dim),
    )
    tokens, text = (torch.randn(rows, *s, generator=generator, device=device) for s in shapes)
    return {
        "hidden_states": tokens,
        "encoder_hidden_states": text,
        "timestep": torch.full((rows,), time, device=device),
        "img_ids": ids_of(layout).expand(rows, -1, -1),
        "txt_ids": torch.zeros(rows, layout.text, 4),
        "guidance": None,
        "return_dict": False,
    }
