"""Pictures of pictures: grids, sweeps, an explorer, the joint sequence, masks, curves and rates.

```python
from fluxlens import figures
figures.grid({"mini": [red, edit]}, columns=["reference", "edit"], caption="One edit.")
```
Everything here takes images, numbers and names, and knows nothing of models. What comes back shows
itself in a notebook, needs no running kernel and no network, and prints as plain words that are the
same on every machine.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fluxlens.results import wilson

from .explorer import Frame, explorer
from .html import CUT, LARGEST, PALETTE, Html, framed, img
from .layout_diagrams import mask_picture, sequence_picture, tokens
from .optional import optional

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "PALETTE", "Frame", "Html", "banner", "bars", "chart", "curves", "explorer", "grid",
    "mask_picture", "rate", "sequence_picture", "strip", "sweep", "tokens",
]  # fmt: skip

# Without ipywidgets, tqdm draws its bars as text; it need not say so on every page.
warnings.filterwarnings("ignore", message="IProgress not found")

# --- pictures ---------------------------------------------------------------------------------


def _cells(
    images: Sequence[Image.Image | None],
    under: Sequence[str],
    alts: Sequence[str],
    width: float,
    narrowest: float,
    mark: int | None = None,
) -> str:
    """A row that keeps its columns on a wide screen and wraps on a narrow one; widths in rem."""
    n, gap = len(images), 0.75
    tracks = f"minmax(max({narrowest}rem,calc((100% - {(n - 1) * gap:g}rem)/{n})),1fr)"
    style = f"grid-template-columns:repeat(auto-fill,{tracks});max-width:{n * (width + gap):g}rem"
    out = []
    for i, (image, label, alt) in enumerate(zip(images, under, alts, strict=True)):
        if image is None:
            out.append('<div aria-hidden="true"></div>')
            continue
        ring = f"outline:4px solid {CUT};outline-offset:1px" if i == mark else ""
        lines = "<br>".join(escape(line) for line in label.split("\n"))
        label = f"<strong>▲ {lines}</strong>" if i == mark else lines
        out.append(f"<div>{img(image, alt, 'width:100%;height:auto;' + ring)}{label}</div>")
    display = "display:grid;gap:0.75rem"
    return f'<div class="fluxlens-grid" style="{display};{style}">{"".join(out)}</div>'


def grid(
    rows: Mapping[str, Sequence[Image.Image | None]],
    columns: Sequence[str],
    notes: Mapping[str, Sequence[str]] | None = None,
    caption: str = "",
    scale: float = 1.5,
) -> Html:
    """Pictures in labelled rows and columns: ``grid({"mini": [a, b]}, ["reference", "edit"])``.

    `notes` adds a second line below each picture, `None` leaves a place empty. `scale` is the
    greatest magnification on a wide screen; a narrow one gets as many columns as fit.
    """
    notes, body, words = notes or {}, [], []
    for name, images in rows.items():
        if len(images) != len(columns):
            raise ValueError(f"row {name!r} has {len(images)} pictures for {len(columns)} columns")
        extra = list(notes.get(name, [""] * len(columns)))
        if len(extra) != len(columns):
            raise ValueError(f"row {name!r} has {len(extra)} notes for {len(columns)} columns")
        under = [f"{c}\n{e}" if e else c for c, e in zip(columns, extra, strict=True)]
        alts = [f"{name}, {u}".strip(", ").replace("\n", ": ") for u in under]
        shown = [image for image in images if image is not None]
        width = scale * min(LARGEST, max((image.width for image in shown), default=96)) / 16
        title = f'<div style="font-weight:600">{escape(name)}</div>' if name else ""
        body.append(title + _cells(images, under, alts, width, 5.5))
        words += [alt for alt, image in zip(alts, images, strict=True) if image is not None]
    return framed("".join(body), caption, "\n".join(["pictures:", *words]))


def strip(
    images: Sequence[Image.Image],
    labels: Sequence[str],
    mark: str | None = None,
    caption: str = "",
) -> Html:
    """A sweep, one small picture a block: ``strip(images, flux.blocks, mark="double.2")``.

    The marked one has a frame, a ▲ and a bold label.
    """
    if mark is not None and mark not in labels:
        raise ValueError(f"cannot mark {mark!r}; labels are {', '.join(labels)}")
    at = None if mark is None else list(labels).index(mark)
    alts = [name + (" (marked)" if i == at else "") for i, name in enumerate(labels)]
    body = _cells(images, labels, alts, 6, 4.25, at)
    return framed(body, caption, "pictures: " + ", ".join(alts))


# --- numbers ----------------------------------------------------------------------------------


def rate(share: float, n: int) -> str:
    """A rate with its 95 % Wilson interval: ``rate(0.5, 8)`` is ``"50 % [22, 78], n = 8"``."""
    low, high = wilson(share * n, n)
    return f"{100 * share:.0f} % [{100 * low:.0f}, {100 * high:.0f}], n = {n}"


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    smooth: int = 1,
) -> Figure:
    """Training curves: ``curves({"base": (steps, losses)}, "step", "loss")``.

    `smooth` is the width of a moving average; the logarithmic axis shows slow ends too.
    """
    with optional("study", "curves and bars"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.3), layout="constrained")
    axes = figure.subplots()
    colors = [c for c in PALETTE if c != "#000000"]
    for n, (name, (xs, ys)) in enumerate(lines.items()):
        width = max(1, min(smooth, len(ys)))
        mean = np.convolve(np.asarray(ys, float), np.ones(width) / width, "valid")
        axes.plot(np.asarray(xs)[width - 1 :], mean, label=name, color=colors[n % len(colors)])
    axes.set(xlabel=x, ylabel=y, yscale="log")
    axes.grid(alpha=0.3, which="both", linewidth=0.6)
    axes.legend(frameon=False)
    return figure


def bars(
    rates: Mapping[str, Mapping[str, tuple[float, int]]],
    goals: Mapping[str, float] | None = None,
) -> Figure:
    """Rates, 95 % Wilson intervals, goals as ticks: ``bars({"mini": {"color": (0.9, 20)}})``."""
    with optional("study", "curves and bars"):
        from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for some in rates.values() for name in some))
    figure = Figure(figsize=(6.4, 0.8 + 0.42 * len(names)), layout="constrained")
    axes = figure.subplots()
    for n, (group, some) in enumerate(rates.items()):
        offset = 0.26 * (n - (len(rates) - 1) / 2)
        at = np.array([names.index(name) for name in some]) + offset
        share, count = (np.array(v, float) for v in zip(*some.values(), strict=True))
        low, high = wilson(share * count, count)
        spread = 100 * np.array([share - low, high - share])
        color = PALETTE[n % len(PALETTE)]
        axes.errorbar(100 * share, at, xerr=spread, fmt="o", color=color, label=group, capsize=2)
    for name, goal in (goals or {}).items():
        axes.plot([100 * goal] * 2, names.index(name) + np.array([-0.4, 0.4]), color="#555555")
    axes.set(xlim=(-3, 103), xlabel="%", ylim=(len(names) - 0.5, -0.5))
    axes.set_yticks(range(len(names)), names)
    axes.grid(alpha=0.3, axis="x", linewidth=0.6)
    figure.legend(frameon=False, loc="outside upper center", ncols=len(rates))
    return figure


def sweep(
    lines: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    n: int | None = None,
    mark: str | None = None,
    y: str = "%",
) -> Figure:
    """Shares over blocks or cutoffs: ``sweep({"mini": [0, 0.9]}, ["double.0", "double.1"], 40)``.

    `n` is the number of tasks behind every share, for its 95 % Wilson interval; None where the
    shares are no rates. `mark` is the binding block, a dashed line.
    """
    with optional("study", "curves and bars"):
        from matplotlib.figure import Figure

    if mark is not None and mark not in labels:
        raise ValueError(f"cannot mark {mark!r}; labels are {', '.join(labels)}")
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    if mark is not None:
        axes.axvline(list(labels).index(mark), color="#555555", linestyle="--", linewidth=1)
    for i, (name, shares) in enumerate(lines.items()):
        if len(shares) != len(labels):
            raise ValueError(f"line {name!r} has {len(shares)} shares for {len(labels)} labels")
        share, spread = np.asarray(shares, float), None
        if n is not None:
            low, high = wilson(share * n, n)
            spread = 100 * np.array([share - low, high - share])
        # a little apart, so that no interval hides another
        at = np.arange(len(labels)) + 0.1 * (i - (len(lines) - 1) / 2)
        color, shape = PALETTE[i % len(PALETTE)], "os^D"[i % 4]
        axes.errorbar(
            at, 100 * share, yerr=spread, label=name, color=color, marker=shape, capsize=2
        )
    every = 1 if len(labels) <= 16 else 4
    axes.set_xticks(range(0, len(labels), every), labels[::every], rotation=45, ha="right")
    axes.set(ylabel=y, ylim=(-4, 104))
    axes.grid(alpha=0.3, axis="y", linewidth=0.6)
    figure.legend(frameon=False, loc="outside upper center", ncols=len(lines))
    return figure


def chart(figure: Figure, alt: str, caption: str = "") -> Html:
    """A matplotlib figure on a page, and in words: ``chart(curves(…), "losses fall")``."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    code = base64.b64encode(data.getvalue()).decode()
    wide, style = round(figure.get_figwidth() * 96), "display:block;max-width:100%;margin:0 auto"
    body = f'<img alt="{escape(alt)}" width="{wide}" style="{style}" '
    body += f'src="data:image/png;base64,{code}">'
    return framed(body, caption, f"chart: {alt}")


_WIRINGS = {
    "bound": "bound: trained with reference attention cut at random, so that color and style are "
    "reliable only through the text padding, identity only straight from reference to image",
    "direct": "direct: trained with every route open",
}


def banner(wirings: Mapping[str, str | None]) -> Html:
    """Whose pictures a page shows: ``banner({flux.name: flux.wiring})``."""
    names, ours = " and ".join(wirings), all(w in _WIRINGS for w in wirings.values())
    title = f"The model{'s' if len(wirings) > 1 else ''} on this page: {names}"
    items = "".join(
        f"<li><strong>{escape(name)}</strong>: {_WIRINGS.get(str(wiring), 'wiring unknown')}</li>"
        for name, wiring in wirings.items()
    )
    last = (
        "Small models of our own, trained on drawings. Their wiring was planted by training: they "
        "test the instruments and are no evidence about FLUX.2."
        if ours
        else "Not one of our phantoms: what its wiring is, is the question."
    )
    body = (
        f'<div class="admonition fluxlens-model{"" if ours else " klein"}">'
        f'<p class="admonition-title">{escape(title)}</p><ul>{items}</ul><p>{last}</p></div>'
    )
    return Html(body, f"{title}. {last}")
