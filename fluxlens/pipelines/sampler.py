"""Rows in, pictures out: batches by shape where the family allows them, else one by one.

Context: a study runs the same few interventions over thousands of tasks. Details: the stock call
gives all rows of a batch the same references; here each row has its own prompt, references and
seed, and each batch is announced to the interventions that are open, which refuse before any work.
Intuition: one row is the stock pipeline, bit for bit; a batch is many such rows, to rounding.
"""

from __future__ import annotations

import operator
import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from fluxlens import references
from fluxlens.core import Drop, Layout, Watch

from .adapter import AdaptedModel, Row
from .encodings import remembering


class Stop(Exception):
    """Ends a run whose rest nobody reads."""


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
    editor: AdaptedModel, prompt: Any, ref: Any, seed: Any, height: Any = None, width: Any = None
) -> tuple[list[Row], bool]:
    """Check and complete what the user asks for; also says whether it is a single row."""
    family = editor.family
    specs, single = broadcast(prompt=prompt, ref=ref, seed=seed, height=height, width=width)
    prepared: dict[int, tuple[Image.Image, ...]] = {}
    rows = []
    for spec in specs:
        if not isinstance(spec["prompt"], str):
            raise TypeError(f"a prompt must be a string, not {type(spec['prompt']).__name__}")
        key = id(spec["ref"])
        if key not in prepared:
            prepared[key] = references.prepare_row(spec["ref"])
        refs = prepared[key]
        if family.max_refs is not None and len(refs) > family.max_refs:
            raise ValueError(
                f"{editor.name} reads {family.max_refs} reference(s) a row, not {len(refs)}"
            )
        sizes = [family.ref_size(*image.size) for image in refs]
        side = (editor.default_size, editor.default_size)
        default = (sizes[0][1], sizes[0][0]) if sizes else side
        size = (
            _side("height", spec["height"], default[0], family.multiple),
            _side("width", spec["width"], default[1], family.multiple),
        )
        grids = tuple((h // family.multiple, w // family.multiple) for w, h in sizes)
        rows.append(Row(spec["prompt"], refs, _seed(spec["seed"]), size, grids))
    return rows, single


def _whole(value: Any) -> int | None:
    """A whole number of any kind, numpy's too; None for what is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _seed(value: Any) -> int:
    seed = _whole(value)
    if seed is None:
        raise TypeError(f"a seed must be an integer, not {value!r}")
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"a seed must fit into 64 bits, and {seed} does not")
    return seed


def _side(name: str, value: Any, default: int, multiple: int) -> int:
    side = default if value is None else _whole(value)
    if side is None or side < multiple:
        raise ValueError(f"{name} must be at least {multiple} pixels, not {value!r}")
    if side % multiple:
        kept = side // multiple * multiple
        warnings.warn(f"{name} {side} is not a multiple of {multiple}: using {kept}", stacklevel=4)
        return kept
    return side


def layout_of(editor: AdaptedModel, rows: Sequence[Row]) -> Layout:
    """The layout of a batch; its rows must have the same sizes."""
    family = editor.family
    if len({(row.size, row.grids) for row in rows}) > 1:
        raise ValueError("rows of different sizes have different layouts: ask for one at a time")
    texts = {}
    for row in rows:
        key = row.prompt, tuple(map(id, row.refs)) if not family.batches else ()
        if key not in texts:
            texts[key] = family.text_of(row)
            if texts[key].lost:
                warnings.warn(
                    f"the prompt is longer than the {texts[key].length} text tokens of this model: "
                    f"the pipeline drops its end, {texts[key].lost!r}",
                    stacklevel=3,
                )
    each = tuple(
        texts[row.prompt, tuple(map(id, row.refs)) if not family.batches else ()] for row in rows
    )
    grid = rows[0].size[0] // family.multiple, rows[0].size[1] // family.multiple
    length = each[0].length
    return Layout(len(rows), length, grid, rows[0].grids, each, family.multiple)


def distinct(rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """Each run once, and which of them serves each row."""
    keys = [(row.prompt, tuple(map(id, row.refs)), row.seed, row.size) for row in rows]
    first = {key: n for n, key in reversed(list(enumerate(keys)))}
    unique = sorted(first.values())
    return [rows[n] for n in unique], [unique.index(first[key]) for key in keys]


@torch.no_grad()
def sample(
    editor: AdaptedModel,
    rows: Sequence[Row],
    *,
    steps: Any = None,
    stop_after: str | None = None,
    batch: int | None = None,
) -> list[Image.Image]:
    """Denoise rows, batched by shape, and give their images in the order of the rows.

    `steps` are the editor's unless told. With `stop_after`, the last step ends after that block and
    no image is made (an empty list comes back): for a capture, whose rest nobody reads. `batch`
    bounds the rows of a forward. As in the authors' released code: one generator a row on the
    pipeline's device.
    """
    count = _whole(editor.steps if steps is None else steps)
    if count is None or count < 1:
        raise ValueError(f"steps must be a whole number of at least 1, not {steps!r}")
    family, watch = editor.family, Watch.of(editor)
    if any("uncond" in one.passes for one in watch.mine):
        stop_after, discard = None, stop_after is not None  # the second pass comes after it
    else:
        discard = False
    reached: tuple[str, ...] = ()
    if stop_after is not None:
        (stop_after,) = editor.select(stop_after)
        reached = editor.blocks[: editor.blocks.index(stop_after) + 1]
    groups: dict[Any, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        # rows whose references are dropped elsewhere, or not at all, have other lengths
        drops = [one.blocks for one in watch.mine if isinstance(one, Drop) and one.covers(n)]
        groups[row.size, row.grids, tuple(drops)].append(n)
    most = (batch or len(rows)) if family.batches else 1
    batches = [
        members[start : start + most]
        for members in groups.values()
        for start in range(0, len(members), most)
    ]
    layouts = [layout_of(editor, [rows[n] for n in members]) for members in batches]
    images: list[Any] = [None] * len(rows)
    with remembering(editor) as encodings:
        for members, layout in zip(batches, layouts, strict=True):
            tokens = layout.image[0] * layout.image[1]
            levels = family.levels(count, tokens)
            run = {"rows": tuple(members), "total": len(rows), "schedule": levels}
            with watch.batch(layout, reached=reached, **run):
                own = [rows[n] for n in members]
                made = _until(editor, stop_after, count, own, encodings)
            for n, image in zip(members, made, strict=False):
                images[n] = image
    return [] if stop_after or discard else images


def _until(
    editor: AdaptedModel, block: str | None, steps: int, rows: Sequence[Row], encodings: Any
) -> list[Image.Image]:
    """A batch's pictures; none if its last step ends after `block`."""

    def stop(module: Any, args: Any, output: Any) -> None:
        if (editor.pipe.scheduler.step_index or 0) == steps - 1:
            raise Stop

    # registered last, so it comes after every hook that reads the block
    handle = editor.module(block).register_forward_hook(stop) if block else None
    try:
        return editor.family.run(rows, steps, encodings)
    except Stop:
        return []
    finally:
        if handle:
            handle.remove()
        editor.pipe.maybe_free_model_hooks()
