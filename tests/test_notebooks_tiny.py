"""Papermill's route: a page runs to its end on another model, one that is no mini."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_notebooks

from tools import notebooks

PAGES = ("02-anatomy.ipynb", "05-t2i-lens.ipynb")  # one without a study, one with


@pytest.mark.slow
def test_pages_run_to_their_end_on_a_tiny_random_klein(tmp_path: Path) -> None:
    paths = [notebooks.NOTEBOOKS / name for name in PAGES]
    assert tiny_notebooks.run(paths, tmp_path) == 0
    for name in PAGES:
        notebook = notebooks.read(tmp_path / name)
        (given,) = notebooks.tagged(notebook, "injected-parameters")
        assert "tiny-klein" in given.source
        said = "\n".join(text for cell in notebook.cells for text in notebooks.texts(cell))
        assert "tiny-1-2" in said  # the banner names the model that the page shows
        assert "mini-direct" not in notebooks.IMAGES.sub("", said)
