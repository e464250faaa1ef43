"""The code that readers copy runs: on pages, in the README, and in the core's own docstrings."""

from __future__ import annotations

import ast
import builtins
import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest
from helpers import PROMPT, same
from PIL import Image

import fluxlens as fl
from fluxlens.core import Watch
from fluxlens.pipelines import Family
from fluxlens.pipelines.flux2 import Flux2Klein
from tools import families, own_pages

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
IN_ORDER = (
    ROOT / "README.md",
    BOOK / "your-own-intervention.md",
    BOOK / "your-own-pipeline.md",
)
ALONE = (BOOK / "gotchas.md", BOOK / "interventions.md")  # each block with the names below
MODULES = (
    "fluxlens",
    *("fluxlens.editor", "fluxlens.loading", "fluxlens.recipes"),
    *(
        f"fluxlens.{room}.{module.name}"
        for room in ("core", "pipelines")
        for module in iter_modules([str(ROOT / "fluxlens" / room)])
    ),
)


def fenced(text: str) -> list[str]:
    return re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def run(block: str, names: dict) -> None:
    """Run a block, which may say ``# raises Name: part of the message``."""
    promised = re.search(r"# raises (\w+)(?:: (.*))?", block)
    if promised is None:
        exec(block, names)
        return
    error = getattr(fl, promised[1], None) or getattr(builtins, promised[1])
    with pytest.raises(error):
        exec(block, names)


def docstrings() -> list:
    out = []
    for module in MODULES:
        tree = ast.parse(Path(import_module(module).__file__).read_text())
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef
        for node in (node for node in ast.walk(tree) if isinstance(node, kinds)):
            name = f"{module}.{getattr(node, 'name', '')}".rstrip(".")
            for n, block in enumerate(fenced(ast.get_docstring(node) or "")):
                out.append(pytest.param(block, id=f"{name}-{n}"))
    return out


@pytest.fixture(scope="module")
def mini():
    return fl.load("mini")


@pytest.fixture
def names(mini):
    red, blue = (Image.new("RGB", (96, 96), color) for color in ("red", "blue"))
    return {"fl": fl, "editor": mini, "red": red, "blue": blue, "prompt": PROMPT}


@pytest.mark.parametrize("page", IN_ORDER, ids=lambda page: page.stem)
def test_a_page_runs_from_its_first_block_to_its_last(page, recwarn):
    names: dict = {}
    blocks = own_pages.blocks(page)
    assert blocks
    for block in blocks:
        run(block, names)
    for editor in (value for value in names.values() if isinstance(value, fl.Editor)):
        assert not Watch.of(editor).interventions


@pytest.mark.parametrize("name", ["steering", "inpainting"])
def test_a_pages_picture_is_what_its_code_makes(name):
    now = own_pages.strip(getattr(own_pages, name)())
    committed = Image.open(BOOK / "images" / f"{name}.png")
    assert committed.size == now.size
    assert np.abs(np.asarray(committed, int) - np.asarray(now, int)).max() <= 2


@pytest.mark.parametrize("name", ["Steer", "AblateHead"])
def test_an_intervention_of_ones_own_is_short(name):
    page = "\n".join(own_pages.blocks(BOOK / "your-own-intervention.md"))
    (written,) = re.findall(rf"^class {name}\(.*?(?=^\S)", page, re.DOTALL | re.MULTILINE)
    assert len(written.strip().splitlines()) < 25


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{page.stem}-{n}")
        for page in ALONE
        for n, block in enumerate(own_pages.blocks(page))
    ],
)
def test_a_block_of_a_page_does_what_it_says(block, names):
    run(block, names)


@pytest.mark.parametrize("block", docstrings())
def test_an_example_of_a_docstring_runs(block, names):
    run(block, names)


def test_the_table_of_families_is_what_the_code_says():
    assert families.page() == families.PAGE.read_text(encoding="utf-8")


def test_an_adapter_is_for_the_pipelines_that_it_names(mini):
    class Other(Family):
        pipelines = ("OtherPipeline",)

    for model in (mini.pipe, "mini"):
        with pytest.raises(fl.ModelError, match="Other is for OtherPipeline, not for a Flux2Klein"):
            fl.load(model, family=Other)


def test_an_adapter_of_ones_own_reads_a_folder_as_well(mini, names):
    class Quiet(Flux2Klein):
        caveat = "said by an adapter of one's own"

    editor = fl.load("mini", family=Quiet)
    assert isinstance(editor.family, Quiet)
    assert editor.record()["caveat"] == Quiet.caveat
    one, other = (each.edit(PROMPT, ref=names["red"], seed=0) for each in (editor, mini))
    assert same(one, other)
