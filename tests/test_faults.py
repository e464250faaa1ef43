"""What went wrong once, each with its whole kind: stale state, silence, leftovers, crossings."""

import gc
import os
import re
import signal
import sys
import textwrap
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import hooks
from diffusers import (
    FasterCacheConfig,
    FirstBlockCacheConfig,
    FlowMatchEulerDiscreteScheduler,
    MagCacheConfig,
    PyramidAttentionBroadcastConfig,
    TaylorSeerCacheConfig,
)
from diffusers.hooks import apply_first_block_cache, apply_layer_skip, apply_taylorseer_cache
from diffusers.hooks.layer_skip import LayerSkipConfig
from diffusers.models.transformers import transformer_flux2 as stock_module
from helpers import PROMPT, call_of, close, same, states, stock
from PIL import Image

import fluxlens as fl
from fluxlens.core import Watch


@pytest.fixture
def mine(folders):
    """A model that a test may change."""
    return fl.load(folders["one-one"])


def clean(flux) -> bool:
    """Nothing of ours is left on a pipeline or in diffusers."""
    return (
        hooks(flux) == 0
        and not Watch.of(flux).interventions
        and "encode_prompt" not in vars(flux.pipe)
        and not hasattr(stock_module.dispatch_attention_fn, "users")
    )


# encodings are never stale


def _damped(pipe):
    pipe.text_encoder.model.layers[0].mlp.down_proj.weight.data.mul_(0)


def _new_parameter(pipe):
    layer = pipe.text_encoder.model.layers[0].self_attn.v_proj
    layer.weight = torch.nn.Parameter(-2 * layer.weight.detach())


def _swapped(pipe):
    layers = pipe.text_encoder.model.layers
    layers[0], layers[1] = layers[1], layers[0]


def _template(pipe):
    pipe.tokenizer.chat_template = pipe.tokenizer.chat_template.replace("\\n'", "\\n\\n'")


def _left(pipe):
    pipe.tokenizer.padding_side = "left"


def _vae(pipe):
    pipe.vae.encoder.conv_in.weight.data.mul_(-1)


def _hook(pipe):
    pipe.text_encoder.model.layers[0].register_forward_hook(lambda m, a, out: 0.5 * out)


def _autocast(pipe):
    forward = pipe.text_encoder.forward

    def cast(*args, **kwargs):
        with torch.autocast("cpu", torch.bfloat16):
            return forward(*args, **kwargs)

    pipe.text_encoder.forward = cast


CHANGES = [_damped, _new_parameter, _swapped, _template, _left, _vae, _hook, _autocast]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__[1:])
def test_an_edit_is_the_stock_pipeline_in_its_present_state(mine, red, change):
    before = mine.edit(PROMPT, red)
    with torch.no_grad():
        change(mine.pipe)
    after = mine.edit(PROMPT, red)
    assert same(after, stock(mine, image=red)[0])
    assert not same(after, before)


def test_encodings_are_remembered_as_long_as_somebody_owns_them(mine, red):
    calls, encode = [], mine.pipe.encode_prompt
    mine.pipe.encode_prompt = lambda *a, **k: calls.append(1) or encode(*a, **k)
    with mine.remember():
        for seed in range(3):
            mine.edit([PROMPT, PROMPT], red, seed=seed, steps=1)
    assert len(calls) == 1
    mine.edit(PROMPT, red, steps=1)
    fl.t2i_lens(mine, PROMPT, red)  # its prompt and the empty one
    assert len(calls) == 4
    del mine.pipe.encode_prompt


# blocks that may be skipped, sharded or replaced

CACHES = {
    "first block": lambda t: t.enable_cache(FirstBlockCacheConfig(threshold=0.1)),
    "mag": lambda t: t.enable_cache(MagCacheConfig(mag_ratios=[1.0] * 4, num_inference_steps=4)),
    "taylorseer": lambda t: t.enable_cache(TaylorSeerCacheConfig(cache_interval=2)),
    "broadcast": lambda t: t.enable_cache(
        PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2, current_timestep_callback=lambda: 500
        )
    ),
    "faster": lambda t: t.enable_cache(
        FasterCacheConfig(
            spatial_attention_block_skip_range=2,
            current_timestep_callback=lambda: 500,
            is_guidance_distilled=True,
            tensor_format="BCHW",
        )
    ),
    "first block, applied": lambda t: apply_first_block_cache(
        t, FirstBlockCacheConfig(threshold=0.1)
    ),
    "taylorseer, applied": lambda t: apply_taylorseer_cache(
        t, TaylorSeerCacheConfig(cache_interval=2)
    ),
    "skipped layers": lambda t: apply_layer_skip(
        t, LayerSkipConfig(indices=[0], fqn="transformer_blocks")
    ),
    "context parallelism": lambda t: setattr(t, "_parallel_config", object()),
}


@pytest.mark.parametrize("name", CACHES)
def test_what_may_skip_blocks_is_refused_at_once_and_later(folders, red, name):
    flux = fl.load(folders["one-one"])
    with flux.knockout("ref->text"):
        flux.edit(PROMPT, red, steps=1)
        CACHES[name](flux.pipe.transformer)
        with pytest.raises(fl.ModelError, match=r"skip|spreads"):
            flux.edit(PROMPT, red, steps=1)
    with pytest.raises(fl.ModelError, match=r"skip|spreads"):
        flux.capture("double.0").__enter__()
    with pytest.raises(fl.ModelError, match=r"skip|spreads"):
        fl.load(flux.pipe, text_layers=flux.text_layers)
    assert not Watch.of(flux).interventions


def test_offloading_in_groups_skips_nothing(folders, red):
    flux, plain = fl.load(folders["one-one"]), fl.load(folders["one-one"])
    flux.pipe.transformer.enable_layerwise_casting(torch.float32, torch.float32)
    for one in (flux, plain):
        with one.knockout("ref->image"), one.capture("double.0") as acts:
            one.made = one.edit(PROMPT, red, steps=1)
        one.acts = acts
    assert same(flux.made, plain.made)
    assert torch.equal(flux.acts["double.0", 0], plain.acts["double.0", 0])


# runs are told by what is called


def bare(flux, layout, time=1.0, seed=0):
    with torch.no_grad():
        return flux.pipe.transformer(**call_of(flux, layout, time, seed))[0]


def test_bare_calls_are_runs_of_their_own(flux, red):
    """Before and after an edit, also in one `with`, and several as one run of falling times."""
    layout = flux.layout(PROMPT, ref=red)
    flux.edit(PROMPT, red)
    with flux.capture("double.1", tokens="text") as acts:
        bare(flux, layout)
    assert acts.steps == (0,)
    with flux.capture("double.1", tokens="text") as acts:
        for time in (1.0, 0.7, 0.2):
            bare(flux, layout, time)
    assert acts.steps == (0, 1, 2)
    with flux.knockout("ref->text", blocks="double.*") as cut:
        flux.edit(PROMPT, red, steps=2)
        bare(flux, layout)
        bare(flux, layout)
        flux.edit(PROMPT, red, steps=1)
    assert sorted(cut._fired.values()) == [1] * 2 * (2 + 1 + 1 + 1)
    assert max(step for _, step, _ in cut._fired) == 1


@pytest.mark.parametrize("sizes", [(64, 96, 128), (128, 64, 96), (96, 96, 64)], ids=str)
def test_layouts_of_any_size_are_cut_each_by_its_own(flux, red, sizes):
    layouts = [flux.layout(PROMPT, ref=red, height=side, width=side) for side in sizes]
    with flux.knockout("ref->image"):
        flux.edit(PROMPT, red, steps=1)
        together = [bare(flux, layout) for layout in layouts]
    for layout, made in zip(layouts, together, strict=True):
        mask = fl.attention_mask(layout, "ref->image")
        call = call_of(flux, layout) | {"joint_attention_kwargs": {"attention_mask": mask}}
        with torch.no_grad():
            theirs = flux.pipe.transformer(**call)[0]
        torch.testing.assert_close(made, theirs, rtol=1e-4, atol=1e-5)  # the reference rows too
        assert not torch.allclose(made, bare(flux, layout), atol=1e-3)


def test_positional_arguments_of_a_bare_call_are_read(flux, red):
    layout = flux.layout(PROMPT, ref=red)
    call = call_of(flux, layout)
    first = [call.pop(name) for name in ("hidden_states", "encoder_hidden_states", "timestep")]
    with flux.knockout("ref->text"), torch.no_grad():
        made = flux.pipe.transformer(*first, **call)[0]
        assert torch.equal(made, bare(flux, layout))


def test_captures_are_patched_into_runs_of_their_own_kind_alone(folders, flux, red):
    with flux.capture("double.1") as acts:
        flux.edit(PROMPT, red)
    own = flux.pipe.scheduler
    others = [
        FlowMatchEulerDiscreteScheduler.from_config(own.config, **change)
        for change in (
            {"shift": 7.0, "use_dynamic_shifting": False},
            {"time_shift_type": "linear"},
            {"shift_terminal": 0.3},
        )
    ]
    for scheduler in others:
        flux.pipe.scheduler = scheduler
        try:
            with pytest.raises(ValueError, match="another scheduler or shift"), flux.patch(acts):
                flux.edit(PROMPT, red)
            with flux.patch(acts, source_step=0):
                flux.edit(PROMPT, red, steps=2)
        finally:
            flux.pipe.scheduler = own
    other = fl.load(folders["two-three"])  # the same shape
    with pytest.raises(ValueError, match="another model"):
        other.patch(acts)
    acts.origin = None
    with other.patch(acts):
        other.edit(PROMPT, red)


# processors and hooks of a user's own


class Deaf(stock_module.Flux2AttnProcessor):
    """Ignores masks, and calls attention by a name of its own."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *args, **kwargs):
        text = encoder_hidden_states.shape[1]
        joint = torch.cat([attn.to_q(encoder_hidden_states), attn.to_v(hidden_states)], dim=1)
        return hidden_states + joint[:, text:], joint[:, :text]


class Forgetful(stock_module.Flux2AttnProcessor):
    """Drops the mask that it is given."""

    def __call__(self, attn, hidden_states, encoder_hidden_states, attention_mask, rotary):
        return super().__call__(attn, hidden_states, encoder_hidden_states, None, rotary)


@pytest.mark.parametrize("under", ["knockout", "gain", "attention", "mask"])
def test_a_processor_of_ones_own_is_heard_or_refused(mine, red, under):
    make = {
        "knockout": lambda: mine.knockout("ref->image"),
        "mask": lambda: mine.knockout("ref->image", attention="mask"),
        "gain": lambda: mine.gain("ref->image", 3.0),
        "attention": lambda: mine.attention("ref->image"),
    }[under]

    def run():
        with make():
            mine.edit(PROMPT, red, steps=1)

    expected = states(mine, run)
    attn = mine.module("double.0").attn
    attn.set_processor(Forgetful())
    assert torch.equal(states(mine, run), expected)
    attn.set_processor(stock_module.Flux2KVAttnProcessor())
    with pytest.raises(fl.ModelError, match="keeps the references' keys"):
        run()
    attn.set_processor(Deaf())
    with pytest.raises(fl.FiringError, match=r"double\.0 runs Deaf.*set_processor"):
        run()
    with mine.capture("double.0"):  # what needs no attention is not refused
        mine.edit(PROMPT, red, steps=1)


def test_a_users_hook_in_a_knockout_sees_what_stock_diffusers_gives(flux, red):
    seen = {}

    def look(under):
        def hook(module, args, kwargs):
            seen.setdefault(under, []).append((args, kwargs))
            mask = (kwargs.get("joint_attention_kwargs") or {}).get("attention_mask")
            assert mask is None or isinstance(mask, torch.Tensor)

        modules = [flux.module("double.0"), flux.module("single.1"), flux.module("double.0").attn]
        handles = [m.register_forward_pre_hook(hook, with_kwargs=True) for m in modules]
        try:
            flux.edit(PROMPT, red, steps=1)
        finally:
            for handle in handles:
                handle.remove()

    look("nothing")
    with flux.knockout("ref->image"), flux.gain("ref->text", 2), flux.attention("text->image"):
        look("all")
    for (args, plain), (others, cut) in zip(seen["nothing"], seen["all"], strict=True):
        assert len(args) == len(others)
        assert plain.keys() == cut.keys()
        assert [type(v) for v in plain.values()] == [type(v) for v in cut.values()]


# editors, threads, interrupts


def test_editors_around_one_pipe_may_close_in_any_order(folders, red):
    first = fl.load(folders["one-one"])
    second = fl.load(first.pipe, max_sequence_length=33, text_layers=(1, 2))
    plain = first.edit(PROMPT, red)
    for order in ((0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)):
        opened = [first.knockout("ref->text"), second.knockout("ref->image"), second.capture("*")]
        for one in opened:
            one.__enter__()
        assert not same(second.edit(PROMPT, red), plain)
        for n in order:
            opened[n].__exit__(None, None, None)
        assert clean(first)
        assert same(first.edit(PROMPT, red), plain)


def test_two_models_may_close_in_any_order(folders, red):
    """They share the function that is wrapped."""
    one, two = fl.load(folders["one-one"]), fl.load(folders["two-three"])
    plain, cut = two.edit(PROMPT, red), two.knockout("ref->text")
    with one.knockout("ref->text"):
        cut.__enter__()
        one.edit(PROMPT, red, steps=1)
    assert not same(two.edit(PROMPT, red), plain)
    cut.__exit__(None, None, None)
    assert clean(one)
    assert clean(two)


def test_edits_in_other_threads_are_untouched(flux, red):
    plain, made, errors = flux.edit(PROMPT, red), {}, []

    def elsewhere(name, *contexts):
        try:
            with ExitStack() as stack:
                for context in contexts:
                    stack.enter_context(context)
                made[name] = flux.edit(PROMPT, red)
        except Exception as error:
            errors.append(error)

    def run(*args):
        thread = threading.Thread(target=elsewhere, args=args)
        thread.start()
        thread.join()

    with flux.knockout("ref->image"), flux.capture("*") as acts:
        run("plain")
        run("cut", flux.knockout("ref->text"))
        made["ours"] = flux.edit(PROMPT, red)
        run("plain again")
    assert errors == []
    assert same(made["plain"], plain)
    assert same(made["plain again"], plain)
    assert acts.rows == 1
    for name, edge in (("ours", "ref->image"), ("cut", "ref->text")):
        with flux.knockout(edge):
            assert same(made[name], flux.edit(PROMPT, red))
    with pytest.raises(fl.FiringError, match="in another thread"), flux.knockout("ref->image"):
        run("alone")


def interrupted(flux, ref, at):
    """Ctrl-C at the n-th line of ours while interventions are made, entered and left; all lines."""
    core, count, raised = str(Path(fl.core.__file__).parent), 0, False

    def trace(frame, event, arg):
        nonlocal count, raised
        if not frame.f_code.co_filename.startswith(core):
            return None
        if event == "line" and not raised:
            count += 1
            if count == at:
                raised = True
                os.kill(os.getpid(), signal.SIGINT)
        return trace

    before = sys.gettrace()
    try:
        with ExitStack() as stack:
            sys.settrace(trace)
            stack.enter_context(flux.knockout("ref->text"))
            stack.enter_context(flux.capture("*"))
            sys.settrace(before)
            flux.edit(PROMPT, ref, steps=1)
            sys.settrace(trace)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    assert raised == (count >= at)
    return count


def test_a_real_interrupt_while_entering_or_leaving_leaves_nothing(flux, red):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job may ignore it
    try:
        _interrupt_everywhere(flux, red)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_everywhere(flux, red):
    plain = flux.edit(PROMPT, red, steps=1)
    lines = interrupted(flux, red, sys.maxsize)
    for at in {*range(1, lines + 1, 23), *range(max(1, lines - 80), lines + 1)}:
        interrupted(flux, red, at)
        assert clean(flux), f"an interrupt at line {at} of {lines} left something"
    assert same(flux.edit(PROMPT, red, steps=1), plain)


@contextmanager
def failing(monkeypatch, owner, name, at):
    """The n-th call of a method fails: before its work, or, if it removes something, after."""
    real, calls = getattr(owner, name), []

    def once(*args, **kwargs):
        calls.append(1)
        if name == "remove":
            real(*args, **kwargs)
        if len(calls) == at:
            raise KeyboardInterrupt
        return None if name == "remove" else real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, once)
        yield


@pytest.mark.parametrize("name", ["register_forward_pre_hook", "register_forward_hook", "remove"])
@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_an_error_inside_entering_or_leaving_leaves_nothing(flux, red, monkeypatch, name, at):
    owner = torch.utils.hooks.RemovableHandle if name == "remove" else torch.nn.Module
    stopped = failing(monkeypatch, owner, name, at), pytest.raises(KeyboardInterrupt)
    with stopped[0], stopped[1], flux.knockout("ref->text"), flux.capture("*"):
        flux.edit(PROMPT, red, steps=1)
    assert clean(flux)


# what one call hands to another


def test_a_sweep_of_rows_captured_before(flux, red, blue):
    for steps, recipe, where in (
        (1, fl.t2i_lens, (red,)),
        (1, fl.color_lens, (red,)),
        (4, fl.i2i_patch, (red, blue)),
    ):
        with flux.capture("*") as acts:
            flux.edit(PROMPT, red, steps=steps)
        more = {"seeds": (0, 1)} if recipe is fl.i2i_patch else {}
        given = fl.layer_sweep(flux, recipe, PROMPT, *where, acts=acts, **more)
        fresh = fl.layer_sweep(flux, recipe, PROMPT, *where, **more)
        for block in flux.blocks:
            assert close(given[block].image, fresh[block].image)
            assert given[block].record == fresh[block].record


@pytest.mark.parametrize("kind", [np.int64, np.uint8, lambda n: np.array(n), torch.tensor])
def test_whole_numbers_of_any_kind(flux, red, kind):
    with flux.capture("double.1", steps=kind(1), rows=kind(0)) as acts:
        made = flux.edit(PROMPT, red, kind(3), kind(2), kind(96), kind(80))
    assert same(made, flux.edit(PROMPT, red, 3, 2, 96, 80))
    assert acts.steps == (1,)
    with flux.knockout("ref->text", steps=np.arange(2), heads=kind(1)):
        flux.edit(PROMPT, red, steps=2)
    with flux.patch(acts, source_step=kind(1)):
        flux.edit(PROMPT, red, steps=2, width=80)
    assert fl.load(flux.pipe, max_sequence_length=kind(40), text_layers=(1, 2)).edit(PROMPT, red)


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, True, 1.0, "1"])
def test_seeds_that_no_generator_takes(flux, red, seed):
    with pytest.raises((ValueError, TypeError), match="a seed must"):
        flux.edit(PROMPT, red, seed=seed)


@pytest.mark.parametrize("seed", [2**64 - 1, -(2**63)])
def test_seeds_at_the_ends(flux, red, seed):
    flux.edit(PROMPT, red, seed=seed, steps=1)


def test_a_closed_file_is_no_reference(flux, red, tmp_path):
    red.save(tmp_path / "red.png")
    image = Image.open(tmp_path / "red.png")
    image.close()
    with pytest.raises(ValueError, match=r"cannot be decoded.*closed"):
        flux.edit(PROMPT, image)


def test_a_model_is_not_kept_by_what_was_captured(folders, red):
    flux = fl.load(folders["one-one"])
    with flux.capture("double.0") as acts:
        flux.edit(PROMPT, red, steps=1)
    origin = acts.origin
    assert origin() is flux.pipe.transformer
    del flux
    gc.collect()
    assert origin() is None


def examples():
    """The code of every docstring of the core, pipelines, editor, loading and recipes."""
    root = Path(fl.__file__).parent
    faces = (root / f"{name}.py" for name in ("__init__", "editor", "loading", "recipes"))
    for path in [*sorted(root.glob("core/*.py")), *sorted(root.glob("pipelines/*.py")), *faces]:
        for n, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.S)):
            yield pytest.param(code, id=f"{path.parent.name}/{path.stem}-{n}")


@pytest.mark.parametrize("code", list(examples()))
def test_the_examples_of_docstrings_run(folders, red, blue, code, monkeypatch):
    mine = fl.load(folders["three-two"])
    code = textwrap.dedent(code).replace("…", "pass")
    monkeypatch.setattr(fl, "load", lambda name: mine, raising=False)
    names = {"fl": fl, "editor": mine, "red": red, "blue": blue, "prompt": PROMPT}
    exec(compile(code, "an example", "exec"), names)
