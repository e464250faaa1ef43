"""Where tokens live: the instruction's span, reference sizes, the joint order."""

import pytest
import torch
from conftest import picture
from helpers import PROMPT, stock
from hypothesis import given, settings
from hypothesis import strategies as st

import fluxlens as fl
from fluxlens.core import Region, TextTokens, from_call, parse_edges, reference_size, text_tokens


def decoded(flux, tokens, part):
    chat = flux.pipe.tokenizer.apply_chat_template(
        [{"role": "user", "content": tokens.prompt}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    ids = flux.pipe.tokenizer(chat, padding="max_length", truncation=True, max_length=tokens.length)
    return flux.pipe.tokenizer.decode([ids["input_ids"][i] for i in tokens.positions(part)])


@pytest.mark.parametrize(
    "prompt", [PROMPT, "user", "assistant", "add a dog", "think", "naïve ☕ café", "a  b", "im_end"]
)
def test_content_is_the_instruction_and_nothing_else(flux, prompt):
    tokens = text_tokens(flux.pipe.tokenizer, prompt, 60)
    assert decoded(flux, tokens, "content") == prompt
    assert decoded(flux, tokens, "template").startswith("<|im_start|>user\n<|im_end|>")
    assert set(decoded(flux, tokens, "pad").split("<|endoftext|>")) == {""}


def test_the_template_has_three_tokens_before_and_nine_behind(flux):
    tokens = text_tokens(flux.pipe.tokenizer, PROMPT, 40)
    assert [p for p in tokens.template if p < tokens.content[0]] == [0, 1, 2]
    assert len([p for p in tokens.template if p > tokens.content[-1]]) == 9


def test_the_parts_partition_the_text(flux):
    tokens = text_tokens(flux.pipe.tokenizer, PROMPT, 40)
    parts = [set(tokens.positions(p)) for p in ("content", "template", "pad")]
    assert sum(map(len, parts)) == 40
    assert set.union(*parts) == set(range(40))
    assert set(tokens.positions("padding")) == parts[1] | parts[2]


def test_an_instruction_with_spaces_around_keeps_its_words(flux):
    tokens = text_tokens(flux.pipe.tokenizer, "  draw a mug \n", 40)
    assert decoded(flux, tokens, "content").strip() == "draw a mug"


def test_an_empty_prompt_has_no_content(flux):
    tokens = text_tokens(flux.pipe.tokenizer, "", 40)
    assert tokens.content == ()
    assert len(tokens.positions("padding")) == 40


def test_a_prompt_that_does_not_fit_is_known_by_what_it_lost(flux):
    tokens = text_tokens(flux.pipe.tokenizer, "x" * 30 + " and the end", 20)
    assert len(tokens.content) == 17
    assert tokens.lost == "x" * 13 + " and the end"
    assert tokens.positions("pad") == ()


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
    assert reference_size(*size) == expected


@given(st.integers(64, 3000), st.integers(64, 3000))
@settings(max_examples=60, deadline=None)
def test_reference_size_is_the_processors_arithmetic(width, height):
    from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor

    class Sized:
        def __init__(self, size):
            self.size = size

        def resize(self, size, _):
            return Sized(size)

    seen = Flux2ImageProcessor._resize_if_exceeds_area(Sized((width, height)), 1024 * 1024).size
    assert reference_size(width, height) == (seen[0] // 16 * 16, seen[1] // 16 * 16)


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
    assert from_call(seen[0], layout.texts) == layout
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
        texts.append(TextTokens("x", length, content, template))
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
