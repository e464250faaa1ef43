"""The paper's own tasks, at their real sizes, through the command that runs klein."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from PIL import Image
from study_tools import SHAPE, files

from fluxlens.cli import main
from fluxlens.study.cells import choose
from fluxlens.study.plan import make_plan
from fluxlens.study.store import read_record
from fluxlens.tasks import Assets


def test_the_paper_s_plan_is_its_minimum(data):
    """The least forwards for every judged image, from the authors' own files."""
    plan = make_plan("paper", choose(), assets=Assets(data=data))
    assert plan.forwards == 57571
    counts = plan.counts()
    assert counts["edit"] == (1360, 5440)
    assert counts["capture"] == (0, 1515)
    assert len({picture.path(Path()) for picture in plan}) == plan.pictures
    sizes = {(batch.units[0].task.width, batch.rows) for batch in plan.batches(512)}
    assert (1024, 1) in sizes
    assert (256, 8) in sizes


@pytest.mark.slow
def test_a_tiny_model_runs_them(data, tmp_path):
    """A color and an illustrated subject, references of which come with the tasks."""
    model = tiny.save(tmp_path / "tiny", replace(SHAPE, length=192))
    words = [
        "run", "--model", str(model), "--paper-data", str(data), "--available", "--limit", "1",
        "--cells", "i2i_unc_color_text_lens", "i2i_unc_style_text_lens_padding",
        "--results", str(tmp_path / "results"),
    ]  # fmt: skip
    assert main(words) == 0
    made = files(tmp_path / "results" / "tiny-1-2")
    assert {name.rpartition("/")[0] for name in made} == {
        "color_lens/all", "generation/clean-1-step", "t2i_lens/padding", "generation/clean",
        "reference/solid", "reference/style",
    }  # fmt: skip
    for name, path in made.items():
        if not name.startswith("reference"):
            with Image.open(path) as image:
                assert image.size == (1024, 1024)
            assert read_record(path)["asked"]["height"] == 1024
