"""A ratatui program: keys, clicks, colors, and its screen in a file."""

import os
import subprocess
from pathlib import Path

import pytest

from htty.pytest_plugin import SnapshotAssertion, Terminals

CRATE = Path(__file__).with_name("counter")


@pytest.fixture(scope="module")
def counter() -> str:
    """The built program."""
    command = ["cargo", "build", "--quiet", "--locked"]
    subprocess.run(command, cwd=CRATE, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target"))
    return str(target / "debug/counter")


def test_counting(terminal: Terminals, terminal_snapshot: SnapshotAssertion, counter: str) -> None:
    app = terminal(counter, rows=6, cols=30)
    app.expect("Counter")
    app.send_keys("+++")
    app.expect(r"\b3\b", style={"foreground": "green", "bold": True})
    terminal_snapshot(app, styled=True)


def test_buttons(terminal: Terminals, counter: str) -> None:
    app = terminal(counter, rows=6, cols=30)
    app.click("[ Less ]")
    app.expect("-1", style={"foreground": "red"})
    app.click("[ More ]", count=2)
    app.expect(r"│1 ")
    app.send_keys("q")
    assert app.cmd.wait(10) == 0
    # The terminal has reported the cursor's position, and shows the first screen again.
    app.expect("started at 0,0; counted to 1")
