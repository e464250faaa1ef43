"""A local stand-in for the Messages and Message Batches API, and every way in which it can fail.

>>> with JudgeServer() as server:
...     server.script(status(529), answer(1))
...     client = anthropic.Anthropic(api_key="sk-ant-test", base_url=server.url)

The real SDK speaks to it over HTTP. Each request takes the next step of the script; when there is
none left, the default (a pass). A batch takes one step for each of its requests when it is made.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"input_tokens": 4000, "output_tokens": 50}
BATCHES = "/v1/messages/batches"


@dataclass(frozen=True)
class Step:
    """What the server does with one request."""

    status: int = 200
    body: Any = None  # bytes go as they are, all else as JSON
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""  # "reset", "hang", "truncate"
    result: str = "succeeded"  # for a request of a batch


def message(text: str | None, stop: str = "end_turn", usage: Any = USAGE, **more: Any) -> Any:
    """A message as the API answers it; ``text`` None is a message without content."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-7",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
        **more,
    }


def says(text: str | None, **more: Any) -> Step:
    """A 200 with this text."""
    return Step(body=message(text, **more))


def answer(passed: int, reason: str = "it is so", **more: Any) -> Step:
    """A proper verdict."""
    return says(json.dumps({"pass": passed, "reason": reason}), **more)


def status(code: int, text: str = "no", kind: str = "api_error", **headers: str) -> Step:
    """An error as the API sends it."""
    body = {"type": "error", "error": {"type": kind, "message": text}}
    return Step(code, body, {k.replace("_", "-"): v for k, v in headers.items()})


class JudgeServer:
    """The server, on a free port of this machine; what it was asked is in ``requests``."""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque()
        self.default = answer(1)
        self.decide: Callable[[Any], Step] | None = None
        self.requests: list[Any] = []  # bodies of messages, batched ones too
        self.headers: list[dict[str, str]] = []
        self.batches: dict[str, dict[str, Any]] = {}
        self.polls: list[str] = []
        self.looks = 0  # how many looks at a batch find it under way
        self.on_batches = deque[Step]()  # faults of the batch calls themselves
        self.after_create = deque[Step]()  # faults after a batch was taken
        self.on_results = deque[Step]()
        self.lock = threading.RLock()
        self.stop = threading.Event()
        outer = self

        class Handler(_Handler):
            server_state = outer

        self.http = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def __enter__(self) -> JudgeServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def script(self, *steps: Step) -> None:
        """What happens to the next requests."""
        self.steps.extend(steps)

    def next_step(self, body: Any) -> Step:
        with self.lock:
            self.requests.append(body)
            if self.steps:
                return self.steps.popleft()
            return self.decide(body) if self.decide else self.default

    # ---- batches -------------------------------------------------------------------------------

    def make_batch(self, body: Any) -> dict[str, Any]:
        with self.lock:
            lines = []
            for request in body["requests"]:
                step = self.next_step(request["params"])
                result: dict[str, Any] = {"type": step.result}
                if step.result == "succeeded":
                    result["message"] = step.body
                if step.result == "errored":
                    result["error"] = step.body
                lines.append({"custom_id": request["custom_id"], "result": result})
            batch = {
                "id": f"msgbatch_{len(self.batches) + 1}",
                "lines": lines[::-1],  # in no order
                "left": self.looks,
                "created": datetime.now(UTC).isoformat(),
            }
            self.batches[batch["id"]] = batch
            return batch

    def show_batch(self, batch: dict[str, Any], look: bool = True) -> dict[str, Any]:
        with self.lock:
            ended = batch["left"] <= 0
            if look:
                batch["left"] -= 1
            count = len(batch["lines"])
            counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled"), 0)
            counts["succeeded" if ended else "processing"] = count
            return {
                "id": batch["id"],
                "type": "message_batch",
                "processing_status": "ended" if ended else "in_progress",
                "request_counts": {**counts, "expired": 0},
                "created_at": batch["created"],
                "expires_at": batch["created"],
                "ended_at": batch["created"] if ended else None,
                "results_url": f"{self.url}{BATCHES}/{batch['id']}/results" if ended else None,
            }


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: JudgeServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        state = self.server_state
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with state.lock:
            state.headers.append({k.lower(): v for k, v in self.headers.items()})
        if self.path == BATCHES:
            with state.lock:
                fault = state.on_batches.popleft() if state.on_batches else None
            if fault is not None:
                self.send(fault)
                return
            batch = state.show_batch(state.make_batch(body), look=False)
            with state.lock:
                fault = state.after_create.popleft() if state.after_create else None
            self.send(fault or Step(body=batch))
            return
        self.send(state.next_step(body))

    def do_GET(self) -> None:
        state = self.server_state
        path = self.path.split("?")[0]
        if path == BATCHES:
            data = [state.show_batch(batch, look=False) for batch in state.batches.values()]
            page = {"data": data[::-1], "has_more": False, "first_id": None, "last_id": None}
            self.send(Step(body=page))
            return
        name, _, results = path.removeprefix(BATCHES + "/").partition("/")
        batch = state.batches.get(name)
        if batch is None:
            self.send(status(404, "no such batch", "not_found_error"))
        elif results:
            with state.lock:
                fault = state.on_results.popleft() if state.on_results else None
            lines = [json.dumps(line).encode() + b"\n" for line in batch["lines"]]
            self.send(fault or Step(body=b"".join(lines)))
        else:
            state.polls.append(name)
            self.send(Step(body=state.show_batch(batch)))

    def send(self, step: Step) -> None:
        if step.fault == "hang":
            self.server_state.stop.wait(30)
        if step.fault in ("reset", "hang"):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            return
        data = step.body if isinstance(step.body, bytes) else json.dumps(step.body).encode()
        self.send_response(step.status)
        for name, value in {"content-type": "application/json", **step.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if step.fault == "truncate":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        self.wfile.write(data)
