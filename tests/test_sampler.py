"""Our loop against the stock pipeline: one row bit for bit, a batch to rounding."""

import pytest
import torch
from conftest import picture
from helpers import PROMPT, final, pixels, same, stock
from PIL import Image

SIZES = [(96, 96), (113, 95), (64, 144)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("steps", [1, 4])
def test_an_edit_is_the_stock_pipeline_bit_for_bit(every, size, steps):
    image = picture(*size)
    ours = every.edit(PROMPT, image, seed=7, steps=steps)
    assert same(ours, stock(every, image=image, seed=7, steps=steps)[0])


@pytest.mark.parametrize("out", [(64, 64), (112, 80)], ids=str)
def test_the_output_may_be_smaller_or_larger_than_the_reference(every, red, out):
    ours = every.edit(PROMPT, red, seed=1, height=out[0], width=out[1])
    theirs = stock(every, image=red, seed=1, height=out[0], width=out[1])[0]
    assert ours.size == (out[1], out[0])
    assert same(ours, theirs)


def test_two_references_are_the_stock_list_of_images(every, red):
    other = picture(80, 112, 9)
    ours = every.edit(PROMPT, (red, other), seed=2)
    assert same(ours, stock(every, image=[red, other], seed=2)[0])
    assert not same(ours, every.edit(PROMPT, (other, red), seed=2, height=96, width=96))


def test_a_generation_is_the_stock_pipeline_bit_for_bit(every):
    ours = every.generate(PROMPT, seed=3)
    assert same(ours, stock(every, seed=3, height=96, width=96)[0])


def test_a_batch_is_its_rows_to_rounding(every, red, blue):
    prompts = [PROMPT, "add a dog", PROMPT]
    refs, seeds = [red, blue, red], [0, 1, 2]
    with final(every) as batch:
        images = every.edit(prompts, refs, seed=seeds)
    for n in range(3):
        with final(every) as alone:
            image = every.edit(prompts[n], refs[n], seed=seeds[n])
        assert abs(pixels(image) - pixels(images[n])).max() <= 1
        for step in range(4):
            torch.testing.assert_close(batch[step][n], alone[step][0], rtol=1e-4, atol=2e-4)


def test_rows_of_different_shapes_come_back_in_order(flux, red):
    wide = picture(128, 80, 4)
    refs = [red, wide, (red, wide), wide]
    images = flux.edit(PROMPT, refs, seed=[0, 1, 2, 3])
    assert [image.size for image in images] == [(96, 96), (128, 80), (96, 96), (128, 80)]
    for n, ref in enumerate(refs):
        assert abs(pixels(flux.edit(PROMPT, ref, seed=n)) - pixels(images[n])).max() <= 1


def test_one_image_in_a_list_gives_a_list(flux, red):
    images = flux.edit([PROMPT], red)
    assert isinstance(images, list)
    assert same(images[0], flux.edit(PROMPT, red))


def test_seeds_prompts_and_references_all_matter(flux, red, blue):
    first = flux.edit(PROMPT, red, seed=0)
    assert not same(first, flux.edit(PROMPT, red, seed=1))
    assert not same(first, flux.edit("add a dog", red, seed=0))
    assert not same(first, flux.edit(PROMPT, blue, seed=0))


def test_transparency_is_composited_on_white(flux, red):
    clear = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
    white = Image.new("RGB", (96, 96), "white")
    assert same(flux.edit(PROMPT, clear), flux.edit(PROMPT, white))
    palette = red.convert("P")
    palette.info["transparency"] = 0
    assert palette.size == flux.edit(PROMPT, palette).size


def test_an_exif_rotation_is_applied(flux, tmp_path):
    upright = picture(96, 128, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90° clockwise
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    turned = Image.open(tmp_path / "turned.png")
    assert turned.size == (128, 96)
    assert same(flux.edit(PROMPT, turned), flux.edit(PROMPT, upright))


def test_a_gray_reference_is_read_as_rgb(flux, red):
    gray = red.convert("L")
    assert same(flux.edit(PROMPT, gray), flux.edit(PROMPT, gray.convert("RGB")))
