"""Verdict files: the authors' columns, resuming, torn lines, one writer."""

from __future__ import annotations

import csv
import io

import pytest

from fluxlens.judge.base import Verdict
from fluxlens.judge.questions import load_questions
from fluxlens.judge.verdicts import (
    COLUMNS,
    VerdictError,
    VerdictFile,
    read_verdicts,
    spent,
    verdict_path,
)

QUESTION = load_questions()["i2i_unc_add"]
YES = Verdict(True, "same sky", "claude-opus-4-7", 2359, 65, 7, 9, cost=0.0125)
NO = Verdict(False, "nothing, really", "claude-opus-4-7", 2359, 60, cost=0.0125)
FAILED = Verdict(None, "", "claude-opus-4-7", cost=0.05, error="timed out")

AUTHORS = """entity_id,pass,reason,model,input_tokens,output_tokens
a,1,"Image 3 has the ""red"" of Image 1, clearly.",claude-opus-4-7,4455,48
b,0,no,claude-opus-4-7,4455,41
c,,API error: overloaded,claude-opus-4-7,,
b,1,on second thought,claude-opus-4-7,4455,41
"""


@pytest.fixture
def path(tmp_path):
    return verdict_path(tmp_path / "mini", "oracle", QUESTION)


def test_paths(tmp_path):
    blind = load_questions("blind")["i2i_unc_add"]
    assert verdict_path(tmp_path, "claude-opus-4-7", blind) == (
        tmp_path / "verdicts" / "claude-opus-4-7-blind" / "i2i_unc_add.csv"
    )


def test_round_trip(path):
    with VerdictFile(path, QUESTION) as file:
        assert "a" not in file
        file.add("a", YES)
        file.add("b", NO)
        file.add("c", FAILED)
        assert "a" in file
        assert "b" in file
        assert "c" not in file
        assert len(file) == 2
        assert read_verdicts(path)["a"].passed  # on disk at once
    found = read_verdicts(path)
    assert list(found) == ["a", "b"]
    for name, value in vars(YES).items():
        assert getattr(found["a"], name) == value
    assert found["b"].passed is False
    assert found["b"].reason == "nothing, really"
    assert found["a"].question == QUESTION.digest
    assert found["a"].judged_at
    failure = read_verdicts(path, failures=True)["c"]
    assert failure.passed is None
    assert failure.error == "timed out"
    assert spent(path) == pytest.approx(0.075)
    header, *rows = csv.reader(io.StringIO(path.read_text()))
    assert tuple(header) == COLUMNS
    assert header[:2] == ["entity_id", "pass"]
    assert rows[2][:3] == ["c", "", ""]  # a failure has a blank pass and no reason


def test_the_authors_files(tmp_path):
    file = tmp_path / "i2i_unc_add.csv"
    for text in (AUTHORS, AUTHORS.rstrip("\n"), AUTHORS.replace("\n", "\r\n"), "\ufeff" + AUTHORS):
        file.write_bytes(text.encode())
        found = read_verdicts(file)
        assert {k: row.passed for k, row in found.items()} == {"a": True, "b": True}  # the last
        assert found["a"].reason == 'Image 3 has the "red" of Image 1, clearly.'
        assert found["a"].input_tokens == 4455
        assert read_verdicts(file, failures=True)["c"].error == "API error: overloaded"
    with pytest.raises(VerdictError, match="not ours"):
        VerdictFile(file, QUESTION)


def test_a_failure_is_tried_again(path):
    with VerdictFile(path, QUESTION) as file:
        file.add("a", FAILED)
    with VerdictFile(path, QUESTION) as file:
        assert "a" not in file
        file.add("a", FAILED)
        file.add("a", YES)
        with pytest.raises(VerdictError, match="a is judged already"):
            file.add("a", NO)
    with VerdictFile(path, QUESTION) as file:
        assert "a" in file
        assert file.spent == pytest.approx(0.1125)
    assert read_verdicts(path, failures=True)["a"].passed
    assert len(path.read_text().splitlines()) == 4


def test_a_later_failure_does_not_undo_a_verdict(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text(AUTHORS + "a,,oops,m,1,1\n")
    assert read_verdicts(file)["a"].passed


def test_torn_anywhere(path):
    """Whatever byte the process was killed at, whole rows stay and the rest is written again."""
    with VerdictFile(path, QUESTION) as file:
        file.add("a", YES)
        before = len(path.read_bytes())
        file.add("b", NO)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert list(read_verdicts(path)) == (["a"] if size >= before else [])
        with VerdictFile(path, QUESTION) as file:
            assert ("a" in file, "b" in file) == (size >= before, False)
            for entity in ("a", "b"):
                if entity not in file:
                    file.add(entity, YES)
        assert list(read_verdicts(path)) == ["a", "b"]
        assert len(path.read_text().splitlines()) == 3


def test_untrusted_reasons(path):
    text = 'a "quoted", \r\n=cmd|x \x1b[31mred\x00\u2028 ｅnd é'
    with VerdictFile(path, QUESTION) as file:
        file.add("a", Verdict(True, text, "m\n"))
        file.add("b", Verdict(None, "", "m", error="line\nline"))
        for name in ("", "x\ny"):
            with pytest.raises(VerdictError, match="cannot name an entity"):
                file.add(name, YES)
    assert len(path.read_text().splitlines()) == 3
    assert read_verdicts(path)["a"].reason == 'a "quoted",   =cmd|x  [31mred   ｅnd é'


def test_one_writer(path):
    with (
        VerdictFile(path, QUESTION) as file,
        pytest.raises(VerdictError, match="another process is writing"),
    ):
        VerdictFile(path, QUESTION)
    file.close()  # twice is once
    VerdictFile(path, QUESTION).close()


def test_another_wording(path):
    with VerdictFile(path, QUESTION) as file:
        file.add("a", YES)
    with pytest.raises(VerdictError, match="another wording of i2i_unc_style_text_lens"):
        VerdictFile(path, load_questions()["i2i_unc_style_text_lens"])
    VerdictFile(path, QUESTION).close()  # and the lock is free again


def test_no_file(tmp_path):
    assert read_verdicts(tmp_path / "none.csv") == {}
    (tmp_path / "empty.csv").touch()
    assert read_verdicts(tmp_path / "empty.csv") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("entity,pass\n", "the first columns must be entity_id, pass"),
        (AUTHORS.replace(",0,no", ",maybe,no"), "row 3: 'pass' is 0, 1 or blank, not 'maybe'"),
        (AUTHORS.replace("b,0,no", "b,0"), "row 3 has 5 fields, not 6"),
        (AUTHORS.replace("b,0,no", ",0,no"), "row 3: no entity_id"),
        (AUTHORS.replace("4455,48", "many,48"), "row 2: invalid literal"),
        (AUTHORS + '"d,1\n', "not a readable CSV"),
        (AUTHORS.encode("utf-16"), "not a readable CSV"),
    ],
)
def test_unreadable(tmp_path, text, says):
    file = tmp_path / "x.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(VerdictError, match=says):
        read_verdicts(file)


def test_a_verdict_is_an_answer_or_an_error():
    with pytest.raises(ValueError, match="either an answer or an error"):
        Verdict(None, "", "m")
    with pytest.raises(ValueError, match="either an answer or an error"):
        Verdict(True, "", "m", error="x")
