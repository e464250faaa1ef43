"""A run makes the recipes' own pictures, counts what it planned, and loses or mixes nothing."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from study_tools import SHAPE, all_levels, equal, files, levels, stamps

import fluxlens as fl
from fluxlens.study.cells import choose
from fluxlens.study.paths import reference_path
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import make_plan, plan_of
from fluxlens.study.run import Settings, run
from fluxlens.study.store import read_record
from fluxlens.study.survey import OtherPicturesError
from fluxlens.study.treatments import Edit
from fluxlens.tasks import Assets, MissingAssetsError, Task, mini_tasks, paper_tasks
from fluxlens.tasks import reference_image as drawn

pytest_plugins = ["study_fixtures"]
QUIET = Settings(shown=False)


@pytest.fixture(scope="module")
def forwards(small):
    """How many rows went through the transformer, call by call."""
    calls: list[int] = []
    handle = small.pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs["hidden_states"].shape[0]),
        with_kwargs=True,
    )
    yield calls
    handle.remove()


@pytest.fixture(scope="module")
def done(small, plan, forwards, tmp_path_factory):
    """The plan, run once undisturbed: its summary and the rows it took."""
    root = tmp_path_factory.mktemp("results")
    forwards.clear()
    summary = run(small, plan, root, QUIET)
    return summary, list(forwards)


def test_it_makes_the_plan_and_no_more(done, plan):
    summary, _ = done
    folder = summary.folder
    wanted = {picture.path(folder) for picture in plan}
    wanted |= {reference_path(folder, reference) for reference in plan.references}
    assert set(files(folder).values()) == wanted
    assert (summary.made, summary.kept, summary.failures) == (plan.pictures, 0, ())


def test_the_model_runs_as_often_as_planned(done, plan):
    summary, rows = done
    assert sum(rows) == plan.forwards
    assert sum(summary.forwards.values()) == plan.forwards
    counts = {name: forwards for name, (_, forwards) in plan.counts().items()}
    assert {k: v for k, v in summary.forwards.items() if v} == counts


def alone(flux, picture: Picture):
    """The same picture by the public recipe, in no company."""
    task, source = picture.task, picture.source
    ref, seed = drawn(task), task.noise_seed
    match picture.recipe:
        case "edit":
            return flux.edit(task.instruction, ref, seed=seed)
        case "generation":
            prompt = task.instruction if picture.variant.startswith("clean") else ""
            return flux.generate(
                prompt, seed=seed + 1, steps=picture.steps, height=task.height, width=task.width
            )
        case "attention_knockout":
            return fl.attention_knockout(
                flux, task.instruction, ref, seed, cut=picture.variant
            ).image
        case "i2i_patch":
            depth = flux.binding.color if task.family == "color" else flux.binding.style
            seeds = source.noise_seed, seed
            return fl.i2i_patch(
                flux, task.instruction, drawn(source), ref, seeds, tokens=picture.variant,
                block=depth,
            ).image  # fmt: skip
    lens = {"t2i_lens": fl.t2i_lens, "color_lens": fl.color_lens}[picture.recipe]
    return lens(flux, task.instruction, ref, seed, tokens=picture.variant).image


def test_pictures_are_the_recipes(done, plan, small):
    """Within the gray level that a batch's rounding can move a pixel by (paper, Section 3)."""
    one_of_each = {(p.recipe, p.variant, p.task.family): p for p in plan}
    assert len(one_of_each) == 25
    for picture in one_of_each.values():
        made = levels(picture.path(done[0].folder))
        expected = np.asarray(alone(small, picture)).astype(int)
        assert np.abs(made - expected).max() <= 1, picture.path(done[0].folder)


def test_pictures_differ_where_the_interventions_do(done, plan):
    """Else the test above would hold for a run that does nothing."""
    made = {}
    for picture in plan:
        if picture.entity == "solid_red_couch_s0":
            made[picture.recipe, picture.variant] = levels(picture.path(done[0].folder)).tobytes()
    assert len(set(made.values())) == len(made) == 8


def test_a_record_says_what_made_its_picture(done, plan, small):
    for picture in plan:
        record = read_record(picture.path(done[0].folder))
        assert record["task"] == picture.task.task_id
        assert (record["model"], record["revision"]) == (small.name, small.revision)
        assert record["recipe"] == picture.recipe
        assert record["prompt"] == ("" if "empty" in picture.variant else picture.task.instruction)
        assert record["asked"]["seed"] == picture.task.noise_seed
        assert {"torch", "diffusers", "fluxlens"} <= record["versions"].keys()
        if picture.recipe in ("edit", "generation"):
            assert record["interventions"] == []
        else:
            assert record["interventions"]


def test_the_manifest_says_who_ran_what_when(done, plan, small):
    (entry,) = json.loads((done[0].folder / "manifest.json").read_text())["runs"]
    assert entry["started"] < entry["finished"]
    assert (entry["model"], entry["revision"]) == (small.name, small.revision)
    assert (entry["pictures"], entry["made"], entry["kept"]) == (plan.pictures, plan.pictures, 0)
    assert "i2i_unc_color_text_lens" in entry["cells"]
    assert set(entry["seconds"]) >= {"edit", "i2i_patch", "files", "references"}
    assert sum(entry["seconds"].values()) > 0
    assert not (done[0].folder / ".partial").exists()


def test_a_second_run_makes_nothing(done, small, plan, forwards):
    before = stamps(done[0].folder)
    forwards.clear()
    again = run(small, plan, done[0].folder.parent, QUIET)
    assert (again.made, again.kept) == (0, plan.pictures)
    assert not forwards
    assert stamps(done[0].folder) == before


def test_what_is_lost_comes_back_the_same_and_alone(done, small, plan, forwards):
    """Whole runs of the model again, though one row of each is wanted: the same last bit."""
    folder = done[0].folder
    pixels, before = all_levels(folder), stamps(folder)
    lost = [p.path(folder) for n, p in enumerate(plan) if n % 7 == 3]
    lost.append(reference_path(folder, next(iter(plan.references))))
    for path in lost:
        path.unlink()
    (folder / "edit" / "plain" / ".half.png.tmp").write_bytes(b"\x89PNG")
    forwards.clear()
    again = run(small, plan, folder.parent, QUIET)
    (folder / "edit" / "plain" / ".half.png.tmp").unlink()
    assert again.made == len(lost) - 1
    assert 0 < sum(forwards) < plan.forwards
    assert equal(all_levels(folder), pixels)
    names = {path.relative_to(folder).as_posix() for path in lost}
    after = stamps(folder)
    assert {name for name in after if after[name] != before[name]} == names


def test_another_model_s_pictures_are_neither_reused_nor_replaced(done, plan, small, tmp_path):
    root = done[0].folder.parent
    other = fl.load(tiny.save(tmp_path / "other", replace(SHAPE, seed=9)))
    assert other.name == small.name
    before = stamps(done[0].folder)
    with pytest.raises(OtherPicturesError, match=r"--remake(?s:.*)revision 'sha256:\w+', now"):
        run(other, plan, root, QUIET)
    assert stamps(done[0].folder) == before


def test_a_damaged_or_foreign_file_is_reported(small, tmp_path):
    task = mini_tasks("color")[0]
    plan = plan_of("mini", [Picture(Edit(), task), Picture.named("generation", "clean", task)])
    folder = run(small, plan, tmp_path, QUIET).folder
    one, two = (picture.path(folder) for picture in plan)
    one.write_bytes(one.read_bytes()[:-20])
    drawn(task).save(two)
    with pytest.raises(OtherPicturesError, match=r"^2 pictures"):
        run(small, plan, tmp_path, QUIET)
    again = run(small, plan, tmp_path, replace(QUIET, remake=True))
    assert (again.made, again.kept) == (2, 0)
    assert read_record(one)["recipe"] == "edit"
    assert read_record(two)["recipe"] == "generation"


def test_another_number_format_is_another_request(folder, small, tmp_path):
    plan = plan_of("mini", [Picture.named("generation", "clean-1-step", mini_tasks("color")[0])])
    run(small, plan, tmp_path, QUIET)
    with pytest.raises(OtherPicturesError, match="dtype 'float32', now 'bfloat16'"):
        run(fl.load(folder, dtype=torch.bfloat16), plan, tmp_path, QUIET)


def test_shards_make_the_whole_with_the_same_pixels(done, plan, small, tmp_path):
    parts = [run(small, plan, tmp_path, replace(QUIET, shard=(n, 3))) for n in (1, 2, 3)]
    assert sum(part.made for part in parts) == plan.pictures
    assert equal(all_levels(parts[0].folder), all_levels(done[0].folder))
    assert (parts[0].folder / "manifest-2-of-3.json").exists()


def test_a_batch_that_fails_twice_is_named_and_the_rest_is_made(small, tmp_path):
    good, bad = mini_tasks("color")[0], mini_tasks("style")[0]
    long = replace(bad, instruction=" ".join(["on and on"] * 40))  # leaves no room for pads
    plan = plan_of("mini", [Picture.named("t2i_lens", "pad", task) for task in (good, long)])
    with pytest.warns(UserWarning, match="longer than the 96"):
        summary = run(small, plan, tmp_path, QUIET)
    assert summary.made == 1
    (failure,) = summary.failures
    assert "style" in failure.batch
    assert "text[pad]" in failure.error
    assert not summary.stopped


def test_a_run_in_which_everything_fails_stops(small, tmp_path):
    tasks = [
        replace(task, instruction=" ".join([f"on and {n} on"] * 40))
        for n, task in enumerate(mini_tasks("color")[:6])
    ]
    plan = plan_of("mini", [Picture.named("t2i_lens", "pad", task) for task in tasks])
    with pytest.warns(UserWarning, match="longer than the 96"):
        summary = run(small, plan, tmp_path, replace(QUIET, tokens=1))
    assert "3 batches in a row failed" in summary.stopped
    assert summary.made == 0


def test_missing_references_are_all_named_before_any_work(small, tmp_path, forwards):
    tasks: list[Task] = paper_tasks(families=["people_shared"])
    plan = plan_of("paper", [Picture(Edit(), task) for task in tasks])
    forwards.clear()
    with pytest.raises(MissingAssetsError, match=r"^10 of 10 pictures are missing"):
        run(small, plan, tmp_path, replace(QUIET, assets=Assets()))
    assert not forwards
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_cleared_away(small, tmp_path):
    plan = plan_of("mini", [Picture.named("generation", "clean-1-step", mini_tasks("color")[0])])
    folder = run(small, plan, tmp_path, QUIET).folder
    import socket

    dead = folder / ".partial" / f"{socket.gethostname()}-999999999"
    alive = folder / ".partial" / f"{socket.gethostname()}-{os.getppid()}"
    for left in (dead, alive):
        left.mkdir(parents=True)
        (left / "half.png").write_bytes(b"\x89PNG")
    run(small, plan, tmp_path, QUIET)
    assert not dead.exists()
    assert alive.exists()


def test_a_cell_run_after_another_reads_what_is_there(small, tmp_path, forwards):
    """The captures of a later cell come from a shorter source run, with the same values."""
    whole = make_plan("mini", choose(families=["color"]), limit=2)
    at_once = run(small, whole, tmp_path / "at once", QUIET)
    first = [p for p in whole if p.recipe in ("edit", "attention_knockout")]
    run(small, plan_of("mini", first), tmp_path / "by turns", QUIET)
    forwards.clear()
    then = run(small, whole, tmp_path / "by turns", QUIET)
    assert then.kept == len(first)
    assert equal(all_levels(then.folder), all_levels(at_once.folder))


def test_prompts_and_references_are_encoded_once(folder, tmp_path, monkeypatch):
    flux = fl.load(folder)
    encoded: Counter[str] = Counter()
    for name in ("encode_prompt", "prepare_image_latents"):
        method = getattr(flux.pipe, name)

        def counted(*args, name=name, method=method, **kwargs):
            encoded[name] += 1
            return method(*args, **kwargs)

        monkeypatch.setattr(flux.pipe, name, counted)
    cells = ["i2i_unc_color_text_lens", "i2i2i_color_text_padding", "ko_color_ref_to_image"]
    plan = make_plan("mini", choose(cells), limit=3)
    run(flux, plan, tmp_path, replace(QUIET, tokens=500))  # two rows a batch
    assert encoded == {
        "encode_prompt": len(plan.prompts),
        "prepare_image_latents": len(plan.references),
    }


@pytest.mark.parametrize("tokens", [1, 8704])
def test_a_prompt_is_encoded_once_wherever_its_batches_are(folder, tmp_path, monkeypatch, tokens):
    """Families and sizes lie between its batches, and the empty prompt is everywhere."""
    flux = fl.load(folder)
    told: Counter[str] = Counter()
    encode = flux.pipe.encode_prompt

    def counted(prompt, **kwargs):
        told[prompt] += 1
        return encode(prompt=prompt, **kwargs)

    monkeypatch.setattr(flux.pipe, "encode_prompt", counted)
    some = [mini_tasks(family)[0] for family in ("color", "style", "people")]
    some += [replace(some[0], task_id=f"{n}", family="add", noise_seed=n) for n in range(2)]
    pictures = [
        Picture.named("generation", f"{v}-1-step", t) for t in some for v in ("clean", "empty")
    ]
    plan = plan_of("mini", [*pictures, Picture.named("color_lens", "all", some[2])])
    run(flux, plan, tmp_path, replace(QUIET, tokens=tokens))
    assert told == dict.fromkeys(plan.prompts, 1)
    assert len(plan.prompts) == 4
    assert flux.encodings is None


def test_a_text_encoder_that_is_no_longer_needed_leaves_the_gpu(folder, monkeypatch):
    flux = fl.load(folder)
    moved = []
    monkeypatch.setattr(type(flux.pipe.text_encoder), "device", torch.device("cuda:1"))
    monkeypatch.setattr(flux.pipe.text_encoder, "to", moved.append)
    with flux.remember() as encodings:
        encodings.texts.update({"one": torch.zeros(1), "two": torch.zeros(1)})
        encodings.keep({"one", "three"})
        assert set(encodings.texts) == {"one"}
        assert moved == []
        encodings.keep({"one"})
        encodings.keep({"one"})
        assert moved == ["cpu"]
    assert moved == ["cpu", torch.device("cuda:1")]


def test_sweeps_share_one_source_run(small, tmp_path, forwards):
    """Appendix A's lens behind every block, and Appendix B's dropped reference."""
    task = mini_tasks("style")[0]
    blocks = small.blocks[:2]
    lenses = [Picture.named("t2i_lens", f"all@{block}", task) for block in blocks]
    drops = [Picture.named("drop_reference", block, task) for block in ("none", *blocks)]
    plan = plan_of("mini", [*lenses, *drops])
    forwards.clear()
    folder = run(small, plan, tmp_path, QUIET).folder
    assert sum(forwards) == plan.forwards == 1 + 4 * 2 + 4 * 3
    words = small, task.instruction, drawn(task), task.noise_seed
    for picture, block in zip(lenses, blocks, strict=True):
        image = fl.t2i_lens(*words, block=block).image
        assert np.abs(levels(picture.path(folder)) - np.asarray(image).astype(int)).max() <= 1
    for picture in drops:
        image = fl.drop_reference(*words, after=picture.variant).image
        assert np.abs(levels(picture.path(folder)) - np.asarray(image).astype(int)).max() <= 1


@pytest.mark.parametrize("words", [{"shard": (0, 2)}, {"shard": (3, 2)}, {"tokens": 0}])
def test_settings_are_checked(words):
    with pytest.raises(ValueError, match=r"shard|token"):
        Settings(**words)
