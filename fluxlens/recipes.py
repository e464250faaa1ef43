"""The paper's recipes, with its exact defaults, and the one table of what each is.

Context: five experiments, each a source run, an intervention and a target run. Details: prompts,
references, seeds, blocks, tokens and cuts may be lists, a row each, so one call makes a batch;
equal source rows and baselines run once. Intuition: a recipe says *what moves where*, the core says
how.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from PIL import Image

from .core import Activations, Cut, Drop, Intervention, Patch, Region, Watch, parse_edges
from .editor import Editor
from .pipelines import Row, broadcast, distinct, layout_of, rows_of, sample

TOKENS = ("all", "padding", "content", "template", "pad")
PREFIX = ("ref->image",)
SUFFIX = ("ref->image", "image->ref", "ref->text", "text->ref")
Pictures = Any  # an image for a single row, a list of them for a batch
Depth = Literal["style", "color"]  # which of a model's two binding blocks


@dataclass(frozen=True)
class Result:
    """What a recipe made: ``fl.t2i_lens(editor, prompt, red).image``.

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
    editor: Editor,
    prompt: Any,
    ref: Any,
    seed: Any = 0,
    *,
    tokens: Any = "all",
    block: Any = None,
    steps: int | None = None,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    acts: Activations | None = None,
    batch: int | None = None,
) -> Result:
    """Decode what the text tokens alone know of the reference (T2I Lens; Sections 3 and 4.2).

    ```python
    fl.t2i_lens(editor, "draw a mug in this color", red, seed=0, tokens="padding").image
    ```
    One step of the edit; its text tokens after `block` (default `editor.binding.style`) are written
    over the context embedder's output of a generation from the *empty* prompt, seed + 1, at all
    steps. `tokens`: ``all | padding | content | template | pad``, placed by the instruction; the
    others keep the empty prompt's. `ValueError` where the prompt has none of them. `acts` are text
    tokens captured before from the same edits, a row each: then no edit is run.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    return _lens(
        editor, "t2i_lens", where, tokens, block, steps, baselines, acts, batch, into="context"
    )


def color_lens(
    editor: Editor,
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
    """Decode flat colors from the text tokens, deeper and in one step (Appendix A.2).

    ```python
    fl.color_lens(editor, "draw a mug in this color", red, seed=0).image
    ```
    One step of the edit; its text tokens after `block` (default `editor.binding.color`) are written
    at the *same* block of a one-step generation from the empty prompt, seed + 1. `acts`: as there.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    return _lens(
        editor, "color_lens", where, tokens, block, 1, baselines, acts, batch, positions="source"
    )


def _lens(
    editor: Editor,
    name: str,
    where: dict[str, Any],
    tokens: Any,
    block: Any,
    steps: int | None,
    baselines: bool,
    given: Activations | None,
    batch: int | None,
    **place: Any,
) -> Result:
    editor.refuse(name, "generate")
    rows, extra, single = _all_rows(editor, where, baselines, tokens=tokens, block=block)
    keys = _keys(editor, name, extra)
    _check_tokens(editor, rows, [region for _, region in keys])
    clean = _clean(rows, later=1)
    empty = [replace(row, prompt="") for row in clean]
    with editor.remember():
        acts, sources = _capture_text(editor, rows, [block for block, _ in keys], 1, given)

        def patch(key: tuple[str, str], members: list[int]) -> Intervention:
            part = acts.pick(key[0], [sources[n] for n in members])
            return editor.patch(part, key[1], rows=members, **place)

        plain = {"edit": rows, "clean": clean, "unconditional": empty} if baselines else {}
        return _under(
            editor,
            name,
            empty,
            steps,
            keys,
            patch,
            plain,
            single,
            batch,
            of=rows,
            target_seed=[row.seed for row in empty],
        )


def attention_knockout(
    editor: Editor,
    prompt: Any,
    ref: Any,
    seed: Any = 0,
    *,
    cut: Any = "ref->text",
    blocks: Any = "*",
    steps: int | None = None,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    attention: str = "auto",
    batch: int | None = None,
) -> Result:
    """See whether a property still arrives when an edge is cut (Sections 3 and 4.3.1).

    ```python
    fl.attention_knockout(editor, "draw a mug in this color", red, cut="ref->image").image
    ```
    The edit, same seed, with `cut` closed in `blocks` (all of them in the paper) at every step.
    Several edges at once are a tuple; lists of cuts or blocks are a row each. Routes of two edges
    (reference → image → text) stay open by design. `attention`: see `Editor.knockout`.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    rows, extra, single = _all_rows(editor, where, baselines, cut=cut, blocks=blocks)

    def knock(key: Any, members: list[int]) -> Intervention:
        return Cut(editor, key[0], key[1], rows=members, attention=attention)

    keys = [(tuple(map(str, parse_edges(e["cut"]))), editor.select(e["blocks"])) for e in extra]
    plain = {"edit": rows, "clean": _clean(rows)} if baselines else {}
    name = "attention_knockout"
    return _under(editor, name, rows, steps, keys, knock, plain, single, batch)


def drop_reference(
    editor: Editor,
    prompt: Any,
    ref: Any,
    seed: Any = 0,
    *,
    after: Any = None,
    steps: int | None = None,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    attention: str = "auto",
    batch: int | None = None,
) -> Result:
    """Find by which block the text has read the reference (Appendix B).

    ```python
    fl.drop_reference(editor, "draw a mug in this color", red, seed=0, after="double.1").image
    ```
    Two phases: up to and including `after` (default `editor.binding.style`) only ref→image is cut,
    so the text alone can read the reference; after it the reference is severed from everything, and
    so leaves the sequence. ``after="none"`` severs it from the start, which is a generation without
    reference. ``attention="mask"`` keeps it in and cuts it four ways, as the paper does: the same
    to rounding. Rows that differ in `after` run in batches of their own.
    """
    where = {"prompt": prompt, "ref": ref, "seed": seed, "height": height, "width": width}
    rows, extra, single = _all_rows(editor, where, baselines, after=after)
    keys = [editor.binding.style if e["after"] is None else e["after"] for e in extra]

    def drop(key: str, members: list[int]) -> Any:
        split = 0
        if key != "none":
            (block,) = editor.select(key)
            split = editor.blocks.index(block) + 1
        early, late = editor.blocks[:split], editor.blocks[split:]
        how: dict[str, Any] = {"rows": members, "attention": attention}
        phases: list[Intervention] = [Cut(editor, PREFIX, early, **how)] if early else []
        if late and attention == "auto":
            phases.append(Drop(editor, late, rows=members))
        elif late:
            phases.append(Cut(editor, SUFFIX, late, **how))
        return _all_of(phases)

    plain = {"edit": rows, "clean": _clean(rows)} if baselines else {}
    name = "drop_reference"
    return _under(editor, name, rows, steps, keys, drop, plain, single, batch, after=keys)


def i2i_patch(
    editor: Editor,
    prompt: Any,
    source: Any,
    target: Any,
    seeds: Any = (0, 1),
    *,
    tokens: Any = "all",
    block: Any = None,
    steps: int | None = None,
    height: Any = None,
    width: Any = None,
    baselines: bool = False,
    acts: Activations | None = None,
    batch: int | None = None,
) -> Result:
    """Carry the source's property into another edit by its text (Sections 3 and 4.3.2).

    ```python
    fl.i2i_patch(editor, "draw a mug in this color", source=red, target=blue, seeds=(0, 1)).image
    ```
    Two edits of the same instruction; text tokens after `block` (default `editor.binding.style`;
    the paper takes `editor.binding.color` for colors) go from each step of the first to the same
    step and block of the second. `seeds` is a pair (source, target), or a list of pairs. Both
    edits have the target's size unless `height` and `width` say otherwise. `acts` are all steps of
    the source edits' text tokens, captured before, a row each: then no source edit is run.
    """
    pairs = seeds if isinstance(seeds, list) else [seeds]
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"seeds is a pair (source, target) or a list of pairs, not {seeds!r}")
    where = {"prompt": prompt, "ref": target, "seed": seeds, "height": height, "width": width}
    rows, extra, single = _all_rows(
        editor, where, baselines, tokens=tokens, block=block, other=source
    )
    keys = _keys(editor, "i2i_patch", extra)
    _check_tokens(editor, rows, [region for _, region in keys])
    origin, _ = rows_of(
        editor,
        [row.prompt for row in rows],
        [e["other"] for e in extra],
        [e["seed"][0] for e in extra],
        [row.size[0] for row in rows],
        [row.size[1] for row in rows],
    )
    with editor.remember():
        texts, sources = _capture_text(editor, origin, [block for block, _ in keys], steps, acts)

        def patch(key: tuple[str, str], members: list[int]) -> Patch:
            part = texts.pick(key[0], [sources[n] for n in members])
            return editor.patch(part, key[1], rows=members)

        plain = {"source": origin, "target": rows, "clean": _clean(rows)} if baselines else {}
        name, seeds_of = "i2i_patch", [row.seed for row in origin]
        return _under(
            editor, name, rows, steps, keys, patch, plain, single, batch, source_seed=seeds_of
        )


@dataclass(frozen=True)
class Recipe:
    """What a recipe is: a row of the table that sweeps, the study and its costs, and panels read.

    Arguments: `title` is its name in panels and figures; `sweeps` the argument that a layer sweep
    varies; `moves` and `cuts` say whether it takes `tokens` or a `cut`. `binding` is the block that
    it takes by default; `by_property` says that the paper takes the block of the reference's own
    property instead. `steps` is how many its own run has where that is fixed; `reads_ref` whether
    that run has the reference in it; `source` which steps of a source edit it reads (``"first"``,
    ``"all"``, or none); `pair` whether it takes a source and a target; `paper` where it stands.
    """

    name: str
    run: Callable[..., Any]
    title: str
    sweeps: str | None = None
    moves: bool = False
    cuts: bool = False
    binding: Depth | None = "style"
    by_property: bool = False
    steps: int | None = None
    reads_ref: bool = True
    source: Literal["first", "all"] | None = None
    pair: bool = False
    paper: str = ""


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "t2i_lens",
            t2i_lens,
            "T2I Lens",
            "block",
            moves=True,
            reads_ref=False,
            source="first",
            paper="Section 4.2",
        ),
        Recipe(
            "color_lens",
            color_lens,
            "color lens",
            "block",
            moves=True,
            binding="color",
            by_property=True,
            steps=1,
            reads_ref=False,
            source="first",
            paper="Appendix A.2",
        ),
        Recipe(
            "i2i_patch",
            i2i_patch,
            "I2I-to-I2I patching",
            "block",
            moves=True,
            by_property=True,
            source="all",
            pair=True,
            paper="Section 4.3.2",
        ),
        Recipe(
            "attention_knockout",
            attention_knockout,
            "attention knockout",
            "blocks",
            cuts=True,
            binding=None,
            paper="Section 4.3.1",
        ),
        Recipe(
            "drop_reference",
            drop_reference,
            "reference dropped",
            "after",
            by_property=True,
            paper="Appendix B",
        ),
    )
}


def layer_sweep(
    editor: Editor,
    recipe: str | Callable[..., Result],
    *args: Any,
    blocks: Any = "*",
    batch: int = 8,
    acts: Activations | None = None,
    **kwargs: Any,
) -> dict[str, Result]:
    """Run a recipe at every block: ``fl.layer_sweep(editor, fl.t2i_lens, prompt, red, seed=0)``.

    Returns one `Result` a block, in running order; `batch` blocks share a forward, and all of them
    one source run and the baselines. `args` and `kwargs` go to the recipe and describe one row;
    `acts` hold that row's text tokens at all of `blocks`.
    """
    found = [r for r in RECIPES.values() if recipe in (r.run, r.name)]
    if not found:
        raise ValueError(f"cannot sweep {recipe!r}; recipes are {', '.join(RECIPES)}")
    if any(isinstance(value, list) for value in (*args, *kwargs.values())):
        raise ValueError("a sweep takes a single prompt, reference and seed; loop over rows")
    names = list(editor.select(blocks))
    if acts is not None:
        kwargs["acts"] = acts.pick(rows=[0] * len(names)) if acts.rows == 1 else acts
    swept = {str(found[0].sweeps): names}
    result = vars(found[0].run(editor, *args, **swept, batch=batch, **kwargs))
    return {
        name: Result(**{key: values and values[n] for key, values in result.items()})
        for n, name in enumerate(names)
    }


# what recipes share: rows, source runs, records


def region_name(tokens: str) -> str:
    """``"padding"`` or ``"text[padding]"`` as a region of the text; `ValueError` for others."""
    if tokens in TOKENS:
        return "text" if tokens == "all" else f"text[{tokens}]"
    try:
        region = Region.parse(tokens)
    except ValueError:
        region = Region("image")
    if region.kind != "text":
        raise ValueError(f"unknown tokens {tokens!r}; tokens are {', '.join(TOKENS)}")
    return str(region)


def _keys(editor: Editor, name: str, extra: Sequence[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Each row's block and region."""
    default = getattr(editor.binding, str(RECIPES[name].binding))
    return [
        (default if e["block"] is None else editor.select(e["block"])[0], region_name(e["tokens"]))
        for e in extra
    ]


def _clean(rows: list[Row], later: int = 0) -> list[Row]:
    """The same without a reference."""
    return [replace(row, refs=(), grids=(), seed=row.seed + later) for row in rows]


def _check_tokens(editor: Editor, rows: Sequence[Row], regions: Sequence[Any]) -> None:
    """Refuse, before any work, a row whose prompt has no such tokens."""
    first = {row.prompt: row for row in reversed(rows)}
    for prompt, region in {(row.prompt, r) for row, r in zip(rows, regions, strict=True)}:
        layout_of(editor, [first[prompt]]).mask(region)


def _all_rows(
    editor: Editor, where: dict[str, Any], baselines: bool = False, **extra: Any
) -> tuple[list[Row], list[dict[str, Any]], bool]:
    """All arguments as rows: what to run, and what to do to each."""
    if baselines:
        editor.refuse("generate")  # one of them has no reference
    specs, single = broadcast(**where, **extra)
    columns = {key: [spec[key] for spec in specs] for key in where}
    # a pair of seeds belongs to two runs; the row is the target's
    columns["seed"] = [s[1] if isinstance(s, tuple) else s for s in columns["seed"]]
    rows, _ = rows_of(editor, **columns)
    if any(not row.refs for row in rows):
        raise ValueError("this recipe needs a reference image in every row")
    return rows, specs, single


def _capture_text(
    editor: Editor,
    rows: list[Row],
    blocks: list[str],
    steps: int | None,
    acts: Activations | None = None,
) -> tuple[Activations, list[int]]:
    """The text rows of every block that some row needs, in runs that stop where nobody reads on.

    Or `acts`, which the caller captured from the same runs, a row each; of longer runs step 0,
    which equals the only step of a run of one.
    """
    names = editor.select(blocks)
    if acts is not None:
        return _given(acts, rows, names, steps), list(range(len(rows)))
    unique, index = distinct(rows)
    with editor.capture(names, tokens="text") as acts:
        sample(editor, unique, steps=steps, stop_after=names[-1])
    return acts, index


def _given(
    acts: Activations, rows: list[Row], blocks: tuple[str, ...], steps: int | None
) -> Activations:
    prompts = [layout.texts[0].prompt if layout.texts else None for layout in acts.layouts]
    if prompts != [row.prompt for row in rows]:
        raise ValueError(
            "acts are other runs than these: capture editor.edit(…) of the same prompts, "
            "references and seeds, a row each, in this order"
        )
    if lost := [block for block in blocks if (block, 0) not in acts.data]:
        raise ValueError(f"acts hold no step 0 of {', '.join(lost)}: capture all text there")
    if steps != 1:
        return acts
    data = {(block, 0): acts[block, 0] for block in blocks}
    return replace(acts, schedules=tuple(s and s[:1] for s in acts.schedules), data=data)


def records_of(
    editor: Editor,
    recipe: str,
    rows: Sequence[Row],
    steps: int | None = None,
    interventions: Sequence[list[dict[str, Any]]] | None = None,
    **columns: list[Any],
) -> list[dict[str, Any]]:
    """Make the record of each row of a run, as plain data; `columns` add a fact of each row."""
    count = operator.index(editor.steps if steps is None else steps)  # numpy's are not plain data
    base = editor.record(recipe=recipe, steps=count)
    return [
        {
            **base,
            "prompt": row.prompt,
            "seed": row.seed,
            "height": row.size[0],
            "width": row.size[1],
            "interventions": [] if interventions is None else interventions[n],
            **{column: values[n] for column, values in columns.items()},
        }
        for n, row in enumerate(rows)
    ]


@contextmanager
def _all_of(contexts: Sequence[Intervention]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def _under(
    editor: Editor,
    name: str,
    rows: list[Row],
    steps: int | None,
    keys: Sequence[Any],
    make: Callable[[Any, list[int]], Any],
    plain: dict[str, list[Row]],
    single: bool,
    batch: int | None = None,
    of: list[Row] | None = None,
    **columns: list[Any],
) -> Result:
    """Run rows, each under the intervention of its key, and `plain` ones under none beside them.

    The records are of the rows `of` (of the edits, where these are generations), with `columns`.
    """
    unique, index = distinct([row for named in plain.values() for row in named])
    groups: dict[Any, list[int]] = {}
    for n, key in enumerate(keys):
        groups.setdefault(key, []).append(n)
    with ExitStack() as stack:
        for key, members in groups.items():
            stack.enter_context(make(key, members))
        images = sample(editor, [*rows, *unique], steps=steps, batch=batch)
        acting = Watch.of(editor).mine
        specs = [[one.to_json(n) for one in acting if one.covers(n)] for n in range(len(rows))]
    records = records_of(editor, name, of or rows, steps, specs, **columns)
    served = iter([images[len(rows) + n] for n in index])
    baselines = {kind: [next(served) for _ in named] for kind, named in plain.items()}
    columns_of: dict[str, Any] = {"image": images[: len(rows)], "record": records, **baselines}
    return Result(**{key: values[0] if single else values for key, values in columns_of.items()})
