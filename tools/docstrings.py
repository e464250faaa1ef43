"""A Sphinx extension: docstrings are Markdown, as the book's pages are.

    extensions: [sphinx.ext.autodoc, tools.docstrings]

autodoc takes docstrings for reStructuredText. Ours are Markdown with fenced examples, so each goes
to MyST's parser whole. Two old habits are allowed for: an example that begins with ``>>>`` needs no
fence, and a role may be written with colons. A name in backticks becomes a link where the book
documents it.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, new_document

NAME = re.compile(r"[A-Za-z_][\w.]*")
ROLE = re.compile(r":(mod|class|func|meth|attr|data):`")


def markdown(docstring: str) -> str:
    """A docstring with fences around its ``>>>`` examples, and with roles in MyST's spelling."""
    out: list[str] = []
    fenced = example = False
    for line in docstring.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        if line.startswith(">>>") and not fenced and not example:
            out.append("```pycon")
            example = True
        elif example and not line.strip():
            out.append("```")
            example = False
        out.append(line if fenced or example else ROLE.sub(r"{py:\1}`", line))
    return "\n".join([*out, "```"] if example else out)


class Markdown(SphinxDirective):
    """``.. markdown-docstring::`` holds Markdown in the middle of reStructuredText."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        source, _ = self.get_source_info()
        document = new_document(source, self.state.document.settings)
        MystParser().parse(markdown("\n".join(self.content)), document)
        for literal in list(document.findall(nodes.literal)):
            linked = isinstance(literal.parent, nodes.reference | addnodes.pending_xref)
            if NAME.fullmatch(literal.astext()) and not linked:
                literal.replace_self(self._link(literal))
        return list(document.children)

    def _link(self, literal: nodes.literal) -> nodes.Node:
        """A reference that stays plain text where the book documents no such name."""
        context = {key: self.env.ref_context.get(key) for key in ("py:module", "py:class")}
        where = {"refdomain": "py", "reftype": "obj", "reftarget": literal.astext()}
        return addnodes.pending_xref(
            "", literal.deepcopy(), refdoc=self.env.docname, refwarn=False, **where, **context
        )


def _hand_over(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [".. markdown-docstring::", "", *(f"   {line}" for line in lines), ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("markdown-docstring", Markdown)
    app.connect("autodoc-process-docstring", _hand_over)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
