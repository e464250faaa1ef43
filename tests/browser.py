"""Headless Chromium over the DevTools protocol's pipe: no driver, no port, no package.

```python
with Browser.start() as browser:
    page = browser.page(width=360)
    page.open(path.as_uri())
    page.evaluate("document.title")
```
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120  # for an answer; a busy machine is slow, a hung browser is forever
# The browser reads commands from descriptor 3 and writes answers to 4; only a child can move there.
TO_3_AND_4 = (
    "import fcntl, os, sys\n"
    "ends = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]]\n"
    "os.dup2(ends[0], 3), os.dup2(ends[1], 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])"
)
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
)
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
KEYS |= {"Home": 36, "End": 35}


def find() -> str | None:
    """A browser's path: ``$CHROMIUM``, or one of the usual names; None where there is none."""
    names = (os.environ.get("CHROMIUM") or "", *NAMES)
    return next((path for name in names if (path := shutil.which(name))), None)


class Browser:
    """One running browser; its pages share nothing with the user's."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers, self.unread = commands, answers, b""
        self.ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    @classmethod
    @contextlib.contextmanager
    def start(cls, executable: str | None = None) -> Iterator[Browser]:
        """A browser for the length of a ``with``."""
        executable = executable or find()
        assert executable, "there is no Chromium"
        read, commands = os.pipe()
        answers, write = os.pipe()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            shim = [sys.executable, "-c", TO_3_AND_4, str(read), str(write)]
            process = subprocess.Popen(
                [*shim, executable, *FLAGS, f"--user-data-dir={home}"],
                pass_fds=(read, write),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            os.close(read)
            os.close(write)
            browser = cls(commands, answers)
            try:
                yield browser
                browser.call("Browser.close")
            finally:
                os.close(commands)
                os.close(answers)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """A command's result; what else arrives meanwhile is kept in `events`."""
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.commands, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']['message']}"
                return answer["result"]
            self.events.append(answer)

    def wait(self, session: str, method: str) -> dict[str, Any]:
        """The next such event of a page, which may have come already."""
        while True:
            for n, event in enumerate(self.events):
                if (event.get("sessionId"), event.get("method")) == (session, method):
                    return self.events.pop(n)
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        while b"\0" not in self.unread:
            ready, _, _ = select.select([self.answers], [], [], max(until - time.monotonic(), 0))
            data = os.read(self.answers, 1 << 20) if ready else b""
            assert data, "the browser does not answer"
            self.unread += data
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def page(self, width: int = 1000, height: int = 800, dark: bool = False) -> Page:
        """A new tab of that many CSS pixels; below 600 it is a phone."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable", session)
        phone = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1}
        self.call("Emulation.setDeviceMetricsOverride", session, **size, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", session, features=[scheme])
        return Page(self, session, target)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.browser, self.session, self.target = browser, session, target

    def close(self) -> None:
        """Close the tab and forget what happened in it."""
        self.browser.call("Target.closeTarget", targetId=self.target)
        self.browser.events = [e for e in self.browser.events if e.get("sessionId") != self.session]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **params)

    def open(self, url: str, scripts: bool = True) -> None:
        """Load a page and everything it names."""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=url)
        self.browser.wait(self.session, "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """A JavaScript value, promises awaited; an exception in the page is one here."""
        made = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in made, made["exceptionDetails"]
        return made["result"].get("value")

    def press(self, key: str) -> None:
        """A key of the keyboard, down and up, at whatever has the focus."""
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def _seen(self, method: str) -> list[dict[str, Any]]:
        self.evaluate("0")  # an answer comes behind all that happened before the question
        wanted = self.session, method
        return [
            e["params"]
            for e in self.browser.events
            if (e.get("sessionId"), e.get("method")) == wanted
        ]

    def problems(self) -> list[str]:
        """Everything that the console reports: exceptions, errors and warnings."""
        out = [e["exceptionDetails"]["text"] for e in self._seen("Runtime.exceptionThrown")]
        for event in self._seen("Runtime.consoleAPICalled"):
            if event["type"] in ("error", "warning", "assert"):
                out.append(" ".join(str(a.get("value", a)) for a in event["args"]))
        logged = [e["entry"] for e in self._seen("Log.entryAdded")]
        return out + [e["text"] for e in logged if e["level"] in ("error", "warning")]

    def requests(self) -> list[str]:
        """What was asked for, pictures inside the page left out."""
        urls = [e["request"]["url"] for e in self._seen("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith("data:")]
