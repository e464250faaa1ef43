"""Attention without masks equals attention under them, whatever is cut where."""

import json
from contextlib import ExitStack

import pytest
import tiny
import torch
from conftest import picture
from diffusers.models.attention_dispatch import attention_backend, dispatch_attention_fn
from diffusers.models.transformers import transformer_flux2 as stock_module
from fluxlens._attention import Routes
from helpers import PROMPT, final, states, stock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import fluxlens as fl
from fluxlens.core import Drop, Layout, Region, TextTokens, parse_edges

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
PARTS = ["text", "text[content]", "text[padding]", "text[template]", "text[pad]", "image", "ref"]
PROMPTS = [PROMPT, "add a dog", "draw a small mug", "x"]
REGIONS = [Region.parse(name) for name in [*PARTS, "ref[0]", "ref[1]"]]
EDGES = [f"{a}->{b}" for a in REGIONS for b in REGIONS if not a.overlaps(b)]
few = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def layouts(draw):
    """Batches whose words stand in different places, with two references."""
    rows, text = draw(st.integers(1, 4)), draw(st.integers(4, 9))
    texts = []
    for _ in range(rows):
        start = draw(st.integers(1, text - 3))
        stop = draw(st.integers(start + 1, text - 2))
        template = (*range(start), stop)
        texts.append(TextTokens("x", text, tuple(range(start, stop)), template))
    side = st.integers(1, 3)
    grids = draw(st.tuples(*[st.tuples(side, side)] * 3))
    return Layout(rows, text, grids[0], grids[1:], tuple(texts))


def attend(layout, cuts, mask=False, seed=0, dtype=torch.float64):
    """Attention of random heads under `cuts`, by groups or by the mask."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, layout.rows, layout.length, 2, 4)
    query, key, value = torch.randn(shape, generator=generator, dtype=dtype)
    routes = Routes(layout, cuts)
    if mask:
        return dispatch_attention_fn(query, key, value, attn_mask=routes.dense())
    return routes.attend(dispatch_attention_fn, query, key, value)


@settings(deadline=None)
@given(layouts(), st.data())
def test_groups_are_the_mask(layout, data):
    row = st.lists(st.sampled_from(EDGES), max_size=4).map(parse_edges)
    cuts = data.draw(st.lists(row, min_size=layout.rows, max_size=layout.rows))
    masked = attend(layout, cuts, mask=True)
    torch.testing.assert_close(attend(layout, cuts), masked)


def test_contiguous_regions_are_sliced_and_scattered_ones_gathered_once():
    tokens = TextTokens("x", 6, (1, 2), (0, 3))
    layout = Layout(2, 6, (2, 2), ((2, 1),), (tokens, tokens))
    groups = Routes(layout, [parse_edges("ref->text")] * 2)._groups()
    whole = slice(None)
    text, rest = ((whole, slice(0, 6)), (whole, slice(0, 10))), (whole, slice(6, 12))
    assert sorted(groups, key=str) == sorted([text, (rest, (whole, slice(0, 12)))], key=str)
    groups = Routes(layout, [parse_edges("ref->text[padding]")] * 2)._groups()
    assert [len(at[1]) for at, _ in groups] == [8, 4]
    assert all(isinstance(keys[1], slice) for _, keys in groups)


def test_rows_under_the_same_cuts_share_calls():
    texts = tuple(TextTokens("x", 9, tuple(range(1, n)), (0,)) for n in (3, 5, 8))
    layout = Layout(3, 9, (2, 2), ((2, 1),), texts)
    content, image = parse_edges("ref->text[content]"), parse_edges("ref->image")
    assert len(Routes(layout, [content] * 3)._groups()) == 2
    assert len(Routes(layout, [content, image, ()])._groups()) == 5


@few
@given(st.data())
def test_a_cut_run_is_the_masked_run(every, red, data):
    """Blocks, rows, nested cuts, prompts of different lengths."""
    rows = data.draw(st.integers(1, 3))
    prompts = data.draw(st.lists(st.sampled_from(PROMPTS), min_size=rows, max_size=rows))
    edges = [edge for edge in EDGES if "ref[" not in edge]
    cut = st.tuples(
        st.lists(st.sampled_from(edges), min_size=1, max_size=2),
        st.lists(st.sampled_from(every.blocks), min_size=1, unique=True),
        st.none() | st.lists(st.integers(0, rows - 1), min_size=1, unique=True),
    )
    one, two = data.draw(cut), data.draw(cut)

    def run(attention):
        cuts = [every.knockout(*c[:2], rows=c[2], attention=attention) for c in (one, two)]
        with cuts[0], cuts[1]:
            every.edit(prompts, [red] * rows, seed=list(range(rows)), steps=1)
        assert {c.to_json()["attention"] for c in cuts} == {
            "mask" if attention == "mask" else "mask-free"
        }

    free = states(every, lambda: run("auto"))
    torch.testing.assert_close(free, states(every, lambda: run("mask")), **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_number_format_is_kept(dtype):
    tokens = TextTokens("x", 6, (1, 2), (0, 3))
    layout = Layout(1, 6, (4, 4), ((4, 4),), (tokens,))
    cuts = [parse_edges("ref->text[content]")]
    free = attend(layout, cuts, dtype=dtype)
    assert free.dtype == dtype
    torch.testing.assert_close(free, attend(layout, cuts, mask=True, dtype=dtype))


def test_kernels_that_take_no_mask_can_be_used(flux, red):
    with attention_backend("_native_flash"):
        with flux.knockout("ref->image"), final(flux) as free:
            flux.edit(PROMPT, red, steps=1)
        masked = flux.knockout("ref->image", attention="mask")
        with pytest.raises(ValueError, match="not supported for native flash"), masked:
            flux.edit(PROMPT, red, steps=1)
    with flux.knockout("ref->image"):
        expected = states(flux, lambda: flux.edit(PROMPT, red, steps=1))
    torch.testing.assert_close(free[0], expected[0], **CLOSE)


def test_it_says_why_where_it_falls_back(flux, red):
    mask = fl.attention_mask(flux.layout(PROMPT, ref=red), "image->text")
    with flux.knockout("ref->image") as cut:
        flux.edit(PROMPT, red, steps=1)
        assert cut.to_json()["attention"] == "mask-free"
        stock(flux, image=red, steps=1, attention_kwargs={"attention_mask": mask})
    record = json.loads(json.dumps(cut.to_json()))
    assert (record["attention"], record["because"]) == (
        "mask",
        "the call brings a mask of its own",
    )

    class Mine(stock_module.Flux2AttnProcessor):
        pass

    attn = flux.module("double.0").attn
    old = attn.processor
    attn.set_processor(Mine())
    try:
        with flux.knockout("ref->image") as cut, final(flux) as fallen:
            flux.edit(PROMPT, red, steps=1)
    finally:
        attn.set_processor(old)
    assert cut.to_json()["because"] == "double.0 runs Mine"
    with flux.knockout("ref->image"):
        expected = states(flux, lambda: flux.edit(PROMPT, red, steps=1))
    torch.testing.assert_close(fallen[0], expected[0], **CLOSE)


def test_the_stock_dispatch_is_back_afterwards(flux, red):
    before = stock_module.dispatch_attention_fn
    handle = flux.module("single.0").register_forward_hook(lambda *a: [][0])
    with pytest.raises(IndexError), flux.knockout("ref->text"):
        flux.edit(PROMPT, red, steps=1)
    handle.remove()
    assert stock_module.dispatch_attention_fn is before
    first, second = flux.knockout("ref->text"), flux.knockout("ref->image")
    first.__enter__()
    second.__enter__()
    flux.edit(PROMPT, red, steps=1)
    first.__exit__(None, None, None)
    assert stock_module.dispatch_attention_fn is not before
    second.__exit__(None, None, None)
    assert stock_module.dispatch_attention_fn is before


def test_an_unknown_way_is_refused(flux):
    with pytest.raises(ValueError, match="'auto' or 'mask'"):
        flux.knockout("ref->text", attention="dense")


def test_operations_can_be_counted_without_weights():
    """On the meta device nothing is computed, and a cut takes out just the pairs that it cuts."""
    shape = tiny.Shape()
    pipe = tiny.build(shape)
    flux = fl.Editor(pipe, max_sequence_length=40, text_layers=(1, 2), default_size=96)
    layout = flux.layout(PROMPT, picture(96, 96))
    pipe.transformer.to("meta")

    def flops(*contexts):
        text, joint = torch.empty(1, 40, 32, device="meta"), torch.empty(1, 72, 16, device="meta")
        ids = {"txt_ids": torch.zeros(40, 4), "img_ids": torch.zeros(72, 4)}
        run = flux.watch.batch(layout, rows=(0,), total=1, steps=1)
        with ExitStack() as stack:
            for context in (*contexts, run):
                stack.enter_context(context)
            counter = stack.enter_context(FlopCounterMode(display=False))
            time = torch.empty(1, device="meta")
            pipe.transformer(joint, text, time, **ids, return_dict=False)
        return counter.get_total_flops()

    plain, width = flops(), shape.heads * shape.head_dim
    cut = flops(flux.knockout("ref->image"))
    assert plain - cut == 4 * width * 36 * 36 * len(flux.blocks)
    content = len(layout.positions("text[content]"))
    cut = flops(flux.knockout("ref->text[content]"))
    assert plain - cut == 4 * width * 36 * content * len(flux.blocks)
    assert flops(Drop(flux, flux.blocks[2:], None, None)) < 0.85 * plain
