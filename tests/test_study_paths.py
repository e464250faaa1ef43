"""Every question finds its pictures, and no two pictures share a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxlens.judge.questions import load_questions
from fluxlens.study.paths import (
    entities,
    image_path,
    judged,
    model_folder,
    nulls,
    reference_path,
)
from fluxlens.tasks import mini_tasks

FOLDER = Path("results/mini")


@pytest.mark.parametrize("name", load_questions())
def test_every_question_has_a_picture_for_each_role_of_its_n_entities(name):
    question = load_questions()[name]
    found = judged(FOLDER, question, "mini")
    assert len(found) == question.n
    assert all(set(roles) == set(question.images) for roles in found.values())
    # what is judged is each entity's own; no two entities share it
    made = [roles[question.images[-1]] for roles in found.values()]
    assert len(set(made)) == question.n


@pytest.mark.parametrize("name", load_questions())
def test_a_null_control_changes_the_last_picture_only(name):
    question = load_questions()[name]
    plain, null = judged(FOLDER, question, "mini"), nulls(FOLDER, question, "mini")
    assert plain.keys() == null.keys()
    last = question.images[-1]
    for entity, roles in plain.items():
        assert null[entity][last] != roles[last]
        assert {**null[entity], last: roles[last]} == roles


def test_a_patch_that_did_nothing_is_the_targets_own_edit():
    question = load_questions()["i2i2i_style"]
    roles = next(iter(nulls(FOLDER, question, "mini").values()))
    assert roles["patched"] == roles["target_baseline"]


def test_equal_references_share_a_file_and_different_ones_do_not():
    references = {task.reference for task in mini_tasks()}
    assert len({reference_path(FOLDER, r) for r in references}) == len(references) < 2875


def test_pairs_are_source_then_target():
    first = entities("mini", "color", "i2i_patch")[0]
    assert first.id == "solid_blue_ball_s0__solid_brown_ball_s1"
    assert (first.source.task_id, first.task.task_id) == tuple(first.id.split("__"))


@pytest.mark.parametrize(
    ("variant", "folder"),
    [
        ("all", "all"),
        ("ref->image", "ref_to_image"),
        ("ref->text[padding]", "ref_to_text.padding"),
        ("pad@double.2", "pad@double.2"),
    ],
)
def test_variants_make_plain_folder_names(variant, folder):
    assert image_path(FOLDER, "x", variant, "e") == FOLDER / "x" / folder / "e.png"


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("mini", "mini"),
        ("black-forest-labs/FLUX.2-klein-9B", "FLUX.2-klein-9B"),
        ("/tmp/my model/", "my-model"),
        ("C:\\models\\tiny", "tiny"),
    ],
)
def test_a_model_has_one_folder(model, folder):
    assert model_folder(Path("r"), model) == Path("r") / folder


@pytest.mark.parametrize("model", ["", "..", "/"])
def test_no_model_writes_outside_the_results(model):
    with pytest.raises(ValueError, match="folder"):
        model_folder(Path("r"), model)
