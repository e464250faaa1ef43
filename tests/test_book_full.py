"""A study from price to pages: every command is one that is understood, and stops are resumed."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from fluxlens.cli import _parser
from fluxlens.loading import digest
from fluxlens.mini.export import WEIGHTS
from fluxlens.study.cells import EXTRAS
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


def test_a_mini_has_every_extra_and_a_large_model_what_is_asked_for() -> None:
    def extras(words: list[str], part: str) -> set[str]:
        return set(lines(words, part)[0]) & set(EXTRAS)

    assert extras([], "pictures") == extras([], "estimate") == set(EXTRAS)
    assert extras([], "verdicts") == full.JUDGED
    assert extras(KLEIN, "pictures") == {"nulls", "edits"}
    assert extras(KLEIN, "verdicts") == set()
    assert extras([*KLEIN, "--extras", "controls"], "verdicts") == {"controls"}


def test_a_folder_goes_by_the_name_that_its_model_gives_itself(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "fluxlens.json").write_text('{"name": "tiny-1-2"}')
    words = ["--model", str(tmp_path / "copy"), "--judge", "claude"]
    assert lines(words, "pictures")[0][2] == str(tmp_path / "copy")
    assert lines(words, "verdicts")[0][2] == "tiny-1-2"
    assert lines(words, "tables")[0][-1].endswith("/tiny-1-2/verdicts/claude-opus-4-7")


def test_pages_are_given_what_the_study_was(tmp_path: Path) -> None:
    (line,) = lines([*KLEIN, "--results", str(tmp_path)], "pages")
    given = dict(notebooks.parameter(v) for w, v in itertools.pairwise(line) if w == "-p")
    assert given == {
        "model": "klein-9b",
        "contrast": "",
        "judge": "claude-opus-4-7",
        "results": str(tmp_path),
        "limit": 3,
    }
    (line,) = lines(KLEIN, "pages")
    assert 'results="../results"' in line
    every = set().union(*map(notebooks.parameters_of, notebooks.committed()))
    assert set(given) <= every  # a name that no page has stops all of them


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
