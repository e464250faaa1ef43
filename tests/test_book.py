"""The prose pages keep their word: their code runs, their names are real, their drawings speak."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from string import Template
from xml.etree import ElementTree

import pytest

import fluxlens as fl

SVG = "{http://www.w3.org/2000/svg}"
BOOK = Path(__file__).resolve().parent.parent / "book"


def test_every_public_name_has_its_place_in_the_api_pages():
    written = "\n".join(page.read_text() for page in (BOOK / "api").glob("*.md"))
    shown = set(
        re.findall(r"auto(?:function|class|exception|data):: (?:fluxlens\.)?(\w+)$", written, re.M)
    )
    assert set(fl.__all__) <= shown


@pytest.mark.parametrize("path", sorted(BOOK.glob("images/*.html")), ids=lambda path: path.stem)
def test_drawings_say_what_they_show(path):
    figure = ElementTree.fromstring(path.read_text())
    svg = figure.find(SVG + "svg")
    assert svg is not None
    spoken = {
        svg.find(f"{{*}}{tag}").get("id"): svg.find(f"{{*}}{tag}").text for tag in ("title", "desc")
    }
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby", "").split() == list(spoken)
    assert all(spoken.values())
    assert len("".join(figure.find("figcaption").itertext())) > 40
    used = set(re.findall(r"url\(#([\w-]+)\)", path.read_text()))
    assert used <= {node.get("id") for node in svg.iter()}


def test_docstrings_become_markdown():
    pytest.importorskip("sphinx")
    from tools.docstrings import markdown

    fence = "```"
    assert markdown("Two.\n\n>>> 1 + 1\n2\n\nSee :func:`two`.") == (
        f"Two.\n\n{fence}pycon\n>>> 1 + 1\n2\n{fence}\n\nSee {{py:func}}`two`."
    )
    assert markdown(">>> 1") == f"{fence}pycon\n>>> 1\n{fence}"
    fenced = f"{fence}python\n>>> :func:`two`\n{fence}"
    assert markdown(fenced) == fenced


COMMANDS = [
    pytest.param(line, id=f"{page.stem}: {line}")
    for page in [BOOK.parent / "README.md", *sorted(BOOK.rglob("*.md"))]
    for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("fluxlens ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_on_the_page_are_understood(line):
    from fluxlens.cli import _parser

    values = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "8"}
    words = shlex.split(Template(line).substitute(values), comments=True)[1:]
    _parser().parse_args(words)
