"""Compiled blocks hear every intervention, and are compiled again afterwards."""

import pytest
import torch
from helpers import PROMPT, close

import fluxlens as fl
from fluxlens.core import ModelError

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def compiled(folders, request):
    """A tiny model whose repeated blocks are compiled by some backend of dynamo's."""
    flux = fl.load(folders["one-one"])
    flux.pipe.transformer.compile_repeated_blocks(backend=request.param)
    yield flux
    torch._dynamo.reset()


def everything(flux, red, blue):
    """One picture of each kind of intervention."""
    with flux.knockout("ref->image", blocks="single.0"):
        yield flux.edit(PROMPT, red, steps=1)
    with flux.capture("double.0") as acts:
        yield flux.edit(PROMPT, red, steps=1)
    with flux.patch(acts):
        yield flux.edit(PROMPT, blue, seed=1, steps=1)
    yield fl.drop_reference(flux, PROMPT, red, after="double.0", steps=1).image
    yield fl.i2i_patch(flux, PROMPT, red, blue, block="double.0", steps=1).image


@pytest.mark.parametrize(
    "compiled",
    ["eager", pytest.param("inductor", marks=pytest.mark.slow)],
    indirect=True,
)
def test_compiled_blocks_are_heard(compiled, models, red, blue):
    blocks = [compiled.module(name) for name in compiled.blocks]
    before = [block._compiled_call_impl for block in blocks]
    assert all(before)
    plain = compiled.edit(PROMPT, red, steps=1)
    assert close(plain, models["one-one"].edit(PROMPT, red, steps=1))
    expected = list(everything(models["one-one"], red, blue))
    for ours, theirs in zip(everything(compiled, red, blue), expected, strict=True):
        assert close(ours, theirs)
    assert not close(plain, expected[0])
    assert [block._compiled_call_impl for block in blocks] == before
    assert close(compiled.edit(PROMPT, red, steps=1), plain)


def test_a_transformer_compiled_as_a_whole_is_refused(folders, red):
    flux = fl.load(folders["one-one"])
    flux.pipe.transformer = torch.compile(flux.pipe.transformer, backend="eager")
    with pytest.raises(ModelError, match="compile_repeated_blocks"), flux.knockout("ref->text"):
        flux.edit(PROMPT, red)
