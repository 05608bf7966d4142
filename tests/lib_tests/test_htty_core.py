"""htty_core without htty: the program, and its events as JSON lines."""

import importlib.metadata
import json
import subprocess
from typing import Any

import pytest

from htty_core import HtArgs, HtEvent, __version__, find_ht_binary, run


def test_htty_is_not_here() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("htty")


def test_program_and_bindings_have_one_version() -> None:
    done = subprocess.run([find_ht_binary(), "--version"], capture_output=True, text=True)
    assert done.stdout.split()[:2] == ["ht", __version__]


def test_a_command_runs_and_its_screen_is_seen() -> None:
    subscribes = [HtEvent.SNAPSHOT, HtEvent.EXIT_CODE]
    process = run(
        HtArgs(command=["sh", "-c", "echo hello; exit 7"], subscribes=subscribes, rows=3, cols=12)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    events: dict[str, Any] = {}
    # The exit code follows the last output, so the snapshot shows all of it.
    for line in process.stdout:
        event = json.loads(line)
        events[event["type"]] = event["data"]
        if event["type"] == "exitCode":
            process.stdin.write('{"type": "takeSnapshot"}\n')
            process.stdin.flush()
        elif event["type"] == "snapshot" and "exitCode" in events:
            break
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    assert events["exitCode"]["exitCode"] == 7
    assert events["snapshot"]["text"].splitlines()[0].rstrip() == "hello"
