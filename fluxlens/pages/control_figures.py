"""What the pages on known answers and on controls show: readings as tables and figures.

```python
rows = {study.name: readings(study.editor.wiring, study.verdicts) for study in studies}
confused(rows, "How often each instrument is right.")
```
The readings themselves, and the rule behind them, are `fluxlens.pages.known_answers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fluxlens.figures import bars, chart, rate
from fluxlens.html import PALETTE, Html
from fluxlens.html_table import rows as table
from fluxlens.optional import optional
from fluxlens.pages.known_answers import Dose, Reading, confusion
from fluxlens.results import wilson
from fluxlens.study.controls import KINDS, TOKENS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "confused", "curves", "disagreements", "dots", "levels", "placebos", "predicted", "read",
    "transfers", "wrong",
]  # fmt: skip

Rows = Mapping[str, Sequence[Reading]]
DASH, NONE = "—", "no wiring is known"
FAMILIES = ("color", "style", "people")
PARTS = ("all", "padding", "content", "template", "pad")
# Lens, cut and patch of the same tokens, where they do not agree.
MEANS = {
    ("no", "yes", "yes"): "the lens is blind",
    ("yes", "no", "no"): "held, not used",
    ("yes", "no", "yes"): "rerouted",
    ("no", "no", "yes"): "rerouted",
    ("yes", "yes", "no"): "off the track",
    ("no", "yes", "no"): "off the track",
    ("yes", "yes", "yes"): "agree",
    ("no", "no", "no"): "agree",
}


def _table(head: Sequence[str], body: list[list[str]], caption: str) -> Html:
    return table(head, body or [[NONE, *(DASH for _ in head[1:])]], caption)


def predicted(rows: Rows, caption: str = "") -> Html:
    """How many readings are expected to be what, and on what ground: a line for each ground."""
    body = []
    for name, found in rows.items():
        for key in dict.fromkeys((row.table, row.because) for row in found):
            mine = [row.expected for row in found if (row.table, row.because) == key]
            counts = (str(mine.count(word)) for word in ("yes", "no", "open"))
            body.append([f"{name}, {key[0]}", key[1], *counts])
    return _table(["", "because", "yes", "no", "open"], body, caption)


def read(rows: Rows, caption: str = "") -> Html:
    """Every prediction, its rate, the same tasks where nothing was done, and the reading."""
    body = [
        [
            f"{row.family}, {row.recipe}, {row.variant}{', kept' if row.kept else ''}",
            name,
            row.expected,
            rate(row.k / row.n, row.n) if row.n else "not judged",
            DASH if row.kept or not row.n else f"{100 * row.null / row.n:.0f} %",
            row.said or DASH,
            {True: "right", False: "WRONG", None: DASH}[row.right],
        ]
        for name, found in rows.items()
        for row in found
    ]
    head = ["", "model", "expected", "seen in", "nothing done", "reads", ""]
    return _table(head, body, caption)


def wrong(rows: Rows) -> str:
    """The predictions that did not come true, in sentences: ``print(wrong(rows))``."""
    out = []
    for name, found in rows.items():
        tested = [row for row in found if row.right is not None]
        missed = [row for row in tested if not row.right]
        out.append(f"{name}: {len(tested) - len(missed)} of {len(tested)} came true")
        for row in missed:
            what = f"{row.family}, {row.recipe}, {row.variant}{', kept' if row.kept else ''}"
            said = f"expected {row.expected} ({row.because}), reads {row.said}"
            out.append(f"  {what}: {said}, {row.k} of {row.n}")
    return "\n".join(out)


def _share(right: int, n: int) -> str:
    if not n:
        return DASH
    low, high = wilson(right, n)
    return f"{right} of {n}: {100 * right / n:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def confused(rows: Rows, caption: str = "") -> Html:
    """The confusion table: sensitivity and specificity of each instrument, models apart and pooled.

    Intervals are Wilson's over rows, which share tasks and so are not independent.
    """
    pooled = {**rows, "all": [row for found in rows.values() for row in found]}
    body = [
        [
            f"{line.instrument}, {name}",
            _share(line.yes_right, line.yes),
            _share(line.no_right, line.no),
        ]
        for name, found in (pooled if len(rows) > 1 else rows).items()
        for line in confusion(found)
    ]
    return _table(["", "sensitivity", "specificity"], body, caption)


def _bars(found: Mapping[str, Mapping[str, tuple[float, int]]], caption: str) -> Html:
    words = [f"{m}, {w}: {rate(*r)}" for m, some in found.items() for w, r in some.items()]
    if not words:
        return table(["", "rate"], [["nothing was judged", DASH]], caption)
    return chart(bars(found), "; ".join(words), caption)


def dots(rows: Rows, caption: str = "") -> Html:
    """In how many tasks the outcome was seen, where it was predicted and where it was ruled out."""
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for name, some in rows.items():
        for line in confusion(some):
            for word, (k, n) in (("yes", line.yes_tasks), ("no", line.no_tasks)):
                if n:
                    found.setdefault(name, {})[f"{line.instrument}: {word}"] = (k / n, n)
    return _bars(found, caption)


def disagreements(rows: Rows, caption: str = "") -> Html:
    """Lens, cut of ref->text and patch on the same tokens, and what their readings can mean."""
    body = []
    for name, found in rows.items():
        for family in FAMILIES if found else ():
            for part in PARTS:
                cut = "ref->text" if part == "all" else f"ref->text[{part}]"
                ways = {"t2i_lens": part, "attention_knockout": cut, "i2i_patch": part}
                said = {r.recipe: r.said for r in found if _is(r, family, ways.get(r.recipe))}
                lens, knocked, patch = (said.get(recipe) or DASH for recipe in ways)
                means = MEANS.get((lens, knocked, patch), DASH)
                body.append([f"{name}, {family}, {part}", lens, knocked, patch, means])
    return _table(["", "lens", "cut", "patch", ""], body, caption)


def _is(row: Reading, family: str, variant: str | None) -> bool:
    return row.family == family and row.variant == variant


def placebos(rows: Rows, caption: str = "") -> Html:
    """Kind by kind, token by token: in how many pairs a transfer is seen, and what was expected."""
    at = {(m, r.family, r.variant): r for m, some in rows.items() for r in some}
    columns = [(name, family) for name in rows for family in FAMILIES]

    def words(row: Reading | None) -> str:
        if row is None or not row.n:
            return DASH
        missed = ", WRONG" if row.right is False else ""
        return f"{row.k} of {row.n} ({row.expected}{missed})"

    body = [
        [f"{kind}, {part}", *(words(at.get((*column, f"{kind}-{part}"))) for column in columns)]
        for kind in KINDS
        for part in TOKENS
    ]
    return _table(["", *map(", ".join, columns)], body, caption)


def transfers(rows: Rows, patches: Rows, caption: str = "") -> Html:
    """How often each placebo is taken for a transfer, tokens pooled, beside the real patches.

    `rows` are readings of the placebos, `patches` those of ``i2i_patch`` on the same tokens.
    """
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for name in rows:
        for family in FAMILIES:
            for kind in (*KINDS, "the patch"):
                variants = {part if kind == "the patch" else f"{kind}-{part}" for part in TOKENS}
                some = patches[name] if kind == "the patch" else rows[name]
                recipe = "i2i_patch" if kind == "the patch" else "placebo"
                mine = [r for r in some if (r.family, r.recipe) == (family, recipe)]
                mine = [r for r in mine if r.variant in variants]
                k, n = sum(r.k for r in mine), sum(r.n for r in mine)
                if n:
                    found.setdefault(name, {})[f"{family}: {kind}"] = (k / n, n)
    return _bars(found, caption)


def curves(found: Mapping[str, Sequence[Dose]], caption: str = "") -> Html:
    """Steering by strength: ``curves({"mini, color": doses(study.verdicts, "color")})``.

    What moved, what was kept, and both in one picture, in percent with 95 % Wilson intervals.
    """
    found = {name: some for name, some in found.items() if some}
    words = [
        f"{name}, strength {d.strength:g}: moved {d.moved}, kept {d.kept}, both {d.both} of {d.n}"
        for name, some in found.items()
        for d in some
    ]
    if not words:
        return table(["", "rate"], [["nothing was judged", DASH]], caption)
    return chart(_curves(found), "; ".join(words), caption)


def _curves(found: Mapping[str, Sequence[Dose]]) -> Figure:
    with optional("study", "curves"):
        from matplotlib.figure import Figure

    lines = (len(found) + 1) // 2
    figure = Figure(figsize=(7.2, 2.6 * lines), layout="constrained")
    grid = figure.subplots(lines, 2, sharex=True, sharey=True, squeeze=False)
    for axes, (name, some) in zip(grid.flat, found.items(), strict=False):
        for n, what in enumerate(("moved", "kept", "both")):
            counts = [getattr(dose, what) for dose in some]
            share = np.array([k / dose.n for k, dose in zip(counts, some, strict=True)])
            low, high = np.array([wilson(k, d.n) for k, d in zip(counts, some, strict=True)]).T
            spread = 100 * np.clip([share - low, high - share], 0, None)
            at = [dose.strength + 0.012 * (n - 1) for dose in some]
            look = {"marker": "o^s"[n], "color": PALETTE[n], "capsize": 2, "label": what}
            axes.errorbar(at, 100 * share, yerr=spread, **look)
        axes.set(title=name, xlabel="strength", ylim=(-4, 104))
        axes.grid(alpha=0.3)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.supylabel("% of pictures")
    return figure


def levels(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures of one size, in levels of 255."""
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())
