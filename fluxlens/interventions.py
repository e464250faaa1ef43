"""The paper's recipes, with its exact defaults.

Context: five experiments, each a source run, an intervention and a target run. Details: prompts,
references, seeds, blocks, tokens and cuts may be lists, a row each, so one call makes a batch;
equal source rows and baselines run once. Intuition: a recipe says *what moves where*, the lower
layers say how.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from .hooks import Activations
from .knockout import edge_name, parse_edges
from .layout import Region
from .sampler import Row, broadcast, rows_of, sample

if TYPE_CHECKING:
    from .models import Flux

Pictures = Any  # an image for a single row, a list of them for a batch
TOKENS = ("all", "padding", "content", "template", "pad")


@dataclass(frozen=True)
class Result:
    """What a recipe made: ``fl.t2i_lens(flux, prompt, red).image``.

    `image` is the picture under the intervention (a list of them for a batch) and `record` the
    JSON-able facts that made it. The baselines are None unless asked for with ``baselines=True``:
    `edit` (nothing cut, same seed), `clean` (the instruction without reference), `unconditional`
    (the empty prompt), `source` and `target` (the two edits of a patching pair).
    """

    image: Pictures
    record: Any
    edit: Pictures = None
    clean: Pictures = None
    unconditional: Pictures = None
    source: Pictures = None
    target: Pictures = None

    @property
    def images(self) -> list[Image.Image]:
        """The pictures as a list, also for a single row."""
        return self.image if isinstance(self.image, list) else [self.image]


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
) -> Result:
    """What do the text tokens alone know of the reference? (T2I Lens, protocol 1.1)

    ```python
    fl.t2i_lens(flux, "draw a mug in this color", red, seed=0, tokens="padding").image
    ```
    One step of the edit; its text tokens behind `block` (default `flux.binding.style`) are written
    over the context embedder's output of a generation from the *empty* prompt, seed + 1, at all
    steps. `tokens`: ``all | padding | content | template | pad``, placed by the instruction; the
    others keep the empty prompt's. `ValueError` where the prompt has none of them.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    block = flux.binding.style if block is None else block
    return _lens(flux, "t2i_lens", where, tokens, block, steps, baselines, into="context")


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
) -> Result:
    """The lens for flat colours, deeper and in one step (protocol 1.1).

    ```python
    fl.color_lens(flux, "draw a mug in this color", red, seed=0).image
    ```
    One step of the edit; its text tokens behind `block` (default `flux.binding.color`) are written
    at the *same* block of a one-step generation from the empty prompt, seed + 1.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    block = flux.binding.color if block is None else block
    return _lens(flux, "color_lens", where, tokens, block, 1, baselines, positions="source")


def _lens(
    flux: Flux,
    name: str,
    where: dict[str, Any],
    tokens: Any,
    block: Any,
    steps: int,
    baselines: bool,
    **place: Any,
) -> Result:
    rows, extra, single = _rows(flux, where, tokens=tokens, block=block)
    acts, sources = _capture(flux, rows, [e["block"] for e in extra], steps=1)
    clean = [replace(row, refs=(), grids=(), seed=row.seed + 1) for row in rows]
    empty = [replace(row, prompt="") for row in clean]

    def patch(key: tuple[str, str], members: list[int]) -> Any:
        part = acts.pick(key[0], [sources[n] for n in members])
        return flux.patch(part, key[1], rows=members, **place)

    keys = [(e["block"], _region(e["tokens"])) for e in extra]
    images, specs = _under(flux, empty, steps, keys, patch)
    seeds = [row.seed for row in empty]
    records = _records(flux, name, rows, steps, specs, target_seed=seeds)
    made = _baselines(
        flux,
        single,
        baselines,
        edit=(rows, steps),
        clean=(clean, steps),
        unconditional=(empty, steps),
    )
    return Result(_one(images, single), _one(records, single), **made)


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
) -> Result:
    """Does the property still arrive when a road is closed? (protocol 1.2)

    ```python
    fl.attention_knockout(flux, "draw a mug in this color", red, seed=0, cut="ref->image").image
    ```
    The edit, same seed, with `cut` closed in `blocks` (all of them in the paper) at every step.
    Several edges at once are a tuple; lists of cuts or blocks are a row each. Two-hop roads
    (reference → image → text) stay open by design.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    rows, extra, single = _rows(flux, where, cut=cut, blocks=blocks)

    def knock(key: Any, members: list[int]) -> Any:
        return flux.knockout(key[0], blocks=key[1], rows=members)

    keys = [(_edges(e["cut"]), flux.select(e["blocks"])) for e in extra]
    images, specs = _under(flux, rows, steps, keys, knock)
    records = _records(flux, "attention_knockout", rows, steps, specs)
    clean = [replace(row, refs=(), grids=()) for row in rows]
    made = _baselines(flux, single, baselines, edit=(rows, steps), clean=(clean, steps))
    return Result(_one(images, single), _one(records, single), **made)


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
) -> Result:
    """By which block has the text read the reference? (Appendix B, protocol 1.2)

    ```python
    fl.drop_reference(flux, "draw a mug in this color", red, seed=0, after="double.1").image
    ```
    Two phases: up to and including `after` (default `flux.binding.style`) only ref→image is cut, so
    the text alone can read the reference; behind it the reference is severed from everything.
    ``after="none"`` severs it from the start, which is a generation without reference.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    after = flux.binding.style if after is None else after
    rows, extra, single = _rows(flux, where, after=after)

    def drop(key: str, members: list[int]) -> Any:
        split = 0
        if key != "none":
            (block,) = flux.select(key)
            split = flux.blocks.index(block) + 1
        return _all_of(
            flux.knockout(edges, blocks=blocks, rows=members)
            for edges, blocks in ((PREFIX, flux.blocks[:split]), (SUFFIX, flux.blocks[split:]))
            if blocks
        )

    keys = [e["after"] for e in extra]
    images, specs = _under(flux, rows, steps, keys, drop)
    records = _records(flux, "drop_reference", rows, steps, specs, after=keys)
    clean = [replace(row, refs=(), grids=()) for row in rows]
    made = _baselines(flux, single, baselines, edit=(rows, steps), clean=(clean, steps))
    return Result(_one(images, single), _one(records, single), **made)


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
) -> Result:
    """Does the text carry the source's property into another edit? (protocol 1.3)

    ```python
    fl.i2i_patch(flux, "draw a mug in this color", source=red, target=blue, seeds=(0, 1)).image
    ```
    Two edits of the same instruction; text tokens behind `block` (default `flux.binding.style`;
    the paper takes `flux.binding.color` for colours) go from each step of the first to the same
    step and block of the second. `seeds` is a pair (source, target), or a list of pairs. Both
    edits have the target's size unless `height` and `width` say otherwise.
    """
    pairs = seeds if isinstance(seeds, list) else [seeds]
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"seeds is a pair (source, target) or a list of pairs, not {seeds!r}")
    block = flux.binding.style if block is None else block
    where = {"prompt": prompt, "ref": target, "seed": seeds, "height": height, "width": width}
    rows, extra, single = _rows(flux, where, tokens=tokens, block=block, other=source)
    origin, _ = rows_of(
        flux,
        [row.prompt for row in rows],
        [e["other"] for e in extra],
        [e["seed"][0] for e in extra],
        [row.size[0] for row in rows],
        [row.size[1] for row in rows],
    )
    acts, sources = _capture(flux, origin, [e["block"] for e in extra], steps)

    def patch(key: tuple[str, str], members: list[int]) -> Any:
        return flux.patch(acts.pick(key[0], [sources[n] for n in members]), key[1], rows=members)

    keys = [(e["block"], _region(e["tokens"])) for e in extra]
    images, specs = _under(flux, rows, steps, keys, patch)
    records = _records(
        flux, "i2i_patch", rows, steps, specs, source_seed=[row.seed for row in origin]
    )
    clean = [replace(row, refs=(), grids=()) for row in rows]
    made = _baselines(
        flux,
        single,
        baselines,
        source=(origin, steps),
        target=(rows, steps),
        clean=(clean, steps),
    )
    return Result(_one(images, single), _one(records, single), **made)


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

    Returns one `Result` a block, in running order; `batch` blocks share a batch, and all of them
    one source run. `args` and `kwargs` go to the recipe and describe a single row.
    """
    if recipe not in _SWEPT:
        raise ValueError(f"cannot sweep {recipe!r}; recipes are {_names(_SWEPT)}")
    if any(isinstance(value, list) for value in (*args, *kwargs.values())):
        raise ValueError("a sweep takes a single prompt, reference and seed; loop over rows")
    names = flux.select(blocks)
    out = {}
    for start in range(0, len(names), batch):
        part = list(names[start : start + batch])
        made = recipe(flux, *args, **{_SWEPT[recipe]: part}, **kwargs)
        for n, name in enumerate(part):
            out[name] = Result(**{k: v and v[n] for k, v in vars(made).items()})
    return out


# what the recipes share


def _names(recipes: Any) -> str:
    return ", ".join(recipe.__name__ for recipe in recipes)


def _one(values: list[Any], single: bool) -> Any:
    return values[0] if single else values


def _region(tokens: str) -> str:
    """``"padding"`` or ``"text[padding]"`` as a region's name."""
    if tokens in TOKENS:
        return "text" if tokens == "all" else f"text[{tokens}]"
    try:
        region = Region.parse(tokens)
    except ValueError:
        region = Region("image")
    if region.kind != "text":
        raise ValueError(f"unknown tokens {tokens!r}; tokens are {', '.join(TOKENS)}")
    return str(region)


def _edges(cut: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(edge_name(edge) for edge in parse_edges(cut))


def _rows(
    flux: Flux, where: dict[str, Any], **extra: Any
) -> tuple[list[Row], list[dict[str, Any]], bool]:
    """All arguments as rows: what to run, and what to do to each."""
    specs, single = broadcast(**where, **extra)
    columns = {key: [spec[key] for spec in specs] for key in where}
    # a pair of seeds belongs to two runs; the row is the target's
    columns["seed"] = [s[1] if isinstance(s, tuple) else s for s in columns["seed"]]
    rows, _ = rows_of(flux, **columns)
    if any(not row.refs for row in rows):
        raise ValueError("this recipe needs a reference image in every row")
    return rows, specs, single


def _key(row: Row) -> Hashable:
    return row.prompt, tuple(map(id, row.refs)), row.seed, row.size


def _distinct(rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """Each run once, and which of them serves each row."""
    first: dict[Hashable, int] = {}
    unique: list[Row] = []
    for row in rows:
        if _key(row) not in first:
            first[_key(row)] = len(unique)
            unique.append(row)
    return unique, [first[_key(row)] for row in rows]


def _capture(
    flux: Flux, rows: list[Row], blocks: list[str], steps: int
) -> tuple[Activations, list[int]]:
    """The text rows of every block that some row needs, in runs that stop where nobody reads on."""
    unique, index = _distinct(rows)
    names = flux.select(blocks)
    with flux.capture(names, tokens="text") as acts:
        sample(flux, unique, steps=steps, stop_after=names[-1])
    return acts, index


@contextmanager
def _all_of(contexts: Any) -> Iterator[list[Any]]:
    with ExitStack() as stack:
        opened = list(contexts)
        for context in opened:
            stack.enter_context(context)
        yield opened


def _under(
    flux: Flux,
    rows: list[Row],
    steps: int,
    keys: Sequence[Any],
    make: Callable[[Any, list[int]], Any],
) -> tuple[list[Image.Image], list[list[dict[str, Any]]]]:
    """Run rows, each under the intervention of its key; also what was open in each row."""
    groups: dict[Any, list[int]] = {}
    for n, key in enumerate(keys):
        groups.setdefault(key, []).append(n)
    with ExitStack() as stack:
        for key, members in groups.items():
            stack.enter_context(make(key, members))
        open_ = list(flux.watch.contexts)
        specs = [
            [c.to_json(n) for c in open_ if c.rows is None or n in c.rows] for n in range(len(rows))
        ]
        return sample(flux, rows, steps=steps), specs


def _records(
    flux: Flux,
    recipe: str,
    rows: list[Row],
    steps: int,
    specs: list[list[dict[str, Any]]],
    **columns: list[Any],
) -> list[dict[str, Any]]:
    base = flux.record(recipe=recipe, steps=steps)
    return [
        {
            **base,
            "prompt": row.prompt,
            "seed": row.seed,
            "height": row.size[0],
            "width": row.size[1],
            "interventions": spec,
            **{name: values[n] for name, values in columns.items()},
        }
        for n, (row, spec) in enumerate(zip(rows, specs, strict=True))
    ]


def _baselines(
    flux: Flux, single: bool, wanted: bool, **runs: tuple[list[Row], int]
) -> dict[str, Any]:
    if not wanted:
        return {}
    out = {}
    for name, (rows, steps) in runs.items():
        unique, index = _distinct(rows)
        images = sample(flux, unique, steps=steps)
        out[name] = _one([images[n] for n in index], single)
    return out
