"""Type errors that a user's type checker reports in code that uses htty."""

import subprocess
import sys
from pathlib import Path

CODE = """\
import asyncio
import re

from htty import Found, HtWrapper, Press, Session, Snapshot, StyleFilter, aio, run, terminal_session
from htty.pytest_plugin import SnapshotAssertion, Terminals

RED: StyleFilter = {"foreground": "red", "bold": True}


def test_it(terminal: Terminals, terminal_snapshot: SnapshotAssertion) -> None:
    session: Session = terminal("cat", rows=4, cols=20, env={"A": "b", "C": None})
    session.send_keys(["text", Press.ENTER])
    found: Found = session.expect([r"a", re.compile("b")], flags=re.IGNORECASE, style=RED)
    row: int = found.row
    title: str | None = session.wait_for(lambda screen: screen.title)
    screen: Snapshot = session.snapshot(settle=0.1)
    place: Found | None = screen.find("text", style={"underline": True})
    if place is not None:
        session.click(place, control=True)
    session.click((row, 0))
    bold: bool = screen.cells[0][0].style.bold
    terminal_snapshot(session, "name", styled=bold)
    print(title, screen.svg, screen.html, screen.cursor.shape)


def older() -> HtWrapper:
    with terminal_session("cat") as session:
        session.exit()
    return run(["cat"])


async def main() -> str:
    async with aio.run("cat") as cat:
        await cat.click("text")
        return (await cat.expect("x")).text


print(asyncio.run(main()))
"""

WRONG = """\
from htty import terminal_session

with terminal_session("cat") as session:
    session.send_keys(3)
    session.snapshot().find(style={"blod": True})
    session.click(1.5)
"""


def mypy(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    (directory / "code.py").write_text(code)
    words = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(directory), "code.py"]
    return subprocess.run(words, cwd=directory, capture_output=True, text=True)


def test_mypy(tmp_path: Path) -> None:
    done = mypy(CODE, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_sees_faults(tmp_path: Path) -> None:
    lines = [line for line in mypy(WRONG, tmp_path).stdout.splitlines() if "error:" in line]
    assert [line.split(":")[1] for line in lines] == ["4", "5", "6"], lines
