"""What the recipes share: rows, results, source runs, baselines and records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from .hooks import Activations
from .layout import Region
from .sampler import Row, broadcast, distinct, layout_of, rows_of, sample

if TYPE_CHECKING:
    from .models import Flux

TOKENS = ("all", "padding", "content", "template", "pad")
Pictures = Any  # an image for a single row, a list of them for a batch


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


def region_name(tokens: str) -> str:
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


def check_tokens(flux: Flux, rows: Sequence[Row], regions: Sequence[str]) -> None:
    """Refuse, before any work, a row whose prompt has no such tokens."""
    first = {row.prompt: row for row in reversed(rows)}
    for prompt, region in {(row.prompt, r) for row, r in zip(rows, regions, strict=True)}:
        layout_of(flux, [first[prompt]]).mask(region)


def all_rows(
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


def capture_text(
    flux: Flux, rows: list[Row], blocks: list[str], steps: int, acts: Activations | None = None
) -> tuple[Activations, list[int]]:
    """The text rows of every block that some row needs, in runs that stop where nobody reads on.

    Or `acts`, which the caller captured from the same runs, a row each; of longer runs step 0,
    which equals the only step of a run of one.
    """
    names = flux.select(blocks)
    if acts is not None:
        return _given(acts, rows, names, steps), list(range(len(rows)))
    unique, index = distinct(rows)
    with flux.capture(names, tokens="text") as acts:
        sample(flux, unique, steps=steps, stop_after=names[-1])
    return acts, index


def _given(acts: Activations, rows: list[Row], blocks: tuple[str, ...], steps: int) -> Activations:
    prompts = [layout.texts[0].prompt if layout.texts else None for layout in acts.layouts]
    if prompts != [row.prompt for row in rows]:
        raise ValueError(
            "acts are other runs than these: capture flux.edit(…) of the same prompts, references "
            "and seeds, a row each, in this order"
        )
    if lost := [block for block in blocks if (block, 0) not in acts.data]:
        raise ValueError(f"acts hold no step 0 of {', '.join(lost)}: capture all text there")
    if steps > 1:
        return acts
    data = {(block, 0): acts[block, 0] for block in blocks}
    return replace(acts, total=1, data=data)


@contextmanager
def all_of(contexts: Any) -> Iterator[list[Any]]:
    with ExitStack() as stack:
        opened = list(contexts)
        for context in opened:
            stack.enter_context(context)
        yield opened


def under(
    flux: Flux,
    rows: list[Row],
    steps: int,
    keys: Sequence[Any],
    make: Callable[[Any, list[int]], Any],
    plain: dict[str, list[Row]],
    batch: int | None = None,
) -> tuple[list[Image.Image], list[list[dict[str, Any]]], dict[str, list[Image.Image]]]:
    """Run rows, each under the intervention of its key, and `plain` ones under none beside them.

    Gives the images of the rows, what was open in each, and the images of the plain ones.
    """
    unique, index = distinct([row for named in plain.values() for row in named])
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
        images = sample(flux, [*rows, *unique], steps=steps, batch=batch)
    served = iter([images[len(rows) + n] for n in index])
    made = {name: [next(served) for _ in named] for name, named in plain.items()}
    return images[: len(rows)], specs, made


def records_of(
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


def result_of(
    images: list[Image.Image],
    records: list[dict[str, Any]],
    plain: dict[str, list[Image.Image]],
    single: bool,
) -> Result:
    """The lists as a result, or their only entries."""
    made: dict[str, list[Any]] = {"image": images, "record": records, **plain}
    return Result(**{name: values[0] if single else values for name, values in made.items()})
