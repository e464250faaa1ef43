"""Capture and patch: rows, blocks, steps, counting, nesting, clean exits."""

import json

import pytest
import torch
from conftest import hooks, picture
from helpers import PROMPT, same, states, stock

import fluxlens as fl


def capture(flux, block="*", **kwargs):
    """Activations of one edit."""
    ref, seed, steps = (kwargs.pop(k, d) for k, d in (("ref", None), ("seed", 0), ("n", 4)))
    prompt = kwargs.pop("prompt", PROMPT)
    with flux.capture(block, **kwargs) as acts:
        flux.edit(prompt, ref or picture(96, 96, 1), seed=seed, steps=steps)
    return acts


def test_captured_text_is_the_blocks_own_output(every, red):
    """Against plain torch hooks on the modules, double and single."""
    seen = {}
    handles = [
        every.module(b).register_forward_hook(lambda m, a, out, b=b: seen.setdefault(b, out))
        for b in every.blocks
    ]
    try:
        acts = capture(every, ref=red, n=1)
    finally:
        for handle in handles:
            handle.remove()
    length = every.max_sequence_length
    for block in every.blocks:
        out = seen[block]
        text = out[0] if block.startswith("double") else out[:, :length]
        assert torch.equal(acts[block, 0], text)


@pytest.mark.parametrize("tokens", ["image", "ref", "ref[1]", "text[content]", "text[pad]"])
def test_regions_are_cut_from_the_right_place(flux, red, tokens):
    refs = (red, picture(80, 64, 5))
    with flux.capture("*", tokens=tokens, steps=0) as acts:
        flux.edit(PROMPT, refs)
    seen = {}
    handles = [
        flux.module(b).register_forward_hook(lambda m, a, out, b=b: seen.setdefault(b, out))
        for b in flux.blocks
    ]
    try:
        flux.edit(PROMPT, refs, steps=1)
    finally:
        for handle in handles:
            handle.remove()
    positions = flux.layout(PROMPT, refs).positions(tokens)
    for block in flux.blocks:
        out = seen[block]
        joint = torch.cat(out, dim=1) if block.startswith("double") else out
        torch.testing.assert_close(acts[block, 0], joint[:, positions], rtol=1e-5, atol=1e-5)


def test_captures_do_not_pin_whole_activations(flux, red):
    acts = capture(flux, "single.0", tokens="text[content]", ref=red)
    for value in acts.data.values():
        assert value.untyped_storage().nbytes() == value.nbytes


def test_steps_and_rows_choose_what_is_captured(flux, red, blue):
    with flux.capture("double.1", steps=[1, 3], rows=[0, 2]) as acts:
        flux.edit(PROMPT, [red, blue, red], seed=[0, 1, 2])
    assert acts.steps == (1, 3)
    assert acts["double.1", 3].shape == (2, 40, 32)
    alone = capture(flux, "double.1", ref=red, seed=2)
    torch.testing.assert_close(acts["double.1", 3][1], alone["double.1", 3][0], rtol=0, atol=1e-4)


def test_rows_of_several_shapes_are_captured_in_the_callers_order(flux, red):
    wide = picture(112, 96, 3)
    with flux.capture("single.1") as acts:
        flux.edit(PROMPT, [wide, red, wide, red], seed=[0, 1, 2, 3])
    assert acts.rows == 4
    for n, ref in enumerate([wide, red, wide, red]):
        alone = capture(flux, "single.1", ref=ref, seed=n)
        torch.testing.assert_close(
            acts["single.1", 2][n], alone["single.1", 2][0], rtol=0, atol=1e-4
        )


def test_a_stock_call_is_captured_too(flux, red):
    with flux.capture("double.0", tokens="text[content]") as acts:
        stock(flux, image=red)
    ours = capture(flux, "double.0", tokens="text[content]", ref=red)
    assert torch.equal(acts["double.0", 3], ours["double.0", 3])


def test_a_stock_call_is_patched_too(flux, red, blue):
    acts = capture(flux, "double.1", ref=red)
    with flux.patch(acts, tokens="text[padding]"):
        theirs = stock(flux, image=blue, seed=1)[0]
    with flux.patch(acts, tokens="text[padding]"):
        ours = flux.edit(PROMPT, blue, seed=1)
    assert same(ours, theirs)


def test_a_stock_call_with_several_images_per_prompt_knows_its_rows(flux, red):
    prompts = ["draw a mug", "draw a hat"]
    with flux.capture("double.0") as acts:
        stock(flux, prompt=prompts, image=red, seed=[0, 1, 2, 3], num_images_per_prompt=2)
    prompts = [layout.texts[0].prompt for layout in acts.layouts]
    assert prompts == ["draw a mug", "draw a mug", "draw a hat", "draw a hat"]


def test_patching_writes_the_named_positions_and_no_others(flux, red, blue):
    acts = capture(flux, "double.1", ref=red, seed=0)
    target = capture(flux, "double.1", ref=blue, seed=1)
    with flux.patch(acts, tokens="text[padding]"), flux.capture("double.1") as patched:
        flux.edit(PROMPT, blue, seed=1)
    layout = flux.layout(PROMPT, blue)
    padding, content = (layout.positions(f"text[{p}]") for p in ("padding", "content"))
    now = patched["double.1", 0]
    assert torch.equal(now[:, padding], acts["double.1", 0][:, padding])
    assert torch.equal(now[:, content], target["double.1", 0][:, content])


def test_a_capture_inside_a_patch_sees_it_and_outside_does_not(flux, red, blue):
    acts = capture(flux, "double.0", ref=red)
    captures = [flux.capture("double.0", steps=0) for _ in range(2)]
    with captures[0] as outer, flux.patch(acts, steps=0), captures[1] as inner:
        flux.edit(PROMPT, blue, seed=1)
    assert torch.equal(inner["double.0", 0], acts["double.0", 0])
    assert not torch.equal(outer["double.0", 0], acts["double.0", 0])


def test_rows_of_a_batch_are_patched_one_by_one(flux, red, blue):
    with flux.capture("double.1") as acts:
        flux.edit(PROMPT, [red, blue], seed=[0, 1])
    first, second = (flux.patch(acts.pick(rows=[n]), rows=row) for n, row in ((0, 0), (1, 2)))
    with first, second, flux.capture("double.1", steps=2) as after:
        flux.edit(PROMPT, [blue, red, red], seed=[5, 6, 7])
    assert torch.equal(after["double.1", 2][0], acts["double.1", 2][0])
    assert torch.equal(after["double.1", 2][2], acts["double.1", 2][1])
    alone = capture(flux, "double.1", ref=red, seed=6)
    torch.testing.assert_close(after["double.1", 2][1], alone["double.1", 2][0], rtol=0, atol=1e-4)


def test_one_captured_row_serves_a_whole_batch(flux, red, blue):
    acts = capture(flux, "double.1", ref=red)
    with flux.patch(acts), flux.capture("double.1", steps=1) as after:
        flux.edit(PROMPT, [blue, red], seed=[5, 6])
    for n in range(2):
        assert torch.equal(after["double.1", 1][n], acts["double.1", 1][0])


def test_image_and_reference_tokens_can_be_moved(flux, red, blue):
    for tokens in ("image", "ref"):
        acts = capture(flux, "double.1", tokens=tokens, ref=red)
        with flux.patch(acts), flux.capture("double.1", tokens=tokens) as after:
            flux.edit(PROMPT, blue, seed=1)
        assert torch.equal(after["double.1", 3], acts["double.1", 3])


def test_one_step_can_serve_all(flux, red, blue):
    acts = capture(flux, "double.1", ref=red, n=1)
    with flux.patch(acts, source_step=0), flux.capture("double.1") as after:
        flux.edit(PROMPT, blue, seed=1)
    for step in range(4):
        assert torch.equal(after["double.1", step], acts["double.1", 0])


def test_the_context_embedder_is_a_place_too(flux, red):
    acts = capture(flux, "double.1", ref=red, n=1)
    with flux.patch(acts, "text[padding]", into="context"), flux.capture("context") as after:
        flux.generate("")
    with flux.capture("context") as plain:
        flux.generate("")
    layout = flux.layout(PROMPT)
    content, padding = (layout.positions(f"text[{p}]") for p in ("content", "padding"))
    for step in range(4):
        now = after["context", step]
        assert torch.equal(now[:, padding], acts["double.1", 0][:, padding])
        assert torch.equal(now[:, content], plain["context", step][:, content])


def test_another_block_can_be_written(flux, red, blue):
    acts = capture(flux, "double.0", ref=red)
    with flux.patch(acts, into="single.1"), flux.capture("single.1") as after:
        flux.edit(PROMPT, blue, seed=1)
    assert torch.equal(after["single.1", 1], acts["double.0", 1])


# counting, and leaving nothing behind


def test_nothing_run_inside_raises(flux):
    with pytest.raises(fl.FiringError, match="never fired"), flux.capture("double.0"):
        pass


def test_another_pipeline_inside_raises(flux, models, red):
    with pytest.raises(fl.FiringError, match="never fired"), flux.knockout("ref->text"):
        models["one-one"].edit(PROMPT, red)


def test_an_interrupted_run_raises(flux, red):
    def stop(pipe, step, time, kwargs):
        pipe._interrupt = step == 1
        return kwargs

    with pytest.raises(fl.FiringError, match="fired 2 times of 4"), flux.capture("double.0"):
        stock(flux, image=red, callback_on_step_end=stop)


def test_a_block_that_is_skipped_raises(flux, red):
    class Skipped(torch.nn.Module):
        def forward(self, hidden_states, encoder_hidden_states, **kwargs):
            return encoder_hidden_states, hidden_states

    blocks = flux.pipe.transformer.transformer_blocks
    whole, capture = blocks[1], flux.capture("double.*")
    capture.__enter__()
    blocks[1] = Skipped()
    try:
        flux.edit(PROMPT, red)
    finally:
        blocks[1] = whole
    with pytest.raises(fl.FiringError, match=r"not once each: double\.1 at step 0"):
        capture.__exit__(None, None, None)


def test_a_row_that_never_ran_raises(flux, red):
    with pytest.raises(ValueError, match="row 3 of a batch of 2"), flux.capture("*", rows=[0, 3]):
        flux.edit(PROMPT, [red, red], seed=[0, 1])


def test_every_block_and_step_fires_once(flux, red):
    context = flux.knockout("ref->text", blocks="double.*")
    with context:
        flux.edit(PROMPT, red, steps=3)
        flux.edit(PROMPT, red, steps=2)
    assert sum(context._fired.values()) == 2 * (3 + 2)


def test_hooks_are_gone_after_an_exception_and_the_baseline_is_back(flux, red, blue):
    before = flux.edit(PROMPT, red)
    acts = capture(flux, "double.1", ref=blue)
    handle = flux.module("single.0").register_forward_hook(_fail)
    opened = flux.patch(acts), flux.knockout("ref->image"), flux.capture("*")
    with pytest.raises(KeyError, match="in the middle"), opened[0], opened[1], opened[2]:
        flux.edit(PROMPT, red)
    handle.remove()
    assert hooks(flux) == 0
    assert "encode_prompt" not in vars(flux.pipe)
    assert same(before, flux.edit(PROMPT, red))
    assert same(before, stock(flux, image=red)[0])


def _fail(*args):
    raise KeyError("in the middle")


def test_nothing_changes_before_the_with(flux, red):
    acts = capture(flux, "double.0", ref=red)
    flux.knockout("ref->text")
    flux.patch(acts)
    flux.capture("*")
    assert hooks(flux) == 0


def test_a_users_own_hooks_and_wrappers_survive(flux, red):
    heard = []
    handle = flux.module("double.0").register_forward_hook(lambda *a: heard.append(1))
    own = flux.pipe.encode_prompt
    flux.pipe.encode_prompt = lambda *a, **k: own(*a, **k)
    mine = flux.pipe.encode_prompt
    try:
        with flux.knockout("ref->text[content]"):
            stock(flux, image=red)
        assert flux.pipe.encode_prompt is mine
        assert len(heard) == 4
        assert handle.id in flux.module("double.0")._forward_hooks
    finally:
        handle.remove()
        del flux.pipe.encode_prompt


def test_a_context_can_be_used_again_but_not_twice_at_once(flux, red):
    context = flux.knockout("ref->image")
    with context:
        one = flux.edit(PROMPT, red)
    with context:
        assert same(one, flux.edit(PROMPT, red))
        with pytest.raises(RuntimeError, match="already open"), context:
            pass


def test_interventions_are_plain_data(flux, red):
    acts = capture(flux, "double.1", ref=red)
    cut = flux.knockout(["ref->text", "text->ref"], blocks="single.*", steps=2, rows=0)
    with cut as knocked, flux.patch(acts, "text[pad]") as patched:
        record = flux.record(seed=3)
        flux.edit(PROMPT, red)
    record = json.loads(json.dumps(record))
    assert record["interventions"] == json.loads(json.dumps([knocked.to_json(), patched.to_json()]))
    assert record["interventions"][0]["cut"] == ["ref->text", "text->ref"]
    assert record["interventions"][0]["blocks"] == ["single.0", "single.1", "single.2"]
    assert record["interventions"][1]["source"]["prompts"] == [PROMPT]
    assert {"model", "revision", "dtype", "attention_backend", "versions", "seed"} <= set(record)


def test_states_helper_sees_a_difference(flux, red, blue):
    assert not torch.equal(
        states(flux, lambda: flux.edit(PROMPT, red)), states(flux, lambda: flux.edit(PROMPT, blue))
    )
