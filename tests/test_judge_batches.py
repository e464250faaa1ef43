"""Message Batches by the real SDK: sent, awaited, collected; expired, lost, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from judge_server import Step, answer, message, says, status
from judge_tools import COLOR, KEY, verdicts
from PIL import Image

import fluxlens
from fluxlens.files import FileInUse
from fluxlens.judge import batches
from fluxlens.judge.prices import Budget
from fluxlens.judge.questions import load_questions
from fluxlens.judge.run import run_judge
from fluxlens.judge.verdicts import VerdictError, verdict_path

pytest_plugins = ["judge_fixtures"]

ONE = (4000 * 5 / 1e6 + 50 * 25 / 1e6) / 2
STYLE = load_questions()["i2i_unc_style_text_lens"]


def state(results: Path) -> list:
    """What the state file says is under way."""
    return json.loads((results / "verdicts" / "claude-opus-4-7.batches.json").read_text())


@pytest.fixture
def run(judge, tmp_path):
    """Run a question in batches."""

    def go(items, *questions, one=None, **options):
        chosen = list(questions) or [COLOR]
        return run_judge(one or judge(), chosen, items, tmp_path, batch=True, poll=0, **options)

    return go


def rows(results, question=COLOR):
    """All rows, as (entity, pass)."""
    text = verdict_path(results, "claude-opus-4-7", question).read_text()
    return [tuple(line.split(",")[:2]) for line in text.splitlines()[1:]]


def test_a_study_in_one_batch(server, run, pictures, tmp_path):
    server.looks = 3
    server.script(answer(0, "no, gray"))
    tally = run(pictures(5, COLOR, STYLE), COLOR, STYLE)
    assert (tally.judged, tally.passed, tally.failed, tally.stopped) == (10, 9, 0, "")
    assert tally.cost == pytest.approx(10 * ONE)
    assert len(server.batches) == 1
    assert len(server.polls) >= 4
    assert verdicts(tmp_path)["task_0"].reason == "no, gray"
    assert "cache_control" not in json.dumps(server.requests)
    assert state(tmp_path) == []
    assert run(pictures(5, COLOR, STYLE), COLOR, STYLE).skipped == 10
    assert len(server.batches) == 1


def test_chunks(server, run, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "MOST_REQUESTS", 2)
    server.looks = 1
    assert run(pictures(5)).judged == 5
    assert [len(batch["lines"]) for batch in server.batches.values()] == [2, 2, 1]
    monkeypatch.setattr(batches, "MOST_REQUESTS", 100)
    monkeypatch.setattr(batches, "MOST_BYTES", 1)
    assert run(pictures(8)).judged == 3
    assert [len(batch["lines"]) for batch in server.batches.values()][3:] == [1, 1, 1]


ERROR = {"type": "error", "error": {"type": "invalid_request_error", "message": f"no: {KEY}"}}


def test_items_that_come_to_nothing_are_tried_next_time(server, run, pictures, tmp_path):
    server.script(
        Step(result="expired"),
        Step(result="canceled"),
        Step(result="errored", body=ERROR),
        Step(result="errored"),
        says("not JSON"),
        says(None, stop="refusal"),
        Step(body=None),
        Step(result="new kind"),
        answer(0),
    )
    tally = run(pictures(10))
    assert (tally.judged, tally.passed, tally.failed) == (2, 1, 8)
    found = verdicts(tmp_path)
    errors = [found[f"task_{n}"].error for n in range(8)]
    assert errors[0] == "expired in its batch"
    assert errors[2] == "errored in its batch: invalid_request_error: no: [key]"
    assert all(errors)
    assert found["task_4"].cost == pytest.approx(ONE)
    assert found["task_0"].cost == 0
    again = run(pictures(10))
    assert (again.judged, again.failed, again.skipped) == (8, 0, 2)
    judged = [entity for entity, passed in rows(tmp_path) if passed]
    assert sorted(judged) == sorted(f"task_{n}" for n in range(10))


def test_an_expired_batch(server, run, pictures, tmp_path):
    server.script(*[Step(result="expired")] * 4)
    assert run(pictures(4)).failed == 4
    assert run(pictures(4)).judged == 4
    assert len(server.batches) == 2


@pytest.mark.parametrize("limit", [0.0, 0.02, 0.09])
def test_the_budget_is_not_passed(server, run, judge, pictures, tmp_path, limit):
    """What does not fit waits for a batch that cost less than it might have, or for more money."""
    usage = {"input_tokens": 900, "output_tokens": 100}
    server.default = answer(1, usage=usage)
    cost = judge().price.cost(900, 100, batch=True)
    for _ in range(2):
        tally = run(pictures(40), one=judge(budget=Budget(limit)))
        assert "budget" in tally.stopped
        assert len(server.requests) * cost <= limit
    assert sum(v.cost for v in verdicts(tmp_path).values()) == pytest.approx(
        len(server.requests) * cost
    )
    assert run(pictures(40), one=judge(budget=Budget(5))).stopped == ""
    assert len(verdicts(tmp_path)) == len(server.requests) == 40


@pytest.mark.parametrize("fault", ["reset", "truncate", "nonsense"])
def test_a_submission_without_an_answer_is_found_again(server, run, pictures, tmp_path, fault):
    """The batch was taken; it is not sent twice."""
    server.on_batches.append(status(529))  # the SDK retries what was not taken
    run(pictures(2, STYLE), STYLE)  # another batch of as many, not ours
    lost = {"reset": Step(fault="reset"), "nonsense": Step(body=b"<html>")}
    server.after_create.append(lost.get(fault, Step(body=message("x"), fault="truncate")))
    tally = run(pictures(2))
    assert (tally.judged, tally.failed) == (2, 0)
    assert len(server.batches) == 2
    assert state(tmp_path) == []


def test_a_submission_that_never_arrived(server, run, pictures, tmp_path):
    server.on_batches.append(Step(fault="reset"))
    tally = run(pictures(2))
    assert (tally.judged, tally.failed) == (0, 2)
    assert verdicts(tmp_path)["task_0"].error == "the batch did not arrive"
    assert run(pictures(2)).judged == 2


def test_killed_between_sending_and_knowing(server, run, judge, pictures, tmp_path):
    """The state file names what was about to be sent; the batch is found by what it holds."""
    server.looks = 1
    taken = judge()

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    submit = taken.submit
    taken.submit = lambda requests: die(submit(requests))
    with pytest.raises(Killed):
        run(pictures(3), one=taken)
    assert [batch["id"] for batch in state(tmp_path)] == [None]
    tally = run(pictures(5))
    assert (tally.judged, tally.failed) == (5, 0)
    assert [len(batch["lines"]) for batch in server.batches.values()] == [3, 2]


def test_batches_that_are_always_refused_are_not_sent_to_the_end(
    server, run, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(batches, "MOST_REQUESTS", 2)
    server.on_batches.extend([status(400, "too odd", "invalid_request_error")] * 99)
    tally = run(pictures(20))
    assert tally.stopped.startswith("3 batches in a row were refused, the last: 400")
    assert (tally.failed, len(server.on_batches)) == (6, 96)
    assert state(tmp_path) == []
    server.on_batches.clear()
    assert run(pictures(20)).judged == 20


def test_a_batch_belongs_to_the_pictures_that_it_was_sent_with(server, run, pictures, tmp_path):
    """Made anew while the batch is under way: its answers are of the old ones, and asked again."""
    server.on_results.extend([Step(fault="reset")] * 9)
    items = pictures(2)
    assert "run again" in run(items).stopped
    server.on_results.clear()
    Image.new("RGB", (9, 9), "white").save(items[COLOR.name]["task_1"]["lens"])
    assert run(items).judged == 2  # the old ones
    again = run(items)
    assert (again.judged, again.skipped) == (1, 1)
    assert len(server.batches) == 2


@pytest.mark.parametrize("code", [400, 500])
def test_refused_batches(server, run, pictures, tmp_path, code):
    server.on_batches.extend([status(code)] * 3)
    tally = run(pictures(2))
    assert (tally.failed, tally.cost) == (2, 0)
    assert verdicts(tmp_path)["task_1"].error.startswith(str(code))
    server.on_batches.clear()
    assert run(pictures(2)).judged == 2


def test_a_rejected_key(server, run, judge, pictures, tmp_path):
    server.on_batches.append(status(401, f"bad {KEY}", "authentication_error"))
    one = judge()
    tally = run(pictures(2), one=one)
    assert tally.stopped.startswith("no question can be asked: 401")
    assert one.budget.reserved == pytest.approx(0)
    assert state(tmp_path) == []
    assert verdicts(tmp_path) == {}


def test_results_that_break_off(server, run, pictures, tmp_path):
    """They are read again; what was read is not written twice."""
    torn, cut = Step(body=b'{"custom_id": "x"'), Step(body=b"x" * 9, fault="truncate")
    server.on_results.extend([torn, cut])
    assert run(pictures(3)).judged == 3
    assert len(rows(tmp_path)) == 3
    server.on_results.append(Step(body=b""))  # whole, but nothing is in it
    tally = run(pictures(5))
    assert (tally.failed, tally.skipped) == (2, 3)
    assert verdicts(tmp_path)["task_4"].error == "not in the batch's results"
    assert verdicts(tmp_path)["task_4"].cost > 0  # it may have been charged
    server.on_results.extend([Step(body=b"nonsense\n")] * 3)
    assert run(pictures(5)).failed == 2
    assert run(pictures(5)).judged == 2


def test_results_that_cannot_be_had_now(server, run, pictures, tmp_path):
    server.on_results.extend([Step(fault="reset")] * 9)
    tally = run(pictures(3))
    assert "run again" in tally.stopped
    assert len(state(tmp_path)) == 1
    assert verdicts(tmp_path) == {}
    server.on_results.clear()
    assert run(pictures(3)).judged == 3
    assert len(server.batches) == 1


def test_a_batch_that_is_gone(server, run, pictures, tmp_path):
    server.on_results.extend([Step(fault="reset")] * 9)
    run(pictures(3))
    server.on_results.clear()
    server.batches.clear()
    tally = run(pictures(3))
    assert tally.failed == 3
    assert "gone" in verdicts(tmp_path)["task_0"].error
    assert run(pictures(3)).judged == 3


def test_another_questions_batch_is_left_alone(server, run, pictures, tmp_path):
    server.on_results.extend([Step(fault="reset")] * 9)
    run(pictures(2, STYLE), STYLE)
    server.on_results.clear()
    assert run(pictures(2)).judged == 2
    assert len(state(tmp_path)) == 1
    assert run(pictures(2, STYLE, COLOR), COLOR, STYLE).judged == 2
    assert state(tmp_path) == []


def test_a_spoilt_state_file(server, run, pictures, tmp_path):
    path = tmp_path / "verdicts" / "claude-opus-4-7.batches.json"
    path.parent.mkdir()
    whole = {"items": {"x": {"set": "paper", "question": "q", "entity_id": "e", "dollars": 1}},
             "sent_at": 1.0, "id": "b"}  # fmt: skip
    spoilt = ['[{"id": 3}]', "[" * 100_000, "[",
              "{}", "7", '[{"items": [], "sent_at": 1, "id": "b"}]',
              json.dumps([whole | {"sent_at": "soon"}]),
              json.dumps([whole]).replace('"dollars": 1', '"dollars": NaN'),
              json.dumps([whole]).replace('"dollars": 1', '"dollars": -1')]  # fmt: skip
    for text in spoilt:
        path.write_text(text)
        with pytest.raises(VerdictError, match="not a file of batches"):
            run(pictures(1))
        assert path.read_text() == text
    assert not server.requests


CHILD = """
import sys, types
package = types.ModuleType("fluxlens")  # its judges alone, without torch
package.__path__ = [sys.argv[1]]
sys.modules["fluxlens"] = package
from pathlib import Path
from fluxlens.judge.claude import ClaudeJudge
from fluxlens.judge.questions import load_questions
from fluxlens.judge.run import run_judge
root = Path(sys.argv[2])
question = load_questions()["i2i_unc_color_text_lens"]
items = {question.name: {f"task_{n}": {role: root / f"{role}-{n}.png" for role in question.images}
                         for n in range(4)}}
run_judge(ClaudeJudge(), [question], items, root, batch=sys.argv[3] == "batch", poll=0.02)
"""


@pytest.mark.parametrize("how", ["batch", "messages"])
def test_killed_and_resumed(server, run, judge, pictures, tmp_path, how):
    """SIGKILL while it waits: the batch is collected by the next process, and paid for once."""
    items, server.looks = pictures(4), 10**9
    server.script(answer(1), answer(1), *([] if how == "batch" else [Step(fault="hang")]))
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), fluxlens.__path__[0], str(tmp_path), how],
        env={**os.environ, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url},
    )
    try:
        while child.poll() is None and not (
            len(server.polls) > 2 if how == "batch" else len(server.requests) > 2
        ):
            time.sleep(0.01)
        assert child.poll() is None, "it ended by itself"
        with pytest.raises(FileInUse, match="another process is writing"):
            run(items)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    if how == "batch":
        assert [batch["id"] for batch in state(tmp_path)] == ["msgbatch_1"]
        server.batches["msgbatch_1"]["left"] = 1
        tally = run(items)
        assert (tally.judged, tally.failed) == (4, 0)
        assert len(server.batches) == 1
        assert state(tmp_path) == []
    else:
        tally = run_judge(judge(), [COLOR], items, tmp_path)
        assert (tally.judged, tally.skipped) == (2, 2)
    assert sorted(rows(tmp_path)) == [(f"task_{n}", "1") for n in range(4)]
