"""The plan makes what the judges see and nothing else, once, in batches that never change."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxlens.judge.questions import load_questions
from fluxlens.results import load_paper
from fluxlens.study.cells import EXTRAS, choose
from fluxlens.study.paths import judged, nulls, reference_path
from fluxlens.study.pictures import Picture, SourceRun
from fluxlens.study.plan import make_plan, plan_of
from fluxlens.study.report import plan_json, plan_text
from fluxlens.study.run import shard
from fluxlens.study.sampling import KLEIN
from fluxlens.study.treatments import Edit
from fluxlens.tasks import mini_tasks

FOLDER = Path("results/mini")
JUDGES = [cell.judge for cell in load_paper().cells]


@cache
def everything():
    return make_plan("mini", choose())


@pytest.fixture
def whole():
    return everything()


def planned(plan) -> set[Path]:
    references = {reference_path(FOLDER, reference) for reference in plan.references}
    return {picture.path(FOLDER) for picture in plan} | references


def test_the_paper_s_minimum(whole):
    """Every judged image with baselines shared, forward by forward."""
    counts = whole.counts()
    assert counts["edit"] == (1360, 5440)
    assert counts["capture"] == (0, 1515)
    assert counts["generation"][1] + counts["t2i_lens"][1] + counts["color_lens"][1] == 20680
    assert counts["attention_knockout"][1] == 13760
    assert counts["i2i_patch"][1] == 16176
    assert whole.forwards == sum(forwards for _, forwards in counts.values()) == 57571
    assert len({picture.task.task_id for picture in whole}) == 2875


def test_every_picture_a_judge_sees_is_planned_and_no_other(whole):
    seen = {
        path
        for question in load_questions().values()
        for roles in judged(FOLDER, question, "mini").values()
        for path in roles.values()
    }
    assert planned(whole) == seen
    assert len({picture.path(FOLDER) for picture in whole}) == whole.pictures


@pytest.mark.parametrize("judge", JUDGES[::4])
def test_a_cell_alone_needs_only_its_own_pictures(judge):
    plan = make_plan("mini", choose([judge]))
    roles = judged(FOLDER, load_questions()[judge], "mini").values()
    assert planned(plan) == {path for images in roles for path in images.values()}
    assert all(unit.source_run is None or unit.pictures for unit in plan.units)
    assert {name for names in plan.needs.values() for name in names} == {judge}


def test_null_controls_are_an_extra(whole):
    seen = {
        path
        for question in load_questions().values()
        for roles in nulls(FOLDER, question, "mini").values()
        for path in roles.values()
    }
    assert not seen <= planned(whole)
    assert seen <= planned(make_plan("mini", choose(extras=["nulls"])))


def test_variants_take_the_text_apart_for_every_family():
    plan = make_plan("mini", choose(extras=["variants"]))
    lenses = Counter(
        (p.task.family, p.variant) for p in plan if p.recipe in ("t2i_lens", "color_lens")
    )
    families = {"color": 320, "style": 450, "people": 90, "add": 789, "remove": 726}
    parts = ("all", "padding", "content", "template", "pad")
    assert lenses == {(family, part): n for family, n in families.items() for part in parts}
    patches = Counter(p.variant for p in plan if p.recipe == "i2i_patch")
    assert patches == dict.fromkeys(parts, 1348)


def test_what_a_unit_s_source_run_must_give():
    task, other = mini_tasks("color")[:2]

    def source_run(*pictures):
        (unit,) = plan_of("mini", pictures).units
        return unit.source_run, unit.forwards(KLEIN)

    lens = Picture.named("color_lens", "all", task)
    patch = Picture.named("i2i_patch", "all", other, source=task)
    assert source_run(Picture.named("generation", "clean", task)) == (None, 4)
    assert source_run(lens) == (SourceRun(whole=False, stops=True), 1 + 1)
    assert source_run(lens, patch) == (SourceRun(whole=True, stops=True), 4 + 1 + 4)
    assert source_run(lens, patch, Picture(Edit(), task))[0] == SourceRun(whole=True, stops=False)
    assert source_run(Picture.named("attention_knockout", "ref->text", task)) == (None, 4)


@settings(max_examples=8, deadline=None)
@given(
    cells=st.lists(st.sampled_from(JUDGES), min_size=1, max_size=4),
    tokens=st.integers(1, 9000),
    shuffle=st.randoms(use_true_random=False),
)
def test_a_picture_keeps_its_company_however_its_plan_was_asked_for(cells, tokens, shuffle):
    """Rows that share a run of the model move one another by rounding: so they never change."""
    plan = make_plan("mini", choose(cells))
    mixed = list(plan)
    shuffle.shuffle(mixed)

    def company(some):
        return [list(batch.groups) for batch in some.batches(64, tokens)]

    assert company(plan_of("mini", mixed)) == company(plan)


@settings(max_examples=8, deadline=None)
@given(tokens=st.integers(1, 20000), parts=st.integers(1, 60))
def test_batches_and_shards_partition_the_plan(tokens, parts):
    whole = everything()
    batches = whole.batches(64, tokens)
    made = [picture for batch in batches for group in batch.groups for picture in group]
    assert Counter(made) == Counter(whole)
    assert len({batch.name for batch in batches}) == len(batches)
    row = 64 + 36 + 36
    for batch in batches:
        assert batch.rows == max(1, tokens // row)
        assert len(batch.units) <= batch.rows
        assert all(len(group) <= batch.rows for group in batch.groups)
        assert len({(u.task.height, u.task.width, u.source_run) for u in batch.units}) == 1
    shards = [shard(batches, (n, parts)) for n in range(1, parts + 1)]
    assert Counter(b.name for s in shards for b in s) == Counter(b.name for b in batches)


def test_a_source_that_nobody_looks_at_is_captured_once_for_all_its_patches():
    one, two, three = mini_tasks("color")[:3]
    pictures = [Picture.named("i2i_patch", "all", two, source=source) for source in (one, three)]
    pictures += [Picture.named("i2i_patch", "padding", two, source=one), Picture(Edit(), two)]
    plan = plan_of("mini", pictures)
    assert plan.counts()["capture"] == (0, 2 * 4)
    assert plan.forwards == 2 * 4 + 3 * 4 + 4 == sum(b.forwards for b in plan.batches(64))
    shared = plan_of("mini", [*pictures, *(Picture(Edit(), s) for s in (one, three))])
    assert "capture" not in shared.counts()
    assert shared.forwards == 3 * 4 + 3 * 4


def test_equal_prompts_are_neighbours(whole):
    """So that each is encoded once, however few embeddings a model's cache holds."""
    for family in ("color", "style", "add"):
        prompts = [u.task.instruction for u in whole.units if u.task.family == family]
        changes = sum(a != b for a, b in pairwise(prompts))
        assert changes == len(set(prompts)) - 1


def test_a_limit_takes_the_first_of_each_cell():
    plan = make_plan("mini", choose(["i2i_unc_style_text_lens", "i2i2i_style"]), limit=3)
    lenses = [p.entity for p in plan if p.recipe == "t2i_lens"]
    assert sorted(lenses) == sorted(t.task_id for t in mini_tasks("style")[:3])
    assert sum(p.recipe == "i2i_patch" for p in plan) == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"cells": ["i2i_unc_colour"]}, "no judge 'i2i_unc_colour'.*i2i_unc_color_text_lens"),
        ({"families": ["human"]}, "no family 'human'.*people"),
        ({"recipes": ["lens"]}, "no recipe 'lens'.*t2i_lens"),
        ({"families": ["add"], "recipes": ["i2i_patch"]}, "at once"),
        ({"extras": ["everything"]}, "no extra 'everything'.*variants"),
    ],
)
def test_words_that_choose_nothing_are_refused(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        choose(**words)


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="limit is at least 1"):
        make_plan("mini", choose(), limit=0)


def test_a_glob_names_cells():
    assert {need.treatment.name for need in choose(["i2i2i_*"])} == {"i2i_patch"}
    assert len(choose(["i2i2i_*", "ko_*", "i2i_unc_*"])) == 28


def test_a_plan_says_what_needs_it(whole):
    told = plan_json(whole)
    assert told["pictures"] == sum(run["pictures"] for run in told["runs"]) == whole.pictures
    assert told["forwards"] == sum(r["forwards"] for r in told["runs"]) + told["captures"]
    assert {name for run in told["runs"] for name in run["needed_by"]} == set(JUDGES)
    assert told["released"] == {"calls": 29813, "forwards": 54755 + 42162}
    assert "57,571" in plan_text(whole)
    assert set(plan_json(make_plan("mini", choose(extras=EXTRAS)))) == set(told)
