"""Judge a study of mini in Message Batches, killed at random moments, and see what is left.

```sh
python tests/judge_kills.py --results results --kills 12
```
The real SDK speaks to the server of `judge_server`, which answers each question of a batch with the
oracle's verdict on the pictures that it was sent: so every verdict on disk can be held against the
oracle's own. What a kill may cost is one batch, where it falls between the sending and the answer.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from judge_server import JudgeServer, Step, answer
from PIL import Image

import fluxlens
from fluxlens.judge import read_verdicts
from fluxlens.judge.base import Request
from fluxlens.judge.questions import Question, load_questions
from fluxlens.judge.verdicts import verdict_path
from fluxlens.oracle import OracleJudge
from fluxlens.study.paths import judged

KEY = "sk-ant-a-key-that-must-never-be-written"
NAME = "claude-opus-4-7"
COMMAND = "import sys; from fluxlens.cli import main; sys.exit(main())"


@cache
def asked_in(words: tuple[str, ...]) -> Question:
    """The question that is asked in these words: system prompt, labels, text."""
    known = load_questions().values()
    return next(q for q in known if (q.system, *q.labels, q.text) == words)


def oracles_answer(params: Any) -> Step:
    """What the oracle says of the pictures in a message."""
    blocks = params["messages"][0]["content"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    question = asked_in((params["system"][0]["text"], *texts))
    sent = [base64.b64decode(b["source"]["data"]) for b in blocks if b["type"] == "image"]
    pictures = [Image.open(io.BytesIO(data)) for data in sent]
    images = dict(zip(question.images, pictures, strict=True))
    verdict = OracleJudge().ask(Request("sent", question, images))
    return answer(int(bool(verdict.passed)), verdict.reason)


class OracleServer(JudgeServer):
    """A batch is under way until the oracle has answered all of it."""

    def make_batch(self, body: Any) -> dict[str, Any]:
        with self.lock:
            requests, body = body["requests"], {"requests": []}
            batch = super().make_batch(body)
            batch["left"] = sys.maxsize
            batch["lines"] = [{"custom_id": request["custom_id"]} for request in requests]
            self.requests += [request["custom_id"] for request in requests]
        threading.Thread(target=self._work, args=(batch, requests), daemon=True).start()
        return batch

    def _work(self, batch: dict[str, Any], requests: list[Any]) -> None:
        for line, request in zip(batch["lines"], requests, strict=True):
            message = oracles_answer(request["params"]).body
            line["result"] = {"type": "succeeded", "message": message}
        batch["left"] = 0


@dataclass(frozen=True)
class Outcome:
    """What the kills came to: verdicts on disk, questions and batches sent, and what was wrong."""

    kills: int
    verdicts: int
    sent: int
    batches: int
    seconds: float
    complaints: tuple[str, ...]


def kill(results: Path, kills: int, limit: int | None = None, seed: int = 0) -> Outcome:
    """Judge the pictures in ``results/mini``, killed and resumed; the verdicts go beside them."""
    rng = random.Random(seed)
    folder = results / "mini"
    questions = load_questions()
    expected = {
        name: list(judged(folder, question, "mini").items())[:limit]
        for name, question in questions.items()
    }
    total = sum(map(len, expected.values()))
    words = ["judge", "--model", "mini", "--results", str(results), "--judge", "claude", "--batch"]
    words += ["--poll", "0.2", "--no-progress", *(["--limit", str(limit)] if limit else [])]
    complaints: list[str] = []
    start, hit = time.monotonic(), 0
    with OracleServer() as server:
        environment = {**os.environ, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
        environment["PYTHONPATH"] = str(Path(fluxlens.__file__).parents[1])

        def command() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-c", COMMAND, *words], env=environment, cwd=results
            )

        def written() -> int:
            paths = [verdict_path(folder, NAME, question) for question in questions.values()]
            return sum(p.read_bytes().count(b"\n") - 1 for p in paths if p.exists())

        # half of the kills when so much was sent, half when so much was written
        moments = sorted((rng.random() * total, rng.random() < 0.5) for _ in range(kills))
        for moment, by_sent in moments:
            process = command()
            while (len(server.requests) if by_sent else written()) < moment:
                if process.poll() is not None:
                    break
                time.sleep(0.005)
            time.sleep(rng.random() * 0.2)
            process.kill()
            hit += process.wait() == -9
        if command().wait() != 0:
            complaints.append("the last run failed")
        sent, batches = len(server.requests), len(server.batches)
        largest = max(len(batch["lines"]) for batch in server.batches.values())
    seconds = time.monotonic() - start

    found = read_verdicts(folder / "verdicts" / NAME)
    oracle = OracleJudge()
    for name, items in expected.items():
        rows = verdict_path(folder, NAME, questions[name]).read_text().splitlines()[1:]
        twice = [id for id, n in Counter(row.split(",")[0] for row in rows).items() if n > 1]
        complaints += [f"{name}: {id} has two rows" for id in twice]
        for id, images in items:
            row, right = found[name].get(id), oracle.ask(Request(id, questions[name], images))
            if row is None or row.passed != right.passed:
                complaints.append(f"{name}: {id} is judged {row}, not {right}")
    if sent > total + hit * largest:
        complaints.append(f"{sent} questions were sent, of {total}")
    for path in (folder / "verdicts").rglob("*"):
        if path.is_file() and KEY in path.read_text(encoding="utf-8"):
            complaints.append(f"the key is in {path.name}")
    if json.loads((folder / "verdicts" / f"{NAME}.batches.json").read_text()):
        complaints.append("a batch is left")
    verdicts = sum(map(len, found.values()))
    return Outcome(hit, verdicts, sent, batches, seconds, tuple(complaints))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="with mini/ in it")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "mini"  # verdicts of a rehearsal do not belong beside real ones
        folder.mkdir()
        for path in (args.results / "mini").resolve().iterdir():
            if path.name != "verdicts":
                (folder / path.name).symlink_to(path)
        outcome = kill(Path(work), args.kills, args.limit, args.seed)
    print(
        f"killed {outcome.kills} times: {outcome.verdicts:,} verdicts, {outcome.sent:,} questions "
        f"sent in {outcome.batches} batches, {outcome.seconds:.0f} s"
    )
    for complaint in outcome.complaints[:20]:
        print(f"  {complaint}")
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
