"""What is around a judge: pictures, prices, replies, and a run of any judge at all."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace

import pytest
from judge_server import USAGE, answer
from judge_tools import COLOR, KEY, verdicts
from PIL import Image, PngImagePlugin

from fluxlens.judge.base import Verdict
from fluxlens.judge.claude import ClaudeJudge
from fluxlens.judge.image_payload import MOST_BASE64, encode, fingerprint, opened
from fluxlens.judge.parse_reply import parse_reply, redact
from fluxlens.judge.prices import Budget, Price, Prices, load_prices
from fluxlens.judge.questions import load_questions
from fluxlens.judge.run import run_judge

pytest_plugins = ["judge_fixtures"]

PAPER = load_questions()
ONE = 4000 * 5 / 1e6 + 50 * 25 / 1e6  # what the server's usual answer costs


def test_pictures(tmp_path):
    rng = random.Random(0)
    small = tmp_path / "small.png"
    Image.new("RGBA", (70, 30), (1, 2, 3, 4)).save(small)
    assert base64.b64decode(encode(small).data) == small.read_bytes()
    assert encode(small) is encode(small)  # read once
    Image.new("RGB", (20, 20)).save(small)
    assert encode(small).width == 20  # but not when it has changed
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (50, 40)).save(photo)
    assert base64.b64decode(encode(photo).data) == photo.read_bytes()
    assert encode(photo).media_type == "image/jpeg"
    heavy = tmp_path / "heavy.png"
    Image.frombytes("RGB", (1280, 1100), rng.randbytes(1280 * 1100 * 3)).save(heavy)
    assert heavy.stat().st_size * 4 / 3 > MOST_BASE64
    assert encode(heavy).media_type == "image/jpeg"
    assert (encode(heavy).width, len(encode(heavy).data) <= MOST_BASE64) == (1280, True)
    long = encode(Image.new("L", (9000, 30), 200))
    assert (long.media_type, long.width) == ("image/jpeg", 8000)
    bitmap = tmp_path / "bitmap.bmp"
    Image.new("RGB", (9, 9)).save(bitmap)
    assert encode(bitmap).media_type == "image/jpeg"
    assert "data" not in repr(encode(bitmap))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_cut_short_is_refused(tmp_path, kind):
    file = tmp_path / "picture"
    rng = random.Random(0)
    Image.frombytes("RGB", (160, 160), rng.randbytes(160 * 160 * 3)).save(file, kind)
    whole = file.read_bytes()
    for size in (len(whole) // 3, len(whole) * 2 // 3, len(whole) - 40):
        file.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="is not a whole picture"):
            encode(file)
        with pytest.raises(ValueError, match="is not a whole picture"):
            opened(file)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.png"
    Image.new("1", (400, 400)).save(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for read in (encode, opened):
        with pytest.raises(ValueError, match=r"bomb.png is not a whole picture: .* decompression"):
            read(bomb)


def test_a_fingerprint_is_of_what_is_shown(tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    red = Image.new("RGB", (9, 9), "red")
    record = PngImagePlugin.PngInfo()
    record.add_text("made", "by another model")
    red.save(one)
    red.save(two, pnginfo=record)
    assert one.read_bytes() != two.read_bytes()
    assert fingerprint([one]) == fingerprint([two])
    assert len(fingerprint([one])) == 16
    assert fingerprint([one]) == fingerprint([str(one)])
    seen = {fingerprint([one]), fingerprint([one, one]), fingerprint([])}
    for changed in (Image.new("RGB", (9, 9), (254, 0, 0)), Image.new("RGB", (9, 8), "red")):
        changed.save(two)
        seen |= {fingerprint([two]), fingerprint([one, two]), fingerprint([two, one])}
    assert len(seen) == 9
    assert fingerprint([one, tmp_path / "none.png"]) == ""


class Fixed:
    """A judge that always says the same."""

    name = "fixed"

    def __init__(self, passed):
        self.passed, self.asked = passed, []

    def ask(self, request):
        self.asked.append(request.entity_id)
        return Verdict(self.passed, "", self.name)


def test_a_picture_made_anew_is_judged_anew(pictures, tmp_path):
    """Its old verdict is no verdict on it; what shows the same is not asked again."""
    items = pictures(4)
    run_judge(Fixed(True), [COLOR], items, tmp_path)
    images = items[COLOR.name]
    Image.new("RGB", (8, 8), "white").save(images["task_0"]["lens"])
    Image.new("RGB", (8, 8), "white").save(images["task_1"]["reference"])
    for path in images["task_2"].values():
        Image.open(path).copy().save(path)  # the same again
    second = Fixed(False)
    tally = run_judge(second, [COLOR], items, tmp_path)
    assert second.asked == ["task_0", "task_1"]
    assert (tally.judged, tally.skipped) == (2, 2)
    found = verdicts(tmp_path, judge="fixed")
    assert [found[f"task_{n}"].passed for n in range(4)] == [False, False, True, True]
    images["task_3"]["lens"].unlink()  # nothing says that it was another one
    assert run_judge(Fixed(False), [COLOR], items, tmp_path).skipped == 4


def test_pictures_that_cannot_be_sent(server, judge, pictures, tmp_path):
    items = pictures(4)
    images = items[COLOR.name]
    images["task_0"]["lens"].unlink()
    whole = images["task_1"]["lens"].read_bytes()
    images["task_1"]["lens"].write_bytes(whole[:-20])
    images["task_2"]["lens"].write_text("no picture")
    del images["task_3"]["lens"]
    tally = run_judge(judge(), [COLOR], items, tmp_path)
    assert (tally.failed, tally.cost, server.requests) == (4, 0, [])
    errors = [verdicts(tmp_path)[f"task_{n}"].error for n in range(4)]
    for error, says_so in zip(
        errors,
        ["there is no picture", "not a whole", "not a whole", "no picture for lens"],
        strict=True,
    ):
        assert says_so in error


def test_any_judge_fits(pictures, tmp_path):
    class Coin:
        name = "coin"

        def ask(self, request):
            if request.entity_id == "task_1":
                raise ZeroDivisionError(f"oh, {KEY}")
            return Verdict(request.entity_id == "task_2", "so it fell", self.name)

    with pytest.raises(ValueError, match="coin takes no batches"):
        run_judge(Coin(), [COLOR], pictures(1), tmp_path, batch=True)
    with pytest.raises(ValueError, match="at least 1"):
        run_judge(Coin(), [COLOR], pictures(1), tmp_path, concurrency=0)
    tally = run_judge(Coin(), [COLOR], lambda q: pictures(4)[q.name], tmp_path, concurrency=2)
    assert (tally.judged, tally.passed, tally.failed) == (3, 1, 1)
    assert verdicts(tmp_path, judge="coin")["task_1"].error == "ZeroDivisionError: oh, [key]"


def test_progress_on_demand(server, judge, pictures, tmp_path, capfd):
    run_judge(judge(), [COLOR], pictures(2), tmp_path)
    assert capfd.readouterr().err == ""
    run_judge(judge(), [COLOR], pictures(4), tmp_path, progress=True)
    assert "2/2" in (shown := capfd.readouterr().err)
    assert "$0.04" in shown


def test_prices(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    prices = load_prices()
    assert prices.date
    assert prices.of("claude-opus-4-7") == Price(5.0, 25.0, 6.25, 0.5)
    assert prices.of("claude-opus-4-5-20251101") == prices.of("claude-opus-4-5")
    assert prices.of("claude-opus-4-7").cost(10**6, 10**6, batch=True) == 15.0
    with pytest.raises(ValueError, match="no price is known for 'claude-opus-9'"):
        ClaudeJudge("claude-opus-9")
    own = Prices("today", {"claude-opus-9": Price(1, 2, 3, 4)})
    with ClaudeJudge("claude-opus-9", prices=own) as one:
        assert one.name == "claude-opus-9"
    with pytest.raises(ValueError, match="'schema' or 'text'"):
        ClaudeJudge(answer="tool")
    for dollars in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="number of dollars"):
            Budget(dollars)
        with pytest.raises(ValueError, match="no number of dollars"):
            Budget(1.0).bring("a file", dollars)


def test_replies():
    assert parse_reply(' {"pass":0,"reason":"cannot determine"}\n') == (False, "cannot determine")
    for fence in ("```json", "```JSON", "```"):
        assert parse_reply(f'{fence}\n{{"pass": 1,\n "reason": "r"}}\n```\n') == (True, "r")
    assert len(parse_reply('{"pass":1,"reason":"' + "x" * 9999 + '"}')[1]) == 2000
    assert redact(f"a {KEY} b", [None, ""]) == "a [key] b"
    assert redact("token own-secret", ["own-secret"]) == "token [key]"


def test_the_prompt_cache(server, judge, pictures, tmp_path):
    """One entity's sibling questions follow each other and mark the pictures that they share."""
    names = [f"i2i_unc_style_text_lens{part}" for part in ("", "_padding", "_content")]
    questions = [PAPER[name] for name in names]
    usage = USAGE | {"cache_creation_input_tokens": 3000, "cache_read_input_tokens": 2000}
    server.default = answer(1, usage=usage)
    tally = run_judge(judge(), questions, pictures(3, *questions), tmp_path)
    assert tally.judged == 9
    assert tally.cost == pytest.approx(9 * (ONE + 3000 * 6.25 / 1e6 + 2000 * 0.5 / 1e6))
    row = verdicts(tmp_path, questions[1])["task_0"]
    assert (row.cache_write_tokens, row.cache_read_tokens) == (3000, 2000)
    starts = []
    for sent in server.requests:
        content = sent["messages"][0]["content"]
        marks = [n for n, block in enumerate(content) if "cache_control" in block]
        assert marks == [3]  # the second picture, the last that all three share
        assert "cache_control" in sent["system"][0]
        starts.append(json.dumps(content[:4]))
    assert [starts[n] == starts[n - 1] for n in range(1, 9)] == [True, True, False] * 2 + [True] * 2

    server.requests.clear()
    alone = [replace(questions[0], set="blind")]
    run_judge(judge(), alone, pictures(1, *alone), tmp_path)
    assert "cache_control" not in json.dumps(server.requests)  # a mark that nothing reads costs
    assert (tmp_path / "verdicts" / "claude-opus-4-7-blind" / f"{names[0]}.csv").exists()
