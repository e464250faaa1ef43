"""Claude as a judge, by the real SDK against a local server: requests, faults, money."""

from __future__ import annotations

import base64
import random
import traceback

import anthropic
import pytest
from judge_server import Step, answer, message, says, status
from judge_tools import COLOR, KEY, verdicts

from fluxlens.judge.base import BudgetSpent, JudgeStopped, Request, Verdict
from fluxlens.judge.claude import ClaudeJudge
from fluxlens.judge.prices import Budget
from fluxlens.judge.run import run_judge
from fluxlens.judge.verdicts import spent, verdict_path

pytest_plugins = ["judge_fixtures"]

ONE = 4000 * 5 / 1e6 + 50 * 25 / 1e6  # what the server's usual answer costs


def test_what_is_sent(server, judge, pictures):
    images = pictures(1)[COLOR.name]["task_0"]
    verdict = judge().ask(Request("task_0", COLOR, images))
    assert verdict == Verdict(True, "it is so", "claude-opus-4-7", 4000, 50, cost=ONE)
    (sent,) = server.requests
    assert sent["model"] == "claude-opus-4-7"
    assert sent["max_tokens"] == 200
    assert "temperature" not in sent
    assert sent["system"] == [{"type": "text", "text": COLOR.system}]
    schema = sent["output_config"]["format"]["schema"]
    assert list(schema["properties"]) == schema["required"] == ["pass", "reason"]
    (turn,) = sent["messages"]
    texts = [block["text"] for block in turn["content"] if block["type"] == "text"]
    assert texts == [*COLOR.labels, COLOR.text]
    sources = [block["source"] for block in turn["content"] if block["type"] == "image"]
    assert [base64.b64decode(source["data"]) for source in sources] == [
        images[role].read_bytes() for role in ("reference", "t2i", "lens")
    ]
    assert any(KEY in value for value in server.headers[0].values())

    judge(answer="text").ask(Request("task_0", COLOR, images))
    assert "output_config" not in server.requests[1]


BAD_ANSWERS = {
    "text around": says('Here: {"pass": 1, "reason": "r"}'),
    "text around fences": says('Here:\n```json\n{"pass": 1, "reason": "r"}\n```'),
    "two fences": says(
        '```\n{"pass": 1, "reason": "r"}\n```\n```\n{"pass": 0, "reason": "r"}\n```'
    ),
    "two": says('{"pass": 1, "reason": "r"}\n{"pass": 0, "reason": "r"}'),
    "cut": says('{"pass": 1, "reas'),
    "empty": says(""),
    "string": says('{"pass": "1", "reason": "r"}'),
    "null": says('{"pass": null, "reason": "r"}'),
    "true": says('{"pass": true, "reason": "r"}'),
    "float": says('{"pass": 1.0, "reason": "r"}'),
    "three": says('{"pass": 3, "reason": "r"}'),
    "no pass": says('{"reason": "r"}'),
    "no reason": says('{"pass": 1}'),
    "twice": says('{"pass": 1, "pass": 0, "reason": "r"}'),
    "list": says('[{"pass": 1, "reason": "r"}]'),
    "nan": says('{"pass": NaN, "reason": "r"}'),
    "deep": says("[" * 100_000),
    "refusal": says(None, stop="refusal"),
    "refusal with text": answer(1, stop="refusal"),
    "no content": says(None),
    "max tokens": answer(1, stop="max_tokens"),
    "two texts": Step(
        body=message("x", content=2 * message('{"pass": 1, "reason": ""}')["content"])
    ),
    "a tool": Step(
        body=message(None, content=[{"type": "tool_use", "id": "t", "name": "n", "input": {}}])
    ),
    "null content": Step(body=message("", content=None)),
}
UNREADABLE = {
    "no JSON": Step(body=b"{"),
    "not UTF-8": Step(body=b"\xff\xfe\x00"),
    "HTML": Step(body=b"<html>", headers={"content-type": "text/html"}),
    "another object": Step(body={"type": "pong"}),
    "a list": Step(body=[1]),
    "null": Step(body=None),
    "no usage": answer(1, usage=None),
    "odd usage": answer(1, usage={"input_tokens": "4000", "output_tokens": 50}),
    "negative usage": answer(1, usage={"input_tokens": -4000, "output_tokens": 50}),
}
RETRIED = {
    "429": status(429, kind="rate_limit_error"),
    "529": status(529, kind="overloaded_error"),
    "500": status(500),
    "503, not JSON": Step(503, b"<html>"),
    "408": status(408),
}
LOST = {"reset": Step(fault="reset"), "truncated": Step(body=message("x"), fault="truncate")}
REFUSED = {"400": status(400, kind="invalid_request_error"), "413": status(413)}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_answers_that_are_no_verdict(server, judge, pictures, tmp_path, name):
    """No verdict, but its tokens are counted; asked again in the next run."""
    server.script(BAD_ANSWERS[name])
    tally = run_judge(judge(), [COLOR], pictures(1), tmp_path)
    assert (tally.judged, tally.failed) == (0, 1)
    row = verdicts(tmp_path)["task_0"]
    assert row.passed is None
    assert row.reason == ""
    assert row.error
    assert row.cost == pytest.approx(ONE)
    again = run_judge(judge(), [COLOR], pictures(1), tmp_path)
    assert (again.judged, again.failed, len(server.requests)) == (1, 0, 2)


@pytest.mark.parametrize("name", UNREADABLE)
def test_answers_that_cannot_be_read_cost_the_most(server, judge, pictures, tmp_path, name):
    server.script(UNREADABLE[name])
    one = judge()
    request = Request("task_0", COLOR, pictures(1)[COLOR.name]["task_0"])
    verdict = one.ask(request)
    assert verdict.error
    assert len(server.requests) == 1
    assert verdict.cost == pytest.approx(one.prepare(request)[1])
    assert (one.budget.spent, one.budget.reserved) == (pytest.approx(verdict.cost), 0.0)


@pytest.mark.parametrize("name", RETRIED)
def test_refusals_are_retried_for_nothing(server, judge, pictures, delays, name):
    request = Request("task_0", COLOR, pictures(1)[COLOR.name]["task_0"])
    server.script(RETRIED[name], RETRIED[name])
    assert judge().ask(request).cost == pytest.approx(ONE)
    assert len(delays) == 2
    server.script(*[RETRIED[name]] * 3)
    one = judge()
    verdict = one.ask(request)
    assert verdict.error.startswith(name[:3])
    assert (verdict.cost, one.budget.spent, one.budget.reserved) == (0, 0, 0)


def test_retry_after_is_obeyed(server, judge, pictures, delays):
    request = Request("task_0", COLOR, pictures(1)[COLOR.name]["task_0"])
    server.script(status(429, retry_after="17"), status(429))
    assert judge().ask(request).passed
    assert delays[0] == 17
    assert 0 < delays[1] <= 8


@pytest.mark.parametrize("name", LOST)
def test_what_may_have_been_charged_is_counted(server, judge, pictures, name):
    request = Request("task_0", COLOR, pictures(1)[COLOR.name]["task_0"])
    one = judge()
    worst = one.prepare(request)[1]
    server.script(LOST[name])
    assert one.ask(request).cost == pytest.approx(worst + ONE)
    server.script(*[LOST[name]] * 3)
    verdict = one.ask(request)
    assert "APIConnectionError" in verdict.error
    assert verdict.cost == pytest.approx(3 * worst)
    assert one.budget.spent == pytest.approx(4 * worst + ONE)
    assert one.budget.reserved == 0


def test_time_out(server, judge, pictures, tmp_path):
    server.script(*[Step(fault="hang")] * 2)
    tally = run_judge(judge(timeout=0.5, max_retries=1), [COLOR], pictures(1), tmp_path)
    assert tally.failed == 1
    assert "APITimeoutError" in verdicts(tmp_path)["task_0"].error
    assert run_judge(judge(), [COLOR], pictures(1), tmp_path).judged == 1


def test_nobody_there(server, judge, pictures):
    one = judge()
    request = Request("task_0", COLOR, pictures(1)[COLOR.name]["task_0"])
    one.client = one.client.with_options(base_url="http://127.0.0.1:9")
    assert "APIConnectionError" in one.ask(request).error
    assert one.budget.spent == 0


@pytest.mark.parametrize("concurrency", [1, 4])
def test_all_faults_in_a_heap(server, judge, pictures, tmp_path, concurrency):
    """Every item ends judged once or recorded as failed; run again until all are judged."""
    dice = random.Random(concurrency)
    faults = [*{**BAD_ANSWERS, **UNREADABLE, **RETRIED, **LOST, **REFUSED}.values()]
    server.decide = lambda _: dice.choice([*faults, *[answer(0), answer(1)] * 10])
    items = pictures(25)
    one = judge()
    runs = 0
    while runs < 40:
        runs += 1
        tally = run_judge(one, [COLOR], items, tmp_path, concurrency=concurrency)
        assert tally.judged + tally.failed + tally.skipped == 25
        found = verdicts(tmp_path)
        assert len(found) == 25
        if tally.failed == 0:
            break
    assert 1 < runs < 40
    text = verdict_path(tmp_path, one.name, COLOR).read_text()
    judged = [line.split(",")[0] for line in text.splitlines() if line.split(",")[1] in ("0", "1")]
    assert sorted(judged) == sorted(items[COLOR.name])  # each once
    assert one.budget.spent == pytest.approx(spent(verdict_path(tmp_path, one.name, COLOR)))
    assert one.budget.reserved == pytest.approx(0)


@pytest.mark.parametrize("concurrency", [1, 5])
@pytest.mark.parametrize("limit", [0.0, 0.03, 0.12])
def test_the_budget_is_not_passed(server, judge, pictures, tmp_path, limit, concurrency):
    """Whatever is charged for what: answers of any length, lost ones, several processes' worth."""
    dice = random.Random(limit)
    billed = []
    one = judge(budget=Budget(limit))
    worst = one.prepare(Request("task_0", COLOR, pictures(1)[COLOR.name]["task_0"]))[1]

    def decide(_):
        kind = dice.random()
        if kind < 0.1:
            billed.append(worst)  # charged, and the answer lost
            return Step(fault="reset")
        if kind < 0.2:
            return status(529)
        usage = {"input_tokens": dice.randrange(1200), "output_tokens": dice.randrange(200)}
        billed.append(one.price.cost(usage["input_tokens"], usage["output_tokens"]))
        return answer(1, usage=usage) if kind < 0.9 else says("well…", usage=usage)

    server.decide = decide
    for _ in range(3):  # a new process knows what the last one spent
        another = judge(budget=Budget(limit))
        tally = run_judge(another, [COLOR], pictures(30), tmp_path, concurrency=concurrency)
        assert sum(billed) <= limit
        assert another.budget.spent <= limit
        assert another.budget.spent >= sum(billed) - 1e-9
        assert "budget" in tally.stopped
    server.decide = None
    server.default = answer(1, usage={"input_tokens": 1, "output_tokens": 1})
    assert not run_judge(judge(budget=Budget(9)), [COLOR], pictures(30), tmp_path).stopped
    assert sum(row.passed is True for row in verdicts(tmp_path).values()) == 30


def test_spent_raises(judge, pictures):
    with pytest.raises(BudgetSpent, match=r"of the budget of \$0.01"):
        judge(budget=Budget(0.01)).ask(Request("t", COLOR, pictures(1)[COLOR.name]["task_0"]))


@pytest.mark.parametrize(
    "step",
    [
        status(401, f"invalid x-api-key: {KEY}", "authentication_error"),
        status(403, "not you", "permission_error"),
        status(404, "model: claude-opus-4-7", "not_found_error"),
        status(400, "Your credit balance is too low", "invalid_request_error"),
    ],
)
def test_what_no_request_escapes_stops_the_run(server, judge, pictures, tmp_path, step):
    server.default = step
    tally = run_judge(judge(), [COLOR], pictures(30), tmp_path, concurrency=3)
    assert tally.stopped.startswith("no question can be asked")
    assert KEY not in tally.stopped
    assert len(server.requests) <= 3
    assert verdicts(tmp_path) == {}  # nothing was tried in earnest


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(
    "step", [status(529, "Overloaded"), status(400, "odd", "invalid_request_error"), status(500)]
)
def test_a_server_that_always_refuses_is_not_asked_to_the_end(
    server, judge, pictures, tmp_path, step, concurrency
):
    server.default = step
    tally = run_judge(judge(), [COLOR], pictures(60), tmp_path, concurrency=concurrency)
    assert tally.stopped.startswith(f"5 questions in a row had no answer, the last: {step.status}")
    assert tally.failed < 5 + concurrency
    server.default = answer(1)
    again = run_judge(judge(), [COLOR], pictures(60), tmp_path, concurrency=concurrency)
    assert (again.judged, again.failed, again.stopped) == (60, 0, "")


def test_failures_far_between_do_not_stop_a_run(server, judge, pictures, tmp_path):
    odd = status(400, "odd", "invalid_request_error")
    server.script(*[*[odd] * 4, answer(1)] * 4, *[says("prose")] * 9)
    tally = run_judge(judge(), [COLOR], pictures(30), tmp_path)
    assert (tally.judged, tally.failed, tally.stopped) == (5, 25, "")


def test_no_key_in_a_traceback(server, judge, pictures):
    request = Request("t", COLOR, pictures(1)[COLOR.name]["task_0"])
    server.script(status(401, f"bad key {KEY}, Bearer {KEY}"), answer(1, f"the key is {KEY}"))
    one = judge()
    with pytest.raises(JudgeStopped) as stop:
        one.ask(request)
    shown = traceback.TracebackException.from_exception(stop.value, capture_locals=True)
    assert KEY not in "".join(shown.format())
    assert stop.value.__cause__ is None
    assert stop.value.__context__ is None
    assert KEY not in repr(one) + repr(vars(one))
    assert one.ask(request).reason == "the key is [key]"


def test_no_key_or_an_odd_one(server, pictures, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    request = Request("t", COLOR, pictures(1)[COLOR.name]["task_0"])
    with pytest.raises(JudgeStopped, match="set ANTHROPIC_API_KEY"):
        ClaudeJudge()
    with (
        anthropic.Anthropic() as keyless,
        pytest.raises(JudgeStopped, match="set ANTHROPIC_API_KEY"),
    ):
        ClaudeJudge(client=keyless, max_retries=0).ask(request)
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", "/nowhere/at/all")
    with pytest.raises(JudgeStopped, match="there is no API key: Config file not found"):
        ClaudeJudge()
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY + "\n")
    with pytest.raises(JudgeStopped, match="a line's end") as stop:
        ClaudeJudge()
    shown = traceback.TracebackException.from_exception(stop.value, capture_locals=True)
    assert KEY not in "".join(shown.format())
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with ClaudeJudge() as one:
        assert one.ask(request).passed
