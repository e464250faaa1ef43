"""What the tests of judges share: a server, judges that speak to it, pictures, and a watch on keys.

Every test that uses ``server`` fails if the key got into a log, a file, or what was printed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from judge_server import JudgeServer
from judge_tools import COLOR, KEY
from PIL import Image

from fluxlens.judge.base import Images
from fluxlens.judge.claude import ClaudeJudge
from fluxlens.judge.questions import Question


@pytest.fixture
def delays(monkeypatch) -> list[float]:
    """How long the SDK would have waited before each retry; it does not wait."""
    seen: list[float] = []
    ask = anthropic.Anthropic._calculate_retry_timeout

    def note(*args: Any, **kwargs: Any) -> float:
        seen.append(ask(*args, **kwargs))
        return 0.0

    monkeypatch.setattr(anthropic.Anthropic, "_calculate_retry_timeout", note)
    return seen


@pytest.fixture
def server(monkeypatch, caplog, capfd, tmp_path, delays) -> Iterator[JudgeServer]:
    """The API on this machine."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    caplog.set_level(logging.DEBUG)
    for name in ("anthropic", "httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=name)
    with JudgeServer() as server:
        yield server
    assert KEY not in caplog.text
    assert KEY not in "".join(capfd.readouterr())
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.fixture
def judge(server) -> Iterator[Callable[..., ClaudeJudge]]:
    """A maker of judges that ask the server; the SDK makes three attempts."""
    clients = []

    def make(timeout: float = 60.0, **options: Any) -> ClaudeJudge:
        client = anthropic.Anthropic(api_key=KEY, base_url=server.url)
        clients.append(client)
        return ClaudeJudge(client=client, timeout=timeout, **{"max_retries": 2} | options)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def pictures(tmp_path) -> Callable[..., dict[str, dict[str, Images]]]:
    """A maker of items: so many entities for each question, each with small pictures."""

    def make(count: int, *questions: Question) -> dict[str, dict[str, Images]]:
        items: dict[str, dict[str, Images]] = {}
        for question in questions or (COLOR,):
            for number in range(count):
                images = {role: tmp_path / f"{role}-{number}.png" for role in question.images}
                for place, path in enumerate(images.values()):
                    if not path.exists():
                        Image.new("RGB", (8, 8), (number, 80 * place, 9)).save(path)
                items.setdefault(question.name, {})[f"task_{number}"] = images
        return items

    return make
