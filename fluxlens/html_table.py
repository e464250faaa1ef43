"""Words in rows and columns: the one shape of all tables on pages.

>>> rows(["family", "n"], [["color", "320"]])
family | n
color | 320
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from .html import Html, framed

DASH, EMPTY = "—", "not judged"


def rows(head: Sequence[str], body: Sequence[Sequence[str]], caption: str = "") -> Html:
    """Words in rows and columns: ``rows(["family", "n"], [["color", "320"]])``.

    The first word of a row is its header. Everything is escaped.
    """
    if ragged := [row for row in body if len(row) != len(head)]:
        raise ValueError(f"a row of {len(ragged[0])} for {len(head)} columns: {ragged[0]!r}")
    top = "".join(f'<th scope="col">{_kept(word)}</th>' for word in head)
    lines = "".join(
        f'<tr><th scope="row">{_kept(first)}</th>'
        + "".join(f"<td>{_kept(word)}</td>" for word in rest)
        + "</tr>"
        for first, *rest in body
    )
    inner = f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
    text = "\n".join(" | ".join(line) for line in (head, *body))
    return framed(f'<div class="fluxlens-table" tabindex="0">{inner}</div>', caption, text)


def _kept(words: str) -> str:
    """Escaped, and edges and counts kept in one line."""
    return re.sub(
        r"\S*-&gt;[^\s,]*|n = \d+", r"<span style='white-space:nowrap'>\g<0></span>", escape(words)
    )
