"""Verdict files: the authors' columns, resuming, torn lines, one writer, one picture a verdict."""

from __future__ import annotations

import csv
import io
import os

import pytest

from fluxlens.files import FileInUse
from fluxlens.judge import Verdict, belongs, load_questions, read_verdict_file, read_verdicts
from fluxlens.judge.verdicts import COLUMNS, OLDER, VerdictError, VerdictFile, spent, verdict_path

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
        assert read_verdict_file(path)["a"].passed  # on disk at once
    found = read_verdict_file(path)
    assert list(found) == ["a", "b"]
    assert found["a"].judged_at
    written = {"entity_id": "a", "question": QUESTION.digest, "judged_at": found["a"].judged_at}
    assert vars(found["a"]) == vars(YES) | written
    assert found["b"].passed is False
    assert found["b"].reason == "nothing, really"
    failure = read_verdict_file(path, failures=True)["c"]
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
        found = read_verdict_file(file)
        assert {k: row.passed for k, row in found.items()} == {"a": True, "b": True}  # the last
        assert found["a"].reason == 'Image 3 has the "red" of Image 1, clearly.'
        assert found["a"].input_tokens == 4455
        assert read_verdict_file(file, failures=True)["c"].error == "API error: overloaded"
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
    assert read_verdict_file(path, failures=True)["a"].passed
    assert len(path.read_text().splitlines()) == 4


def test_a_later_failure_does_not_undo_a_verdict(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text(AUTHORS + "a,,oops,m,1,1\n")
    assert read_verdict_file(file)["a"].passed


def test_torn_anywhere(path):
    """Whatever byte the process was killed at, whole rows stay and the rest is written again."""
    with VerdictFile(path, QUESTION) as file:
        file.add("a", YES)
        before = len(path.read_bytes())
        file.add("b", NO)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        # a line that lacks nothing but its end is whole
        there = [e for e, end in (("a", before), ("b", len(whole))) if size >= end - 1]
        assert list(read_verdict_file(path)) == there
        with VerdictFile(path, QUESTION) as file:
            assert [e for e in ("a", "b") if e in file] == there
            for entity in ("a", "b"):
                if entity not in file:
                    file.add(entity, YES)
        assert list(read_verdict_file(path)) == ["a", "b"]
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
    assert read_verdict_file(path)["a"].reason == 'a "quoted",   =cmd|x  [31mred   ｅnd é'


def test_one_writer(path):
    with (
        VerdictFile(path, QUESTION) as file,
        pytest.raises(FileInUse, match="another process is writing"),
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
    assert read_verdict_file(tmp_path / "none.csv") == {}
    (tmp_path / "empty.csv").touch()
    assert read_verdict_file(tmp_path / "empty.csv") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("entity,pass\n", "no columns entity_id and pass"),
        (AUTHORS.replace(",0,no", ",maybe,no"), "line 3: pass is 1, 0 or blank, not 'maybe'"),
        (AUTHORS.replace("b,0,no", "b,0"), "line 3 has 5 fields, not 6"),
        (AUTHORS.replace("b,0,no", ",0,no"), "line 3: no entity_id"),
        (AUTHORS.replace("4455,48", "many,48"), "line 2: invalid literal"),
        (AUTHORS.replace("4455,48", "-1,48"), "line 2: tokens and cost are numbers from 0 on"),
        (AUTHORS + '"d,1\n', "line 6: not a readable CSV"),
        # an unclosed quote swallows nothing
        (AUTHORS.replace(",no,", ',"no,'), "line 3: not a readable CSV"),
        (AUTHORS.replace("b,0", "<<<<<<< HEAD\nb,0"), "line 3 has 1 fields, not 6: '<<<<<<< HEAD'"),
        (AUTHORS + "=======\n", "line 6 has 1 fields"),
        (AUTHORS.encode("utf-16"), "not a readable CSV"),
    ],
)
def test_unreadable(tmp_path, text, says):
    file = tmp_path / "x.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    named = file.rename(tmp_path / f"{QUESTION.name}.csv")
    before = named.read_bytes()
    for read in (lambda: read_verdict_file(named), lambda: VerdictFile(named, QUESTION)):
        with pytest.raises(VerdictError):
            read()
    with pytest.raises(VerdictError, match=says):
        read_verdicts(tmp_path)
    assert named.read_bytes() == before


def test_a_verdict_is_an_answer_or_an_error():
    with pytest.raises(ValueError, match="either an answer or an error"):
        Verdict(None, "", "m")
    with pytest.raises(ValueError, match="either an answer or an error"):
        Verdict(True, "", "m", error="x")
    for cost in (float("nan"), float("inf"), -0.01):
        with pytest.raises(ValueError, match="numbers from 0 on"):
            Verdict(True, cost=cost)


@pytest.mark.parametrize("cost", ["nan", "inf", "-3", "1e999"])
def test_no_cost_turns_a_budget_off(path, cost):
    with VerdictFile(path, QUESTION) as file:
        file.add("a", YES)
    path.write_text(path.read_text().replace("0.01250000", cost))
    for read in (read_verdict_file, spent, lambda p: VerdictFile(p, QUESTION)):
        with pytest.raises(VerdictError, match="line 2: tokens and cost are numbers from 0 on"):
            read(path)


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize(
    "foreign",
    [AUTHORS.rstrip("\n").encode(), AUTHORS.encode("utf-16"), b"name,pass\na,1", b"x", b"\x00\xff"],
)
def test_a_foreign_file_is_not_touched(tmp_path, foreign, end):
    file = tmp_path / "x.csv"
    file.write_bytes(foreign + end)
    with pytest.raises(VerdictError):
        VerdictFile(file, QUESTION)
    assert file.read_bytes() == foreign + end


def excel(text: str) -> str:
    """What Excel makes of a file: a mark, quotes, its own line ends and words for yes and no."""
    header, *rows = csv.reader(io.StringIO(text))
    words = {"1": "TRUE", "0": "FALSE"}
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([header, *([e, words.get(p, p), *rest] for e, p, *rest in rows)])
    return "\ufeff" + out.getvalue()


def test_our_own_file_saved_by_a_spreadsheet_is_still_ours(path):
    with VerdictFile(path, QUESTION) as file:
        file.add("a", YES, "0123456789abcdef")
        file.add("b", NO)
        file.add("c", FAILED)
    before = read_verdict_file(path, failures=True)
    path.write_bytes(excel(path.read_text()).encode())
    assert read_verdict_file(path, failures=True) == before
    with VerdictFile(path, QUESTION) as file:
        assert ("a" in file, "b" in file, "c" in file) == (True, True, False)
        file.add("c", NO)
    assert read_verdict_file(path)["c"].passed is False
    assert read_verdicts(path.parent) == {QUESTION.name: read_verdict_file(path)}


@pytest.mark.parametrize(
    ("word", "passed"),
    [("1", True), ("1.0", True), ("TRUE", True), (" true", True), ("0.0", False), ("False", False)],
)
def test_one_spelling_of_success(tmp_path, word, passed):
    file = tmp_path / f"{QUESTION.name}.csv"
    file.write_text(AUTHORS.replace("a,1,", f"a,{word},"))
    assert read_verdict_file(file)["a"].passed is passed
    assert read_verdicts(tmp_path)[QUESTION.name]["a"].passed is passed


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@x", "'=1", "''@", "it's =1", "'quoted'"])
def test_no_reason_is_a_formula(path, start):
    with VerdictFile(path, QUESTION) as file:
        file.add("a", Verdict(True, start, start))
        file.add("b", Verdict(None, error=start))
    for row in csv.DictReader(io.StringIO(path.read_text())):
        for name in ("reason", "model", "error"):
            assert not row[name] or row[name][0] not in "=+-@"
    assert read_verdict_file(path)["a"].reason == read_verdict_file(path)["a"].model == start
    assert read_verdict_file(path, failures=True)["b"].error == start


# ---- a verdict belongs to its pictures ----------------------------------------------------------

ONE, OTHER = "0123456789abcdef", "fedcba9876543210"


def test_other_pictures_have_no_verdict_yet(path):
    with VerdictFile(path, QUESTION) as file:
        file.add("a", YES, ONE)
        assert [file.holds("a", pictures) for pictures in (ONE, OTHER, "")] == [True, False, True]
        file.add("a", NO, OTHER)
    with VerdictFile(path, QUESTION) as file:
        assert (file.holds("a", ONE), file.holds("a", OTHER)) == (False, True)
        with pytest.raises(VerdictError, match="judged already"):
            file.add("a", YES, OTHER)
    assert read_verdict_file(path)["a"].passed is False


def test_a_failure_on_other_pictures_leaves_no_verdict(path):
    with VerdictFile(path, QUESTION) as file:
        file.add("a", YES, ONE)
        file.add("a", FAILED, OTHER)
        assert "a" not in file
    assert read_verdict_file(path) == {}
    assert read_verdicts(path.parent) == {}


def test_older_files_go_on(path):
    """A verdict that does not know its pictures is about those that have not changed since."""
    with VerdictFile(path, QUESTION) as file:
        file.add("a", YES)
    rows = list(csv.reader(io.StringIO(path.read_text())))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(row[:-1] for row in rows)
    path.write_text(text.getvalue())
    assert tuple(path.read_text().splitlines()[0].split(",")) == OLDER
    (old,) = read_verdict_file(path).values()
    judged = path.stat().st_mtime
    assert belongs(old, ONE, judged - 60)
    assert not belongs(old, ONE, judged + 60)
    with VerdictFile(path, QUESTION) as file:
        assert file.holds("a", ONE, judged - 60)
        file.add("a", NO, ONE)
    assert tuple(path.read_text().splitlines()[0].split(",")) == COLUMNS
    assert read_verdict_file(path)["a"].pictures == ONE
    assert os.listdir(path.parent) == [path.name]
