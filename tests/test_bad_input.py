"""Each mistake is one clear error, before any work."""

import numpy as np
import pytest
from helpers import PROMPT, stock
from PIL import Image

import fluxlens as fl


@pytest.fixture
def idle(flux):
    """Fails if the transformer or the text encoder runs."""
    ran = []
    parts = flux.pipe.transformer.x_embedder, flux.pipe.text_encoder.model.embed_tokens
    handles = [part.register_forward_pre_hook(lambda *a: ran.append(1)) for part in parts]
    yield flux
    for handle in handles:
        handle.remove()
    assert not ran


@pytest.fixture
def acts(flux, red):
    with flux.capture("double.1") as captured:
        flux.edit(PROMPT, red)
    return captured


@pytest.mark.parametrize("block", ["double.9", "triple.0", "", "single", "double.0..double.7", []])
def test_unknown_blocks(idle, block):
    for make in (idle.capture, lambda b: idle.knockout("ref->text", blocks=b)):
        with pytest.raises(ValueError, match=r"double\.0 … double\.1 and single\.0 … single\.2"):
            make(block)


@pytest.mark.parametrize("region", ["txt", "text[words]", "image[0]", "ref[x]", "", "text[]"])
def test_unknown_regions(idle, region):
    for make in (
        lambda: idle.capture("double.0", tokens=region),
        lambda: idle.knockout(f"ref->{region}"),
        lambda: idle.layout(PROMPT).mask(region),
    ):
        with pytest.raises(ValueError, match=r"unknown region.*text\[padding\]"):
            make()


def test_unknown_edges(idle):
    for edge in ("ref", "ref-text", "ref>text"):
        with pytest.raises(ValueError, match="unknown edge"):
            idle.knockout(edge)


@pytest.mark.parametrize(
    "edge", ["text->text", "ref->ref[0]", "text->text[pad]", "text[padding]->text[template]"]
)
def test_edges_from_a_region_to_itself(idle, edge):
    with pytest.raises(ValueError, match="from themselves"):
        idle.knockout(edge)


def test_regions_that_this_run_does_not_have(idle, red):
    for edge, message in (("ref->text", "no reference"), ("ref[0]->image", "no reference")):
        with pytest.raises(ValueError, match=message), idle.knockout(edge):
            idle.generate(PROMPT)
    with pytest.raises(ValueError, match=r"has 1 reference"), idle.knockout("ref[1]->image"):
        idle.edit(PROMPT, red)
    with pytest.raises(ValueError, match="no reference"), idle.capture("*", tokens="ref"):
        idle.generate(PROMPT)


def test_an_empty_prompt_has_no_content_tokens(idle, red):
    with pytest.raises(ValueError, match="is empty in row 0"), idle.knockout("ref->text[content]"):
        idle.edit("", red)
    capture = idle.capture("*", tokens="text[content]")
    with pytest.raises(ValueError, match="is empty in row 1"), capture:
        idle.edit([PROMPT, "  "], red)


def test_a_lens_of_content_needs_a_prompt(idle, red):
    with pytest.raises(ValueError, match="empty in row 0"):
        fl.t2i_lens(idle, "", red, tokens="content")


def test_prompt_embeds_hide_the_prompt(flux, red):
    embeds, _ = flux.pipe.encode_prompt(PROMPT, **flux.pipe_kwargs)
    with pytest.raises(ValueError, match="prompt_embeds"), flux.knockout("ref->text[padding]"):
        stock(flux, prompt=None, prompt_embeds=embeds, image=red)
    with flux.knockout("ref->text"):
        stock(flux, prompt=None, prompt_embeds=embeds, image=red)


def test_a_patch_from_other_sizes(acts, idle, red):
    with pytest.raises(ValueError, match="other sizes"), idle.patch(acts):
        idle.edit(PROMPT, red, seed=0, height=64, width=64)


def test_a_patch_from_other_references(flux, red):
    with flux.capture("double.1", tokens="ref") as acts:
        flux.edit(PROMPT, red)
    with pytest.raises(ValueError, match="other sizes"), flux.patch(acts):
        flux.edit(PROMPT, red.resize((128, 96)), height=96, width=96)


def test_a_patch_from_other_steps(acts, idle, red, flux):
    with pytest.raises(ValueError, match="4 steps, this one has 2"), idle.patch(acts):
        idle.edit(PROMPT, red, steps=2)


def test_a_patch_from_steps_that_were_not_captured(flux, red):
    with flux.capture("double.1", steps=[0, 1]) as acts:
        flux.edit(PROMPT, red)
    with pytest.raises(ValueError, match=r"step\(s\) \[2, 3\] were not captured"), flux.patch(acts):
        flux.edit(PROMPT, red)
    with flux.patch(acts, steps=[0, 1]):
        flux.edit(PROMPT, red)


def test_a_patch_from_another_prompt(acts, idle, red):
    with pytest.raises(ValueError, match="positions mean other words"), idle.patch(acts):
        idle.edit("add a dog", red)


def test_a_patch_from_another_number_of_rows(flux, red):
    with flux.capture("double.1") as acts:
        flux.edit(PROMPT, [red, red], seed=[0, 1])
    with pytest.raises(ValueError, match="2 rows were captured and 3"), flux.patch(acts):
        flux.edit(PROMPT, [red] * 3, seed=[0, 1, 2])


def test_a_patch_of_tokens_that_were_not_captured(flux, red):
    with flux.capture("double.1", tokens="text[pad]") as acts:
        flux.edit(PROMPT, red)
    for tokens in ("text", "text[content]"):
        with pytest.raises(ValueError, match="not within"), flux.patch(acts, tokens):
            flux.edit(PROMPT, red)


def test_a_patch_from_another_model(flux, folders, red):
    other = fl.load(folders["three-two"], max_sequence_length=40)
    with other.capture("double.1") as acts:
        other.edit(PROMPT, red)
    with pytest.raises(ValueError, match="another model"), flux.patch(acts):
        flux.edit(PROMPT, red)


def test_a_patch_that_cannot_be_placed(acts, idle):
    with pytest.raises(ValueError, match="was not captured"):
        idle.patch(acts, blocks="single.0")
    with pytest.raises(ValueError, match="unknown block"):
        idle.patch(acts, into="single.9")
    with pytest.raises(ValueError, match="'same' or 'source'"):
        idle.patch(acts, positions="target")
    unused, nothing = pytest.raises(fl.FiringError), "nothing was captured yet"
    with unused, idle.capture("double.0") as empty, pytest.raises(ValueError, match=nothing):
        idle.patch(empty)


def test_steps_and_rows_that_do_not_exist(idle, red):
    with pytest.raises(ValueError, match="step 4 of a run with 4"), idle.capture("*", steps=4):
        idle.edit(PROMPT, red)
    with pytest.raises(ValueError, match="row 1 of a batch of 1"), idle.capture("*", rows=1):
        idle.edit(PROMPT, red)
    for bad in (-1, []):
        with pytest.raises(ValueError, match="count from 0"):
            idle.capture("*", steps=bad)


def test_content_of_different_lengths_is_not_one_tensor(idle, red):
    capture = idle.capture("*", tokens="text[content]")
    with pytest.raises(ValueError, match="capture 'text'"), capture:
        idle.edit(["draw a mug", "draw a very large mug"], red)


@pytest.mark.parametrize("bad", ["red.png", np.zeros((96, 96, 3), np.uint8), 3, b"", object()])
def test_references_that_are_not_images(idle, bad):
    with pytest.raises(TypeError, match=r"must be a PIL image.*PIL\.Image\.open"):
        idle.edit(PROMPT, bad)


@pytest.mark.parametrize("size", [(1, 1), (1, 96), (63, 300), (96, 63)])
def test_references_that_are_too_small(idle, size):
    with pytest.raises(ValueError, match=rf"{size[0]}×{size[1]}.*at least 64"):
        idle.edit(PROMPT, Image.new("RGB", size))


def test_references_of_other_kinds(idle, tmp_path, red):
    with pytest.raises(ValueError, match="8:1"):
        idle.edit(PROMPT, Image.new("RGB", (900, 64)))
    with pytest.raises(ValueError, match="more than 8 bits"):
        idle.edit(PROMPT, Image.new("I;16", (96, 96)))
    red.save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    damaged = pytest.raises(ValueError, match="cannot be decoded")
    with Image.open(tmp_path / "cut.png") as cut, damaged:
        idle.edit(PROMPT, cut)


def test_an_edit_needs_a_reference(idle, red):
    with pytest.raises(ValueError, match=r"editor\.generate"):
        idle.edit(PROMPT, None)
    with pytest.raises(ValueError, match="is empty"):
        idle.edit(PROMPT, ())
    with pytest.raises(ValueError, match="reference image in every row"):
        fl.attention_knockout(idle, PROMPT, [red, None])


def test_rows_that_do_not_match(idle, red):
    with pytest.raises(ValueError, match="same rows"):
        idle.edit([PROMPT, PROMPT], [red, red, red])
    with pytest.raises(ValueError, match="same rows"):
        idle.edit([], red)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"steps": 0}, ValueError),
        ({"steps": 1.5}, ValueError),
        ({"seed": "0"}, TypeError),
        ({"seed": None}, TypeError),
        ({"height": 8}, ValueError),
        ({"width": -16}, ValueError),
        ({"width": 96.0}, ValueError),
    ],
    ids=str,
)
def test_numbers_that_make_no_sense(idle, red, change, error):
    with pytest.raises(error, match=next(iter(change))):
        idle.edit(PROMPT, red, **change)


def test_a_prompt_must_be_text(idle, red):
    with pytest.raises(TypeError, match="a prompt must be a string"):
        idle.edit(None, red)


def test_a_prompt_longer_than_the_sequence_is_warned_of(flux, red):
    with pytest.warns(UserWarning, match=r"longer than the 40 text tokens.*'zyx'"):
        flux.edit("a" * 37 + "zyx", red, steps=1)


def test_an_uneven_size_is_warned_of(flux, red):
    with pytest.warns(UserWarning, match="height 100 is not a multiple of 16: using 96"):
        image = flux.edit(PROMPT, red, steps=1, height=100, width=80)
    assert image.size == (80, 96)


def test_recipes_refuse_what_they_cannot_do(idle, red):
    with pytest.raises(ValueError, match=r"unknown tokens 'image'; tokens are all, padding"):
        fl.t2i_lens(idle, PROMPT, red, tokens="image")
    with pytest.raises(ValueError, match="pair"):
        fl.i2i_patch(idle, PROMPT, red, red, seeds=3)
    with pytest.raises(ValueError, match="unknown block"):
        fl.t2i_lens(idle, PROMPT, red, block="double.7")
    with pytest.raises(ValueError, match="unknown block"):
        fl.drop_reference(idle, PROMPT, red, after="double.7")
    with pytest.raises(ValueError, match=r"recipes are t2i_lens"):
        fl.layer_sweep(idle, print, PROMPT, red)
    with pytest.raises(ValueError, match="loop over rows"):
        fl.layer_sweep(idle, fl.t2i_lens, PROMPT, [red, red])
