"""A study of any family: its own steps and guidance, and without what the family refuses."""

from __future__ import annotations

from dataclasses import replace

import families
import numpy as np
import pytest
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from helpers import PROMPT
from study_tools import files, levels

import fluxlens as fl
from fluxlens.models import KNOWN, SHIPPED_NAMES
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import plan_of
from fluxlens.study.run import Settings, run
from fluxlens.study.sampling import KLEIN, Sampling, sampling_named, sampling_of
from fluxlens.study.store import read_record
from fluxlens.study.treatments import (
    ColorLens,
    Drop,
    Edit,
    Generation,
    Knockout,
    Lens,
    Patching,
    Placebo,
    Steering,
)
from fluxlens.tasks import mini_tasks
from fluxlens.tasks import reference_image as drawn

SETTINGS = {
    "klein": {"max_sequence_length": 40, "text_layers": (1, 2)},
    "klein-base": {"max_sequence_length": 40, "text_layers": (1, 2), "guidance": 3.0},
    "dev": {"max_sequence_length": 64, "text_layers": (1, 2, 3)},
    "kontext": {"max_sequence_length": 40},
    "qwen-edit": {"guidance": 3.0},
    "qwen-edit-plus": {"guidance": 3.0},
}
STEPS = 3
ONE, TWO, THREE = (
    replace(task, instruction=PROMPT, height=128, width=128) for task in mini_tasks("color")[:3]
)
QUIET = Settings(shown=False)
PAIRED = [Patching("all"), Placebo("all", "noise"), Placebo("all"), Steering("content", 0.5)]
ALONE = [Knockout("ref->text"), Knockout("ref->image"), Drop(), Lens("all"), ColorLens("all")]


@pytest.fixture(scope="module", autouse=True)
def small_references():
    """Qwen's pipelines bring every reference to a megapixel; here, to a sixteenth of one."""
    whole = pipeline_qwenimage_edit.calculate_dimensions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            pipeline_qwenimage_edit, "calculate_dimensions", lambda a, r: whole(a / 16, r)
        )
        patch.setattr(
            pipeline_qwenimage_edit_plus, "calculate_dimensions", lambda a, r: whole(a / 16, r)[:2]
        )
        yield


@pytest.fixture(scope="module", params=SETTINGS)
def editor(request):
    """A tiny editor of each family, around a pipeline that the user holds."""
    pipe = families.FAMILIES[request.param].build(0)
    editor = fl.load(pipe, steps=STEPS, **SETTINGS[request.param])
    editor.family.default_size = 96
    return editor


@pytest.fixture(scope="module")
def plan():
    """Every treatment: of one task, of a lens alone, of a pair whose source nobody looks at."""
    pictures = [Picture(what, ONE) for what in (Edit(), Generation(), Generation("empty", 1))]
    pictures += [Picture(what, ONE) for what in ALONE]
    pictures += [Picture(Lens("all"), TWO)]
    pictures += [Picture(what, ONE, THREE) for what in PAIRED]
    return plan_of("mini", pictures)


def alone(editor, picture: Picture):
    """The same picture by the public recipe, in no company."""
    task, source, what = picture.task, picture.source, picture.treatment
    ref, seed, size = drawn(task), task.noise_seed, {"height": task.height, "width": task.width}
    match what:
        case Edit():
            return editor.edit(PROMPT, ref, seed=seed, **size)
        case Knockout(edge):
            return fl.attention_knockout(editor, PROMPT, ref, seed, cut=edge, **size).image
        case Drop():
            after = editor.binding.color
            return fl.drop_reference(editor, PROMPT, ref, seed, after=after, **size).image
        case ColorLens() | Lens():
            return what.recipe.run(editor, PROMPT, ref, seed, **size).image
        case Patching():
            seeds, block = (source.noise_seed, seed), editor.binding.color
            where = {"seeds": seeds, "block": block, **size}
            return fl.i2i_patch(editor, PROMPT, drawn(source), ref, **where).image
    return None


def test_a_study_of_every_family(editor, plan, tmp_path, capsys):
    """It makes what the family has, runs as often as planned, and says what it leaves out."""
    fitted = plan.fitted(sampling_of(editor))
    rows: list[int] = []
    handle = editor.pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(kwargs["hidden_states"].shape[0]),
        with_kwargs=True,
    )
    try:
        summary = run(editor, plan, tmp_path, QUIET)
    finally:
        handle.remove()
    assert (summary.made, summary.failures) == (fitted.pictures, ())
    assert sum(rows) == sum(summary.forwards.values())
    counts = {name: forwards for name, (_, forwards) in fitted.counts().items()}
    # controls share what they read in common
    assert summary.forwards["capture"] <= counts.pop("capture")
    assert {n: k for n, k in summary.forwards.items() if k and n != "capture"} == counts
    assert set(summary.folder.rglob("*.png")) >= {p.path(summary.folder) for p in fitted}
    said = [f"fluxlens: {line}" for line in summary.left_out]
    assert capsys.readouterr().err.splitlines() == said
    for picture in fitted:
        made, expected = levels(picture.path(summary.folder)), alone(editor, picture)
        if expected is not None:
            assert np.abs(made - np.asarray(expected).astype(int)).max() <= 1, picture.treatment
    again = run(editor, plan, tmp_path, QUIET)
    assert (again.made, again.kept) == (0, fitted.pictures)


def test_a_source_that_nobody_looks_at_ends_in_its_first_pass(editor, tmp_path):
    sampling = sampling_of(editor)
    pictures = [Picture(Patching("all"), ONE, THREE), Picture(Knockout("ref->image"), TWO)]
    plan = plan_of("mini", pictures).fitted(sampling)
    whole = STEPS * sampling.passes
    assert plan.forwards == (whole - sampling.passes + 1) + 2 * whole
    assert sum(run(editor, plan, tmp_path, QUIET).forwards.values()) == plan.forwards


def test_interventions_make_other_pictures(editor, plan, tmp_path):
    """Else the test above would hold for a study that does nothing."""
    some = [Edit(), Knockout("ref->text"), Knockout("ref->image"), Drop("none")]
    run(editor, plan_of("mini", [Picture(what, ONE) for what in some]), tmp_path, QUIET)
    made = {n: p for n, p in files(tmp_path).items() if n.split("/")[1] != "reference"}
    assert len({levels(path).tobytes() for path in made.values()}) == len(some)


def test_what_a_family_refuses_is_left_out_and_said(plan):
    no_words = "it has no text-to-image mode"
    refusals = {"generate": no_words, "t2i_lens": no_words, "pad": "there are no pads"}
    fitted = plan.fitted(Sampling("qwen-edit", 50, 4.0, 2, False, refusals))
    left = {picture.treatment for picture in fitted}
    assert left == {Edit(), *ALONE[:3], *PAIRED}
    (line,) = fitted.left_out
    assert line == (
        f"qwen-edit leaves out t2i_lens, color_lens, generation, 5 pictures: {no_words}"
    )
    assert fitted.forwards == 2 * 50 * (1 + 3 + 4) + 99 * (1 + len(fitted.units[-1].donors))
    cut = plan_of("mini", [Picture(w, ONE) for w in (Knockout("ref->text[pad]"), Edit())])
    assert [p.treatment for p in cut.fitted(Sampling(refusals=refusals))] == [Edit()]


def test_a_request_says_what_is_not_klein_s(editor, plan, tmp_path):
    picture = Picture(Edit(), ONE)
    folder = run(editor, plan_of("mini", [picture]), tmp_path, QUIET).folder
    asked = read_record(picture.path(folder))["asked"]
    assert asked["steps"] == STEPS
    assert asked.get("guidance") == editor.family.guidance
    assert asked.get("family", KLEIN.family) == editor.family.name


@pytest.mark.parametrize("name", ["klein", "klein-base", "dev", "kontext"])
def test_a_folder_tells_how_it_samples_before_it_is_loaded(name, tmp_path):
    folder = families.save(tmp_path / name, name)
    settings = {k: v for k, v in SETTINGS[name].items() if k != "guidance"}
    loaded, named = sampling_of(fl.load(folder, **settings)), sampling_named(str(folder))
    assert replace(named, refusals={}) == replace(loaded, refusals={})
    assert named.refusals.items() <= loaded.refusals.items()


def test_known_models_sample_as_they_are_meant_to():
    steps = {name: sampling_named(name) for name in (*SHIPPED_NAMES, *KNOWN)}
    assert {n for n, s in steps.items() if s == KLEIN} == {*SHIPPED_NAMES, "klein-9b", "klein-4b"}
    twice = {name for name, sampling in steps.items() if sampling.passes == 2}
    assert twice == {n for n in KNOWN if n.startswith(("klein-base", "qwen"))}
    assert steps["klein-base-9b"].steps == 50
    assert steps["kontext-dev"].steps == 28
    by_id = sampling_named(KNOWN["klein-base-4b"].hub_id)
    assert by_id == steps["klein-base-4b"]
