"""Recipes that are given their source runs make what they make without."""

from __future__ import annotations

import pytest
from helpers import PROMPT, same

import fluxlens as fl


def captured(flux, refs, seeds, prompt=PROMPT, steps=4):
    with flux.capture("*", tokens="text") as acts:
        flux.edit([prompt] * len(refs), refs, seed=seeds, steps=steps)
    return acts


@pytest.mark.parametrize("recipe", [fl.t2i_lens, fl.color_lens])
@pytest.mark.parametrize("steps", [1, 4])
def test_a_lens_reads_step_0_of_any_run(flux, red, blue, recipe, steps):
    rows = [PROMPT, PROMPT], [red, blue]
    own = recipe(flux, *rows, seed=[3, 4])
    acts = captured(flux, [red, blue], [3, 4], steps=steps)
    given = recipe(flux, *rows, seed=[3, 4], acts=acts)
    assert all(same(a, b) for a, b in zip(own.images, given.images, strict=True))
    assert own.record == given.record


def test_a_patch_reads_all_steps(flux, red, blue):
    args = {"source": [red, blue], "target": [blue, red], "seeds": [(3, 5), (4, 6)]}
    own = fl.i2i_patch(flux, [PROMPT] * 2, **args, tokens="padding")
    acts = captured(flux, [red, blue], [3, 4])
    given = fl.i2i_patch(flux, [PROMPT] * 2, **args, tokens="padding", acts=acts)
    assert all(same(a, b) for a, b in zip(own.images, given.images, strict=True))
    assert own.record == given.record


def test_other_runs_are_refused(flux, red, blue):
    acts = captured(flux, [red, blue], [3, 4], prompt="draw a hat in this color")
    with pytest.raises(ValueError, match="other runs"):
        fl.t2i_lens(flux, [PROMPT] * 2, [red, blue], seed=[3, 4], acts=acts)
    with pytest.raises(ValueError, match="other runs"):
        fl.t2i_lens(flux, PROMPT, red, seed=3, acts=acts)


def test_a_patch_needs_as_many_steps_as_it_runs(flux, red, blue):
    acts = captured(flux, [red], [3], steps=1)
    with pytest.raises(ValueError, match="1 steps"):
        fl.i2i_patch(flux, [PROMPT], [red], [blue], [(3, 5)], acts=acts)


def test_the_block_must_have_been_captured(flux, red):
    with flux.capture("double.0", tokens="text") as acts:
        flux.edit([PROMPT], [red], seed=[3])
    with pytest.raises(ValueError, match=r"no step 0 of double\.1"):
        fl.t2i_lens(flux, [PROMPT], [red], seed=[3], block="double.1", acts=acts)
