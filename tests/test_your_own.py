"""Interventions of a user's own, functions of rows, and the passes of true guidance."""

import json

import pytest
import tiny
import torch
from conftest import hooks
from helpers import PROMPT, close, final, same, states, stock

import fluxlens as fl
from fluxlens.core import Bias, Watch, parse_edges


class Steer(fl.Intervention):
    kind = "steer"

    def __init__(self, editor, block, direction, **where):
        super().__init__(editor, block, **where)
        self.direction = direction

    def change(self, block, rows):
        return rows + self.direction


class HeadAblation(fl.Intervention):
    kind = "ablation"

    def __init__(self, editor, blocks, head, **where):
        super().__init__(editor, blocks, **where)
        self.head = head

    def heads(self, block, out):
        out = out.clone()
        for row in self.local:
            out[row, :, self.head] = 0
        return out


class Whisper(fl.Intervention):
    kind = "whisper"

    def edges(self, block):
        return [Bias(parse_edges("ref->text")[0], -1.5)]


@pytest.mark.parametrize("tokens", ["text", "text[pad]", 'text["mug"]', "image", "ref"])
def test_a_steering_vector_is_a_hook_on_its_block(every, red, tokens):
    block, direction = every.blocks[1], torch.linspace(-1, 1, 1)
    at = every.layout(PROMPT, ref=red).positions(tokens)
    text = every.max_sequence_length

    def hook(module, args, output):
        pair = isinstance(output, tuple)
        joint = torch.cat(output, dim=1) if pair else output.clone()
        joint[:, at] += direction
        return (joint[:, :text], joint[:, text:]) if pair else joint

    handle = every.module(block).register_forward_hook(hook)
    expected = states(every, lambda: every.edit(PROMPT, red, steps=2))
    handle.remove()

    def steered():
        with Steer(every, block, direction, tokens=tokens) as mine:
            every.edit(PROMPT, red, steps=2)
        assert mine._fired.total() == 2

    def applied():
        with every.apply(lambda rows: rows + direction, block, tokens=tokens):
            every.edit(PROMPT, red, steps=2)

    assert torch.equal(states(every, steered), expected)
    assert torch.equal(states(every, applied), expected)
    assert hooks(every) == 0


def test_a_head_ablation_is_its_projection_without_the_head(every, red):
    block, head = every.blocks[0], 0
    width = every.pipe.transformer.config.attention_head_dim
    module = every.module(block).attn
    outs = [module.to_out[0], module.to_add_out]

    def silence(linear, args):
        rows = args[0].clone()
        rows[..., head * width : (head + 1) * width] = 0
        return (rows,)

    handles = [linear.register_forward_pre_hook(silence) for linear in outs]
    expected = states(every, lambda: every.edit(PROMPT, red, steps=2))
    for handle in handles:
        handle.remove()

    def ablated():
        with HeadAblation(every, block, head):
            every.edit(PROMPT, red, steps=2)

    torch.testing.assert_close(states(every, ablated), expected, rtol=1e-5, atol=1e-6)

    def one_row():
        with HeadAblation(every, block, head, rows=1, steps=[0]):
            every.edit([PROMPT, PROMPT], red, steps=2)

    made, plain = states(every, one_row), states(every, lambda: every.edit([PROMPT] * 2, red))
    torch.testing.assert_close(made[0, 1], expected[0, 0], rtol=1e-4, atol=2e-4)
    assert not torch.allclose(made[0, 0], made[0, 1], atol=1e-3)
    assert made.shape[1] == plain.shape[1] == 2


def test_edges_of_ones_own_are_a_gain(flux, red):
    def own():
        with Whisper(flux, "*"):
            flux.edit(PROMPT, red, steps=1)

    def gain():
        with flux.gain("ref->text", -1.5):
            flux.edit(PROMPT, red, steps=1)

    assert torch.equal(states(flux, own), states(flux, gain))


def test_they_are_counted_refused_and_cleaned_like_ours(flux, red):
    never = pytest.raises(fl.FiringError, match=r"steer at double\.1 never fired")
    with never, Steer(flux, "double.1", 1.0, tokens="text"):
        pass
    with pytest.raises(ValueError, match="name the tokens"):
        Steer(flux, "double.1", 1.0)
    late = HeadAblation(flux, "*", 0, steps=4)
    with pytest.raises(ValueError, match="step 4 of a run with 4"), late:
        flux.edit(PROMPT, red)
    with pytest.raises(ValueError, match="has no attention"):
        HeadAblation(flux, "context", 0)
    longer = Steer(flux, "double.1", torch.zeros(2, 1, 1, 32), tokens="text")
    with pytest.raises(ValueError, match=r"change .* \(1, 40, 32\)"), longer:
        flux.edit(PROMPT, red)
    for function, says in (
        (lambda rows: rows[:, 1:], r"tensor of shape \(1, 40, 32\)"),
        (lambda rows: rows[..., 1:], r"not \(1, 40, 31\)"),
        (lambda rows: 3, "not int"),
        (lambda rows: None, "must give rows like those"),
    ):
        with pytest.raises(ValueError, match=says), flux.apply(function, "double.1"):
            flux.edit(PROMPT, red)
    assert hooks(flux) == 0
    with Steer(flux, "double.1", 1.0, tokens="text[pad]", steps=[0]) as mine:
        made = flux.edit(PROMPT, red)
        record = json.loads(json.dumps(flux.record()))["interventions"]
    assert not same(made, flux.edit(PROMPT, red))
    assert record == [
        {"kind": "steer", "blocks": ["double.1"], "steps": [0], "rows": None, "tokens": "text[pad]"}
    ]
    assert mine._fired.total() == 1


# true guidance


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny klein that is not distilled: two forwards a step."""
    shape = tiny.Shape(distilled=False, seed=7)
    return fl.load(tiny.save(tmp_path_factory.mktemp("base"), shape), steps=2, guidance=3.0)


def edit(base, ref):
    return base.edit(PROMPT, ref, seed=3)


def test_a_guided_edit_is_the_stock_pipeline(base, red):
    theirs = stock(base, image=red, seed=3, steps=2, guidance_scale=3.0)[0]
    with final(base) as seen:
        assert same(edit(base, red), theirs)
    assert len(seen) == 4
    assert base.record()["guidance"] == 3.0


@pytest.mark.parametrize("passes", ["cond", "uncond", "both"])
@pytest.mark.parametrize("own", ["ours", "stock"])
def test_interventions_act_on_the_passes_that_they_name(base, red, passes, own):
    """Against a hook that counts the forwards of the block: conditional first, then the other."""
    forwards, wanted = [], {"cond": {0}, "uncond": {1}, "both": {0, 1}}[passes]

    def hook(module, args, output):
        forwards.append(1)
        if (len(forwards) - 1) % 2 not in wanted:
            return None
        return (output[0] * 0.5, *output[1:])

    def run():
        if own == "stock":
            stock(base, image=red, seed=3, steps=2, guidance_scale=3.0)
        else:
            edit(base, red)

    handle = base.module("double.0").register_forward_hook(hook)
    expected = states(base, run)
    handle.remove()

    def applied():
        with base.apply(lambda rows: 0.5 * rows, "double.0", passes=passes) as mine:
            run()
        assert mine._fired.total() == 2 * len(wanted)

    assert torch.equal(states(base, applied), expected)


@pytest.mark.parametrize("passes", ["cond", "uncond", "both"])
def test_cuts_of_a_pass_are_the_mask_of_its_forwards(base, red, passes):
    forwards, wanted = [], {"cond": {0}, "uncond": {1}, "both": {0, 1}}[passes]
    mask = fl.attention_mask(base.layout(PROMPT, ref=red), "ref->text")

    def masked(module, args, kwargs):
        forwards.append(1)
        if (len(forwards) - 1) % 2 in wanted:
            kwargs["joint_attention_kwargs"] = {"attention_mask": mask}
        return args, kwargs

    transformer = base.pipe.transformer
    handle = transformer.register_forward_pre_hook(masked, with_kwargs=True)
    expected = states(base, lambda: edit(base, red))
    handle.remove()

    def cut():
        with base.knockout("ref->text", passes=passes):
            edit(base, red)

    torch.testing.assert_close(states(base, cut), expected, rtol=1e-4, atol=2e-4)
    assert not torch.allclose(expected, states(base, lambda: edit(base, red)), atol=1e-3)


def test_captures_and_patches_know_their_pass(base, red, blue):
    blocks = {}
    for passes in ("cond", "uncond"):
        with base.capture("double.1", passes=passes) as blocks[passes]:
            edit(base, red)
    with base.capture("double.1", "text[content]") as words:
        edit(base, red)
    cond, uncond = (blocks[p]["double.1", 1] for p in ("cond", "uncond"))
    assert not torch.allclose(cond, uncond, atol=1e-3)
    assert [a.layouts[0].texts[0].prompt for a in blocks.values()] == [PROMPT, ""]
    assert words["double.1", 0].shape[1] == len(base.layout(PROMPT).positions("text[content]"))
    with (
        base.patch(blocks["uncond"], passes="uncond"),
        base.capture("double.1", passes="uncond") as seen,
    ):
        base.edit(PROMPT, blue, seed=4)
    assert torch.equal(seen["double.1", 1], uncond)
    with pytest.raises(ValueError, match="one pass of guidance"):
        base.capture("double.1", passes="both").__enter__()
    with pytest.raises(ValueError, match="passes is one of cond, uncond, both"):
        base.capture("double.1", passes="all")
    assert not Watch.of(base).interventions


def test_a_pass_that_never_comes_is_an_error(flux, red):
    waits = pytest.raises(fl.FiringError, match=r"pass of guidance it waits for \(uncond\)")
    with waits, flux.knockout("ref->text", passes="uncond"):
        flux.edit(PROMPT, red, steps=1)


def test_recipes_run_under_guidance(base, red, blue):
    lens = fl.t2i_lens(base, PROMPT, red, tokens="padding")
    patched = fl.i2i_patch(base, PROMPT, red, blue, tokens="padding", baselines=True)
    cut = fl.attention_knockout(base, PROMPT, red, cut="ref->image")
    dropped = fl.drop_reference(base, PROMPT, red, after="double.0")
    assert not same(patched.image, patched.target)
    with base.knockout("ref->image"):
        assert close(cut.image, base.edit(PROMPT, red))
    assert dropped.image.size == lens.image.size == (96, 96)
