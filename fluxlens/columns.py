"""Columns of pictures, as the paper lays out its Figures 2 to 5: one task each, read downwards.

```python
from fluxlens.columns import Column, columns
columns([Column("add a mug", {"reference": ref, "edit": edit, "T2I Lens": lens})])
```
On a narrow screen whole columns wrap, so a task's pictures stay together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from PIL import Image

from .html import Html, embed, framed, img

__all__ = ["Column", "columns"]

NARROW, WIDE = 5.5, 11  # rem: three columns on a phone; no picture is blown up beyond reason
SIDE = 208  # pixels along the longer side of a stored picture: many stand on a page
TITLE = "font-weight:600;align-self:end;text-align:center"


@dataclass(frozen=True)
class Column:
    """``Column("add a mug", {"T2I Lens": lens}, {"T2I Lens": "observed"})``.

    Pictures under each other, each under its name, with a note where there is one.
    """

    title: str
    pictures: Mapping[str, Image.Image]
    notes: Mapping[str, str] = field(default_factory=dict)


def columns(shown: Sequence[Column], caption: str = "") -> Html:
    """``columns([Column("add a mug", {"reference": ref})], "Figure 2. …")``.

    `ValueError` for a note on a picture that is not there. Without columns it says so.
    """
    if not shown:
        return framed("<p>There are no pictures to show.</p>", caption, "pictures: none")
    body, words = [], ["pictures:"]
    for column in shown:
        if lost := set(column.notes) - set(column.pictures):
            raise ValueError(f"{column.title!r} has a note on {min(lost)!r} and no such picture")
        cells = []
        for name, image in column.pictures.items():
            note = column.notes.get(name, "")
            said = f"{name}: {note}" if note else name
            words.append(f"{column.title}; {said}")
            below = escape(name) + (f"<br><em>{escape(note)}</em>" if note else "")
            style = "width:100%;height:auto"
            cells.append(
                f"<div>{img(embed(image, SIDE), f'{column.title}; {said}', style)}{below}</div>"
            )
        title = f'<div style="{TITLE}">{escape(column.title)}</div>'
        # a column takes the rows of its neighbours, so titles and pictures stand side by side
        rows = f"display:grid;grid-row:span {1 + len(cells)};grid-template-rows:subgrid"
        body.append(f'<div style="{rows}">{title}{"".join(cells)}</div>')
    tracks = f"repeat(auto-fit,minmax({NARROW}rem,1fr))"
    style = f"display:grid;gap:0.75rem;align-items:start;grid-template-columns:{tracks};"
    style += f"max-width:{WIDE * len(shown)}rem"
    inner = f'<div class="fluxlens-grid" style="{style}">{"".join(body)}</div>'
    return framed(inner, caption, "\n".join(words))
