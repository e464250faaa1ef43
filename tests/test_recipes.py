"""The paper's recipes: what they move, their defaults, batches, baselines and records."""

import json

import pytest
import torch
from conftest import picture
from helpers import PROMPT, close, final, same, states

import fluxlens as fl
from fluxlens.recipes import SUFFIX, TOKENS


def by_hand(flux, ref, seed, tokens, block):
    """The T2I Lens of Section 3 spelled out with plain torch hooks."""
    kept = []
    handle = flux.module(block).register_forward_hook(lambda m, a, out: kept.append(out))
    flux.edit(PROMPT, ref, seed=seed, steps=1)
    handle.remove()
    text = kept[0][0] if block.startswith("double") else kept[0][:, : flux.max_sequence_length]
    at = flux.layout(PROMPT).positions(tokens)

    def write(module, args, output):
        output = output.clone()
        output[:, at] = text[:, at]
        return output

    handle = flux.pipe.transformer.context_embedder.register_forward_hook(write)
    try:
        return flux.generate("", seed=seed + 1)
    finally:
        handle.remove()


@pytest.mark.parametrize("tokens", TOKENS)
def test_the_lens_is_the_papers(flux, red, tokens):
    made = fl.t2i_lens(flux, PROMPT, red, seed=4, tokens=tokens)
    region = "text" if tokens == "all" else f"text[{tokens}]"
    assert same(made.image, by_hand(flux, red, 4, region, flux.binding.style))
    assert same(made.image, fl.t2i_lens(flux, PROMPT, red, seed=4, tokens=region).image)


def test_the_lens_sees_the_reference(every, red, blue):
    def lens(ref):
        return states(every, lambda: fl.t2i_lens(every, PROMPT, ref, seed=0))[1:]

    with final(every) as seen:
        fl.t2i_lens(every, PROMPT, red, seed=0)
    assert len(seen) == 4  # the source run is stopped at its block and never comes out
    assert not torch.equal(lens(red), lens(blue))


def test_the_color_lens_patches_one_step_at_its_own_block(flux, red):
    block = flux.binding.color
    with flux.capture(block) as acts:
        flux.edit(PROMPT, red, seed=4, steps=1)

    def write(module, args, output):
        output = output.clone()
        output[:, : flux.max_sequence_length] = acts[block, 0]
        return output

    handle = flux.module(block).register_forward_hook(write)
    try:
        expected = flux.generate("", seed=5, steps=1)
    finally:
        handle.remove()
    assert same(fl.color_lens(flux, PROMPT, red, seed=4).image, expected)
    made = fl.color_lens(flux, PROMPT, red, seed=4, baselines=True)
    assert close(made.image, expected)
    assert close(made.unconditional, flux.generate("", seed=5, steps=1))
    assert not close(made.image, made.unconditional)


def test_lens_baselines_are_the_papers(flux, red):
    made = fl.t2i_lens(flux, PROMPT, red, seed=4, baselines=True)
    assert close(made.edit, flux.edit(PROMPT, red, seed=4))
    assert close(made.clean, flux.generate(PROMPT, seed=5))
    assert close(made.unconditional, flux.generate("", seed=5))
    assert made.source is None
    assert fl.t2i_lens(flux, PROMPT, red).edit is None


def test_a_batch_of_lenses_is_its_rows(flux, red, blue):
    wide = picture(112, 80, 8)
    prompts = [PROMPT, PROMPT, "add a dog", PROMPT]
    refs, seeds = [red, red, wide, blue], [0, 0, 3, 4]
    tokens = ["all", "padding", "content", "pad"]
    blocks = ["double.1", "double.1", "single.0", "double.0"]
    made = fl.t2i_lens(flux, prompts, refs, seeds, tokens=tokens, block=blocks, baselines=True)
    for n in range(4):
        alone = fl.t2i_lens(
            flux, prompts[n], refs[n], seeds[n], tokens=tokens[n], block=blocks[n], baselines=True
        )
        assert close(made.image[n], alone.image)
        assert close(made.edit[n], alone.edit)
        assert close(made.clean[n], alone.clean)
        assert made.record[n] == alone.record


def test_equal_sources_run_once(flux, red, monkeypatch):
    from fluxlens import recipes

    sizes = []
    run = recipes.sample
    monkeypatch.setattr(
        recipes, "sample", lambda f, rows, **kw: sizes.append(len(rows)) or run(f, rows, **kw)
    )
    fl.t2i_lens(flux, PROMPT, red, tokens=["all", "padding", "content"], baselines=True)
    assert sizes == [1, 3 + 3]


def test_the_knockout_is_the_context(flux, red):
    made = fl.attention_knockout(flux, PROMPT, red, seed=2, cut="ref->image")
    with flux.knockout("ref->image"):
        assert same(made.image, flux.edit(PROMPT, red, seed=2))
    beside = fl.attention_knockout(flux, PROMPT, red, seed=2, cut="ref->image", baselines=True)
    assert close(beside.image, made.image)
    assert close(beside.edit, flux.edit(PROMPT, red, seed=2))
    assert close(beside.clean, flux.generate(PROMPT, seed=2))
    assert beside.record == made.record


def test_a_batch_of_cuts_is_its_rows(flux, red):
    cuts = ["ref->text", ("ref->text", "ref->image"), "ref->text[content]"]
    made = fl.attention_knockout(flux, PROMPT, red, cut=cuts, blocks=["*", "double.*", "single.1"])
    for n, blocks in enumerate(["*", "double.*", "single.1"]):
        alone = fl.attention_knockout(flux, PROMPT, red, cut=cuts[n], blocks=blocks)
        assert close(made.image[n], alone.image)
        assert made.record[n] == alone.record


def test_the_drop_is_two_knockouts(flux, red):
    made = fl.drop_reference(flux, PROMPT, red, seed=2, after="double.0")
    masked = fl.drop_reference(flux, PROMPT, red, seed=2, after="double.0", attention="mask")
    prefix = flux.knockout("ref->image", blocks="double.0", attention="mask")
    suffix = list(SUFFIX)
    with prefix, flux.knockout(suffix, blocks="double.1..", attention="mask"):
        assert same(masked.image, flux.edit(PROMPT, red, seed=2))
    assert close(made.image, masked.image)
    assert [spec["kind"] for spec in made.record["interventions"]] == ["knockout", "drop"]
    default = fl.drop_reference(flux, PROMPT, red, seed=2)
    assert same(default.image, fl.drop_reference(flux, PROMPT, red, 2, after="double.1").image)


def test_patching_is_capture_and_patch(flux, red, blue):
    made = fl.i2i_patch(flux, PROMPT, red, blue, seeds=(3, 8), tokens="padding", baselines=True)
    with flux.capture("double.1") as acts:
        source = flux.edit(PROMPT, red, seed=3)
    with flux.patch(acts, "text[padding]"):
        assert close(made.image, flux.edit(PROMPT, blue, seed=8))
    assert close(made.source, source)
    assert close(made.target, flux.edit(PROMPT, blue, seed=8))
    assert close(made.clean, flux.generate(PROMPT, seed=8))
    assert made.record["source_seed"] == 3
    assert made.record["seed"] == 8


def test_patching_pairs_whose_references_differ_in_size(flux, red):
    wide = picture(128, 64, 3)
    made = fl.i2i_patch(
        flux, PROMPT, [wide, red], [red, wide], seeds=[(0, 1), (2, 3)], block="single.0"
    )
    assert [image.size for image in made.images] == [(96, 96), (128, 64)]
    alone = fl.i2i_patch(flux, PROMPT, red, wide, seeds=(2, 3), block="single.0")
    assert close(made.image[1], alone.image)


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        (fl.t2i_lens, {"tokens": "padding"}),
        (fl.drop_reference, {}),
        (fl.attention_knockout, {"cut": "ref->image"}),
    ],
    ids=["lens", "drop", "knockout"],
)
def test_a_sweep_is_the_recipe_at_every_block(flux, red, recipe, more):
    swept = fl.layer_sweep(flux, recipe, PROMPT, red, seed=1, batch=3, **more)
    assert tuple(swept) == flux.blocks
    where = {r.run: r.sweeps for r in fl.RECIPES.values()}[recipe]
    for block in ("double.0", "single.1"):
        alone = recipe(flux, PROMPT, red, seed=1, **{where: block}, **more)
        assert close(swept[block].image, alone.image)
        assert swept[block].record == alone.record


def test_a_sweep_runs_its_source_and_its_baselines_once(flux, red, monkeypatch):
    from fluxlens import recipes

    sizes = []
    run = recipes.sample
    monkeypatch.setattr(
        recipes, "sample", lambda f, rows, **kw: sizes.append(len(rows)) or run(f, rows, **kw)
    )
    swept = fl.layer_sweep(flux, fl.color_lens, PROMPT, red, batch=3, baselines=True)
    assert sizes == [1, len(flux.blocks) + 3]
    unpatched = {id(made.unconditional) for made in swept.values()}
    assert len(unpatched) == 1


def test_a_sweep_of_patching(flux, red, blue):
    swept = fl.layer_sweep(flux, fl.i2i_patch, PROMPT, red, blue, seeds=(0, 1), blocks="double.*")
    assert tuple(swept) == ("double.0", "double.1")
    alone = fl.i2i_patch(flux, PROMPT, red, blue, seeds=(0, 1), block="double.0")
    assert close(swept["double.0"].image, alone.image)


def test_records_are_json_and_say_what_was_done(flux, red):
    made = fl.t2i_lens(flux, PROMPT, red, seed=6, tokens="content")
    record = json.loads(json.dumps(made.record))
    assert record["recipe"] == "t2i_lens"
    assert (record["prompt"], record["seed"], record["steps"]) == (PROMPT, 6, 4)
    patch = record["interventions"][0]
    assert patch["tokens"] == "text[content]"
    assert patch["blocks"] == ["context"]
    assert patch["source"]["block"] == flux.binding.style
    assert record["model"] == "tiny-2-3"
    assert record["revision"].startswith("sha256:")


def test_an_outer_context_acts_on_a_recipe(flux, red):
    with pytest.raises(ValueError, match="no reference"), flux.knockout("ref->text"):
        fl.t2i_lens(flux, PROMPT, red)
    with flux.knockout("image->text"):  # a source that is cut short is not a broken promise
        assert fl.t2i_lens(flux, PROMPT, red).image.size == (96, 96)
    with flux.knockout("ref->text[content]"):
        made = fl.attention_knockout(flux, PROMPT, red, cut="ref->text[padding]")
    assert same(made.image, fl.attention_knockout(flux, PROMPT, red, cut="ref->text").image)
    assert len(made.record["interventions"]) == 2
