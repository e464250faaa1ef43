"""Our denoising loop, made of the stock pipeline's own methods.

Context: a study runs the same few interventions over thousands of tasks. Details: the stock call
gives all rows of a batch the same references; here each row has its own prompt, references and
seed. Intuition: one row is the stock pipeline, bit for bit; a batch is many such rows, to rounding.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from . import references
from ._encode import Stop, embed, encode
from ._unread import image_only
from .layout import Layout, reference_size, text_tokens, warn_if_cut

if TYPE_CHECKING:
    from .models import Flux


@dataclass(frozen=True)
class Row:
    """One picture to make; `size` and `grids` are (height, width), in pixels and in tokens."""

    prompt: str
    refs: tuple[Image.Image, ...]
    seed: int
    size: tuple[int, int]
    grids: tuple[tuple[int, int], ...]


def broadcast(**values: Any) -> tuple[list[dict[str, Any]], bool]:
    """Lists are rows, anything else is every row's; also says whether nothing was a list."""
    sizes = {name: len(v) for name, v in values.items() if isinstance(v, list)}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ValueError(f"lists must name the same rows, and at least one; got lengths {sizes}")
    count = next(iter(sizes.values()), 1)
    rows = [
        {name: v[i] if isinstance(v, list) else v for name, v in values.items()}
        for i in range(count)
    ]
    return rows, not sizes


def rows_of(
    flux: Flux, prompt: Any, ref: Any, seed: Any, height: Any = None, width: Any = None
) -> tuple[list[Row], bool]:
    """Check and complete what the user asked for; also says whether it is a single row."""
    specs, single = broadcast(prompt=prompt, ref=ref, seed=seed, height=height, width=width)
    prepared: dict[int, tuple[Image.Image, ...]] = {}
    rows = []
    for spec in specs:
        if not isinstance(spec["prompt"], str):
            raise TypeError(f"a prompt must be a string, not {type(spec['prompt']).__name__}")
        if isinstance(spec["seed"], bool) or not isinstance(spec["seed"], int | np.integer):
            raise TypeError(f"a seed must be an integer, not {spec['seed']!r}")
        key = id(spec["ref"])
        if key not in prepared:
            prepared[key] = references.prepare_row(spec["ref"])
        refs = prepared[key]
        sizes = [reference_size(*image.size, flux.multiple) for image in refs]
        side = (flux.default_size, flux.default_size)
        default = (sizes[0][1], sizes[0][0]) if sizes else side
        size = (
            _side("height", spec["height"], default[0], flux.multiple),
            _side("width", spec["width"], default[1], flux.multiple),
        )
        grids = tuple((h // flux.multiple, w // flux.multiple) for w, h in sizes)
        rows.append(Row(spec["prompt"], refs, int(spec["seed"]), size, grids))
    return rows, single


def _side(name: str, value: int | None, default: int, multiple: int) -> int:
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < multiple:
        raise ValueError(f"{name} must be at least {multiple} pixels, not {value!r}")
    if value % multiple:
        kept = int(value) // multiple * multiple
        warnings.warn(f"{name} {value} is not a multiple of {multiple}: using {kept}", stacklevel=4)
        return kept
    return int(value)


def layout_of(flux: Flux, rows: Sequence[Row]) -> Layout:
    """The layout of a batch; its rows must have the same sizes."""
    if len({(row.size, row.grids) for row in rows}) > 1:
        raise ValueError("rows of different sizes have different layouts: ask for one at a time")
    made = {
        prompt: text_tokens(flux.pipe.tokenizer, prompt, flux.max_sequence_length)
        for prompt in dict.fromkeys(row.prompt for row in rows)
    }
    warn_if_cut(list(made.values()))
    height, width = rows[0].size
    grid = height // flux.multiple, width // flux.multiple
    texts = tuple(made[row.prompt] for row in rows)
    return Layout(len(rows), flux.max_sequence_length, grid, rows[0].grids, texts)


def distinct(rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """Each run once, and which of them serves each row."""
    keys = [(row.prompt, tuple(map(id, row.refs)), row.seed, row.size) for row in rows]
    first = {key: n for n, key in reversed(list(enumerate(keys)))}
    unique = sorted(first.values())
    return [rows[n] for n in unique], [unique.index(first[key]) for key in keys]


@torch.no_grad()
def sample(
    flux: Flux,
    rows: Sequence[Row],
    *,
    steps: int = 4,
    stop_after: str | None = None,
    batch: int | None = None,
    whole: bool = True,
) -> list[Image.Image]:
    """Denoise rows, batched by shape, and give their images in the order of the rows.

    With `stop_after`, the last step ends behind that block and no image is made (an empty list
    comes back): for a capture, whose rest nobody reads. `batch` bounds the rows of a forward. With
    `whole` one row is the stock pipeline bit for bit; without it to rounding, for what nobody reads
    of the last block is not run. As in the authors' released code: four steps, no guidance, one
    generator a row on the pipeline's device.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, not {steps!r}")
    reached: tuple[str, ...] = ()
    if stop_after is not None:
        (stop_after,) = flux.select(stop_after)
        reached = flux.blocks[: flux.blocks.index(stop_after) + 1]
    groups: dict[Any, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        groups[row.size, row.grids, flux.watch.apart(n)].append(n)
    batches = [
        members[start : start + (batch or len(members))]
        for members in groups.values()
        for start in range(0, len(members), batch or len(members))
    ]
    layouts = [layout_of(flux, [rows[n] for n in members]) for members in batches]
    images: list[Any] = [None] * len(rows)
    try:
        for members, layout in zip(batches, layouts, strict=True):
            run = {"rows": tuple(members), "total": len(rows), "steps": steps, "blocks": reached}
            tokens = layout.text, layout.image[0] * layout.image[1]
            unread = nullcontext() if whole else image_only(flux, *tokens)
            with flux.watch.batch(layout, **run), unread:
                latents = _denoise(flux, [rows[n] for n in members], steps, stop_after)
            if stop_after is None:
                for n, image in zip(members, _decode(flux, latents), strict=True):
                    images[n] = image
    finally:
        flux.pipe.maybe_free_model_hooks()
    return [] if stop_after else images


def _denoise(
    flux: Flux, rows: Sequence[Row], steps: int, stop_after: str | None
) -> Float[Tensor, "rows channels height width"]:
    from diffusers.pipelines.flux2 import pipeline_flux2_klein as stock

    pipe, device = flux.pipe, flux.device
    prompts = {
        prompt: embed(flux, prompt, device) for prompt in dict.fromkeys(r.prompt for r in rows)
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
        encoded = {key: encode(flux, image, device) for key, image in images.items()}
        refs = torch.cat([torch.cat([encoded[id(i)] for i in row.refs], dim=1) for row in rows])
        shapes = [torch.empty(1, 1, *grid) for grid in rows[0].grids]
        ref_ids = pipe._prepare_image_ids(shapes).repeat(len(rows), 1, 1).to(device)
        ids = torch.cat([latent_ids, ref_ids], dim=1)

    own = getattr(pipe.scheduler.config, "use_flow_sigmas", False)
    sigmas = None if own else np.linspace(1.0, 1 / steps, steps)
    mu = stock.compute_empirical_mu(image_seq_len=noise, num_steps=steps)
    times, _ = stock.retrieve_timesteps(pipe.scheduler, steps, device, sigmas=sigmas, mu=mu)
    pipe.scheduler.set_begin_index(0)
    for n, time in enumerate(times):
        joint = latents if refs is None else torch.cat([latents, refs], dim=1)
        moment = time.to(latents.dtype) / 1000
        with _first_step(flux, rows, float(time)) if n == 0 else nullcontext(slice(None)) as run:
            velocity = _forward(
                flux,
                stop_after if n == len(times) - 1 else None,
                hidden_states=joint.to(pipe.transformer.dtype)[run],
                # where rows will become more, one time serves however many they are
                timestep=moment.expand(1 if isinstance(run, list) else len(rows)),
                guidance=None,
                encoder_hidden_states=text[run],
                txt_ids=text_ids,
                img_ids=ids,
                joint_attention_kwargs=None,
                return_dict=False,
            )
        if velocity is None:
            return latents
        latents = pipe.scheduler.step(velocity[:, :noise], time, latents, return_dict=False)[0]
    grid = height // flux.multiple, width // flux.multiple
    return pipe._unpack_latents_with_ids(latents, latent_ids, *grid)


@contextmanager
def _first_step(flux: Flux, rows: Sequence[Row], time: float) -> Iterator[Any]:
    """Which rows go into the first step, begun behind a block where that block's state is kept."""
    yield slice(None)


@contextmanager
def _equal_rows_once(flux: Flux, rows: Sequence[Row]) -> Iterator[Any]:
    """Which rows start the first step: equal ones once, up to the block that tells them apart.

    So a patched run starts late, from what the run that it patches has made: before the patched
    block the two are equal.
    """
    unique, index = distinct(rows)
    some = flux.watch.contexts and len(unique) < len(rows)
    shared = flux.watch.equal_up_to() if some else 0
    if not shared:
        yield slice(None)
        return

    def spread(module: Any, args: Any, output: Any) -> Any:
        parts = output if isinstance(output, tuple) else (output,)
        copies = tuple(part[index] for part in parts)
        return copies if isinstance(output, tuple) else copies[0]

    # first of all hooks: whoever acts on this block has all rows before it
    block = flux.module(flux.blocks[shared - 1])
    handle = block.register_forward_hook(spread, prepend=True)
    try:
        yield [index.index(n) for n in range(len(unique))]
    finally:
        handle.remove()


def _forward(flux: Flux, stop_after: str | None, **inputs: Any) -> Tensor | None:
    """The transformer's output; None if it was ended behind `stop_after`."""

    def stop(module: Any, args: Any, output: Any) -> None:
        raise Stop

    transformer = flux.pipe.transformer
    # registered last, so it comes behind every hook that reads the block
    handle = flux.module(stop_after).register_forward_hook(stop) if stop_after else None
    try:
        with transformer.cache_context("cond"):
            return transformer(**inputs)[0]
    except Stop:
        return None
    finally:
        if handle:
            handle.remove()


def _decode(flux: Flux, latents: Float[Tensor, "rows channels height width"]) -> list[Image.Image]:
    pipe = flux.pipe
    vae = pipe.vae
    mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents.device, latents.dtype)
    spread = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)
    latents = latents * spread.to(latents.device, latents.dtype) + mean
    latents = pipe._unpatchify_latents(latents)
    pixels = latents.shape[-1] * latents.shape[-2] * pipe.vae_scale_factor**2
    images: list[Image.Image] = []
    for part in latents.split(max(1, 1024 * 1024 // pixels)):  # a megapixel of memory at a time
        decoded = vae.decode(part, return_dict=False)[0]
        images += pipe.image_processor.postprocess(decoded, output_type="pil")
    return images
