"""The benchmarks measure what they say, at sizes where that takes no time."""

import json
import sys

import pytest
import torch

import fluxlens as fl
from benchmarks import __main__ as command
from benchmarks import block, compiled, fullsize
from benchmarks.measure import Case, measure, peak_bytes


def test_memory_is_what_is_held_at_once():
    weight = torch.ones(100, 1000)

    def chain():
        hidden = torch.ones(256, 100) @ weight
        view = hidden.view(-1)[:10]
        del hidden
        return view.relu()

    assert peak_bytes(chain) == 4 * (256 * 100 + 256 * 1000)

    def one_after_another():
        for _ in range(10):
            torch.ones(1000).sum()

    assert peak_bytes(one_after_another) == 4 * (1000 + 1)


def test_every_round_runs_every_case_and_divides_by_its_base():
    ran = []
    cases = [Case("a", lambda: ran.append("a")), Case("b", lambda: ran.append("b"), "a")]
    timings = {timing.name: timing for timing in measure(cases, rounds=4)}
    assert sorted(ran) == ["a"] * 5 + ["b"] * 5
    assert timings["a"].wall_ratios == [1.0] * 4
    expected = [b / a for a, b in zip(timings["a"].seconds, timings["b"].seconds, strict=True)]
    assert timings["b"].wall_ratios == expected
    assert timings["b"].to_json()["quartiles"] == sorted(timings["b"].to_json()["quartiles"])


@pytest.mark.parametrize("stream", ["single", "double"])
def test_a_table_of_a_small_block(stream, monkeypatch, tmp_path, capsys):
    for name, value in (("WIDTH", 64), ("HEADS", 2), ("HEAD", 32)):
        monkeypatch.setattr(block, name, value)
    argv = ["--rounds", "2", "--out", str(tmp_path), "--only", "ref->image", "block"]
    monkeypatch.setattr(sys, "argv", ["", *argv, "--stream", stream, "--tokens", "640"])
    command.main()
    written = {path.suffix: path for path in tmp_path.iterdir()}
    assert written[".md"].read_text() == capsys.readouterr().out
    table = json.loads(written[".json"].read_text())
    assert table["tokens"] == 640
    peaks = {case["case"]: case["peak_bytes"] for case in table["cases"]}
    assert list(peaks) == ["block", "ref->image", "ref->image, attention_kwargs"]
    # the mask that we do without: every query against every key, as floats and as what is allowed
    assert peaks["ref->image, attention_kwargs"] - peaks["block"] >= 4 * 640 * 640
    assert peaks["ref->image"] - peaks["block"] < 4 * 640 * 640


def test_few_cases_of_a_block_are_those_with_goals(monkeypatch):
    for name, value in (("WIDTH", 64), ("HEADS", 2), ("HEAD", 32)):
        monkeypatch.setattr(block, name, value)
    few = [case.name for case in block.cases("single", 640, torch.float32, few=True)]
    names = ["block", "reading ref->text[pad]", "ref->text", "ref->image"]
    assert few == [*names, "ref->image, attention_kwargs", "gain of ref->text[pad]"]


def test_a_table_of_recipes(folders, monkeypatch, tmp_path, capsys):
    """Every case is there to be chosen; of a few, what they take beside one another."""
    argv = ["", "--rounds", "2", "--out", str(tmp_path), "--only", "captured before", "recipes"]
    monkeypatch.setattr(sys, "argv", [*argv, "--model", str(folders["one-one"])])
    command.main()
    (path,) = tmp_path.glob("*.json")
    assert path.with_suffix(".md").read_text() == capsys.readouterr().out
    table = json.loads(path.read_text())
    patch = "I2I patch, its source captured before"
    told = {case["case"]: case["base"] for case in table["cases"]}
    assert told == {"edit": "edit", patch: "edit"}
    assert all(case["peak_bytes"] > 0 and case["seconds"] > 0 for case in table["cases"])


def test_compiled_cases_stand_beside_plain_ones(folders, monkeypatch):
    flux = fl.load(folders["one-one"])
    asked = []
    monkeypatch.setattr(compiled, "load", lambda model: asked.append(model) or flux)
    monkeypatch.setattr(
        flux.pipe.transformer, "compile_repeated_blocks", lambda: None, raising=False
    )
    cases = compiled.cases("some", 96)
    assert asked == ["some", "some"]
    assert [case.base for case in cases[1::2]] == [case.name for case in cases[::2]]
    assert {case.name for case in cases} >= {"edit, compiled", "ref->image, compiled"}
    for case in cases:
        case.run()


def test_a_missed_goal_is_said_to_be_missed():
    case = {"case": "x", "base": "y", "ratio": 1.2, "quartiles": [1.1, 1.3], "seconds": 1.0}
    case |= {"processor_ratio": 1.2, "peak_bytes": 0}
    table = {"title": "t", "rounds": 2, "dtype": "float32", "threads": 1, "load": [0.0]}
    for goal, said in ((1.0, "| ≤ 1.00, missed |"), (1.5, "| ≤ 1.50 |")):
        assert said in command.markdown({**table, "cases": [{**case, "goal": goal}]})


def test_the_full_size_runs_at_any(monkeypatch, tmp_path, capsys):
    """The script for a GPU, at mini's size: every case runs, and what must agree agrees."""
    argv = ["", "--rounds", "2", "--out", str(tmp_path), "--only", "gain ref->text", "fullsize"]
    argv += ["--model", "mini", "--side", "96", "--device", "cpu", "--dtype", "float32"]
    monkeypatch.setattr(sys, "argv", argv)
    command.main()
    (path,) = tmp_path.glob("*.json")
    table = json.loads(path.read_text())
    assert {case["case"] for case in table["cases"]} == {
        "edit",
        "gain ref->text",
        "gain ref->text, mask",
    }
    assert "an edit made twice" in table["identities"]
    assert all(levels <= 1 for levels in table["identities"].values())
    assert "edit" in capsys.readouterr().out


def test_the_full_size_is_the_models(monkeypatch):
    """klein's transformer is built from its configuration: heads, blocks, what it reads."""
    tiny = {
        "transformer": {
            "in_channels": 128,
            "num_layers": 1,
            "num_single_layers": 2,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 96,
            "axes_dims_rope": (8, 8, 8, 8),
            "guidance_embeds": False,
        },
        "text_encoder": {
            "intermediate_size": 64,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
        },
    }
    monkeypatch.setattr(fullsize, "configurations", lambda: {"klein-9b": tiny})
    editor = fullsize.load("klein-9b", "cpu", torch.float32)
    assert editor.blocks == ("double.0", "single.0", "single.1")
    names = [case.name for case in fullsize.cases(editor, 64)]
    assert {"t2i_lens", "color_lens", "i2i_patch", "drop_reference"} <= set(names)
