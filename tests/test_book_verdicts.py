"""Of a study git keeps the oracle's verdicts on both minis, and nothing that names a machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fluxlens.loading import digest
from fluxlens.mini.export import WEIGHTS
from fluxlens.models import SHIPPED_NAMES
from tools import full, notebooks

ROOT = notebooks.ROOT
KEPT = re.compile(
    rf"results/({'|'.join(SHIPPED_NAMES)})/verdicts/(oracle(-blind)?/[\w.-]+\.csv|{full.REVISION})"
)
VERDICTS = sorted((ROOT / "results").glob("mini*/verdicts/*/*.csv"))


def git(*words: str, told: str = "") -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git")
    made = subprocess.run(["git", *words], cwd=ROOT, input=told, capture_output=True, text=True)
    return made.stdout.splitlines()


def test_git_keeps_verdicts_of_minis_and_nothing_else_of_results() -> None:
    assert [path for path in git("ls-files", "results") if not KEPT.fullmatch(path)] == []


def test_what_a_study_writes_is_ignored_but_for_the_verdicts() -> None:
    kept = [
        "results/mini/verdicts/oracle/i2i_unc_add.csv",
        "results/mini-direct/verdicts/oracle-blind/i2i_unc_add__null.csv",
        "results/mini/verdicts/oracle/i2i2i_color__steering-padding-x0.5.csv",
        f"results/mini/verdicts/{full.REVISION}",
    ]
    ignored = [
        "results/mini/manifest.json",
        "results/mini/edit/plain/solid_red_mug_s0.png",
        "results/mini/.partial/x.png",
        "results/mini/verdicts/claude-opus-4-7/i2i_unc_add.csv",
        "results/mini/verdicts/claude-opus-4-7.batches.json",
        "results/mini/verdicts/oracle/i2i_unc_add.csv.lock",
        "results/klein-9b/verdicts/oracle/i2i_unc_add.csv",
        "runs/klein-9b/05-t2i-lens.ipynb",
    ]
    assert all(KEPT.fullmatch(path) for path in kept)
    told = "\n".join(kept + ignored)
    assert git("check-ignore", "--no-index", "--stdin", told=told) == ignored


@pytest.mark.parametrize("path", VERDICTS, ids=lambda p: f"{p.parents[2].name}-{p.stem}")
def test_verdicts_name_no_path(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not notebooks.PATHS.search(text)
    assert str(ROOT) not in text


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_verdicts_are_on_the_weights_that_ship(name: str) -> None:
    folder = ROOT / "results" / name / "verdicts"
    if not any(folder.rglob("*.csv")):
        pytest.skip(f"no verdicts on {name} yet: `make study`")
    assert (folder / full.REVISION).read_text().strip() == digest(WEIGHTS / name)
