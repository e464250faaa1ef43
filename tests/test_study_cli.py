"""`fluxlens plan` and `fluxlens run`: what they print, refuse and return."""

from __future__ import annotations

import json

import pytest
from study_tools import files

from fluxlens.cli import main
from fluxlens.study.world import world_of

pytest_plugins = ["study_fixtures"]


def test_plan_prints_what_would_run(capsys):
    assert main(["plan", "--cells", "i2i_unc_color_text_lens", "--limit", "2"]) == 0
    out = capsys.readouterr().out
    assert "mini's world: 2 tasks, 1 references, 2 prompts" in out
    assert "i2i_unc_color_text_lens" in out


def test_plan_as_json(capsys):
    assert main(["plan", "--family", "color", "--extras", "all", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tasks"] == 320
    assert {run["variant"] for run in told["runs"] if run["recipe"] == "color_lens"} == {
        "all", "padding", "content", "template", "pad",
    }  # fmt: skip


def test_the_paper_s_plan_needs_the_paper_s_tasks(capsys, monkeypatch):
    monkeypatch.delenv("FLUXLENS_PAPER_DATA", raising=False)
    assert main(["plan", "--model", "klein-9b", "--family", "color"]) == 0
    assert "the paper's tasks: 320 tasks" in capsys.readouterr().out
    assert main(["plan", "--model", "klein-9b"]) == 1
    assert "git clone" in capsys.readouterr().err


def test_run_makes_pictures_and_says_where_the_time_went(folder, tmp_path, capsys):
    words = [
        "run", "--model", str(folder), "--world", "mini", "--limit", "1", "--cells",
        "i2i_unc_color_text_lens", "--results", str(tmp_path),
    ]  # fmt: skip
    assert main(words) == 0
    first = capsys.readouterr()
    assert "2 pictures made, 0 were there" in first.out
    assert "capture" in first.out
    assert set(files(tmp_path / "tiny-1-2")) == {
        "color_lens/all/solid_red_couch_s0.png",
        "generation/clean-1-step/solid_red_couch_s0.png",
        "reference/drawing/solid_220_40_40.png",
    }
    assert main(words) == 0
    assert "0 pictures made, 2 were there" in capsys.readouterr().out


def test_what_failed_is_told_and_the_exit_code_says_so(tmp_path, capsys, folder):
    words = [
        "run", "--model", str(folder), "--world", "mini", "--limit", "1", "--cells",
        "i2i_unc_color_text_lens", "--results", str(tmp_path),
    ]  # fmt: skip
    assert main(words) == 0
    lens = tmp_path / "tiny-1-2" / "color_lens" / "all" / "solid_red_couch_s0.png"
    lens.write_bytes(b"not a picture")
    capsys.readouterr()
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "color_lens/all/solid_red_couch_s0.png: no picture of a study" in said
    assert "--remake" in said
    assert lens.read_bytes() == b"not a picture"
    assert main([*words, "--remake"]) == 0
    assert "1 pictures made, 1 were there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--model", "mini-huge"], "unknown model 'mini-huge'"),
        (["--model", "no-such-owner/no-such-model"], "cannot fetch 'no-such-owner"),
        (["--cells", "nonsense"], "no judge 'nonsense'"),
    ],
)
def test_one_message_and_exit_code_1(words, complaint, tmp_path, capsys):
    words = ["run", "--world", "mini", "--limit", "1", "--results", str(tmp_path / "r"), *words]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert not (tmp_path / "r").exists()


def test_missing_references_come_before_the_model(tmp_path, capsys, monkeypatch):
    for name in ("PAPER_DATA", "SUN397", "DREAMBENCH"):
        monkeypatch.delenv(f"FLUXLENS_{name}", raising=False)
    monkeypatch.setattr("fluxlens.tasks.assets._downloaded", lambda: None)
    words = ["run", "--world", "paper", "--model", "no-such-model", "--cells", "i2i2i_dream*"]
    assert main([*words, "--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "10 of 10 pictures are missing" in said
    assert "licence" in said


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "a/b", "1/0"])
def test_a_shard_is_one_of_n(shard, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--shard", shard])
    assert stop.value.code == 2
    assert "i/n with i from 1 to n" in capsys.readouterr().err


def test_whose_world(tmp_path):
    assert world_of("mini") == world_of("mini-direct") == "mini"
    assert world_of("klein-9b") == world_of("owner/name") == "paper"
    (tmp_path / "fluxlens.json").write_text('{"name": "mini"}')
    assert world_of(str(tmp_path)) == "mini"
    (tmp_path / "fluxlens.json").write_text('{"name": "tiny"}')
    assert world_of(str(tmp_path)) == "paper"
