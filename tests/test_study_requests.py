"""What is done to make a picture is a record; files and requests bear the names they always had."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fluxlens as fl
from fluxlens.recipes import RECIPES, TOKENS
from fluxlens.study.cells import EXTRAS, choose
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import make_plan
from fluxlens.study.requests import References, Requests, digest, facts_of
from fluxlens.study.treatments import (
    PLACEBOS,
    TREATMENTS,
    ColorLens,
    Drop,
    Edit,
    Generation,
    Knockout,
    Lens,
    Patching,
    Placebo,
    Steering,
    treatment,
)
from fluxlens.tasks import mini_tasks

# Over path and request of every picture of everything, in the order of the plan: what the pictures
# and verdicts of the shipped models were made under.
PICTURES = 35268
COMMITTED = {
    "mini": "a287a80c9ca009f4f6e3fd739747191b0a2910621cb2e58993301d0b69b1b825",
    "mini-direct": "333b3fae39bd2685b527c7b604833d508aa62dde70d870fa5bac8fc5cccc409b",
}
tokens = st.sampled_from(TOKENS)
blocks = st.none() | st.sampled_from(["double.0", "single.19"])
treatments = st.one_of(
    st.just(Edit()),
    st.builds(
        Generation, st.sampled_from(["instruction", "empty"]), st.none() | st.integers(1, 50)
    ),
    *(st.builds(kind, tokens, blocks) for kind in (Lens, ColorLens, Patching)),
    st.builds(Knockout, st.sampled_from(["ref->text", "ref->text[pad]", "image->ref"])),
    st.builds(Drop, blocks | st.just("none")),
    st.builds(Placebo, tokens, st.sampled_from(PLACEBOS)),
    st.builds(Steering, tokens, st.sampled_from([0.0, 0.25, 1.0, 1.5])),
)


@cache
def shared():
    return make_plan("mini", choose(extras=EXTRAS)), References()


@pytest.mark.parametrize("model", COMMITTED)
def test_every_picture_keeps_its_path_and_its_request(model):
    plan, references = shared()
    requests = Requests(facts_of(fl.load(model)), references)
    lines = [f"{p.path(Path(model)).as_posix()} {digest(requests.of(p))}" for p in plan]
    assert len(lines) == PICTURES
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == COMMITTED[model]


@given(treatments)
def test_a_treatment_is_read_back_from_its_names(one):
    assert treatment(one.name, one.variant) == one


@given(treatments, treatments)
def test_no_two_treatments_share_a_name(one, other):
    assert ((one.name, one.variant) == (other.name, other.variant)) == (one == other)


def test_every_recipe_has_a_record_and_the_study_no_other_names():
    assert set(RECIPES) < set(TREATMENTS)
    assert all(TREATMENTS[name].recipe is recipe for name, recipe in RECIPES.items())


@pytest.mark.parametrize(
    ("recipe", "variant", "words"),
    [
        ("lens", "all", "no recipe 'lens'; recipes are edit, t2i_lens"),
        ("edit", "clean", "no edit is called 'clean'"),
        ("generation", "clean-x", "no generation is called 'clean-x'; its names are clean"),
        ("placebo", "same-all", "shuffled"),
        ("steering", "padding", "STRENGTH"),
    ],
)
def test_a_name_that_nothing_bears_is_refused(recipe, variant, words):
    with pytest.raises(ValueError, match=words):
        Picture.named(recipe, variant, mini_tasks("color")[0])


def test_a_picture_of_a_string_is_refused():
    with pytest.raises(TypeError, match=r"Picture\.named reads names"):
        Picture("edit", mini_tasks("color")[0])
