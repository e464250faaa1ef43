"""Where tokens live: the instruction's span, regions and their parts, the joint order."""

import pytest
import torch
from conftest import picture
from helpers import PROMPT, stock
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fluxlens as fl
from fluxlens.core import Region, TextTokens, parse_edges
from fluxlens.references import encoded_size


def tokens_of(flux, prompt, length=60):
    return flux.family.text_tokens(prompt, length, {})


def decoded(flux, tokens, part):
    chat = flux.family.chat(tokens.prompt)
    ids = flux.pipe.tokenizer(chat, padding="max_length", truncation=True, max_length=tokens.length)
    at = tokens.positions(Region.parse(part))
    return flux.pipe.tokenizer.decode([ids["input_ids"][i] for i in at])


@pytest.mark.parametrize(
    "prompt", [PROMPT, "user", "assistant", "add a dog", "think", "naïve ☕ café", "a  b", "im_end"]
)
def test_content_is_the_instruction_and_nothing_else(flux, prompt):
    tokens = tokens_of(flux, prompt)
    assert decoded(flux, tokens, "text[content]") == prompt
    assert decoded(flux, tokens, "text[template]").startswith("<|im_start|>user\n<|im_end|>")
    assert set(decoded(flux, tokens, "text[pad]").split("<|endoftext|>")) == {""}
    before = [p for p in tokens.template if p < tokens.content[0]]
    assert (before, len(tokens.template)) == ([0, 1, 2], 3 + 9)


def test_an_instruction_with_spaces_around_keeps_its_words(flux):
    tokens = tokens_of(flux, "  draw a mug \n")
    assert decoded(flux, tokens, "text[content]").strip() == "draw a mug"
    assert decoded(flux, tokens, 'text["mug"]').strip() == "mug"


def test_an_empty_prompt_has_no_content(flux):
    tokens = tokens_of(flux, "", 40)
    assert tokens.content == ()
    assert len(tokens.positions(Region("text", "padding"))) == 40


def test_a_prompt_that_does_not_fit_is_known_by_what_it_lost(flux):
    tokens = tokens_of(flux, "x" * 30 + " and the end", 20)
    assert len(tokens.content) == 17
    assert tokens.lost == "x" * 13 + " and the end"
    assert tokens.positions(Region("text", "pad")) == ()


WORDS = st.sampled_from(["mug", "draw", "a", "naïve", "☕", "user", "muggy", "b2"])


@given(words=st.lists(WORDS, min_size=1, max_size=6), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_word_is_its_tokens_wherever_it_stands(models, words, data):
    flux, prompt = models["two-three"], " ".join(words)
    n = data.draw(st.integers(0, len(words) - 1))
    word, nth = words[n], words[:n].count(words[n])
    tokens = tokens_of(flux, prompt, 80)
    assert decoded(flux, tokens, f'text["{word}"][{nth}]').strip() == word
    found = [
        tokens.positions(Region.parse(f'text["{word}"][{k}]')) for k in range(words.count(word))
    ]
    assert tokens.positions(Region("text", word=word)) == tuple(sorted(sum(found, ())))
    with pytest.raises(ValueError, match=rf"stands {words.count(word)} time\(s\) in the prompt"):
        tokens.positions(Region("text", word=word, nth=words.count(word)))


@pytest.mark.parametrize(
    ("span", "at"), [("12:18", range(12, 18)), (":3", range(3)), ("38:", (38, 39))]
)
def test_spans_are_positions(flux, span, at):
    assert flux.layout(PROMPT).positions(f"text[{span}]") == list(at)


SIDES = st.integers(1, 5)


@given(grid=st.tuples(SIDES, SIDES), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_box_or_mask_is_the_tokens_that_it_half_covers(grid, data):
    """The same by a box, by its mask at any scale, and counted token by token."""
    height, width = (16 * side for side in grid)
    top, left = (data.draw(st.integers(0, side - 1)) for side in (height, width))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    layout = fl.Layout(1, 3, grid, ((2, 2),))
    drawn = torch.zeros(height, width, dtype=torch.uint8)
    drawn[top:bottom, left:right] = 255
    share = drawn.reshape(grid[0], 16, grid[1], 16).float().mean((1, 3)).flatten() / 255
    expected = (3 + (share >= 0.5).nonzero()[:, 0]).tolist()
    box = f"image[{top}:{bottom}, {left}:{right}]"
    regions = [box, Region("image", mask=Image.fromarray(drawn.numpy()))]
    regions.append(Region("image", mask=drawn.numpy().repeat(3, 0).repeat(3, 1)))
    for region in regions:
        if expected:
            assert layout.positions(region) == expected
        else:
            with pytest.raises(ValueError, match="covers no token"):
                layout.mask(region)


def test_drawn_regions_know_their_picture_and_one_another(flux, red):
    layout = flux.layout(PROMPT, ref=(red, picture(80, 64, 5)))
    with pytest.raises(ValueError, match="name one of them"):
        layout.mask("ref[0:64, 0:64]")
    second = layout.positions("ref[1][0:32, 0:80]")
    assert second == list(range(layout.span("ref[1]")[0], layout.span("ref[1]")[0] + 10))
    parts = [Region("image", mask=torch.eye(6).numpy() == n) for n in (0, 1)]
    assert parts[0] != parts[1]
    assert str(parts[0]) != str(parts[1])
    mask = fl.attention_mask(flux.layout(PROMPT), (parts[1], parts[0]))  # a pair of regions
    assert int((~mask).sum()) == 6 * 30
    with pytest.raises(ValueError, match="off from themselves"):
        fl.attention_mask(flux.layout(PROMPT), "image[0:32, 0:96]->image[16:48, 0:96]")
    with pytest.raises(ValueError, match="off from themselves"):
        fl.attention_mask(flux.layout(PROMPT), 'text["mug"]->text[content]')


@pytest.mark.parametrize("name", fl.core.layout.REGIONS)
def test_a_regions_name_is_read_and_written_alike(name):
    assert str(Region.parse(name)) == name
    assert Region.parse(str(Region.parse(name))) == Region.parse(name)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((96, 96), (96, 96)),
        ((100, 79), (96, 64)),
        ((2048, 1024), (1440, 720)),
        ((64, 500), (64, 496)),
    ],
)
def test_reference_sizes_mirror_the_pipeline(size, expected):
    assert encoded_size(*size) == expected


@given(st.integers(64, 3000), st.integers(64, 3000))
@settings(max_examples=60, deadline=None)
def test_the_encoded_size_is_the_processors_arithmetic(width, height):
    from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor

    class Sized:
        def __init__(self, size):
            self.size = size

        def resize(self, size, _):
            return Sized(size)

    seen = Flux2ImageProcessor._resize_if_exceeds_area(Sized((width, height)), 1024 * 1024).size
    assert encoded_size(width, height) == (seen[0] // 16 * 16, seen[1] // 16 * 16)


@pytest.mark.parametrize(
    "refs", [(96, 96), (113, 95), (64, 200), ((96, 64), (80, 112)), (70, 70)], ids=str
)
@pytest.mark.parametrize("size", [(96, 96), (64, 112)], ids=str)
def test_the_layout_of_a_run_is_what_the_transformer_is_given(flux, refs, size):
    images = [picture(*s) for s in (refs if isinstance(refs[0], tuple) else [refs])]
    seen = []
    handle = flux.pipe.transformer.register_forward_pre_hook(
        lambda m, a, kwargs: seen.append(kwargs), with_kwargs=True
    )
    try:
        stock(flux, image=images, steps=1, height=size[0], width=size[1])
    finally:
        handle.remove()
    layout = flux.layout(PROMPT, ref=tuple(images), height=size[0], width=size[1])
    assert flux.family.shape(seen[0]) == (layout.rows, layout.text, layout.image, layout.refs)
    kwargs = seen[0]
    joint = kwargs["encoder_hidden_states"].shape[1] + kwargs["hidden_states"].shape[1]
    assert layout.length == joint
    ids = kwargs["img_ids"][0]
    for n in range(len(images)):
        start, stop = layout.span(f"ref[{n}]")
        assert (ids[start - layout.text : stop - layout.text, 0] == 10 * (n + 1)).all()


def test_regions_of_a_batch_follow_each_rows_prompt(flux, red):
    layout = flux.layout(["draw a mug", "draw a mug and a hat"], ref=red)
    content = layout.mask("text[content]").sum(1)
    assert content[1] > content[0]
    text = layout.mask("text")
    assert torch.equal(layout.mask("text[content]") | layout.mask("text[padding]"), text)
    assert torch.equal(layout.take([1]).mask("text[pad]")[0], layout.mask("text[pad]")[1])


def test_a_generation_has_the_models_own_size(flux):
    assert flux.layout(PROMPT).image == (6, 6)
    assert flux.layout(PROMPT, height=64, width=128).image == (4, 8)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_masks_cut_exactly_the_named_pairs(data):
    """For any layout and any edge: the cut pairs are readers × sources, and only those."""
    length = data.draw(st.integers(4, 20))
    rows = data.draw(st.integers(1, 3))
    texts = []
    for _ in range(rows):
        start = data.draw(st.integers(0, length - 3))
        stop = data.draw(st.integers(start + 1, length - 2))
        end = data.draw(st.integers(stop + 1, length - 1))
        content = tuple(range(start, stop))
        template = tuple(i for i in range(end) if i not in content)
        texts.append(TextTokens("x", length, {"content": content, "template": template}))
    grid = st.tuples(st.integers(1, 3), st.integers(1, 3))
    refs = data.draw(st.lists(grid, min_size=1, max_size=2))
    layout = fl.Layout(rows, length, data.draw(grid), tuple(refs), tuple(texts))
    names = ["text", "text[content]", "text[padding]", "text[pad]", "image", "ref", "ref[0]"]
    names = data.draw(st.permutations(names))
    source, reader = map(Region.parse, names[:2])
    if source.overlaps(reader):
        with pytest.raises(ValueError, match="from themselves"):
            parse_edges(f"{source}->{reader}")
        return
    mask = fl.attention_mask(layout, f"{source}->{reader}").expand(rows, 1, -1, -1)[:, 0]
    for row in range(rows):
        cut = {tuple(pair) for pair in (~mask[row]).nonzero().tolist()}
        readers, sources = layout.positions(reader, row), layout.positions(source, row)
        assert cut == {(q, k) for q in readers for k in sources}
