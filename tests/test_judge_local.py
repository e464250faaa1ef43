"""A local vision-language model as a judge: a tiny random LLaVA, loaded as any other."""

from __future__ import annotations

import pytest
import tiny_llava
from judge_tools import COLOR, verdicts
from PIL import Image

from fluxlens.judge.base import Request
from fluxlens.judge.local import LocalJudge
from fluxlens.judge.run import run_judge

pytest_plugins = ["judge_fixtures"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("local")
    return {answers: tiny_llava.save(root / f"llava-{answers}", answers) for answers in (0, 1)}


def items(tmp_path, size=(96, 96)):
    images = {}
    for shade, role in enumerate(COLOR.images):
        images[role] = tmp_path / f"{role}.png"
        Image.new("RGB", size, (80 * shade, 9, 9)).save(images[role])
    return {COLOR.name: {"solid_red_mug_s0": images}}


def test_a_model_that_answers(folders, tmp_path):
    judge = LocalJudge(str(folders[1]))
    assert judge.name == "llava-1"
    tally = run_judge(judge, [COLOR], items(tmp_path), tmp_path, concurrency=2)
    assert (tally.judged, tally.passed, tally.failed, tally.cost) == (1, 1, 0, 0)
    row = verdicts(tmp_path, judge=judge.name)["solid_red_mug_s0"]
    assert (row.reason, row.model) == ("Image 3 is red.", "llava-1")
    assert row.output_tokens == 2  # the reply and the end
    text = "".join([COLOR.system, *COLOR.labels, COLOR.text])
    assert row.input_tokens > 0.2 * len(text)


def test_what_it_is_shown_and_asked(folders, tmp_path):
    """Every label, picture and word of the question, in order."""
    judge = LocalJudge(str(folders[1]))
    seen = {}
    generate = judge.model.generate

    def look(**inputs):
        seen.update(inputs)
        return generate(**inputs)

    judge.model.generate = look
    images = items(tmp_path)[COLOR.name]["solid_red_mug_s0"]
    judge.ask(Request("solid_red_mug_s0", COLOR, images))
    assert seen["pixel_values"].shape == (3, 3, 28, 28)
    reds = seen["pixel_values"][:, 0].mean((1, 2)).tolist()
    assert reds == sorted(reds)
    assert reds[0] < reds[2]
    text = judge.processor.tokenizer.decode(seen["input_ids"][0])
    places = [text.index(label) for label in COLOR.labels]
    assert places == sorted(places)
    assert text.index(COLOR.system.split("\n")[0]) < places[0]
    assert places[-1] < text.index(COLOR.text)


def test_garbage_is_a_recorded_failure(folders, tmp_path):
    judge = LocalJudge(str(folders[0]))
    tally = run_judge(judge, [COLOR], items(tmp_path), tmp_path)
    assert (tally.judged, tally.failed) == (0, 1)
    row = verdicts(tmp_path, judge=judge.name)["solid_red_mug_s0"]
    assert row.passed is None
    assert row.error.startswith("the reply is not one JSON object")
    assert row.output_tokens > 0


def test_no_such_model(tmp_path):
    with pytest.raises(ValueError, match="no image-text-to-text model"):
        LocalJudge(str(tmp_path))
