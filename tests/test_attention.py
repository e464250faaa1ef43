"""Attention without masks equals attention under them: cuts, gains and readings of any edges."""

import json
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import tiny
import torch
from conftest import picture
from diffusers.models.attention_dispatch import attention_backend, dispatch_attention_fn
from diffusers.models.transformers import transformer_flux2 as stock_module
from helpers import PROMPT, call_of, final, states, stock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import fluxlens as fl
from fluxlens.core import Bias, Drop, Layout, Region, TextTokens, Watch, parse_edges, seam
from fluxlens.core.seam import Plan
from fluxlens.pipelines import adapt

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
CUT = float("-inf")
PARTS = ["text", "text[content]", "text[padding]", "text[template]", "text[pad]", "image", "ref"]
PROMPTS = [PROMPT, "add a dog", "draw a small mug", "x"]
REGIONS = [Region.parse(name) for name in [*PARTS, "ref[0]", "ref[1]"]]
EDGES = [f"{a}->{b}" for a in REGIONS for b in REGIONS if not a.overlaps(b)]
few = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def words(length, content, template=(0,)):
    return TextTokens("x", length, {"content": tuple(content), "template": tuple(template)})


@st.composite
def layouts(draw):
    """Batches whose words stand in different places, with two references."""
    rows, text = draw(st.integers(1, 4)), draw(st.integers(4, 9))
    texts = []
    for _ in range(rows):
        start = draw(st.integers(1, text - 3))
        stop = draw(st.integers(start + 1, text - 2))
        texts.append(words(text, range(start, stop), (*range(start), stop)))
    side = st.integers(1, 3)
    grids = draw(st.tuples(*[st.tuples(side, side)] * 3))
    return Layout(rows, text, grids[0], grids[1:], tuple(texts))


def biases_of(rows, heads=2):
    """Cuts and gains on some edges, in some rows and heads."""
    some = st.none() | st.lists(st.integers(0, rows - 1), min_size=1, unique=True).map(tuple)
    of_heads = st.none() | st.lists(st.integers(0, heads - 1), min_size=1, unique=True).map(tuple)
    amount = st.just(CUT) | st.floats(-6, 6, width=32, allow_subnormal=False)
    edge = st.sampled_from(EDGES).map(lambda name: parse_edges(name)[0])
    return st.lists(st.builds(Bias, edge, amount, some, of_heads), min_size=1, max_size=4)


def dense(layout, biases, heads=2):
    """The additive mask of biases, spelled out pair by pair."""
    out = torch.zeros(layout.rows, heads, layout.length, layout.length)
    for bias in biases:
        for row in range(layout.rows) if bias.rows is None else bias.rows:
            sides = (layout.positions(side, row) for side in (bias.edge.reader, bias.edge.source))
            readers, sources = map(torch.tensor, sides)
            for head in range(heads) if bias.heads is None else bias.heads:
                out[row, head, readers[:, None], sources] += bias.amount
    return out


def qkv(layout, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, layout.rows, layout.length, 2, 8, generator=generator, dtype=dtype)


@settings(deadline=None)
@given(layouts(), st.data())
def test_groups_and_channels_are_the_mask(layout, data):
    """Without a mask, with ours, and with one that the call brings: cuts and gains alike."""
    biases = data.draw(biases_of(layout.rows))
    query, key, value = qkv(layout)
    mine = dense(layout, biases)
    theirs = dispatch_attention_fn(query, key, value, attn_mask=mine.double())
    for asked in (False, True):
        plan = Plan(layout, biases, dense=asked)
        made = plan.attend(dispatch_attention_fn, query, key, value)
        torch.testing.assert_close(made, theirs, rtol=1e-5, atol=1e-6)
    user = torch.randn(1, 1, layout.length, layout.length).double()
    made = plan.attend(dispatch_attention_fn, query, key, value, attn_mask=user)
    theirs = dispatch_attention_fn(query, key, value, attn_mask=mine.double() + user)
    torch.testing.assert_close(made, theirs, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(layouts(), st.data())
def test_weights_are_the_softmax(layout, data):
    """Of any readers in chunks of any size, under cuts, gains and a user's mask."""
    biases = data.draw(st.just([]) | biases_of(layout.rows))
    query, key, _ = qkv(layout, dtype=torch.float32)
    row = data.draw(st.integers(0, layout.rows - 1))
    readers = torch.tensor(data.draw(st.lists(st.integers(0, layout.length - 1), min_size=1)))
    user = data.draw(st.sampled_from([None, torch.randn(1, 1, layout.length, layout.length)]))
    logits = torch.einsum("qhc,khc->hqk", query[row], key[row]) * 0.3
    logits = logits + dense(layout, biases)[row] + (0 if user is None else user[0])
    expected = logits.softmax(-1)[:, readers]
    found, budget = torch.full(expected.shape, -1.0), data.draw(st.integers(1, 200))
    parts = Plan(layout, biases).weights(query, key, readers, row, 0.3, user, budget)
    for at, part in parts:
        found[:, at] = part
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def parts(layout, *biases, heads=2):
    plan = Plan(layout, biases)
    return seam._parts(plan.layout, plan.biases, heads, torch.device("cpu"))


def test_contiguous_regions_are_sliced_and_scattered_ones_gathered_once():
    layout = Layout(2, 6, (2, 2), ((2, 1),), (words(6, (1, 2), (0, 3)),) * 2)

    def groups(edge):
        (part,) = parts(layout, Bias(*parse_edges(edge), CUT))
        return [(group.queries, group.keys) for group in part.groups]

    expected = [(slice(0, 6), slice(0, 10)), (slice(6, 12), slice(0, 12))]
    assert sorted(groups("ref->text"), key=str) == sorted(expected, key=str)
    scattered = groups("ref->text[padding]")
    assert sorted(len(queries) for queries, _ in scattered) == [4, 8]
    assert all(isinstance(keys, slice) for _, keys in scattered)


def test_rows_and_heads_under_the_same_cuts_share_calls():
    texts = tuple(words(9, range(1, n)) for n in (3, 5, 5))
    layout = Layout(3, 9, (2, 2), ((2, 1),), texts)
    content, image = (parse_edges(f"ref->{side}")[0] for side in ("text[content]", "image"))
    shared = parts(layout, Bias(content, CUT))
    assert [part.rows.tolist() for part in shared] == [[0], [1, 2]]  # words stand elsewhere
    assert all(part.heads is None and len(part.groups) == 2 for part in shared)
    (whole,) = parts(layout, Bias(image, CUT))
    assert whole.rows is None
    apart = parts(layout, Bias(image, CUT, (0,)), Bias(image, CUT, heads=(1,)))
    assert [(p.rows.tolist(), None if p.heads is None else p.heads.tolist()) for p in apart] == [
        ([0], [0]),
        ([0], [1]),
        ([1, 2], [0]),
        ([1, 2], [1]),
    ]
    assert [len(part.groups) for part in apart] == [2, 2, 1, 2]


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


@pytest.mark.parametrize("amount", [CUT, 3.7])
def test_the_number_format_is_kept(amount):
    """In bfloat16 a gain is not rounded to three digits."""
    layout = Layout(1, 6, (4, 4), ((4, 4),), (words(6, (1, 2), (0, 3)),))
    biases = [Bias(*parse_edges("ref->text[content]"), amount)]
    query, key, value = qkv(layout, dtype=torch.bfloat16)
    made = Plan(layout, biases).attend(dispatch_attention_fn, query, key, value)
    assert made.dtype == torch.bfloat16
    exact = dense(layout, biases)
    exact = dispatch_attention_fn(query.float(), key.float(), value.float(), attn_mask=exact)
    torch.testing.assert_close(made.float(), exact, rtol=2e-2, atol=2e-2)


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
    flux = fl.Editor(pipe, adapt(pipe, max_sequence_length=40, text_layers=(1, 2)))
    layout = flux.layout(PROMPT, picture(96, 96))
    pipe.transformer.to("meta")

    def flops(*contexts):
        run = Watch.of(flux).batch(layout, rows=(0,), total=1, schedule=(1.0,))
        with ExitStack() as stack:
            for context in (*contexts, run):
                stack.enter_context(context)
            counter = stack.enter_context(FlopCounterMode(display=False))
            pipe.transformer(**call_of(flux, layout, device="meta"))
        return counter.get_total_flops()

    plain, width = flops(), shape.heads * shape.head_dim
    cut = flops(flux.knockout("ref->image"))
    assert plain - cut == 4 * width * 36 * 36 * len(flux.blocks)
    content = len(layout.positions("text[content]"))
    cut = flops(flux.knockout("ref->text[content]"))
    assert plain - cut == 4 * width * 36 * content * len(flux.blocks)
    assert flops(Drop(flux, flux.blocks[2:])) < 0.85 * plain


# gains


def gained(flux, edge, amount, ref, **where):
    def run():
        with flux.gain(edge, amount, **where):
            flux.edit(PROMPT, ref, steps=2)

    return states(flux, run)


def test_a_gain_of_nothing_is_the_edit_and_of_minus_infinity_the_cut(every, red):
    plain = states(every, lambda: every.edit(PROMPT, red, steps=2))
    torch.testing.assert_close(gained(every, "ref->text", 0, red), plain, **CLOSE)
    assert not torch.equal(gained(every, "ref->text", 2, red), plain)

    def cut():
        with every.knockout("ref->text[pad]"):
            every.edit(PROMPT, red, steps=2)

    assert torch.equal(gained(every, "ref->text[pad]", CUT, red), states(every, cut))


@pytest.mark.parametrize("edge", ["ref->text[pad]", "image->ref", 'text["mug"]->image'])
def test_a_gain_is_the_pipelines_own_mask(every, red, edge):
    layout = every.layout(PROMPT, ref=red)
    for amount in (2.5, -4):
        bias = Bias(*parse_edges(edge), amount)
        mask = dense(layout, [bias], heads=1)
        with final(every) as theirs:
            stock(every, image=red, steps=2, attention_kwargs={"attention_mask": mask})
        made = gained(every, edge, amount, red)
        torch.testing.assert_close(made, torch.stack(theirs), rtol=1e-4, atol=2e-4)
        by_mask = gained(every, edge, amount, red, attention="mask")
        torch.testing.assert_close(by_mask, torch.stack(theirs), **CLOSE)


def test_gains_add_up_across_cuts_rows_and_heads(flux, red, blue):
    """Nested, by head and by row, beside a cut: as one mask of the test's own, row for row."""

    def run():
        with (
            flux.gain("ref->text", 1.5, rows=0),
            flux.gain("ref->text[pad]", 2.0, heads=1),
            flux.knockout("image->text[content]", rows=[1], heads=[0]),
        ):
            flux.edit([PROMPT, "add a dog"], [red, blue], seed=[0, 1], steps=1)

    made = states(flux, run)[0]
    for n, (prompt, ref) in enumerate([(PROMPT, red), ("add a dog", blue)]):
        edges = [parse_edges(e)[0] for e in ("ref->text", "ref->text[pad]", "image->text[content]")]
        biases = [Bias(edges[1], 2.0, None, (1,))]
        biases += [[Bias(edges[0], 1.5)], [Bias(edges[2], CUT, None, (0,))]][n]
        mask = dense(flux.layout(prompt, ref=ref), biases)
        with final(flux) as theirs:
            stock(flux, prompt, ref, n, 1, attention_kwargs={"attention_mask": mask})
        torch.testing.assert_close(made[n], theirs[0][0], rtol=1e-4, atol=2e-4)


def test_every_head_cut_in_turn_is_the_edge_cut(every, red):
    def by_head():
        with ExitStack() as stack:
            for head in range(every.pipe.transformer.config.num_attention_heads):
                stack.enter_context(every.knockout("ref->image", heads=head))
            every.edit(PROMPT, red, steps=1)

    def whole():
        with every.knockout("ref->image"):
            every.edit(PROMPT, red, steps=1)

    torch.testing.assert_close(states(every, by_head), states(every, whole), **CLOSE)


# reading


@contextmanager
def overheard(flux, block):
    """Queries and keys of one block, caught by a wrapper of the test's own around all others."""
    seen, running = [], []
    module, stock_fn = flux.module(block), stock_module.dispatch_attention_fn

    def listen(query, key, value, **kwargs):
        if running:
            seen.append((query, key))
        return stock_fn(query, key, value, **kwargs)

    stock_module.dispatch_attention_fn = listen
    handles = [
        module.register_forward_pre_hook(lambda *a: running.append(1)),
        module.register_forward_hook(lambda *a: running.clear()),
    ]
    try:
        yield seen
    finally:
        stock_module.dispatch_attention_fn = stock_fn
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("edge", ["ref->text[pad]", "image->ref", 'ref->text["mug"]'])
@pytest.mark.parametrize("under", [False, True], ids=["alone", "under a cut and a gain"])
def test_reading_is_the_softmax_over_all_keys(every, red, blue, edge, under):
    prompts, block = [PROMPT, "add a mug"], every.blocks[1]
    layout = every.layout(prompts, ref=red)
    source, reader = edge.split("->")
    extra = [Bias(*parse_edges("ref->image"), CUT), Bias(*parse_edges("text->ref"), 1.5, (1,))]
    with ExitStack() as stack:
        if under:
            stack.enter_context(every.knockout("ref->image"))
            stack.enter_context(every.gain("text->ref", 1.5, rows=1))
        how = [{"maps": "heads"}, {"maps": "readers"}, {"rows": 1}]
        seen = [stack.enter_context(every.attention(edge, block, **more)) for more in how]
        heard = stack.enter_context(overheard(every, block))
        every.edit(prompts, [red, blue], seed=[0, 1], steps=1)
    ((query, key),) = heard
    logits = torch.einsum("rqhc,rkhc->rhqk", query, key) * query.shape[-1] ** -0.5
    weights = (logits + dense(layout, extra if under else [], 1)).softmax(-1)
    near, masses = {"rtol": 1e-3, "atol": 1e-5}, []
    for row in range(2):
        readers, sources = (torch.tensor(layout.positions(s, row)) for s in (reader, source))
        flow = weights[row][:, readers[:, None], sources]  # (heads, readers, sources)
        masses.append(flow.sum(2).mean(1))
        torch.testing.assert_close(seen[0].weights[block, 0, row], flow.sum(2), **near)
        torch.testing.assert_close(seen[0].sources[block, 0, row], flow.mean(1), **near)
        torch.testing.assert_close(seen[1].sources[block, 0, row], flow.mean(0), **near)
    torch.testing.assert_close(seen[0].mass[0, 0], torch.stack(masses).mean(0), **near)
    torch.testing.assert_close(seen[2].mass[0, 0], masses[1], **near)
    if source == "ref":
        rows, columns = layout.refs[0]
        grid = torch.from_numpy(seen[0].grid(block, 0, row=1, of=0)).flatten()
        torch.testing.assert_close(grid, flow[0].mean(0), **near)
        shown = np.asarray(seen[0].map(block, row=1))
        assert (shown.shape, shown.max()) == ((16 * rows, 16 * columns), 255)


def test_all_that_is_read_is_one_and_a_cut_edge_is_nothing(flux, red):
    pads = flux.layout(PROMPT).positions("text[pad]")
    first, rest = (Region("text", span=(a, b)) for a, b in ((pads[0], pads[1]), (pads[1], 40)))
    others = map(Region.parse, ("text[content]", "text[template]", "image", "ref"))
    with ExitStack() as stack:
        stack.enter_context(flux.knockout("ref->text[pad]", blocks="single.*"))
        sources = [*others, rest]
        seen = [stack.enter_context(flux.attention((s, first), steps=[0, 2])) for s in sources]
        flux.edit(PROMPT, red)
    mass = torch.stack([one.mass for one in seen])
    assert mass.shape == (5, 5, 2, 2)
    assert (seen[0].blocks, seen[0].steps) == (list(flux.blocks), [0, 2])
    assert (mass[3, 2:] == 0).all()
    assert (mass[3, :2] > 0).all()
    itself = 1 - mass.sum(0)  # what the pad reads of itself is on no edge
    assert ((itself > 0) & (itself < 0.5)).all()


def test_reading_changes_nothing_and_reads_one_run(flux, red):
    plain = states(flux, lambda: flux.edit(PROMPT, red, steps=2))

    def read():
        with flux.attention("ref->text"), flux.attention("text->image", maps="readers"):
            flux.edit(PROMPT, red, steps=2)

    assert torch.equal(states(flux, read), plain)
    with flux.attention("ref->text"):
        flux.edit(PROMPT, red, steps=1)
        with pytest.raises(ValueError, match="one reading holds one run"):
            flux.edit(PROMPT, red, steps=1)
    with flux.attention("text->image", "double.0") as seen:
        flux.edit(PROMPT, red, steps=1)
    with pytest.raises(ValueError, match="no single picture"):
        seen.grid()
    with flux.attention("ref->image", "double.0") as seen:
        flux.edit(PROMPT, red, steps=1)
    with pytest.raises(ValueError, match="nothing was read of row 0, block single"):
        seen.grid("single.0")


def test_what_cannot_be_is_refused(flux, red):
    for wrong, says in ((float("nan"), "is a number"), (float("inf"), "is a number")):
        with pytest.raises(ValueError, match=says):
            flux.gain("ref->text", wrong)
    with pytest.raises(ValueError, match="heads count from 0 to 1"):
        flux.knockout("ref->text", heads=[0, 2])
    with pytest.raises(ValueError, match="'heads' or 'readers'"):
        flux.attention("ref->text", maps="tokens")
    with pytest.raises(ValueError, match="no reference"), flux.attention("ref->text"):
        flux.generate(PROMPT)
    with flux.gain("ref->text", 2, heads=1) as made:
        flux.edit(PROMPT, red, steps=1)
    record = json.loads(json.dumps(made.to_json()))
    assert (record["kind"], record["gain"], record["amount"]) == ("gain", ["ref->text"], 2.0)
    assert (record["heads"], record["attention"]) == ([1], "mask-free")
