"""`fluxlens judge`: pictures on disk become verdicts; resumed, refused, killed, paid for once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from judge_server import answer
from judge_tools import KEY, verdicts

import fluxlens
from fluxlens.cli import main
from fluxlens.judge.questions import load_questions
from fluxlens.judge.verdicts import spent, verdict_path
from fluxlens.mini.drawings import SceneView, Solid, StillLife
from fluxlens.mini.scenes import Scene
from fluxlens.mini.world import COLORS, NO_FREE, UNDYED
from fluxlens.study.asked import named
from fluxlens.study.paths import judged, nulls

pytest_plugins = ["judge_fixtures"]

NAME = "ko_color_ref_to_text"
QUESTION = load_questions()[NAME]


@pytest.fixture
def results(tmp_path):
    """A study of four tasks: every second knockout lost its color."""
    folder = tmp_path / "results" / "mini"
    found = judged(folder, QUESTION, "mini")
    for number, images in enumerate(list(found.values())[:4]):
        red = StillLife("mug", COLORS["red"])
        after = StillLife("mug", UNDYED) if number % 2 else red
        drawings = {"reference": Solid(COLORS["red"]), "baseline": red, "knockout": after}
        for role, path in images.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            drawings[role].draw(NO_FREE).save(path)
    return tmp_path / "results"


def judge(results, *words):
    return main(["judge", "--results", str(results), "--questions", NAME, "--no-progress", *words])


def rows(path):
    return [line.split(",")[:2] for line in path.read_text().splitlines()[1:]]


def test_the_oracle_and_its_null_controls(results, capfd):
    folder = results / "mini"
    assert judge(results, "--concurrency", "1", "--nulls") == 0
    out = capfd.readouterr()
    assert "8 judged now (2 passed), 0 before, 0 failed, $0.00" in out.out
    assert "632 more have pictures that are not made yet" in out.err
    path = verdict_path(folder, "oracle", QUESTION)
    entities = list(nulls(folder, QUESTION, "mini"))[:4]
    expected = [[entity, mark] for entity, mark in zip(entities, "0101", strict=True)]
    assert sorted(rows(path)) == sorted(expected)
    assert {mark for _, mark in rows(path.with_name(f"{NAME}__null.csv"))} == {"0"}
    before = path.read_bytes()
    assert judge(results, "--concurrency", "1", "--nulls") == 0
    assert "0 judged now (0 passed), 8 before" in capfd.readouterr().out
    assert path.read_bytes() == before
    assert main(["tables", "--verdicts", str(path.parent), "--table", "2"]) == 0
    table = capfd.readouterr().out
    assert "50.0 +35.0 −35.0  2/4" in table
    assert "the same count gives: KO ref->text, Color Transfer: 0.0 [0.0, 49.0] of 4." in table


def test_pictures_made_anew_part_from_their_verdicts_until_they_are_judged(results, capfd):
    folder = results / "mini"
    path = verdict_path(folder, "oracle", QUESTION)
    words = ["tables", "--verdicts", str(path.parent), "--table", "2"]
    assert judge(results, "--concurrency", "1") == 0
    assert main(words) == 0
    told = capfd.readouterr()
    assert "2/4" in told.out
    assert "other pictures" not in told.err
    for number, images in enumerate(judged(folder, QUESTION, "mini").values()):
        if number in (0, 1):  # one that was red is undyed now; the other shows what it showed
            picture = StillLife("mug", UNDYED).draw(NO_FREE)
            picture.save(images["knockout"])
            later = time.time() + 60
            os.utime(images["knockout"], (later, later))
    assert main(words) == 0
    told = capfd.readouterr()
    assert "2/4" in told.out
    assert f"{NAME}: 1 of 4 verdicts are about other pictures than those in mini now" in told.err
    assert judge(results, "--concurrency", "1") == 0
    assert "1 judged now (1 passed), 3 before" in capfd.readouterr().out
    assert main(words) == 0
    told = capfd.readouterr()
    assert "3/4" in told.out
    assert "other pictures" not in told.err


@pytest.mark.parametrize("redirect", [">&- 2>&-", "| true"])
def test_a_closed_stream_is_no_fault(redirect):
    release = Path(fluxlens.__path__[0]).parent / "results" / "mini" / "verdicts" / "oracle"
    command = f"'{sys.executable}' -m fluxlens.cli tables --verdicts '{release}' --table 1"
    done = subprocess.run(
        f"set -o pipefail; {command} {redirect}", shell=True, executable="/bin/bash",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


def test_an_encoding_without_a_minus_sign_prints_the_table(tmp_path):
    out = tmp_path / "table.txt"
    release = Path(fluxlens.__path__[0]).parent / "results" / "mini" / "verdicts" / "oracle"
    with out.open("wb") as file:
        command = [sys.executable, "-m", "fluxlens.cli", "tables", "--table", "1", "--verdicts"]
        subprocess.run(
            [*command, str(release)],
            env={**os.environ, "PYTHONIOENCODING": "latin-1"}, stdout=file, check=True,
        )  # fmt: skip
    assert "−" in out.read_text(encoding="utf-8")


def test_a_limit_counts_what_has_pictures_as_a_run_of_what_is_available_left_it(results, capfd):
    folder = results / "mini"
    first, *_ = judged(folder, QUESTION, "mini").values()
    first["knockout"].unlink()
    assert judge(results, "--concurrency", "1", "--limit", "2") == 0
    told = capfd.readouterr()
    assert "2 judged now" in told.out
    assert "more have pictures that are not made yet" not in told.err
    assert judge(results, "--concurrency", "1", "--limit", "5") == 0
    assert "2 more have pictures that are not made yet" in capfd.readouterr().err


def test_of_a_control_its_sample_is_asked_about_whatever_other_pictures_there_are(tmp_path):
    folder = tmp_path / "mini"
    one = named("color", "placebo", "noise-pad")
    everything = replace(one, need=replace(one.need, sample=None)).items(folder, "mini")
    sample = set(one.items(folder, "mini"))
    some = [*sample, *[entity for entity in everything if entity not in sample][:6]]
    for path in {path for entity in some for path in everything[entity].values()}:
        path.parent.mkdir(parents=True, exist_ok=True)
        StillLife("mug", COLORS["red"]).draw(NO_FREE).save(path)
    words = ["judge", "--results", str(tmp_path), "--questions", "i2i2i_color", "--extras"]
    assert main([*words, "controls", "--no-progress", "--concurrency", "1"]) == 0
    verdicts = folder / "verdicts" / "oracle" / f"{one.name}.csv"
    assert {entity for entity, _ in rows(verdicts)} == sample


def test_the_blind_set_has_its_own_folder(results, capfd):
    assert judge(results, "--concurrency", "1", "--set", "blind", "--limit", "2") == 0
    path = results / "mini" / "verdicts" / "oracle-blind" / f"{NAME}.csv"
    assert [mark for _, mark in sorted(rows(path))] == ["1", "0"]
    command = ["tables", "--verdicts", str(path.parent), "--table", "2", "--format", "json"]
    assert main(command) == 0
    out = capfd.readouterr().out
    cells = json.loads(out[out.index("[\n") :])
    assert next(cell["k"] for cell in cells if cell["judge"] == NAME) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--judge", "claude"], "there is no API key: set ANTHROPIC_API_KEY"),
        (["--judge", "gpt"], "the judges are oracle, claude and local:MODEL, not 'gpt'"),
        (["--judge", "local"], "the judges are oracle, claude and local:MODEL"),
        (["--batch"], "--batch is for --judge claude"),
        (["--budget", "3"], "--budget is for --judge claude"),
        (["--world", "paper"], "the oracle reads pictures of mini's world alone"),
        (["--limit", "0"], "--limit must be at least 1"),
        (["--model", "klein-9b", "--world", "mini"], "`fluxlens run --model klein-9b` makes them"),
        (["--family", "cats"], "no family 'cats'"),
        (["--judge", "claude", "--claude-model", "gpt"], "no price is known for 'gpt'"),
    ],
)
def test_refused_before_any_work(results, server, capfd, words, message):
    assert judge(results, *words) == 1
    assert message in capfd.readouterr().err
    assert not list(results.rglob("*.csv"))
    assert not server.requests


def test_failures_are_told_and_tried_again(results, server, capfd, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    server.script(answer(1), answer(7))
    assert judge(results, "--judge", "claude", "--concurrency", "1") == 1
    assert "1 have no verdict" in capfd.readouterr().err
    assert judge(results, "--judge", "claude") == 0
    assert len(server.requests) == 5
    server.requests.clear()
    assert judge(results, "--judge", "claude", "--nulls", "--budget", "0.11") == 1
    assert "of the budget of $0.11 is spent" in capfd.readouterr().err
    assert not server.requests  # five answers have cost that much


def test_batches_killed_and_resumed(results, server, monkeypatch, capfd):
    """The command is killed while it waits; the next one collects, within the budget."""
    command = ["--judge", "claude", "--batch", "--poll", "0.02", "--budget", "0.4"]
    server.looks = 10**9
    words = ["judge", "--results", str(results), "--questions", NAME, "--no-progress", *command]
    child = subprocess.Popen(
        [sys.executable, "-m", "fluxlens.cli", *words],
        cwd=Path(fluxlens.__path__[0]).parent,
        env={**os.environ, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url},
    )
    try:
        while child.poll() is None and len(server.polls) < 3:
            time.sleep(0.01)
        assert child.poll() is None, "it ended by itself"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    server.batches["msgbatch_1"]["left"] = 1
    assert judge(results, *command) == 0
    assert "4 judged now (4 passed)" in capfd.readouterr().out
    assert len(server.batches) == 1
    folder = results / "mini"
    assert len(verdicts(folder, QUESTION)) == 4
    path = verdict_path(folder, "claude-opus-4-7", QUESTION)
    assert len(rows(path)) == 4
    assert 0 < spent(path) < 0.4


def test_disagreements_are_shown_and_escaped(results, server, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    server.default = answer(1, "<script>alert('red')</script>")
    assert judge(results, "--judge", "claude") == 0
    assert judge(results, "--concurrency", "1") == 0
    page = tmp_path / "page.html"
    command = ["disagreements", "claude-opus-4-7", "oracle", "--results", str(results)]
    assert main([*command, "--to", str(page)]) == 0
    text = page.read_text()
    assert f"{NAME}: claude-opus-4-7 and oracle differ on 2 of 4" in text
    assert text.count("<img ") == 2 * 3
    assert "&lt;script&gt;alert" in text
    assert "<script" not in text
    assert main([*command, "--to", str(page), "--limit", "1"]) == 0
    assert page.read_text().count("<img ") == 3
    assert "and 1 more" in page.read_text()
    capfd.readouterr()
    assert main([*command, "--questions", "i2i_unc_add"]) == 1
    assert "no question was answered by both" in capfd.readouterr().err


def test_scenes_of_a_study_are_told_apart(tmp_path, capfd):
    """The oracle over a lens on scenes: what came through, and what is only a place."""
    question = load_questions()["i2i_unc_add"]
    folder = tmp_path / "mini"
    found = list(judged(folder, question, "mini").values())[:2]
    there, elsewhere = Scene("beach", "morning", 1, 1), Scene("garage", "night", 6, 4)
    for number, images in enumerate(found):
        lens = there if number else elsewhere
        drawings = [SceneView(there), SceneView(None, "drum"), SceneView(lens)]
        for path, drawing in zip(images.values(), drawings, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            drawing.draw(NO_FREE).save(path)
    words = ["judge", "--results", str(tmp_path), "--questions", "i2i_unc_add", "--concurrency"]
    assert main([*words, "1", "--limit", "2", "--no-progress"]) == 0
    assert "2 judged now (1 passed)" in capfd.readouterr().out
