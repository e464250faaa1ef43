"""A person as a judge: a blind, shuffled, resumable sample, without a browser."""

from __future__ import annotations

import io

import pytest
from PIL import Image, PngImagePlugin

from fluxlens.judge import read_verdict_file
from fluxlens.judge.human import HumanJudge
from fluxlens.judge.questions import load_questions

BLIND = load_questions("blind")
QUESTIONS = [BLIND["ko_color_ref_to_text"], BLIND["i2i2i_style"]]


def items(root):
    found = {}
    for question in QUESTIONS:
        for number in range(6):
            images = {}
            for shade, role in enumerate(question.images):
                images[role] = root / f"secret-{role}-{number}.png"
                info = PngImagePlugin.PngInfo()
                info.add_itxt("fluxlens", "knockout of ref->text")
                image = Image.new("RGB", (96, 96), (40 * number, 60 * shade, 0))
                image.save(images[role], pnginfo=info)
            found.setdefault(question.name, {})[f"solid_red_mug_s{number}"] = images
    return found


@pytest.fixture
def judge(tmp_path):
    found = items(tmp_path)
    return lambda **options: HumanJudge(
        QUESTIONS, found, tmp_path, **{"sample": 5, "seed": 3} | options
    )


def asked(judge):
    out = []
    while judge.current is not None:
        out.append((judge.current.question.name, judge.current.entity_id))
        judge.answer(True)
    return out


def test_the_seed_makes_the_sample(judge, tmp_path):
    first = asked(judge(name="ann"))
    assert first == asked(judge(name="ben")) != asked(judge(name="cem", seed=4))
    assert len(set(first)) == 5
    assert len(asked(judge(name="dan", sample=100))) == 12


def test_answers_are_verdicts_and_are_not_asked_again(judge, tmp_path):
    first = judge()
    name, entity = first.current.question.name, first.current.entity_id
    first.answer(False, "no, it\nis blue")
    path = tmp_path / "verdicts" / "human-blind" / f"{name}.csv"
    row = read_verdict_file(path)[entity]
    assert (row.passed, row.reason, row.model, row.cost) == (False, "no, it is blue", "human", 0)
    again = judge()
    assert (again.left, again.total) == (4, 5)
    assert (name, entity) not in asked(again)
    with pytest.raises(ValueError, match="everything in the sample is answered"):
        again.answer(True)


def test_skipping_asks_later(judge):
    one = judge()
    first = one.current
    one.skip()
    assert one.current != first
    for _ in range(one.left - 1):
        one.answer(True)
    assert one.current == first


def test_nothing_to_label(tmp_path):
    with pytest.raises(ValueError, match="nothing to label"):
        HumanJudge(QUESTIONS, {}, tmp_path)
    with pytest.raises(ValueError, match="at least 1"):
        HumanJudge(QUESTIONS, items(tmp_path), tmp_path, sample=0)


def strings(widget):
    """Everything that a panel says, in its pictures' bytes too."""
    out = [str(getattr(widget, name, "")) for name in ("value", "description", "placeholder")]
    for child in getattr(widget, "children", ()):
        out += strings(child)
    return out


def test_the_panel_is_blind_and_works(judge, tmp_path):
    pytest.importorskip("ipywidgets")
    one = judge()
    panel = one.panel()
    while one.current is not None:
        request = one.current
        said = "\n".join(strings(panel))
        assert request.question.text in said
        for label in request.question.labels:
            assert label in said
        for secret in (request.entity_id, "secret", request.question.name, "ref->text", "knockout"):
            assert secret not in said
        pictures = [box.children[1].value for box in panel.children[1].children]
        shown = [Image.open(io.BytesIO(data)).getpixel((0, 0)) for data in pictures]
        files = [request.images[role] for role in request.question.images]
        assert shown == [Image.open(path).getpixel((0, 0)) for path in files]
        yes, no, skip = panel.children[4].children
        left = one.left
        panel.children[3].value = "because"
        (yes if left % 2 else no).click()
        assert one.left == left - 1
    assert "the last one" in "\n".join(strings(panel))
    assert yes.disabled
    assert skip.disabled
    folder = tmp_path / "verdicts" / "human-blind"
    rows = [row for path in folder.glob("*.csv") for row in read_verdict_file(path).values()]
    assert sorted(row.passed for row in rows) == [False, False, True, True, True]
    assert {row.reason for row in rows} == {"because"}
