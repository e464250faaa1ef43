"""The tables of the shipped minis and of the authors' release, to the digit, whatever is rebuilt.

``tables_kept.json`` was written by the code as it was before its readers and tables became one.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fluxlens.cli import main
from fluxlens.judge import read_verdicts

HERE = Path(__file__).parent
KEPT = json.loads((HERE / "tables_kept.json").read_text())
RESULTS = HERE.parent / "results"
WAYS = {
    "tables": [],
    "unpublished": ["--table", "unpublished"],
    "paired": ["--paired"],
    "cluster": ["--by", "cluster"],
    "dataset": ["--by", "dataset"],
}
NAMES = (
    "table", "row", "column", "printed", "paper_printed", "released", "name", "first", "second",
)  # fmt: skip
LONG = ("cluster", "dataset")  # of these the file keeps a digest alone


def rounded(row: dict[str, Any]) -> list[Any]:
    """Everything that a row counts, without the names of its columns."""
    return [
        float(f"{value:.9g}") if isinstance(value, int | float) else value
        for key, value in row.items()
        if value is None or isinstance(value, int | float) or key in NAMES
    ]


@cache
def said(folder: Path, way: str) -> Any:
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["tables", "--verdicts", str(folder), "--format", "json", *WAYS[way]]) == 0
    rows = [rounded(row) for row in json.loads(out.getvalue())]
    if way in LONG:
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return rows


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("judge", ["oracle", "oracle-blind"])
@pytest.mark.parametrize("model", ["mini", "mini-direct"])
def test_the_minis(model: str, judge: str, way: str) -> None:
    assert said(RESULTS / model / "verdicts" / judge, way) == KEPT[f"{model}/{judge}"][way]


@pytest.mark.parametrize("way", WAYS)
def test_the_authors(data: Path, way: str) -> None:
    assert said(data / "results_v4" / "vlm_judge", way) == KEPT["authors"][way]


@pytest.mark.parametrize("model", ["mini", "mini-direct"])
def test_agreement(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the tables' own questions."""
    folder = RESULTS / model / "verdicts"
    words = ["tables", "--verdicts", str(folder / "oracle"), "--against"]
    assert main([*words, str(folder / "oracle-blind"), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [rounded(row) for row in rows if "__" not in row["judge"]] == KEPT["against"][model]


def test_every_verdict_is_read(data: Path) -> None:
    folders = {
        f"{model}/{judge}": RESULTS / model / "verdicts" / judge
        for model in ("mini", "mini-direct")
        for judge in ("oracle", "oracle-blind")
    }
    folders["authors"] = data / "results_v4" / "vlm_judge"
    for name, folder in folders.items():
        found = read_verdicts(folder)
        counts = {
            judge: [len(some), sum(bool(v.passed) for v in some.values())]
            for judge, some in sorted(found.items())
        }
        assert counts == KEPT["counts"][name]
