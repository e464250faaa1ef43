"""What must hold exactly, whatever the weights."""

import pytest
import torch
from conftest import picture
from helpers import PROMPT, image_states, same, states, stock
from torch.nn.functional import pad

import fluxlens as fl
from fluxlens.recipes import SUFFIX

CLOSE = {"rtol": 1e-4, "atol": 2e-4}  # a masked attention is another kernel than a shorter one
CASES = {  # model, reference sizes, output size
    "square": ("two-three", ((96, 96),), (96, 96)),
    "odd, larger than the output": ("three-two", ((113, 95),), (64, 80)),
    "smaller than the output": ("one-one", ((64, 64),), (112, 96)),
    "two references": ("three-two", ((96, 64), (80, 112)), (64, 64)),
    "two references, one block each": ("one-one", ((64, 64), (70, 65)), (64, 80)),
}


@pytest.fixture(params=CASES)
def case(request, models):
    """A model, references and sizes."""
    name, sizes, out = CASES[request.param]
    refs = tuple(picture(*size, seed=n + 3) for n, size in enumerate(sizes))
    kwargs = {"height": out[0], "width": out[1]}
    return models[name], refs, kwargs, models[name].layout(PROMPT, ref=refs, **kwargs)


def edit(case, **more):
    flux, refs, kwargs, _ = case
    return lambda: flux.edit(PROMPT, refs, seed=5, **kwargs, **more)


def under(flux, run, *edges_and_blocks):
    def inside():
        with flux.knockout(edges_and_blocks[0], blocks=edges_and_blocks[1]):
            if len(edges_and_blocks) > 2:
                return under(flux, run, *edges_and_blocks[2:])()
            return run()

    return inside


def test_cutting_both_roads_is_text_to_image(case):
    flux, _, kwargs, layout = case
    cut = image_states(flux, under(flux, edit(case), ["ref->text", "ref->image"], "*"), layout)
    clean = states(flux, lambda: flux.generate(PROMPT, seed=5, **kwargs))
    torch.testing.assert_close(cut, clean, **CLOSE)
    plain = image_states(flux, edit(case), layout)
    assert (plain - clean).abs().max() > 0.01


def test_the_split_schedule_at_its_ends(case):
    flux, refs, kwargs, layout = case

    def dropped(after):
        return image_states(
            flux,
            lambda: fl.drop_reference(flux, PROMPT, refs, seed=5, after=after, **kwargs),
            layout,
        )

    clean = states(flux, lambda: flux.generate(PROMPT, seed=5, **kwargs))
    torch.testing.assert_close(dropped("none"), clean, **CLOSE)
    only_image = image_states(flux, under(flux, edit(case), "ref->image", "*"), layout)
    assert torch.equal(dropped(flux.blocks[-1]), only_image)
    # the last block's text is thrown away, so what it read does not matter
    torch.testing.assert_close(dropped(flux.blocks[-2]), only_image, **CLOSE)


def test_two_and_four_cuts_of_the_suffix_agree(case):
    flux, _, _, layout = case
    split = len(flux.blocks) // 2
    before, behind = flux.blocks[:split], flux.blocks[split:]
    outs = [
        image_states(flux, under(flux, edit(case), "ref->image", before, cut, behind), layout)
        for cut in (["ref->text", "ref->image"], list(SUFFIX))
    ]
    torch.testing.assert_close(outs[0], outs[1], **CLOSE)


def test_cutting_a_suffix_is_dropping_the_reference_tokens(case):
    """Remove the reference rows for real from some block on, with hooks of the test's own."""
    flux, _, _, layout = case
    split = len(flux.blocks) // 2
    start, stop = layout.span("ref")
    transformer = flux.pipe.transformer

    def shorten(module, args, kwargs):
        kwargs = dict(kwargs)
        kwargs["image_rotary_emb"] = tuple(r[:start] for r in kwargs["image_rotary_emb"])
        if kwargs["encoder_hidden_states"] is None:
            kwargs["hidden_states"] = kwargs["hidden_states"][:, :start]
        else:
            kwargs["hidden_states"] = kwargs["hidden_states"][:, : start - layout.text]
        return args, kwargs

    handles = [
        flux.module(block).register_forward_pre_hook(shorten, with_kwargs=True)
        for block in flux.blocks[split:]
    ]
    area = layout.image[0] * layout.image[1]
    outs = []
    pads = transformer.register_forward_hook(
        lambda m, a, out: outs.append(out[0]) or (pad(out[0], (0, 0, 0, stop - start)),)
    )
    try:
        edit(case)()
    finally:
        pads.remove()
        for handle in handles:
            handle.remove()
    cut = image_states(
        flux, under(flux, edit(case), ["ref->text", "ref->image"], flux.blocks[split:]), layout
    )
    torch.testing.assert_close(cut, torch.stack(outs)[:, :, :area], **CLOSE)


def test_one_step_is_step_0_of_four(case):
    flux, refs, kwargs, _ = case
    acts = []
    for steps in (1, 4):
        with flux.capture("*", steps=0) as captured:
            flux.edit(PROMPT, refs, seed=5, steps=steps, **kwargs)
        acts.append(captured)
    for block in flux.blocks:
        assert torch.equal(acts[0][block, 0], acts[1][block, 0])


def test_a_capture_that_stops_at_its_block_is_the_same(every, red):
    from fluxlens.pipelines import rows_of, sample

    rows, _ = rows_of(every, PROMPT, red, 5)
    with every.capture("double.0") as short:
        assert sample(every, rows, steps=2, stop_after="double.0") == []
    with every.capture("double.0") as whole:
        every.edit(PROMPT, red, seed=5, steps=2)
    for step in range(2):
        assert torch.equal(short["double.0", step], whole["double.0", step])


def test_patching_a_run_with_itself_changes_nothing(case):
    flux, *_, layout = case
    with flux.capture("*") as acts:
        plain = edit(case)()
    before = states(flux, edit(case))
    for parts in (["text"], ["text[padding]", "text[content]"], ["text[pad]", "text[template]"]):

        def patched(parts=parts):
            with flux.patch(acts, parts[0]):
                if parts[1:]:
                    with flux.patch(acts, parts[1]):
                        return edit(case)()
                return edit(case)()

        assert torch.equal(states(flux, patched), before)
        assert same(patched(), plain)
    assert layout.rows == 1


def test_all_is_padding_and_content_together(case):
    flux, refs, kwargs, _ = case
    others = tuple(picture(*ref.size, seed=40 + n) for n, ref in enumerate(refs))
    with flux.capture(flux.binding.style) as acts:
        flux.edit(PROMPT, others, seed=9, **kwargs)

    def patched(*parts):
        def run():
            with flux.patch(acts, parts[0]):
                return edit(case)() if len(parts) == 1 else patched(*parts[1:])()

        return run

    whole = states(flux, patched("text"))
    assert torch.equal(whole, states(flux, patched("text[padding]", "text[content]")))
    assert torch.equal(whole, states(flux, patched("text[content]", "text[pad]", "text[template]")))
    assert not torch.equal(whole, states(flux, edit(case)))


def test_a_full_lens_does_not_depend_on_the_target_prompt(every, red):
    with every.capture(every.binding.style) as acts:
        every.edit(PROMPT, red, steps=1)

    def lens(prompt):
        def run():
            with every.patch(acts, into="context"):
                every.generate(prompt, seed=1)

        return states(every, run)

    assert torch.equal(lens(""), lens("a whole other prompt"))
    assert not torch.equal(lens(""), states(every, lambda: every.generate("", seed=1)))


def test_text_behind_the_last_block_is_thrown_away(case):
    flux, refs, kwargs, _ = case
    last = flux.blocks[-1]
    with flux.capture(last) as acts:
        flux.edit(PROMPT, refs, seed=77, **kwargs)

    def patched():
        with flux.patch(acts):
            edit(case)()

    assert torch.equal(states(flux, patched), states(flux, edit(case)))


def test_no_mask_is_the_stock_run(case):
    flux, refs, kwargs, _ = case
    ours = edit(case)()
    assert same(ours, stock(flux, image=list(refs), seed=5, **kwargs)[0])
    kwargs |= {"attention_kwargs": {"attention_mask": None}}
    assert same(ours, stock(flux, image=list(refs), seed=5, **kwargs)[0])


def test_before_the_patched_block_nothing_differs(every, red, blue):
    block = every.blocks[len(every.blocks) // 2]
    with every.capture(block) as acts:
        every.edit(PROMPT, red, seed=0)
    with every.capture("*", tokens="image", steps=0) as plain:
        every.edit(PROMPT, blue, seed=1)
    with every.patch(acts), every.capture("*", tokens="image", steps=0) as patched:
        every.edit(PROMPT, blue, seed=1)
    at = every.blocks.index(block)
    for name in every.blocks[: at + 1]:
        assert torch.equal(plain[name, 0], patched[name, 0])
    for name in every.blocks[at + 1 :]:
        assert not torch.equal(plain[name, 0], patched[name, 0])


def test_an_empty_intervention_is_the_baseline_bit_for_bit(case):
    """Capturing everything, and cutting nothing that is read, leave every bit alone."""
    flux, refs, kwargs, _ = case
    before = states(flux, edit(case))

    def watched():
        with flux.capture("*"), flux.capture("*", tokens="image"), flux.capture("context"):
            edit(case)()

    assert torch.equal(states(flux, watched), before)

    def elsewhere():
        with flux.knockout("ref->image", rows=1), flux.capture("*", rows=1):
            flux.edit([PROMPT] * 2, [refs, picture(128, 64)], seed=[5, 6], **kwargs)

    seen = []
    handle = flux.pipe.transformer.register_forward_hook(lambda m, a, out: seen.append(out[0]))
    try:
        elsewhere()
    finally:
        handle.remove()
    area = before.shape[2]
    alone = seen[:4]
    assert all(torch.equal(out[:, :area], b) for out, b in zip(alone, before, strict=True))


def test_the_model_is_as_it_was_afterwards(case):
    flux = case[0]
    weights = {k: v.clone() for k, v in flux.pipe.transformer.state_dict().items()}
    before = states(flux, edit(case))
    for edges in ("ref->text", ["image->ref", "text->ref"]):
        under(flux, edit(case), edges, "*")()
    assert torch.equal(states(flux, edit(case)), before)
    for name, value in flux.pipe.transformer.state_dict().items():
        assert torch.equal(value, weights[name])
