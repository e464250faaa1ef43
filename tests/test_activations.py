"""Norms, cosines, distances and percentiles: what must hold whatever the model."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import PROMPT
from scipy.spatial.distance import mahalanobis
from scipy.stats import kstest

from fluxlens.activations import Natural, Spread, joined, percentiles, summarize

# --- on numbers ----------------------------------------------------------------------------------


def cloud(runs: int, width: int, seed: int) -> np.ndarray:
    """Runs of one distribution, whose axes differ in variance and are turned."""
    scale = np.geomspace(10, 0.1, width)
    turn = np.linalg.qr(np.random.default_rng(99).normal(size=(width, width)))[0]
    return (np.random.default_rng(seed).normal(size=(runs, width)) * scale) @ turn + 3


def test_with_all_axes_it_is_the_textbook_distance() -> None:
    even = np.random.default_rng(2).normal(size=(60, 3))  # no axis can be spared
    others = cloud(5, 3, 1)
    natural, inverse = Natural.fit(even), np.linalg.inv(np.cov(even.T))
    assert len(natural.axes) == 3
    wanted = [mahalanobis(row, even.mean(0), inverse) for row in others]
    np.testing.assert_allclose(natural.distances(others), wanted)


def test_axes_are_as_many_as_the_rule_says() -> None:
    natural = Natural.fit(cloud(400, 12, 0))
    variances = np.sort(np.linalg.eigvalsh(np.cov(cloud(400, 12, 0).T)))[::-1]
    share = variances.cumsum() / variances.sum()
    k = len(natural.axes)
    assert share[k - 1] >= 0.9 > share[k - 2]
    np.testing.assert_allclose(natural.variances, variances[:k])
    np.testing.assert_allclose(natural.rest, variances[k:].mean())
    # a quarter of the runs where nine tenths would take more
    assert len(Natural.fit(np.random.default_rng(0).normal(size=(16, 40))).axes) == 4


def test_what_leaves_the_plane_of_the_axes_is_far() -> None:
    flat = cloud(80, 10, 0)
    natural = Natural.fit(flat)
    outside = np.linalg.svd(natural.axes)[2][-1]
    clean = cloud(80, 10, 1)
    moved = clean + 20 * natural.rest**0.5 * outside
    assert np.allclose(moved @ natural.axes.T, clean @ natural.axes.T)
    found = percentiles(natural.distances(moved), natural.distances(clean))
    assert np.median(found) > 95


def test_a_clean_run_has_every_percentile_alike() -> None:
    clean = np.random.default_rng(0).normal(size=25)
    np.testing.assert_allclose(np.sort(percentiles(clean, clean)), np.linspace(0, 100, 25))
    assert (percentiles(np.zeros(4), np.zeros(4)) == 50).all()


def test_percentiles_of_new_clean_runs_are_uniform_and_in_sample_ones_would_not_be() -> None:
    """A basis knows the runs that made it: they lie nearer to it than any other clean run."""
    honest, fooled = [], []
    for seed in range(60):
        fitted, held, new = (cloud(24, 40, 3 * seed + n) for n in range(3))
        natural = Natural.fit(fitted)
        # one value a draw: those of one draw share a basis and are not independent
        honest.append(percentiles(natural.distances(new), natural.distances(held))[0] / 100)
        fooled.append(percentiles(natural.distances(new), natural.distances(fitted))[0] / 100)
    assert kstest(honest, "uniform").pvalue > 0.01
    assert kstest(fooled, "uniform").pvalue < 1e-6
    assert np.mean(fooled) > 0.8


@pytest.mark.parametrize(
    ("found", "clean"), [(np.zeros(3), np.zeros(4)), (np.zeros(1), np.zeros(1))]
)
def test_percentiles_refuse_what_has_no_partner(found: np.ndarray, clean: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one clean run for each"):
        percentiles(found, clean)


@pytest.mark.parametrize(
    ("means", "words"), [(np.eye(2), "at least 3"), (np.ones((4, 2)), "all equal")]
)
def test_a_spread_of_nothing_is_refused(means: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Natural.fit(means)


def test_distances_do_not_depend_on_units_or_axes() -> None:
    means, others = cloud(40, 8, 0), cloud(6, 8, 1)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    wanted = Natural.fit(means).distances(others)
    moved = Natural.fit(7 * means @ turn + 2).distances(7 * others @ turn + 2)
    np.testing.assert_allclose(moved, wanted)


# --- on runs -------------------------------------------------------------------------------------


def run(flux, refs, *contexts, tokens="text", blocks="*", seeds=(0, 1)):
    """Captured behind whatever else is done to the run."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        acts = stack.enter_context(flux.capture(blocks, tokens=tokens))
        flux.edit([PROMPT] * len(refs), ref=list(refs), seed=list(seeds), steps=2)
    return acts


@pytest.mark.parametrize("region", ["text", "text[content]", "text[padding]"])
def test_summaries_are_means_over_the_regions_tokens(flux, red, blue, region) -> None:
    acts, other = run(flux, [red, blue]), run(flux, [blue, red])
    found = summarize(acts, region, beside=other)
    at = acts.layouts[1].positions(region)
    one, two = acts["single.1", 1][1, at].double(), other["single.1", 1][1, at].double()
    place = acts.blocks.index("single.1"), 1, 1
    assert found.norm[place] == pytest.approx(float(one.norm(dim=1).mean()), rel=1e-5)
    np.testing.assert_allclose(found.mean[place], one.mean(0).numpy(), rtol=1e-4, atol=1e-5)
    cosine = (one * two).sum(1) / one.norm(dim=1) / two.norm(dim=1)
    assert found.cosine is not None
    assert found.cosine[place] == pytest.approx(float(cosine.mean()), rel=1e-4)
    assert found.norm.shape == (len(flux.blocks), 2, 2)


@pytest.mark.parametrize("tokens", ["text", "image"])
def test_what_does_nothing_changes_no_number(every, red, blue, tokens) -> None:
    """An empty knockout, and a run patched with itself."""
    refs = [red, blue, red]
    clean = run(every, refs, tokens=tokens, seeds=(0, 1, 2))
    text = run(every, refs, seeds=(0, 1, 2))
    whole = summarize(clean)
    spread = Spread(whole, whole)
    for context in (every.knockout([]), every.patch(text.pick("double.0"), "text")):
        found = summarize(run(every, refs, context, tokens=tokens, seeds=(0, 1, 2)), beside=clean)
        assert found.same is not None
        assert found.cosine is not None
        assert found.same.all()
        np.testing.assert_allclose(found.cosine, 1, atol=1e-6)
        for one, two in zip(spread.of(found), spread.of(whole), strict=True):
            assert (one == two).all()


def test_nothing_differs_before_the_first_cut(flux, red, blue) -> None:
    """The text that double.0 reads, and the blocks before a later cut, in the first step."""
    everywhere = ("context", *flux.blocks)
    clean = run(flux, [red, blue], blocks=everywhere)
    early = run(flux, [red, blue], flux.knockout("ref->text"), blocks=everywhere)
    cut = summarize(early, beside=clean)
    late = flux.knockout("ref->text", blocks="single.*")
    later = summarize(run(flux, [red, blue], late, blocks=everywhere), beside=clean)
    assert cut.same is not None
    assert later.same is not None
    assert cut.same[0].all()  # at every step: text starts afresh from the prompt
    assert not cut.same[1:].any()
    before = later.blocks.index("single.0")
    assert later.same[:before, 0].all()
    assert not later.same[before:].any()
    assert not later.same[1:before, 1].any()  # the image has changed by then


@pytest.mark.parametrize("tokens", ["text", "image"])
def test_a_patched_run_is_clean_before_the_patched_block_of_the_first_step(
    flux, red, blue, tokens
) -> None:
    block = "single.0"
    clean = run(flux, [red, blue], tokens=tokens)
    source = run(flux, [blue, red]).pick(block)
    patch = flux.patch(source, "text[padding]")
    found = summarize(run(flux, [red, blue], patch, tokens=tokens), beside=clean)
    at = found.blocks.index(block) + (tokens == "image")  # a patch of text reaches images behind it
    assert found.same is not None
    assert found.same[:at, 0].all()
    assert not found.same[at:].any()


def test_another_prompts_layout_places_the_region(flux, red, blue) -> None:
    acts = run(flux, [red, blue])
    with flux.capture("*", tokens="text") as empty:
        flux.generate(["", ""], seed=[0, 1], steps=2)
    found = summarize(empty, "text[content]", layouts=acts.layouts)
    at = acts.layouts[0].positions("text[content]")
    wanted = empty["double.1", 0][0, at].mean(0).numpy()
    np.testing.assert_allclose(found.mean[1, 0, 0], wanted, rtol=1e-4, atol=1e-5)


def test_runs_of_parts_are_the_run_of_all(flux, red, blue) -> None:
    acts = run(flux, [red, blue])
    parts = joined([summarize(acts.pick(rows=[n]), "text[pad]") for n in range(2)])
    whole = summarize(acts, "text[pad]")
    np.testing.assert_allclose(parts.mean, whole.mean)
    np.testing.assert_allclose(parts.norm, whole.norm)
    assert parts.cosine is None
    with pytest.raises(ValueError, match="other blocks"):
        joined([whole, summarize(acts.pick("double.0"), "text[pad]")])


def test_what_does_not_fit_together_is_refused(flux, red, blue) -> None:
    acts = run(flux, [red, blue])
    with pytest.raises(ValueError, match="not within the captured text"):
        summarize(acts, "image")
    with pytest.raises(ValueError, match=r"not captured at double\.1"):
        summarize(acts, beside=acts.pick("double.0"))
    with pytest.raises(ValueError, match="other rows"):
        summarize(acts, beside=acts.pick(rows=[0]))
    with pytest.raises(ValueError, match="give one a row"):
        summarize(acts, layouts=acts.layouts[:1])
    with flux.capture("*", tokens="text") as still_open:
        flux.edit(PROMPT, ref=red, steps=1)
        with pytest.raises(ValueError, match="leave the capture"):
            summarize(still_open)
