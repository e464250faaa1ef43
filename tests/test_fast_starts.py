"""What nobody reads is not made, what was made is not made again, and results stay the same."""

from contextlib import nullcontext

import pytest
import torch
from conftest import picture
from helpers import PROMPT, close, final, states
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import fluxlens as fl
from fluxlens._starts import Starts
from fluxlens.sampler import rows_of, sample

few = settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
CUTS = ["ref->image", "ref->text", "ref->text[padding]", "image->text[content]", "text->image"]


def flops(run) -> int:
    """Of the transformer."""
    with FlopCounterMode(display=False) as counter:
        run()
    return sum(counter.get_flop_counts()["Flux2Transformer2DModel"].values())


def velocities(flux, run) -> torch.Tensor:
    """What the scheduler is given at each step, in the order of the runs; nobody listens inside."""
    seen, step = [], flux.pipe.scheduler.step

    def listen(velocity, *args, **kwargs):
        seen.append(velocity.clone())
        return step(velocity, *args, **kwargs)

    flux.pipe.scheduler.step = listen
    try:
        run()
    finally:
        del flux.pipe.scheduler.step
    return torch.cat(seen)


# the last block, for the image alone


@few
@given(st.data())
def test_a_last_block_for_the_image_alone_is_the_whole_one(every, data):
    """Sizes, references, batches, cuts."""
    rows = data.draw(st.integers(1, 3))
    side = st.sampled_from([64, 80, 96])
    refs = (
        [picture(data.draw(side), 64, n) for n in range(rows)] if data.draw(st.booleans()) else None
    )
    size = {"height": data.draw(side), "width": data.draw(side)}
    made, _ = rows_of(every, [PROMPT] * rows, refs, list(range(rows)), **size)
    cut = data.draw(st.sampled_from([None, *CUTS])) if refs else None

    def run(whole):
        with every.knockout(cut) if cut else nullcontext():
            sample(every, made, steps=2, whole=whole)

    expected = velocities(every, lambda: run(True))
    torch.testing.assert_close(velocities(every, lambda: run(False)), expected, **CLOSE)
    assert flops(lambda: run(False)) < flops(lambda: run(True))


def test_half_precision_is_kept(folders, red):
    flux = fl.load(folders["two-three"], dtype=torch.bfloat16)
    rows, _ = rows_of(flux, PROMPT, red, 0)
    whole, short = (
        velocities(flux, lambda w=w: sample(flux, rows, steps=1, whole=w)) for w in (1, 0)
    )
    assert whole.dtype == short.dtype
    torch.testing.assert_close(short, whole, rtol=0.05, atol=0.05)


def test_it_runs_whole_where_somebody_would_notice(flux, red):
    rows, _ = rows_of(flux, PROMPT, red, 0)
    last = flux.module(flux.blocks[-1])
    count = {
        "short": flops(lambda: sample(flux, rows, steps=1)),
        "whole": flops(lambda: sample(flux, rows, steps=1, whole=True)),
    }
    assert count["short"] < count["whole"]

    def with_hook(module):
        handle = module.register_forward_hook(lambda *a: None)
        try:
            return flops(lambda: sample(flux, rows, steps=1))
        finally:
            handle.remove()

    assert with_hook(last) == with_hook(last.attn.to_out) == count["whole"]
    assert with_hook(flux.pipe.transformer.norm_out) == count["whole"]
    with flux.capture(flux.blocks[-1], tokens="ref"):
        assert flops(lambda: sample(flux, rows, steps=1)) == count["whole"]
    with flux.capture(flux.blocks[0], tokens="ref"):
        assert flops(lambda: sample(flux, rows, steps=1)) == count["short"]
    last.forward = last.forward  # as offloading leaves it
    try:
        assert flops(lambda: sample(flux, rows, steps=1)) == count["whole"]
        assert "forward" in vars(last)
    finally:
        del last.forward

    class Linear(torch.nn.Linear):  # as quantized and adapted weights come
        pass

    last.attn.to_out.__class__ = Linear
    try:
        assert flops(lambda: sample(flux, rows, steps=1)) == count["whole"]
    finally:
        last.attn.to_out.__class__ = torch.nn.Linear
    assert flops(lambda: sample(flux, rows, steps=1)) == count["short"]
    assert "forward" not in vars(last)


# runs begin behind a block


@few
@given(st.data())
def test_a_run_that_begins_late_is_the_run_bit_for_bit(every, red, blue, data):
    """In the company in which its beginning was made, to the last bit."""
    block = data.draw(st.sampled_from(every.blocks[:-1]))
    tokens = data.draw(
        st.lists(st.sampled_from(["all", "padding", "content"]), min_size=2, max_size=2)
    )
    rows = data.draw(st.integers(1, 3))
    targets = [picture(96, 64, n) for n in range(rows)]
    size = {"height": [64] * rows, "width": [96] * rows}
    made, _ = rows_of(every, [PROMPT] * rows, targets, list(range(rows)), **size)
    source, _ = rows_of(every, [PROMPT] * rows, [red] * rows, [9] * rows, **size)
    with every.capture(block) as acts:
        sample(every, source, steps=2)

    def patched(kind):
        with every.patch(acts, "text" if kind == "all" else f"text[{kind}]"):
            return sample(every, made, steps=2)

    expected = velocities(every, lambda: [patched(kind) for kind in tokens])
    starts = Starts({block: made})
    with starts.open(every):
        plain = velocities(every, lambda: sample(every, made, steps=2))
        late = velocities(every, lambda: [patched(kind) for kind in tokens])
        cost = flops(lambda: patched("all"))
    assert torch.equal(plain, velocities(every, lambda: sample(every, made, steps=2)))
    assert torch.equal(late, expected)
    assert not starts.missing(block, made)
    assert cost < flops(lambda: patched("all"))
    assert not any("forward" in vars(every.module(name)) for name in every.blocks)


def test_a_run_in_other_company_begins_late_too(flux, red, blue):
    """Rows are found one by one, in whatever order; then it is the run to rounding."""
    block = "double.1"
    rows, _ = rows_of(flux, [PROMPT] * 3, [red, blue, red], [0, 1, 2])
    with flux.capture(block) as acts:
        sample(flux, rows[:1], steps=1)
    some = [rows[2], rows[1]]

    def patched():
        with flux.patch(acts):
            return sample(flux, some, steps=1)

    expected = velocities(flux, patched)
    starts = Starts({block: rows})
    with starts.open(flux):
        sample(flux, rows, steps=1, stop_after=block)
        cost, late = flops(patched), velocities(flux, patched)
    torch.testing.assert_close(late, expected, **CLOSE)
    assert cost < flops(patched)


def test_what_is_not_the_same_does_not_begin_late(flux, red, blue):
    block = "double.1"
    rows, _ = rows_of(flux, PROMPT, red, 0)
    others = [rows_of(flux, PROMPT, red, 1)[0], rows_of(flux, "add a dog", red, 0)[0]]
    others += [rows_of(flux, PROMPT, blue, 0)[0], rows_of(flux, PROMPT, red, 0, 64, 96)[0]]
    with flux.capture("*") as acts:
        sample(flux, rows, steps=1)
    starts = Starts({block: rows})
    with starts.open(flux):
        with flux.knockout("ref->image"):
            sample(flux, rows, steps=1)
        assert starts.missing(block, rows) == rows  # what was cut is not kept
        sample(flux, rows, steps=1)
    assert starts.missing(block, rows) == []

    def cost(made, where, also=None):
        def run():
            with flux.patch(acts.pick(where)), also() if also else nullcontext():
                sample(flux, made, steps=1)

        try:
            with starts.open(flux):
                late = flops(run)
        except ValueError:  # patched from another size
            return 0
        return late - flops(run)

    assert cost(rows, block) < 0
    for made in others[:1] + others[2:]:
        assert cost(made, block) == 0
    assert cost(rows, "double.0") == cost(rows, "single.0") == 0
    assert cost(rows, block, lambda: flux.knockout("ref->image")) == 0
    assert cost(rows, block, lambda: final(flux)) == 0
    assert flux.watch.starts is None


def test_the_flag_of_a_run_is_taken_back_on_errors(flux, red):
    rows, _ = rows_of(flux, PROMPT, red, 0)
    handle = flux.module("double.0").register_forward_hook(lambda *a: [][0])
    with pytest.raises(IndexError), Starts({"double.0": rows}).open(flux):
        sample(flux, rows, steps=1)
    handle.remove()
    assert flux.watch.starts is None
    assert not any("forward" in vars(flux.module(name)) for name in flux.blocks)
    assert close(sample(flux, rows)[0], flux.edit(PROMPT, red))
    assert states(flux, lambda: flux.edit(PROMPT, red, steps=1)).shape[1] == 1
