"""Headless Chromium, driven by the DevTools protocol over two pipes."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Generator
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
]
LIMIT = 60


class Page:
    """A page, and the problems that it has reported since it was opened."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader, self.writer = reader, writer
        self.buffer = b""
        self.count = 0
        self.session = ""
        self.loaded = False
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reader], [], [], deadline - time.monotonic())
            assert ready, "chromium does not answer"
            piece = os.read(self.reader, 1 << 16)
            assert piece, "chromium has ended"
            self.buffer += piece
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def notice(self, message: dict[str, Any]) -> None:
        method, given = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(given["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            self.problems.append(json.dumps(given["args"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")

    def call(self, method: str, **parameters: Any) -> Any:
        """Calls a method of the protocol; returns its result."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + LIMIT
        while (answer := self.receive(deadline)).get("id") != self.count:
            self.notice(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, url: str) -> None:
        """Opens a URL and waits until the page has loaded."""
        self.loaded = False
        self.problems.clear()
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        deadline = time.monotonic() + LIMIT
        while not self.loaded:
            self.notice(self.receive(deadline))

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression in the page; waits for a promise."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(b64decode(shot["data"]))


@contextlib.contextmanager
def browser(profile: Path) -> Generator[Page]:
    """Starts Chromium with one page."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "the tests need chromium"
    commands, to_browser = os.pipe()
    from_browser, answers = os.pipe()
    # Chromium reads from descriptor 3 and writes to 4; sh only supports one digit.
    script = f'exec "$@" 3<&{commands} 4>&{answers}'
    command = ["bash", "-c", script, "bash", chromium, *FLAGS]
    command += [f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    running = subprocess.Popen(
        command,
        pass_fds=(commands, answers),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    try:
        page = Page(from_browser, to_browser)
        yield page
        with contextlib.suppress(AssertionError, OSError):
            page.session = ""
            page.call("Browser.close")
    finally:
        os.close(to_browser)
        os.close(from_browser)
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
