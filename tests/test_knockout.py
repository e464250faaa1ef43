"""Edges and masks: what is cut, and only that."""

import itertools

import pytest
import torch
from conftest import picture
from helpers import PROMPT, close, final, same, states, stock

import fluxlens as fl
from fluxlens.core import TextTokens, seam

EDGES = [
    "ref->text",
    "ref->image",
    "ref->text[padding]",
    "ref->text[content]",
    "ref->text[template]",
    "ref->text[pad]",
    "text->ref",
    "image->text",
    "image->ref",
    "text[content]->text[padding]",
]


@pytest.mark.parametrize("edge", EDGES)
def test_cutting_equals_the_pipelines_own_mask(every, red, edge):
    mask = fl.attention_mask(every.layout(PROMPT, ref=red), edge)
    theirs = stock(every, image=red, steps=2, attention_kwargs={"attention_mask": mask})[0]
    with every.knockout(edge, attention="mask"), final(every) as masked:
        assert same(every.edit(PROMPT, red, steps=2), theirs)
    with every.knockout(edge), final(every) as free:
        assert close(every.edit(PROMPT, red, steps=2), theirs)
    plain = states(every, lambda: every.edit(PROMPT, red, steps=1))
    assert (masked[0] - plain[0]).abs().max() > 1e-4
    for step in range(2):
        torch.testing.assert_close(free[step], masked[step], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "edge", ["ref[0]->image", "ref[1]->text", "image->ref[1]", "ref[0]->ref[1]"]
)
def test_single_references_can_be_cut(flux, red, edge):
    refs = [red, picture(80, 64, 5)]
    mask = fl.attention_mask(flux.layout(PROMPT, ref=tuple(refs)), edge)
    theirs = stock(flux, image=refs, steps=2, attention_kwargs={"attention_mask": mask})[0]
    with flux.knockout(edge, attention="mask"):
        assert same(flux.edit(PROMPT, tuple(refs), steps=2), theirs)
    with flux.knockout(edge):
        assert close(flux.edit(PROMPT, tuple(refs), steps=2), theirs)


def test_cutting_each_reference_is_cutting_all(flux, red):
    refs = (red, picture(80, 64, 5))

    def one():
        with flux.knockout("ref->image"):
            flux.edit(PROMPT, refs)

    def two():
        with flux.knockout("ref[0]->image"), flux.knockout("ref[1]->image"):
            flux.edit(PROMPT, refs)

    assert torch.equal(states(flux, one), states(flux, two))


def test_a_stock_call_inside_is_cut(every, red):
    for edge in ("ref->text[padding]", "ref->image"):
        with every.knockout(edge):
            theirs = stock(every, image=red)[0]
        with every.knockout(edge):
            assert same(every.edit(PROMPT, red), theirs)


def test_padding_and_content_together_are_the_text(flux, red):
    def whole():
        with flux.knockout("ref->text"):
            flux.edit(PROMPT, red)

    def parts():
        with flux.knockout("ref->text[padding]"), flux.knockout("ref->text[content]"):
            flux.edit(PROMPT, red)

    def list_of_parts():
        with flux.knockout(["ref->text[pad]", "ref->text[template]", "ref->text[content]"]):
            flux.edit(PROMPT, red)

    first = states(flux, whole)
    assert torch.equal(first, states(flux, parts))
    assert torch.equal(first, states(flux, list_of_parts))


def test_blocks_and_steps_choose_where_it_is_cut(flux, red):
    def cut(**where):
        def run():
            with flux.knockout("ref->image", **where):
                flux.edit(PROMPT, red)

        return states(flux, run)

    plain = states(flux, lambda: flux.edit(PROMPT, red))
    late = cut(steps=[2, 3])
    assert torch.equal(late[:2], plain[:2])
    assert not torch.equal(late[2], plain[2])
    everywhere = cut()
    for blocks in ("double.*", "single.*", "single.2", "double.1..single.1"):
        some = cut(blocks=blocks)
        assert not torch.equal(some, everywhere)
        assert not torch.equal(some, plain)
    nested = cut(blocks=["double.*", "single.*"])
    assert torch.equal(nested, everywhere)


def test_rows_of_a_batch_are_cut_one_by_one(flux, red, blue):
    prompts, refs = [PROMPT, "add a small dog", PROMPT], [red, blue, blue]
    with flux.knockout("ref->text[content]", rows=[0, 1]), flux.knockout("ref->image", rows=2):
        batch = states(flux, lambda: flux.edit(prompts, refs, seed=[0, 1, 2]))
    cuts = ["ref->text[content]", "ref->text[content]", "ref->image"]
    for n in range(3):
        with flux.knockout(cuts[n]):
            alone = states(flux, lambda n=n: flux.edit(prompts[n], refs[n], seed=n))
        torch.testing.assert_close(batch[:, n], alone[:, 0], rtol=1e-4, atol=2e-4)


def test_a_users_own_mask_is_kept(flux, red):
    layout = flux.layout(PROMPT, ref=red)
    one, two = (fl.attention_mask(layout, e) for e in ("ref->text", "image->text"))
    both = stock(flux, image=red, attention_kwargs={"attention_mask": one & two})[0]
    additive = torch.zeros(one.shape).masked_fill(~one, float("-inf"))
    for mine in (one, additive):
        with flux.knockout("image->text"):
            ours = stock(flux, image=red, attention_kwargs={"attention_mask": mine})[0]
        assert same(ours, both)


def test_a_mask_of_keys_is_read_as_attention_reads_it(flux, red):
    layout = flux.layout(PROMPT, ref=red)
    keys = torch.ones(1, layout.length, dtype=torch.bool)
    keys[:, layout.positions("text[pad]")] = False
    whole = fl.attention_mask(layout, "ref->image") & keys[:, None, None, :]
    theirs = stock(flux, image=red, attention_kwargs={"attention_mask": whole})[0]
    with flux.knockout("ref->image"):
        ours = stock(flux, image=red, attention_kwargs={"attention_mask": keys})[0]
    assert same(ours, theirs)


def test_a_token_with_nothing_to_read_is_refused(flux, red):
    layout = flux.layout(PROMPT, ref=red)
    only_ref = torch.zeros(1, 1, layout.length, layout.length, dtype=torch.bool)
    only_ref[..., slice(*layout.span("ref"))] = True
    with pytest.raises(ValueError, match="nothing to read"), flux.knockout("ref->text"):
        stock(flux, image=red, attention_kwargs={"attention_mask": only_ref})
    with pytest.raises(ValueError, match="nothing to read"):
        seam.merge(
            torch.full((1, 1, 2, 2), float("-inf")),
            torch.ones(1, 1, 2, 2, dtype=bool),
            torch.float32,
        )


def counting(monkeypatch, owner, name):
    done, make = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *a, **k: done.append(1) or make(*a, **k))
    return done


def test_a_mask_is_made_once_a_run(flux, red, monkeypatch):
    done = counting(monkeypatch, seam.Plan, "mask")
    with flux.knockout("ref->text", attention="mask", blocks="double.*"):
        flux.edit(PROMPT, red, steps=2)
    assert len(done) == 1


def test_groups_are_found_once_a_kind_of_layout(flux, red, blue, monkeypatch):
    """Prompts are told apart only where a cut asks for their words."""
    done = counting(monkeypatch, seam, "_groups")
    seam._parts.cache_clear()
    for cut, found in (("ref->text", (1, 1)), ("ref->text[content]", (2, 3))):
        with flux.knockout(cut, blocks="double.*"):
            flux.edit(PROMPT, red, steps=2)
        with flux.knockout(cut, blocks="double.*"):
            flux.edit(PROMPT, blue, seed=4, steps=1)
            assert len(done) == found[0]
            flux.edit("draw a hat with a feather", blue, seed=4, steps=1)
        assert len(done) == found[1]


def test_no_edge_can_leave_a_query_blind():
    """Every set of allowed edges lets each token read itself."""
    names = ["text[content]", "text[template]", "text[pad]", "image", "ref[0]", "ref[1]"]
    tokens = TextTokens("x", 5, {"content": (1, 2), "template": (0, 3)})
    layout = fl.Layout(1, 5, (2, 2), ((1, 2), (2, 1)), (tokens,))
    edges = [f"{a}->{b}" for a, b in itertools.permutations(names, 2)]
    mask = fl.attention_mask(layout, edges)[0, 0]
    assert mask.diagonal().all()
