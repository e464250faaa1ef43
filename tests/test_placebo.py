"""Placebo activations: what each keeps of its source, and that the ends of a blend are exact."""

import dataclasses

import pytest
import torch
from helpers import PROMPT, same, states

import fluxlens as fl
from fluxlens import placebo

BLOCK = "double.1"
OTHER = "draw a mug"


@pytest.fixture(scope="module")
def two(flux, red, blue):
    """The text tokens of two edits of one instruction, a row each."""
    with flux.capture([BLOCK, "single.0"], tokens="text") as acts:
        flux.edit([PROMPT, PROMPT], ref=[red, blue], seed=[0, 1])
    return acts


def patched(flux, acts, red, blue, tokens="all"):
    return fl.i2i_patch(
        flux, PROMPT, source=red, target=blue, seeds=(0, 1), tokens=tokens, block=BLOCK, acts=acts
    ).image


@pytest.mark.parametrize("tokens", ["all", "content", "template", "pad"])
def test_the_target_s_own_tokens_change_nothing(flux, two, red, blue, tokens):
    plain = states(flux, lambda: flux.edit(PROMPT, ref=blue, seed=1))
    own, other = (
        states(flux, lambda a=acts: patched(flux, a, red, blue, tokens))
        for acts in (two.pick(rows=[1]), two.pick(rows=[0]))
    )
    # captured in a batch of two and written into a run of one: the same to rounding
    torch.testing.assert_close(own, plain, rtol=1e-4, atol=2e-4)
    if tokens in ("all", "pad"):
        assert (other - plain).abs().max() > 3e-3


@pytest.mark.parametrize("tokens", ["text", "text[pad]", "text[content]"])
def test_shuffling_moves_the_region_s_rows_and_no_others(two, tokens):
    found = placebo.shuffled(two, tokens, [3, 4])
    moved = torch.tensor(two.layouts[0].positions(tokens))
    rest = [p for p in range(two.positions.shape[1]) if p not in moved.tolist()]
    for key, value in two.data.items():
        assert torch.equal(found.data[key][:, rest], value[:, rest])
        for row in (0, 1):
            one, other = (some[row, moved].sort(dim=0).values for some in (value, found.data[key]))
            assert torch.equal(one, other)
            assert not torch.equal(found.data[key][row, moved], value[row, moved])
    again = placebo.shuffled(two, tokens, [3, 4])
    assert all(torch.equal(again.data[key], value) for key, value in found.data.items())
    turned = placebo.shuffled(two.pick(rows=[1, 0]), tokens, [4, 3])
    assert torch.equal(turned[BLOCK, 2][0], found[BLOCK, 2][1])  # a seed is a row's, not a place's


def test_one_order_holds_in_all_blocks_and_steps(two):
    places = two.positions[:, :, None].float()
    marked = dataclasses.replace(two, data=dict.fromkeys(two.data, places))
    found = placebo.shuffled(marked, "text[pad]", [3, 4])
    first = found[BLOCK, 0]
    assert all(torch.equal(value, first) for value in found.data.values())
    assert not torch.equal(first[0], first[1])


def test_noise_keeps_every_token_s_length_and_nothing_else(two):
    found = placebo.noise(two, [3, 4])
    for key, value in two.data.items():
        torch.testing.assert_close(found.data[key].norm(dim=-1), value.norm(dim=-1))
        cosine = torch.cosine_similarity(found.data[key], value, dim=-1)
        assert cosine.abs().mean() < 0.5
    assert not torch.equal(found[BLOCK, 0], found[BLOCK, 1])
    assert torch.equal(placebo.noise(two, [3, 4])[BLOCK, 3], found[BLOCK, 3])


def test_a_mean_of_one_is_that_one(two):
    assert torch.equal(placebo.mean(two, [[1]])[BLOCK, 0], two[BLOCK, 0][[1]])
    found = placebo.mean(two, [[0, 1], [0]])
    assert found.rows == 2
    torch.testing.assert_close(found[BLOCK, 2][0], two[BLOCK, 2].mean(0))


def test_both_ends_of_a_blend_are_exact(two):
    red, blue = two.pick(rows=[0]), two.pick(rows=[1])
    for key in two.data:
        assert torch.equal(placebo.blend(red, blue, 0).data[key], red.data[key])
        assert torch.equal(placebo.blend(red, blue, 1).data[key], blue.data[key])
        whole, half = blue.data[key] - red.data[key], placebo.blend(red, blue, 0.5).data[key]
        torch.testing.assert_close(half - red.data[key], whole / 2)
        beyond = placebo.blend(red, blue, 1.5).data[key]
        torch.testing.assert_close(beyond - red.data[key], 1.5 * whole)


def test_a_blend_at_one_is_the_patch(flux, two, red, blue):
    source, own = two.pick(rows=[0]), two.pick(rows=[1])
    image = patched(flux, placebo.blend(own, source, 1.0), red, blue, "padding")
    assert same(image, patched(flux, source, red, blue, "padding"))


def test_what_is_made_leaves_its_source_alone(two):
    before = {key: value.clone() for key, value in two.data.items()}
    placebo.shuffled(two, "text", [1, 2])
    placebo.noise(two, [1, 2])
    placebo.mean(two, [[0, 1]])
    placebo.blend(two, two, 0.3)
    assert all(torch.equal(value, before[key]) for key, value in two.data.items())


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda two: placebo.noise(two, [1]), "2 rows need as many seeds"),
        (lambda two: placebo.shuffled(two, "image", [1, 2]), "image is not within the captured"),
        (lambda two: placebo.mean(two, [[]]), "at least one"),
        (lambda two: placebo.blend(two, two.pick(BLOCK), 0.5), "same blocks"),
        (lambda two: placebo.blend(two, two.pick(rows=[0]), 0.5), "same blocks, steps and rows"),
        (lambda two: placebo.noise(fl.Activations(two.region), [1]), "0 rows need"),
    ],
)
def test_what_cannot_be_is_refused(two, make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make(two)


def test_a_mean_or_a_blend_of_different_prompts_is_refused(flux, red):
    with flux.capture(BLOCK, tokens="text") as acts:
        flux.edit([PROMPT, OTHER], ref=red, seed=0)
    with pytest.raises(ValueError, match="one prompt"):
        placebo.mean(acts, [[0, 1]])
    with pytest.raises(ValueError, match="same prompts"):
        placebo.blend(acts.pick(rows=[0]), acts.pick(rows=[1]), 0.5)
