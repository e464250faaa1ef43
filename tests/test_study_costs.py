"""A study takes what its estimate says, operation by operation."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fluxlens.study.cells import choose
from fluxlens.study.costs import Costs, transformer_flops
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import make_plan, plan_of
from fluxlens.study.run import Settings, run
from fluxlens.study.shapes import model_shape
from fluxlens.study.sizes import Sizes
from fluxlens.study.treatments import Edit
from fluxlens.tasks import mini_tasks

pytest_plugins = ["study_fixtures"]
ONE_ROW = Settings(shown=False, tokens=1)
CELLS = ["i2i_unc_color_text_lens", "i2i2i_color*", "ko_color_ref_to_image", "ko_color_ref_to_text"]


def counted(flux, plan, root, settings=ONE_ROW):
    """A study's summary, and the transformer's operations in it."""
    # the counter takes what follows a forward that was stopped for a part of it: so what a
    # prompt is to the transformer is known before
    counter = FlopCounterMode(display=False)
    with flux.remember() as encodings, patch.object(encodings, "keep"):
        with torch.no_grad():
            for prompt in plan.prompts:
                encodings.text(prompt, flux.family._embed, flux.device)
        with sdpa_kernel(SDPBackend.MATH), counter:
            summary = run(flux, plan, root, settings)
    return summary, sum(counter.get_flop_counts()["Flux2Transformer2DModel"].values())


def expected(plan, folder):
    work = transformer_flops(plan, Sizes("mini"), Costs(model_shape(str(folder))))
    return sum(work.values())


@pytest.mark.parametrize("tokens", [1, 8704])
def test_a_study_takes_what_its_estimate_says(small, folder, tmp_path, tokens):
    plan = make_plan("mini", choose(CELLS), limit=2)
    settings = replace(ONE_ROW, tokens=tokens)
    summary, made = counted(small, plan, tmp_path, settings)
    assert summary.made == plan.pictures
    assert made == expected(plan, folder)
    shared = Costs(model_shape(str(folder)), shared_only=True)
    assert made < sum(transformer_flops(plan, Sizes("mini"), shared).values())


def test_also_where_sources_stop_and_references_are_dropped(small, folder, tmp_path):
    one, two, three = mini_tasks("style")[:3]
    alike = [replace(task, instruction=one.instruction) for task in (two, three)]
    block = small.blocks[1]
    pictures = [
        Picture.named("i2i_patch", v, alike[0], source=one) for v in ("all", f"all@{block}")
    ]
    pictures += [Picture.named("i2i_patch", f"content@{block}", alike[0], source=alike[1])]
    pictures += [Picture.named("t2i_lens", "all", alike[1]), Picture(Edit(), alike[0])]
    pictures += [Picture.named("drop_reference", after, one) for after in ("none", small.blocks[0])]
    plan = plan_of("mini", pictures)
    summary, made = counted(small, plan, tmp_path)
    assert sum(summary.forwards.values()) == plan.forwards
    assert made == expected(plan, folder)
