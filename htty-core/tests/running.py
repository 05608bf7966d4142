"""A running `ht`, with its events."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocol_schema import check

from htty_core import HtArgs, run

Start = Callable[..., "Ht"]


class Ht:
    """A running `ht`."""

    def __init__(self, args: HtArgs) -> None:
        self.process = run(args)

    def send(self, **command: Any) -> None:
        check("Command", command)
        self.send_unchecked(**command)

    def send_unchecked(self, **command: Any) -> None:
        """Sends a message that the schema does not allow."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def next(self, kind: str) -> dict[str, Any]:
        """Reads events up to the next one of this kind; returns its data."""
        assert self.process.stdout
        for line in self.process.stdout:
            event = json.loads(line)
            check("Event", event)
            if event["type"] == kind:
                return event["data"]
        raise AssertionError(f"ht ended before {kind}")

    def end(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()


def screen(*lines: str, cols: int = 20) -> str:
    return "\n".join(line.ljust(cols) for line in lines)


def gone(pid: int) -> bool:
    """Waits until a process has exited."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
