"""The paper's recipes, with its exact defaults.

Context: five experiments, each a source run, an intervention and a target run. Details: prompts,
references, seeds, blocks, tokens and cuts may be lists, a row each, so one call makes a batch;
equal source rows and baselines run once. Intuition: a recipe says *what moves where*, the lower
layers say how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._drop import Drop
from ._recipes import (
    TOKENS,
    Result,
    all_of,
    all_rows,
    capture_text,
    check_tokens,
    records_of,
    region_name,
    result_of,
    under,
)
from .knockout import edge_name, parse_edges
from .sampler import Row, rows_of

if TYPE_CHECKING:
    from .hooks import Activations
    from .models import Flux

__all__ = [
    "TOKENS",
    "Result",
    "attention_knockout",
    "color_lens",
    "drop_reference",
    "i2i_patch",
    "layer_sweep",
    "t2i_lens",
]


def t2i_lens(
    flux: Flux,
    prompt: Any,
    ref: Any,
    seed: Any = 0,
    *,
    tokens: Any = "all",
    block: Any = None,
    steps: int = 4,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    acts: Activations | None = None,
    batch: int | None = None,
) -> Result:
    """What do the text tokens alone know of the reference? (T2I Lens; Sections 3 and 4.2)

    ```python
    fl.t2i_lens(flux, "draw a mug in this color", red, seed=0, tokens="padding").image
    ```
    One step of the edit; its text tokens behind `block` (default `flux.binding.style`) are written
    over the context embedder's output of a generation from the *empty* prompt, seed + 1, at all
    steps. `tokens`: ``all | padding | content | template | pad``, placed by the instruction; the
    others keep the empty prompt's. `ValueError` where the prompt has none of them. `acts` are text
    tokens captured before from the same edits, a row each: then no edit is run.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    block = flux.binding.style if block is None else block
    made = (steps, baselines, acts, batch)
    return _lens(flux, "t2i_lens", where, tokens, block, *made, into="context")


def color_lens(
    flux: Flux,
    prompt: Any,
    ref: Any,
    seed: Any = 0,
    *,
    tokens: Any = "all",
    block: Any = None,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    acts: Activations | None = None,
    batch: int | None = None,
) -> Result:
    """The lens for flat colors, deeper and in one step (Appendix A.2).

    ```python
    fl.color_lens(flux, "draw a mug in this color", red, seed=0).image
    ```
    One step of the edit; its text tokens behind `block` (default `flux.binding.color`) are written
    at the *same* block of a one-step generation from the empty prompt, seed + 1. `acts`: as there.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    block = flux.binding.color if block is None else block
    made = (1, baselines, acts, batch)
    return _lens(flux, "color_lens", where, tokens, block, *made, positions="source")


def attention_knockout(
    flux: Flux,
    prompt: Any,
    ref: Any,
    seed: Any = 0,
    *,
    cut: Any = "ref->text",
    blocks: Any = "*",
    steps: int = 4,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    attention: str = "auto",
    batch: int | None = None,
) -> Result:
    """Does the property still arrive when a road is closed? (Sections 3 and 4.3.1)

    ```python
    fl.attention_knockout(flux, "draw a mug in this color", red, seed=0, cut="ref->image").image
    ```
    The edit, same seed, with `cut` closed in `blocks` (all of them in the paper) at every step.
    Several edges at once are a tuple; lists of cuts or blocks are a row each. Two-hop roads
    (reference → image → text) stay open by design. `attention`: see `flux.knockout`.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    rows, extra, single = all_rows(flux, where, cut=cut, blocks=blocks)

    def knock(key: Any, members: list[int]) -> Any:
        return flux.knockout(key[0], blocks=key[1], rows=members, attention=attention)

    keys = [(_edges(e["cut"]), flux.select(e["blocks"])) for e in extra]
    plain = {"edit": rows, "clean": _clean(rows)} if baselines else {}
    images, specs, made = under(flux, rows, steps, keys, knock, plain, batch)
    records = records_of(flux, "attention_knockout", rows, steps, specs)
    return result_of(images, records, made, single)


PREFIX = ("ref->image",)
SUFFIX = ("ref->image", "image->ref", "ref->text", "text->ref")


def drop_reference(
    flux: Flux,
    prompt: Any,
    ref: Any,
    seed: Any = 0,
    *,
    after: Any = None,
    steps: int = 4,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    attention: str = "auto",
    batch: int | None = None,
) -> Result:
    """By which block has the text read the reference? (Appendix B)

    ```python
    fl.drop_reference(flux, "draw a mug in this color", red, seed=0, after="double.1").image
    ```
    Two phases: up to and including `after` (default `flux.binding.style`) only ref→image is cut, so
    the text alone can read the reference; behind it the reference is severed from everything, and
    so leaves the sequence. ``after="none"`` severs it from the start, which is a generation without
    reference. ``attention="mask"`` keeps it in and cuts it four ways, as the paper does: the same
    to rounding. Rows that differ in `after` run in batches of their own.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    after = flux.binding.style if after is None else after
    rows, extra, single = all_rows(flux, where, after=after)

    def drop(key: str, members: list[int]) -> Any:
        split = 0
        if key != "none":
            (block,) = flux.select(key)
            split = flux.blocks.index(block) + 1
        before, behind = flux.blocks[:split], flux.blocks[split:]
        how: dict[str, Any] = {"rows": tuple(members), "attention": attention}
        phases: list[Any] = [flux.knockout(PREFIX, blocks=before, **how)] if before else []
        if behind and attention == "auto":
            phases.append(Drop(flux, behind, None, tuple(members)))
        elif behind:
            phases.append(flux.knockout(SUFFIX, blocks=behind, **how))
        return all_of(phases)

    keys = [e["after"] for e in extra]
    plain = {"edit": rows, "clean": _clean(rows)} if baselines else {}
    images, specs, made = under(flux, rows, steps, keys, drop, plain, batch)
    records = records_of(flux, "drop_reference", rows, steps, specs, after=keys)
    return result_of(images, records, made, single)


def i2i_patch(
    flux: Flux,
    prompt: Any,
    source: Any,
    target: Any,
    seeds: Any = (0, 1),
    *,
    tokens: Any = "all",
    block: Any = None,
    steps: int = 4,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    acts: Activations | None = None,
    batch: int | None = None,
) -> Result:
    """Does the text carry the source's property into another edit? (Sections 3 and 4.3.2)

    ```python
    fl.i2i_patch(flux, "draw a mug in this color", source=red, target=blue, seeds=(0, 1)).image
    ```
    Two edits of the same instruction; text tokens behind `block` (default `flux.binding.style`;
    the paper takes `flux.binding.color` for colors) go from each step of the first to the same
    step and block of the second. `seeds` is a pair (source, target), or a list of pairs. Both
    edits have the target's size unless `height` and `width` say otherwise. `acts` are all steps of
    the source edits' text tokens, captured before, a row each: then no source edit is run.
    """
    pairs = seeds if isinstance(seeds, list) else [seeds]
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"seeds is a pair (source, target) or a list of pairs, not {seeds!r}")
    block = flux.binding.style if block is None else block
    where = {"prompt": prompt, "ref": target, "seed": seeds, "height": height, "width": width}
    rows, extra, single = all_rows(flux, where, tokens=tokens, block=block, other=source)
    keys = [(e["block"], region_name(e["tokens"])) for e in extra]
    check_tokens(flux, rows, [region for _, region in keys])
    origin, _ = rows_of(
        flux,
        [row.prompt for row in rows],
        [e["other"] for e in extra],
        [e["seed"][0] for e in extra],
        [row.size[0] for row in rows],
        [row.size[1] for row in rows],
    )
    texts, sources = capture_text(flux, origin, [block for block, _ in keys], steps, acts)

    def patch(key: tuple[str, str], members: list[int]) -> Any:
        return flux.patch(texts.pick(key[0], [sources[n] for n in members]), key[1], rows=members)

    plain = {"source": origin, "target": rows, "clean": _clean(rows)} if baselines else {}
    images, specs, made = under(flux, rows, steps, keys, patch, plain, batch)
    seeds_of = [row.seed for row in origin]
    records = records_of(flux, "i2i_patch", rows, steps, specs, source_seed=seeds_of)
    return result_of(images, records, made, single)


_SWEPT: dict[Any, str] = {
    t2i_lens: "block",
    color_lens: "block",
    i2i_patch: "block",
    drop_reference: "after",
    attention_knockout: "blocks",
}


def layer_sweep(
    flux: Flux,
    recipe: Callable[..., Result],
    *args: Any,
    blocks: Any = "*",
    batch: int = 8,
    **kwargs: Any,
) -> dict[str, Result]:
    """A recipe at every block: ``fl.layer_sweep(flux, fl.t2i_lens, prompt, red, seed=0)``.

    Returns one `Result` a block, in running order; `batch` blocks share a forward, and all of them
    one source run and the baselines. `args` and `kwargs` go to the recipe and describe one row.
    """
    if recipe not in _SWEPT:
        raise ValueError(f"cannot sweep {recipe!r}; recipes are {_names(_SWEPT)}")
    if any(isinstance(value, list) for value in (*args, *kwargs.values())):
        raise ValueError("a sweep takes a single prompt, reference and seed; loop over rows")
    names = list(flux.select(blocks))
    made = vars(recipe(flux, *args, **{_SWEPT[recipe]: names}, batch=batch, **kwargs))
    return {
        name: Result(**{key: values and values[n] for key, values in made.items()})
        for n, name in enumerate(names)
    }


def _names(recipes: Any) -> str:
    return ", ".join(recipe.__name__ for recipe in recipes)


def _clean(rows: list[Row], later: int = 0) -> list[Row]:
    """The same without a reference."""
    return [replace(row, refs=(), grids=(), seed=row.seed + later) for row in rows]


def _edges(cut: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(edge_name(edge) for edge in parse_edges(cut))


def _lens(
    flux: Flux,
    name: str,
    where: dict[str, Any],
    tokens: Any,
    block: Any,
    steps: int,
    baselines: bool,
    given: Activations | None,
    batch: int | None,
    **place: Any,
) -> Result:
    rows, extra, single = all_rows(flux, where, tokens=tokens, block=block)
    keys = [(e["block"], region_name(e["tokens"])) for e in extra]
    check_tokens(flux, rows, [region for _, region in keys])
    acts, sources = capture_text(flux, rows, [block for block, _ in keys], 1, given)
    clean = _clean(rows, later=1)
    empty = [replace(row, prompt="") for row in clean]

    def patch(key: tuple[str, str], members: list[int]) -> Any:
        part = acts.pick(key[0], [sources[n] for n in members])
        return flux.patch(part, key[1], rows=members, **place)

    plain = {"edit": rows, "clean": clean, "unconditional": empty} if baselines else {}
    images, specs, made = under(flux, empty, steps, keys, patch, plain, batch)
    seeds = [row.seed for row in empty]
    records = records_of(flux, name, rows, steps, specs, target_seed=seeds)
    return result_of(images, records, made, single)
