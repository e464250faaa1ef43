"""What a run need not do it does not do, and its result stays what it was."""

import pytest
import torch
from conftest import picture
from helpers import PROMPT, close, same, stock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import fluxlens as fl
from fluxlens.core import Drop
from fluxlens.pipelines import rows_of, sample

few = settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def flops(run) -> int:
    """Of the transformer."""
    with FlopCounterMode(display=False) as counter:
        run()
    return sum(counter.get_flop_counts()["Flux2Transformer2DModel"].values())


def seen(flux, run) -> torch.Tensor:
    """The image tokens behind the last block at the last step, in the order of the rows."""
    with flux.capture(flux.blocks[-1], tokens="image") as acts:
        run()
    return acts[flux.blocks[-1], acts.steps[-1]]


# the references leave the sequence


@few
@given(st.data())
def test_dropping_is_cutting_four_ways(every, data):
    """Rows of one batch may drop behind different blocks, and references differ in size."""
    rows = data.draw(st.integers(1, 3))
    blocks = st.sampled_from(["none", *every.blocks])
    after = data.draw(st.lists(blocks, min_size=rows, max_size=rows))
    sides = st.sampled_from([64, 80])
    refs = [picture(data.draw(sides), 64, n) for n in range(rows)]

    def drop(attention):
        where = {"seed": list(range(rows)), "height": 64, "width": 64, "steps": 1}
        return lambda: fl.drop_reference(
            every, [PROMPT] * rows, refs, after=after, attention=attention, **where
        )

    dropped, masked = seen(every, drop("auto")), seen(every, drop("mask"))
    torch.testing.assert_close(dropped, masked, rtol=1e-4, atol=1e-4)


def test_dropping_costs_what_a_generation_costs(flux, red):
    flux.edit(PROMPT, red, steps=1)  # encodings are remembered from here on
    rows, bare = rows_of(flux, PROMPT, red, 0)[0], rows_of(flux, PROMPT, None, 0)[0]
    generation = flops(lambda: sample(flux, bare, steps=1))
    none = flops(lambda: fl.drop_reference(flux, PROMPT, red, after="none", steps=1))
    costs = [
        flops(lambda b=block: fl.drop_reference(flux, PROMPT, red, after=b, steps=1))
        for block in flux.blocks
    ]
    edit = flops(lambda: sample(flux, rows, steps=1))
    # all that is left of a reference is its way through the first linear layer
    width, channels = flux.pipe.transformer.x_embedder.weight.shape
    assert none - generation == 2 * 36 * width * channels
    # the counter knows no attention on the CPU, where only linear layers differ
    assert none < costs[0] < costs[1] < costs[2] < costs[-1] == edit


def test_other_contexts_see_the_shorter_sequence(flux, red):
    """A knockout, and a user's own mask, beside a drop."""
    mask = fl.attention_mask(flux.layout(PROMPT, ref=red), "image->text[content]")
    late = flux.blocks[2:]

    def cut(attention):
        prefix = flux.knockout("image->text[content]", attention=attention)
        with Drop(flux, late), prefix:
            return flux.edit(PROMPT, red, steps=2)

    with Drop(flux, late):
        theirs = stock(flux, image=red, steps=2, attention_kwargs={"attention_mask": mask})[0]
    with flux.knockout(["image->text[content]", "ref->text"], attention="mask", blocks=late):
        assert not close(theirs, flux.edit(PROMPT, red, steps=2))
    assert same(cut("mask"), theirs)
    assert close(cut("auto"), theirs)


def test_what_was_dropped_cannot_be_read(flux, red):
    late = flux.blocks[1:]
    capture = flux.capture("single.0", tokens="ref")
    with pytest.raises(ValueError, match="dropped before"), Drop(flux, late), capture:
        flux.edit(PROMPT, red, steps=1)
    with flux.capture("double.0", tokens="ref") as acts, Drop(flux, late):
        flux.edit(PROMPT, red, steps=1)
    assert acts["double.0", 0].shape[1] == 36
    with pytest.raises(ValueError, match="of one length"), Drop(flux, late, rows=0):
        stock(flux, image=red, steps=1, seed=[0, 1], num_images_per_prompt=2)
    with pytest.raises(ValueError, match="no reference"), Drop(flux, late):
        flux.generate(PROMPT, steps=1)


# rows of one call


@few
@given(st.data())
def test_patched_rows_are_what_they_are_alone(every, red, blue, data):
    """Also beside the runs that they patch, and under other patches at other blocks."""
    block = data.draw(st.lists(st.sampled_from(every.blocks), min_size=3, max_size=3))
    targets = data.draw(st.lists(st.sampled_from([red, blue]), min_size=3, max_size=3))
    tokens = ["all", "padding", "content"]

    def patch(n):
        return fl.i2i_patch(
            every, PROMPT, red, targets[n], (0, 1), tokens=tokens[n], block=block[n], steps=1
        )

    made = fl.i2i_patch(
        every, PROMPT, red, targets, [(0, 1)] * 3, tokens=tokens, block=block, steps=1,
        baselines=True,
    )  # fmt: skip
    for n in range(3):
        assert close(made.image[n], patch(n).image)
        assert close(made.target[n], every.edit(PROMPT, targets[n], seed=1, steps=1))
