"""`fluxlens instructions`: asked through the judge's client, checked, resumed, paid for once."""

from __future__ import annotations

import base64
import doctest
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from judge_server import Step, says, status
from judge_tools import KEY
from PIL import Image

import fluxlens
from fluxlens.cli import main
from fluxlens.tasks import Assets, MissingAssetsError, mini_tasks
from fluxlens.tasks.instructions import QUOTED, SHARED, style_prompt
from fluxlens.tasks.wanted import wanted
from fluxlens.tasks.written import Written, WrittenFile, read_written

pytest_plugins = ["judge_fixtures"]

ONE = 4000 * 5 / 1e6 + 50 * 25 / 1e6  # what the server's usual answer costs
KITE = says('{"add_object": "kite", "remove_object": "old chair"}')
PLACES = ("a/abbey", "b/bow_window/indoor", "v/volcano")
MORE = {
    "playing_ball": "chasing a red ball over a lawn",
    "at_the_door": "waiting in front of a closed door",
    "on_a_boat": "riding in a small wooden boat",
    "eating_grapes": "eating grapes under an old vine",
}


def more(kind: str) -> Step:
    """Four prompts by the rules."""
    return says(
        json.dumps([{"slug": k, "prompt": style_prompt(kind, v) + "."} for k, v in MORE.items()])
    )


@pytest.fixture
def sun397(tmp_path, monkeypatch):
    """Three pictures of each of three categories."""
    root = tmp_path / "SUN397"
    for n, place in enumerate(PLACES):
        (root / place).mkdir(parents=True)
        for k in range(3):
            Image.new("RGB", (24, 16), (n * 90, k * 90, 40)).save(root / place / f"sun_{k}.jpg")
    monkeypatch.setenv("FLUXLENS_SUN397", str(root))
    monkeypatch.delenv("FLUXLENS_PAPER_DATA", raising=False)
    return root


@pytest.fixture
def clone(tmp_path):
    """As much of the authors' repository as the first prompts stand in."""
    folder = tmp_path / "clone"
    path = folder / "data" / "tasks" / "customize" / "_style_prompts.yaml"
    path.parent.mkdir(parents=True)
    subjects = {
        name: [{"slug": "first", "prompt": style_prompt(kind, "sitting quite still on a stone")},
               {"slug": "second", "prompt": style_prompt(kind, "looking at the evening sky")}]
        for name, kind in (("doll", "girl"), ("fox", "fox"))
    }  # fmt: skip
    path.write_text(json.dumps({"_version": "free", **subjects}))
    return folder


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    """The command against the local server, one question at a time."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    server.default = KITE

    def run(*words: str, family: str = "scenes") -> int:
        line = ["instructions", "--world", "paper", "--to", str(tmp_path / "to"), "--family"]
        return main([*line, family, "--no-progress", "--concurrency", "1", *words])

    return run


def rows(tmp_path: Path, family: str = "scenes") -> dict[str, Written]:
    return read_written(tmp_path / "to" / "claude-opus-4-7" / f"{family}.jsonl")


def test_two_pictures_of_each_category(run, sun397, server, tmp_path, capfd):
    assert run() == 0
    assert "6 written now, 0 before, 0 failed, $0.13" in capfd.readouterr().out
    found = rows(tmp_path)
    assert list(found) == [f"{place}/sun_{k}.jpg" for place in PLACES for k in (0, 1)]
    first = found["a/abbey/sun_0.jpg"]
    assert first.instructions == {"add": "add a kite", "remove": "remove the old chair"}
    assert (first.attempts, first.cost_usd, first.status) == (1, pytest.approx(ONE), "written")
    image, text = server.requests[0]["messages"][0]["content"]
    picture = (sun397 / "a/abbey/sun_0.jpg").read_bytes()
    assert base64.b64decode(image["source"]["data"]) == picture
    assert text == {"type": "text", "text": QUOTED["sun397"]["prompt"].strip()}
    assert "system" not in server.requests[0]
    assert "output_config" not in server.requests[0]
    path = tmp_path / "to" / "claude-opus-4-7" / "scenes.jsonl"
    before = path.read_bytes()
    assert run() == 0
    assert len(server.requests) == 6
    assert path.read_bytes() == before


def test_prompts_after_each_subjects_first(run, clone, server, tmp_path):
    server.decide = lambda body: more("girl" if "girl" in str(body["messages"]) else "fox")
    assert run("--paper-data", str(clone), family="style") == 0
    found = rows(tmp_path, "style")
    assert list(found) == ["doll", "fox"]
    assert list(found["fox"].instructions) == ["first", *MORE]
    assert found["doll"].instructions["on_a_boat"] == style_prompt("girl", MORE["on_a_boat"])
    sent = next(body for body in server.requests if "Subject: fox" in str(body["messages"]))
    assert sent["system"][0]["text"] == QUOTED["style"]["system"].strip().replace(
        "{subject}", "fox"
    )
    (text,) = sent["messages"][0]["content"]
    assert f"(slug=first): {style_prompt('fox', 'sitting quite still on a stone')}" in text["text"]


def test_shared_prompts_begin_with_the_papers_first(run, server, tmp_path):
    server.default = more("person")
    assert run(family="people_shared") == 0
    assert list(rows(tmp_path, "people_shared")["person"].instructions) == [
        next(iter(SHARED)), *MORE,
    ]  # fmt: skip


REFUSAL = says(None, stop="refusal")


@pytest.mark.parametrize(
    ("steps", "attempts", "error"),
    [
        ([status(429), status(529), KITE], 1, ""),
        ([Step(fault="reset"), KITE], 1, ""),
        ([says("Sure: {"), KITE], 2, ""),
        ([REFUSAL, KITE], 2, ""),
        ([says('{"add_object": "lava plume", "remove_object": "volcano sign"}'), KITE], 2, ""),
        ([says("{")] * 3, 3, "no good answer in 3 attempts; last: not JSON alone"),
        ([REFUSAL] * 3, 3, "no good answer in 3 attempts; last: it declined to answer"),
        ([says("{", stop="max_tokens")] * 3, 3, "the answer is not finished"),
        ([status(400, "bad picture", "invalid_request_error")], 1, "400 BadRequestError"),
        ([status(429)] * 7, 1, "429 RateLimitError"),
    ],
)
def test_faults(run, sun397, server, tmp_path, capfd, steps, attempts, error):
    for place in PLACES[:2]:
        for path in (sun397 / place).iterdir():
            path.unlink()
    server.script(*steps)
    assert run("--limit", "1") == (1 if error else 0)
    (row,) = rows(tmp_path).values()
    assert row.attempts == attempts
    assert error in row.error
    assert bool(row.error) == bool(error)
    assert bool(row.instructions) != bool(error)
    if not error:
        return
    assert "1 have no instructions, the files say why" in capfd.readouterr().err
    assert run("--limit", "1") == 0  # tried anew
    (again,) = rows(tmp_path).values()
    assert again.instructions
    assert again.attempts == attempts + 1
    assert again.cost_usd == pytest.approx(row.cost_usd + ONE)


def test_attempts_are_bounded(run, sun397, server, tmp_path):
    server.default = says("no")
    assert run("--limit", "2", "--attempts", "2") == 1
    assert len(server.requests) == 4
    assert [row.attempts for row in rows(tmp_path).values()] == [2, 2]


def test_a_rejected_key_stops_everything(run, sun397, server, tmp_path, capfd):
    server.default = status(401, f"{KEY} is not known", "authentication_error")
    assert run() == 1
    assert "not everything was written: no question can be asked: 401" in capfd.readouterr().err
    assert len(server.requests) == 1
    assert not rows(tmp_path)  # no picture's fault


def test_a_server_that_always_refuses_is_not_asked_to_the_end(run, sun397, server, tmp_path, capfd):
    server.default = status(400, "odd", "invalid_request_error")
    assert run("--concurrency", "1") == 1
    assert "not everything was written: 5 in a row had no answer, the last: 400" in (
        capfd.readouterr().err
    )
    assert len(server.requests) == 5
    server.default = KITE
    assert run("--concurrency", "1") == 0
    assert len(rows(tmp_path)) == 6


def test_the_budget_is_never_passed_over_runs(run, sun397, server, tmp_path, capfd):
    for _ in range(3):
        assert run("--budget", "0.1") == 1
        assert "of the budget of $0.10 is spent" in capfd.readouterr().err
    assert 2 <= len(server.requests) <= 4
    assert sum(row.cost_usd for row in rows(tmp_path).values()) <= 0.1
    assert run("--budget", "0.3") == 0
    assert len(server.requests) == 6


def test_killed_and_resumed(run, sun397, server, tmp_path):
    """Whatever was written when the process died is whole, and not asked for again."""
    served = []

    def decide(body):
        served.append(body)
        return KITE if len(served) <= 3 else Step(fault="hang")

    server.decide = decide
    line = ["instructions", "--world", "paper", "--family", "scenes", "--to", str(tmp_path / "to")]
    child = subprocess.Popen(
        [sys.executable, "-m", "fluxlens.cli", *line, "--no-progress", "--concurrency", "1"],
        cwd=Path(fluxlens.__path__[0]).parent,
        env=dict(os.environ),
    )
    try:
        while child.poll() is None and len(served) < 4:
            time.sleep(0.01)
        assert child.poll() is None, "it ended by itself"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(rows(tmp_path)) == 3
    server.decide = None
    assert run() == 0
    assert len(rows(tmp_path)) == 6
    assert len(server.requests) == 7
    assert not list((tmp_path / "to").rglob("*.part"))


def test_many_at_once(run, sun397, server, tmp_path):
    assert run("--concurrency", "4") == 0
    assert len(rows(tmp_path)) == len(server.requests) == 6


def test_answers_to_other_prompts_are_not_added_to(run, sun397, server, tmp_path, capfd):
    path = tmp_path / "to" / "claude-opus-4-7" / "scenes.jsonl"
    with WrittenFile(path, "0123") as file:
        file.add(Written("a/abbey/sun_0.jpg", "scenes", {}, "claude-opus-4-7", "0123"))
        assert run() == 1
        assert "another process is writing here" in capfd.readouterr().err
    assert run() == 1
    assert "these are answers to other prompts (0123, now " in capfd.readouterr().err
    whole = Written("a/abbey/sun_0.jpg", "scenes", {}, "m", "0123", cost_usd=1.5).to_json()
    for text in (
        "{}",
        "[" * 100_000,
        "7",
        *(whole.replace("1.5", x) for x in ("NaN", "-3", '"x"')),
    ):
        path.write_text(f"{text}\n")
        assert run() == 1
        assert "line 1 is no record of instructions" in capfd.readouterr().err
    assert not server.requests


@pytest.mark.parametrize("family", ["scenes", "style", "people_shared"])
def test_minis_world_writes_its_own(server, tmp_path, capfd, family):
    line = ["instructions", "--to", str(tmp_path), "--family", family]
    assert main(line) == 0
    out = capfd.readouterr().out
    assert "mini's world writes its own instructions" in out
    path = tmp_path / "mini" / f"{family}.jsonl"
    before, found = path.read_bytes(), read_written(path)
    families = ["add", "remove"] if family == "scenes" else [family]
    told = {prompt for row in found.values() for prompt in row.instructions.values()}
    assert told == {task.instruction for task in mini_tasks(families)}
    assert main(line) == 0
    assert f"0 written, {len(found)} before" in capfd.readouterr().out
    assert path.read_bytes() == before
    assert not server.requests


def test_minis_scenes_match_their_tasks(tmp_path):
    assert main(["instructions", "--to", str(tmp_path), "--family", "scenes"]) == 0
    found = read_written(tmp_path / "mini" / "scenes.jsonl")
    for task in mini_tasks(["add", "remove"]):
        (name,) = (n for n in found if task.task_id.startswith(f"{task.family}_drawn_{n}_"))
        assert found[name].instructions[task.family] == task.instruction


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--world", "mini", "--budget", "3"], "--budget is for --world paper"),
        (["--world", "mini", "--claude-model", "x"], "--claude-model is for --world paper"),
        (["--limit", "0"], "--limit must be at least 1"),
        (["--world", "paper", "--attempts", "0"], "--attempts must be at least 1"),
        (["--world", "paper", "--claude-model", "gpt"], "no price is known for 'gpt'"),
        (["--world", "paper", "--budget", "-1"], "a budget is a number of dollars"),
    ],
)
def test_refused_before_any_work(run, sun397, server, tmp_path, capfd, words, message):
    to = tmp_path / "to"
    line = ["instructions", "--family", "scenes", "--to", str(to)]
    assert main([*line, *words]) == 1
    assert message in capfd.readouterr().err
    assert not to.exists()
    assert not server.requests


def test_no_key(sun397, server, tmp_path, capfd):
    line = ["instructions", "--world", "paper", "--family", "scenes", "--to", str(tmp_path / "to")]
    assert main(line) == 1
    assert "there is no API key: set ANTHROPIC_API_KEY" in capfd.readouterr().err


def test_all_that_is_missing_is_told_at_once(tmp_path):
    with pytest.raises(MissingAssetsError) as caught:
        wanted(["scenes", "style"], Assets())
    assert "SUN397.tar.gz" in str(caught.value)
    assert "git clone" in str(caught.value)
    with pytest.raises(MissingAssetsError, match="no pictures in"):
        wanted(["scenes"], Assets(sun397=tmp_path))


def test_the_papers_own_pictures_where_a_clone_names_them(data, tmp_path):
    """A clone's 789 pictures are asked about, if they are all there."""
    with pytest.raises(MissingAssetsError, match="of 789 pictures are missing"):
        wanted(["scenes"], Assets(data=data, sun397=tmp_path))
    subjects = wanted(["style"], Assets(data=data))
    assert len(subjects) == 18
    assert [item.id for item in wanted(["style"], Assets(data=data), 2)] == [
        item.id for item in subjects[:2]
    ]


def test_examples_run():
    found = doctest.testmod(importlib.import_module("fluxlens.tasks.wanted"))
    assert (found.failed, found.attempted > 0) == (0, True)
