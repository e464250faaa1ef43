"""Diagrams of a layout: the joint sequence, a mask over it, the words of its text.

```python
from fluxlens import figures
figures.sequence_picture(flux.layout("draw a mug in this color", ref=red))
```
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .html import CUT, IMAGE, REF, TEXT, Html, framed

if TYPE_CHECKING:
    from .core import Layout

_OPACITY = {"content": 1.0, "template": 0.55, "pad": 0.3, "": 1.0}


def _segments(layout: Layout, row: int = 0) -> list[tuple[str, str, int, str]]:
    """The joint sequence as (region kind, part, tokens, color), in order."""
    out = [("text", "", layout.text, TEXT)]
    if layout.texts is not None:
        text = layout.texts[row]
        part = dict.fromkeys(range(text.length), "pad")
        part |= dict.fromkeys(text.template, "template") | dict.fromkeys(text.content, "content")
        runs = groupby(part[i] for i in range(text.length))
        out = [("text", name, len(list(run)), TEXT) for name, run in runs]
    out.append(("image", "", layout.image[0] * layout.image[1], IMAGE))
    many = len(layout.refs) > 1
    for n, (high, wide) in enumerate(layout.refs):
        out.append((f"ref[{n}]" if many else "ref", "", high * wide, REF))
    return out


def _svg(width: int, height: float, label: str, body: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{escape(label)}" '
        f'style="max-width:{width / 14:.1f}rem" xmlns="http://www.w3.org/2000/svg" '
        f'font-size="14" fill="currentColor">{body}</svg>'
    )


def sequence_picture(layout: Layout, row: int = 0, caption: str = "") -> Html:
    """The joint sequence ``[text | image | ref]``: ``sequence_picture(flux.layout(prompt, ref))``.

    Widths are to scale except where a part would be too thin to see.
    """
    segments = _segments(layout, row)
    thin, room = 8.0, 472.0 - 2 * (len(segments) - 1)
    share = [room * count / layout.length for *_, count, _ in segments]
    rest = sum(s for s in share if s >= thin)
    left = room - thin * sum(s < thin for s in share)
    widths = [thin if s < thin else s * left / rest for s in share]
    x, body, spans = 4.0, [], dict[str, list[tuple[float, float]]]()
    tokens: dict[str, int] = {}
    for (kind, part, count, color), wide in zip(segments, widths, strict=True):
        body.append(
            f'<rect x="{x:.1f}" y="30" width="{wide:.1f}" height="40" fill="{color}" '
            f'fill-opacity="{_OPACITY[part]}"/>'
        )
        names = {kind, f"{kind}[{part}]" if part else kind}
        names |= {"text[padding]"} if part in ("template", "pad") else set()
        for name in names:
            spans.setdefault(name, []).append((x, x + wide))
            tokens[name] = tokens.get(name, 0) + count
        x += wide + 2
    pictures = [kind for kind, *_ in segments if kind != "text"]
    grids = dict(zip(pictures, [layout.image, *layout.refs], strict=True))
    for name, (high, tall) in grids.items():
        middle = (spans[name][0][0] + spans[name][-1][1]) / 2
        anchor = f'x="{middle:.1f}" text-anchor="middle"'
        body.append(f'<text {anchor} y="22">{name} · {tokens[name]}</text>')
        body.append(f'<text {anchor} y="55" fill="#000">{high}×{tall}</text>')
    body.append(f'<text x="4" y="22">text · {tokens["text"]}</text>')
    parts = [f"text[{p}]" for p in ("content", "template", "pad", "padding")]
    lines = [name for name in parts if name in tokens]
    for n, name in enumerate(lines):
        y = 88 + 22 * n
        path = "".join(f"M{a:.1f} {y}H{b:.1f}" for a, b in spans[name])
        body.append(f'<path d="{path}" stroke="currentColor" stroke-width="3"/>')
        x = spans["text"][-1][1] + 10
        body.append(f'<text x="{x:.1f}" y="{y + 5}">{name} · {tokens[name]}</text>')
    words = ", ".join(f"{n} {tokens[n]}" for n in ["text", *lines, *grids])
    label = f"joint sequence of {layout.length} tokens: {words}"
    return framed(_svg(480, 84 + 22 * len(lines), label, "".join(body)), caption, label)


def mask_picture(layout: Layout, mask: Any, row: int = 0, caption: str = "") -> Html:
    """Which query may read which key: ``mask_picture(layout, fl.attention_mask(layout, cut))``.

    `mask` is True where a query (a row) may read a key (a column), in the joint order; leading
    dimensions count the batch.
    """
    allowed = np.asarray(mask).astype(bool)
    allowed = allowed.reshape(-1, *allowed.shape[-2:])
    allowed = allowed[min(row, len(allowed) - 1)]
    if allowed.shape != (layout.length, layout.length):
        raise ValueError(f"the mask is {allowed.shape}, the sequence has {layout.length} tokens")
    side, left, top = 300.0, 66.0, 62.0
    unit = side / layout.length
    rows = [0, *np.flatnonzero((allowed[1:] != allowed[:-1]).any(1)) + 1, layout.length]
    columns = [0, *np.flatnonzero((allowed[:, 1:] != allowed[:, :-1]).any(0)) + 1, layout.length]
    body = [
        f'<text x="{left + side / 2}" y="16" text-anchor="middle">… is read (keys)</text>',
        f'<text x="4" y="{top - 12}">reads …</text>',
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill-opacity=".07"/>',
    ]
    for a, b in pairwise(rows):
        for c, d in pairwise(columns):
            if not allowed[a, c]:
                body.append(
                    f'<rect x="{left + c * unit:.2f}" y="{top + a * unit:.2f}" fill="{CUT}" '
                    f'width="{(d - c) * unit:.2f}" height="{(b - a) * unit:.2f}"/>'
                )
    at = 0.0
    for kind, group in groupby(_segments(layout, row), key=lambda s: s[0]):
        begin = at
        for _, part, count, color in group:
            paint = f'fill="{color}" fill-opacity="{_OPACITY[part]}"'
            x, y, long = f"{left + at:.2f}", f"{top + at:.2f}", f"{count * unit:.2f}"
            body += [
                f'<rect x="{x}" y="{top - 10}" width="{long}" height="8" {paint}/>',
                f'<rect x="{left - 10}" y="{y}" width="8" height="{long}" {paint}/>',
            ]
            at += count * unit
        x, y = f"{left + (begin + at) / 2:.1f}", f"{top + (begin + at) / 2 + 5:.1f}"
        body += [
            f'<text x="{x}" y="{top - 16}" text-anchor="middle">{kind}</text>',
            f'<text x="{left - 14}" y="{y}" text-anchor="end">{kind}</text>',
        ]
        if begin:
            lines = f"M{left} {top + begin:.2f}h{side}M{left + begin:.2f} {top}v{side}"
            body.append(f'<path d="{lines}" stroke="currentColor" stroke-opacity=".4"/>')
    cut = int((~allowed).sum())
    legend = f'<rect x="{left}" y="{top + side + 10}" width="12" height="12" fill="{CUT}"/>'
    body.append(f'{legend}<text x="{left + 18}" y="{top + side + 21}">cut</text>')
    label = f"attention mask: {cut} of {allowed.size} query-key pairs cut"
    return framed(_svg(374, top + side + 28, label, "".join(body)), caption, label)


def tokens(words: Sequence[str], parts: Sequence[str], caption: str = "") -> Html:
    """A text sequence, colored by part: ``tokens(["draw", "⏎"], ["content", "template"])``."""
    chips = []
    for word, part in zip(words, parts, strict=True):
        alpha = round(100 * _OPACITY[part])
        ink = "#fff" if alpha == 100 else "inherit"
        paint = f"background:color-mix(in srgb,{TEXT} {alpha}%,transparent);color:{ink}"
        style = f"{paint};display:inline-block;border:0;padding:0 .3em;margin:.1em"
        chips.append(f'<code title="{part}" style="{style}">{escape(word)}</code>')
    groups = groupby(zip(words, parts, strict=True), key=lambda pair: pair[1])
    runs = [(part, [word for word, _ in run]) for part, run in groups]
    said = "\n".join(f"{part} ({len(run)}): {' '.join(run)}" for part, run in runs)
    return framed(f"<div>{''.join(chips)}</div>", caption, said)
