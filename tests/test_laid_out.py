"""Instructions that were written become tasks: the authors' own, written again, are theirs."""

from __future__ import annotations

import doctest
import importlib
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from fluxlens.cli import main
from fluxlens.tasks import Assets, MissingAssetsError, paper_tasks
from fluxlens.tasks.laid_out import lay_out, size_of
from fluxlens.tasks.written import Written, WrittenFile

CLONE = Path(__file__).parents[2] / "shared" / "paper-data"
with_clone = pytest.mark.skipif(
    not (CLONE / "data").is_dir(), reason="no clone of the authors' repository beside this one"
)


def write(folder: Path, *rows: Written) -> None:
    for row in rows:
        with WrittenFile(folder / f"{row.family}.jsonl", "") as file:
            file.add(row)


def picture(root: Path, name: str, size: tuple[int, int]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "gray").save(root / name)


def test_the_examples():
    assert doctest.testmod(importlib.import_module("fluxlens.tasks.laid_out")).failed == 0


@pytest.mark.parametrize(
    ("size", "edited"),
    [((96, 96), (96, 96)), ((110, 97), (96, 96)), ((2048, 1024), (720, 1440)), ((1024, 1024),) * 2],
)
def test_pictures_are_edited_at_their_size_in_whole_tokens_up_to_a_megapixel(size, edited):
    height, width = size_of(*size)
    assert (height, width) == edited
    assert not height % 16
    assert not width % 16
    assert height * width <= 1024**2


def test_scenes_become_tasks_that_the_study_takes(tmp_path, monkeypatch, capsys):
    sun397, written, to = tmp_path / "SUN397", tmp_path / "instructions", tmp_path / "tasks"
    picture(sun397, "a/abbey/sun_1.jpg", (200, 120))
    monkeypatch.setenv("FLUXLENS_SUN397", str(sun397))
    monkeypatch.delenv("FLUXLENS_PAPER_DATA", raising=False)
    write(
        written / "me",
        Written("a/abbey/sun_1.jpg", "scenes", {"add": "add an old bell"}, "me"),
        Written("a/abbey/sun_2.jpg", "scenes", {}, "me", error="a refusal"),
    )
    words = ["instructions", "--world", "paper", "--claude-model", "me", "--to", str(written)]
    assert main([*words, "--lay-out", str(to)]) == 0
    assert f"1 add; study them with --paper-data {to}" in capsys.readouterr().out
    (task,) = paper_tasks(to, ["add"])
    assert task.task_id == "add_sun397_a_abbey__sun_1_old_bell"
    assert (task.height, task.width, task.instruction) == (112, 192, "add an old bell")
    assert main(["plan", "--model", "klein-4b", "--family", "add", "--paper-data", str(to)]) == 0
    assert "1 tasks" in capsys.readouterr().out
    assert main([*words, "--lay-out", str(to)]) == 1
    assert "is not empty" in capsys.readouterr().err


def test_what_cannot_be_laid_out_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="no scenes or style prompts"):
        lay_out(tmp_path, tmp_path / "to", Assets())
    write(tmp_path, Written("a/abbey/sun_1.jpg", "scenes", {"remove": "remove the bell"}, "me"))
    with pytest.raises(MissingAssetsError, match="1 pictures of SUN397 are not there"):
        lay_out(tmp_path, tmp_path / "to", Assets())
    assert not (tmp_path / "to").exists()


@with_clone
def test_the_authors_own_instructions_written_again_make_their_tasks(tmp_path):
    sun397, to, rows = tmp_path / "SUN397", tmp_path / "to", {}
    scenes = [t for f in ("add", "remove") for t in paper_tasks(CLONE, [f])[:20]]
    for task in scenes:
        picture(sun397, task.reference.path, (task.width, task.height))
        old = rows.get(task.reference.path)
        said = {**(old.instructions if old else {}), task.family: task.instruction}
        rows[task.reference.path] = Written(task.reference.path, "scenes", said, "them")
    style = paper_tasks(CLONE, ["style"])
    for task in style:
        m = task.metadata
        old = rows.get(m["subject"])
        said = {**(old.instructions if old else {}), m["prompt_slug"]: task.instruction}
        rows[m["subject"]] = Written(m["subject"], "style", said, "them")
    write(tmp_path / "them", *rows.values())
    counts = lay_out(tmp_path / "them", to, Assets(data=CLONE, sun397=sun397))
    assert counts == {"add": 20, "remove": 20, "style": 450, "manual": 450}
    assert {t.task_id: t for t in paper_tasks(to, ["add", "remove"])} == {
        t.task_id: t for t in scenes
    }
    assert {t.task_id: t for t in paper_tasks(to, ["style"])} == {t.task_id: t for t in style}
    lines = (to / "data/tasks/add/tasks.jsonl").read_text().splitlines()
    theirs = (CLONE / "data/tasks/add/tasks.jsonl").read_text().splitlines()
    assert {json.dumps(json.loads(x), sort_keys=True) for x in lines} <= {
        json.dumps(json.loads(x), sort_keys=True) for x in theirs
    }
    copied = {p.relative_to(to) for p in (to / "data/style_references").rglob("*.*")}
    assert copied == {p.relative_to(CLONE) for p in (CLONE / "data/style_references").rglob("*.*")}
    assert os.listdir(to.parent).count(".to.part") == 0
