"""A study from price to pages: every command is one that is understood, and stops are resumed."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from fluxlens._folder import digest
from fluxlens.cli import _parser
from fluxlens.mini.export import WEIGHTS
from tools import full, notebooks

KLEIN = ["--model", "klein-9b", "--judge", "claude", "--workers", "8", "--limit", "3"]


def lines(words: list[str], part: str) -> list[list[str]]:
    """A part's commands, without what starts Python."""
    return [command[3:] for command in full.commands(part, full.parse(words))]


@pytest.mark.parametrize("words", [KLEIN, ["--model", "mini"], ["--judge", "local:a/B c"]])
def test_every_command_is_understood(words: list[str]) -> None:
    words = [*words, "--family", "color", "--available", "--offload", "--budget", "9"]
    for part in full.PARTS[:-1]:
        for line in lines(words, part):
            _parser().parse_args(line)


def test_claude_is_asked_in_batches_and_the_oracle_the_blind_set_too() -> None:
    (claude,) = lines(KLEIN, "verdicts")
    assert {"--batch", "--nulls"} <= set(claude)
    paper, blind = lines([], "verdicts")
    assert "--nulls" in paper
    assert blind[-2:] == ["--set", "blind"]
    assert lines(KLEIN, "tables")[0][-1].endswith("results/klein-9b/verdicts/claude-opus-4-7")
    assert "all" in lines(KLEIN, "pictures")[0]


def test_pages_are_given_what_the_study_was(tmp_path: Path) -> None:
    (line,) = lines([*KLEIN, "--results", str(tmp_path)], "pages")
    given = dict(notebooks.parameter(v) for w, v in itertools.pairwise(line) if w == "-p")
    assert given == {
        "model": "klein-9b",
        "contrast": "",
        "judge": "claude-opus-4-7",
        "results": str(tmp_path),
        "limit": 3,
        "workers": 8,
    }
    every = set().union(*map(notebooks.parameters_of, notebooks.committed()))
    assert {"model", "contrast", "results", "limit"} <= every


def test_a_part_that_stops_stops_the_rest_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(full, "RUNS", tmp_path)
    script = "import sys; print({!r}); sys.exit({})"
    said = {"pictures": ("made 2", 0), "tables": ("no table", 3), "pages": ("never", 0)}
    monkeypatch.setattr(
        full,
        "commands",
        lambda part, args: [[sys.executable, "-c", script.format(*said[part])]],
    )
    words = ["--judge", "oracle", "--results", str(tmp_path), "--parts"]
    assert full.main([*words, "pictures", "tables", "pages"]) == 3
    out = capfd.readouterr()
    assert "made 2" in out.out
    assert "the same command goes on" in out.err
    logs = tmp_path / "mini" / "logs"
    assert "no table" in (logs / "tables.log").read_text()
    assert sorted(path.stem for path in logs.iterdir()) == ["pictures", "tables"]


def test_what_cannot_end_well_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setattr(full, "logged", lambda *_: pytest.fail("something was run"))
    assert full.main(KLEIN) == 1
    assert "ANTHROPIC_API_KEY" in capsys.readouterr().err
    assert full.main(["--model", "klein-9b", "--judge", "oracle"]) == 1
    assert "mini's world alone" in capsys.readouterr().err


def test_verdicts_on_other_weights_are_not_added_to(tmp_path: Path) -> None:
    verdicts = tmp_path / "mini" / "verdicts"
    full.check_weights("mini", verdicts)
    assert (verdicts / full.REVISION).read_text().strip() == digest(WEIGHTS / "mini")
    (verdicts / "oracle").mkdir()
    (verdicts / "oracle" / "i2i_unc_add.csv").touch()
    full.check_weights("mini", verdicts)
    (verdicts / full.REVISION).write_text("sha256:another\n")
    with pytest.raises(full.Refused, match="on sha256:another"):
        full.check_weights("mini", verdicts)
    (verdicts / full.REVISION).unlink()
    with pytest.raises(full.Refused, match="on unknown weights"):
        full.check_weights("mini", verdicts)
