"""The live view over HTTP: the page in a browser, the events, the live stream."""

# The linters' environment has no websockets, only that of the packages' tests.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from htty_core import find_ht_binary

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Live:
    """A running `ht` that serves a live view."""

    process: "subprocess.Popen[str]"
    address: str

    def send(self, **command: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()


@pytest.fixture
def live() -> Iterator[Live]:
    script = r"printf '\033[31mred\033[0m <b>\n'; exec cat"
    command = [find_ht_binary(), "--size", "20x4", "--listen", "127.0.0.1:0", "sh", "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True
    ) as ht:
        assert ht.stderr
        found = re.fullmatch(r"ht: live view at http://(\S+)\n", ht.stderr.readline())
        assert found
        yield Live(ht, found[1])
        ht.kill()


def test_page_shows_the_screen_in_a_browser(live: Live, tmp_path: Path) -> None:
    live.send(type="sendKeys", keys=["typed", "Enter"])
    with browser(f"http://{live.address}/", tmp_path) as page:
        deadline = time.monotonic() + 60
        # The echo, and the output of cat.
        while (seen := page()).count("typed") < 2:
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)
    assert '<span style="color:#aa0000;">red</span>' in seen
    assert "&lt;b&gt;" in seen
    assert seen.count("typed") == 2
    assert ">20x4</div>" in seen


@contextlib.contextmanager
def browser(url: str, profile: Path) -> Generator[Callable[[], str]]:
    """Opens the page in Chromium; returns a reader of its document, by the DevTools protocol."""
    chromium = shutil.which("chromium")
    assert chromium, "the tests need chromium"
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", url]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=null, stderr=null, start_new_session=True) as running:
        try:
            with connect(devtools(profile)) as socket:
                yield lambda: evaluate(socket, "document.documentElement?.outerHTML")
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def devtools(profile: Path) -> str:
    """Returns the address of the only page's debugger, once there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, IndexError, StopIteration, http.client.HTTPException):
            port = int((profile / "DevToolsActivePort").read_text().splitlines()[0])
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("GET", "/json/list")
            targets = json.loads(client.getresponse().read())
            return next(
                target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page"
            )
        time.sleep(0.1)
    raise AssertionError("chromium does not listen")


def evaluate(socket: Any, expression: str) -> str:
    """Returns the value of an expression in the page, or nothing while the page is loading."""
    parameters = {"expression": expression, "returnByValue": True}
    socket.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": parameters}))
    answer = json.loads(socket.recv(30)).get("result", {})
    return answer.get("result", {}).get("value", "")


def test_page_needs_nothing_from_elsewhere(live: Live) -> None:
    client = http.client.HTTPConnection(live.address)
    client.request("GET", "/")
    answer = client.getresponse()
    assert answer.status == 200
    assert "default-src 'none'" in (answer.getheader("content-security-policy") or "")
    assert "//" not in answer.read().decode().replace("wss:", "").replace("ws:", "")


def test_events_are_those_of_standard_output(live: Live) -> None:
    with connect(f"ws://{live.address}/ws/events?sub=init,output,resize,snapshot") as socket:
        init = json.loads(socket.recv(10))
        assert init["type"] == "init"
        assert init["data"].keys() == {"cols", "rows", "text", "seq", "pid", "protocol"}
        live.send(type="resize", cols=30, rows=5)
        live.send(type="sendKeys", keys=["x", "Enter"])
        live.send(type="takeSnapshot")
        kinds = ["init"]
        output = ""
        while kinds[-1] != "snapshot":
            event = json.loads(socket.recv(10))
            kinds.append(event["type"])
            output += event["data"].get("seq", "") if kinds[-1] == "output" else ""
        assert "resize" in kinds
        assert output.endswith("x\r\nx\r\n")


def test_only_what_is_asked_for_is_sent(live: Live) -> None:
    with connect(f"ws://{live.address}/ws/events?sub=resize") as socket:
        live.send(type="sendKeys", keys=["x", "Enter"])
        live.send(type="takeSnapshot")
        live.send(type="resize", cols=30, rows=5)
        event = {"type": "resize", "data": {"cols": 30, "rows": 5}}
        assert json.loads(socket.recv(10)) == event


@dataclass
class Message:
    """A message of asciinema's live stream."""

    kind: str
    numbers: list[int]
    text: str


def decode(message: Any) -> Message:
    """Reads a message by the protocol; numbers are LEB128."""
    kind, rest = chr(message[0]), message[1:]
    count = {"\x01": 6, "o": 3, "r": 4, "x": 3}[kind]
    numbers: list[int] = []
    while len(numbers) < count:
        value = shift = 0
        while True:
            byte, rest = rest[0], rest[1:]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        numbers.append(value)
    text = ""
    if kind in "\x01o":
        assert numbers.pop() == len(rest)
        text = rest.decode()
    return Message(kind, numbers, text)


def test_live_stream_of_asciinema(live: Live) -> None:
    with connect(f"ws://{live.address}/ws/alis", subprotocols=["v1.alis"]) as socket:  # pyright: ignore[reportArgumentType]
        assert socket.subprotocol == "v1.alis"
        assert socket.recv(10) == b"ALiS\x01"
        init = decode(socket.recv(10))
        assert init.kind == "\x01"
        number, time_passed, cols, rows, theme = init.numbers
        assert (number, cols, rows, theme) == (0, 20, 4, 0)
        assert time_passed > 0
        live.send(type="resize", cols=30, rows=5)
        live.send(type="input", payload="x\r")
        live.send(type="sendKeys", keys=["C-d"])
        seen: list[Message] = []
        while not seen or seen[-1].kind != "x":
            seen.append(decode(socket.recv(10)))
    assert [message.numbers[0] for message in seen] == list(range(1, len(seen) + 1))
    assert [30, 5] in [message.numbers[2:] for message in seen if message.kind == "r"]
    assert "x\r\nx" in "".join(message.text for message in seen if message.kind == "o")
    assert seen[-1].numbers[2] == 0


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("localhost:0", r"http://127\.0\.0\.1:\d+"),
        (":0", r"http://127\.0\.0\.1:\d+"),
        ("0", r"http://127\.0\.0\.1:\d+"),
        ("0.0.0.0:0", r"http://0\.0\.0\.0:\d+/\?token=[0-9a-f]{32}"),
    ],
)
def test_addresses(address: str, shown: str) -> None:
    command = [find_ht_binary(), "--listen", address, "--", "cat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as ht:
        assert ht.stderr
        assert ht.stdin
        assert re.fullmatch(f"ht: live view at {shown}\n", ht.stderr.readline())
        ht.stdin.close()
        assert ht.wait(10) == 0


def test_what_other_machines_reach_needs_the_token() -> None:
    command = [find_ht_binary(), "--listen", "0.0.0.0:0", "--", "cat"]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=null, stderr=pipe, text=True) as ht:
        assert ht.stderr
        found = re.search(r":(\d+)/\?token=(\w+)", ht.stderr.readline())
        assert found
        port, token = found.groups()
        for path in ("/", "/ws/view", "/ws/events", "/ws/alis"):
            for query in ("", "?token=", f"?token={token[:-1]}", f"?token={token}0"):
                client = http.client.HTTPConnection("127.0.0.1", int(port))
                client.request("GET", path + query)
                assert client.getresponse().status == 403, path + query
        client = http.client.HTTPConnection("127.0.0.1", int(port))
        client.request("GET", f"/?token={token}")
        assert client.getresponse().status == 200
        with connect(f"ws://127.0.0.1:{port}/ws/events?sub=init&token={token}") as socket:
            assert json.loads(socket.recv(10))["type"] == "init"
        ht.kill()


def test_unknown_event_is_refused(live: Live) -> None:
    with pytest.raises(InvalidStatus, match="400"), connect(f"ws://{live.address}/ws/events?sub=x"):
        pass


@pytest.mark.parametrize("path", ["/ws/events", "/ws/alis", "/ws/view"])
def test_other_sites_are_kept_out(live: Live, path: str) -> None:
    url = f"ws://{live.address}{path}"
    with pytest.raises(InvalidStatus, match="403"), connect(url, origin="http://evil.example"):
        pass
    port = urllib.parse.urlsplit(url).port
    client = http.client.HTTPConnection(live.address)
    client.request("GET", "/", headers={"Host": f"evil.example:{port}"})
    assert client.getresponse().status == 403


def test_a_page_of_another_site_that_is_allowed() -> None:
    """A page with an asciinema player, whose origin differs from that of `ht`."""
    page = "http://localhost:8000"
    words = [find_ht_binary(), "--listen", ":0", "--allow-origin", page, "--", "cat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as ht:
        assert ht.stderr
        url = ht.stderr.readline().split()[-1].replace("http:", "ws:") + "/ws/alis"
        with connect(url, origin=page, subprotocols=["v1.alis"]) as socket:
            assert socket.recv(10) == b"ALiS\x01"
        with pytest.raises(InvalidStatus, match="403"), connect(url, origin="http://localhost:80"):
            pass
        ht.kill()


def test_viewer_that_stops_reading_holds_nobody_up(live: Live) -> None:
    with connect(f"ws://{live.address}/ws/events?sub=output", max_queue=1) as socket:
        assert live.process.stdin
        for _ in range(100):
            live.send(type="input", payload="y" * 1000 + "\r")
        live.send(type="exit")
        live.process.stdin.close()
        assert live.process.wait(60) == 0
        del socket


def test_viewer_that_stops_reading_is_cut_off() -> None:
    """Memory stays limited, and the terminal continues."""
    # Slow enough that the full socket is noticed, not the queue.
    script = "while yes | head -c 60000; do sleep 0.01; done"
    command = [find_ht_binary(), "--size", "20x4", "-l", "127.0.0.1:0", "--", script]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=null, stderr=pipe, text=True) as ht:
        assert ht.stderr
        address = ht.stderr.readline().strip().rpartition("/")[2]
        # The library reads ahead until its queue is full, and then stops.
        with connect(f"ws://{address}/ws/events?sub=output", max_queue=1) as socket:
            deadline = time.monotonic() + 60
            # The server's own socket remains.
            while sockets(ht.pid) > 1:
                assert time.monotonic() < deadline, "the viewer is still connected"
                time.sleep(0.1)
            with pytest.raises(ConnectionClosed):
                drain(socket)
        memory = Path(f"/proc/{ht.pid}/status").read_text()
        assert int(memory.split("VmHWM:")[1].split()[0]) < 60 * 1024, "kilobytes"
        assert ht.poll() is None
        assert ht.stdin
        ht.stdin.close()
        assert ht.wait(60) == 0


def drain(socket: Any) -> None:
    """Reads the rest."""
    while True:
        socket.recv(10)


def sockets(pid: int) -> int:
    """Counts a process's TCP sockets."""
    links: list[str] = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(entry))
    tables = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    inodes = {f"socket:[{line.split()[9]}]" for line in tables}
    return len(inodes.intersection(links))
