"""The commands of a shell that marks them, and the view of the history."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from htty import Session, aio, run, terminal_session

# As in the guide.
MARKS = {"PS0": r"\e]133;C\a", "PS1": r"\[\e]133;D;$?\a\e]133;A\a\]$ \[\e]133;B\a\]"}
BASH = ["bash", "--norc", "--noprofile"]


@pytest.fixture
def bash() -> Iterator[Session]:
    with terminal_session(BASH, rows=6, cols=40, env=MARKS) as session:
        yield session


def test_submit_gives_output_and_exit_code(bash: Session) -> None:
    command = bash.submit("echo one; echo two")
    assert (command.line, command.output, command.exit_code) == (
        "echo one; echo two",
        "one\ntwo\n",
        0,
    )
    assert bash.submit("(exit 3)").exit_code == 3
    assert bash.submit("printf no-newline").output == "no-newline"
    long = bash.submit("seq 100")
    assert long.output.split() == [str(number) for number in range(1, 101)]
    wide = bash.submit(f"echo {'x' * 100}")
    assert wide.output == "x" * 100 + "\n"


def test_what_a_snapshot_tells_of_the_shell(bash: Session) -> None:
    bash.wait_for(lambda screen: screen.shell and screen.shell.prompt)
    shell = bash.snapshot().shell
    assert shell is not None
    assert (shell.prompt, shell.finished, shell.command) == (True, 0, None)
    bash.send_keys(["echo begun; read x; (exit 7)", "Enter"])
    bash.expect("^begun")
    shell = bash.snapshot().shell
    assert shell is not None
    assert shell.command is not None
    assert (shell.prompt, shell.command.running, shell.command.output) == (False, True, "begun\n")
    bash.send_keys(["y", "Enter"])
    bash.wait_for(lambda screen: screen.shell and screen.shell.prompt)
    later = bash.snapshot().shell
    assert later is not None
    assert (later.finished, later.command and later.command.exit_code) == (1, 7)


def test_a_command_that_does_not_end(bash: Session) -> None:
    with pytest.raises(TimeoutError, match=r"`sleep 1000` has not ended within"):
        bash.submit("sleep 1000", timeout=0.5)
    bash.send_keys("C-c")
    assert bash.submit("echo later").output == "later\n"
    with pytest.raises(TimeoutError, match="has ended with exit code 5"):
        bash.submit("exit 5")


def test_a_shell_without_marks() -> None:
    with terminal_session("PS1='$ ' sh -i", rows=5, cols=40) as session:
        session.expect("[$]")
        assert session.snapshot().shell is None
        with pytest.raises(TimeoutError, match=r"has marked no prompt \(OSC 133\)"):
            session.submit("true", timeout=0.2)


def test_submit_with_asyncio() -> None:
    async def main() -> str:
        async with aio.run(BASH, rows=6, cols=40, env=MARKS) as session:
            return (await session.submit("echo hello")).output

    assert asyncio.run(main()) == "hello\n"


@pytest.fixture
def lines() -> Iterator[Session]:
    session = run(["sh", "-c", "seq 20; exec cat"], rows=5, cols=10)
    session.expect("20")
    yield session
    session.exit()


def test_the_view_moves(lines: Session) -> None:
    assert lines.snapshot().lines == ["17", "18", "19", "20", ""]
    lines.scroll_view(-3)
    screen = lines.snapshot()
    assert screen.lines == ["14", "15", "16", "17", "18"]
    assert (screen.view.offset, screen.view.history) == (3, 16)
    assert screen.cells[0][0].character == "1"
    assert not screen.cursor.visible
    assert ">14<" in screen.svg
    assert "14" in screen.html
    assert lines.expect("^15").row == 1
    lines.scroll_view(2)
    assert lines.snapshot().lines == ["16", "17", "18", "19", "20"]
    assert (lines.snapshot().cursor.row, lines.snapshot().cursor.visible) == (5, False)
    lines.scroll_view("top")
    assert lines.snapshot().lines == ["1", "2", "3", "4", "5"]
    lines.scroll_view("bottom")
    assert lines.snapshot().view.offset == 0
    with pytest.raises(ValueError, match="`left` is not a place"):
        lines.scroll_view("left")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_the_view_stays_while_the_command_writes(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"seq 20; read x < '{fifo}'; seq 21 23; exec cat"
    with terminal_session(["sh", "-c", script], rows=5, cols=10) as session:
        session.expect("^20")
        session.scroll_view(-4)
        first = session.snapshot()
        fifo.write_text("go\n")
        session.wait_for(lambda screen: screen.view.history > first.view.history)
        later = session.snapshot(settle=0.2)
        assert later.lines == first.lines
        # The next key returns to the screen.
        session.send_keys("x")
        assert session.snapshot().lines == ["20", "21", "22", "23", "x"]


def test_the_mouse_needs_the_screen() -> None:
    script = r"printf '\033[?1000h\033[?1006h'; seq 20; exec cat"
    with terminal_session(["sh", "-c", script], rows=5, cols=10) as session:
        session.expect("20")
        session.scroll_view("top")
        with pytest.raises(TimeoutError, match="the view shows the history"):
            session.click("3", timeout=0.1)


def test_fish_marks_by_itself() -> None:
    fish = shutil.which("fish")
    assert fish
    version = run([fish, "--version"])
    version.cmd.wait(10)
    old = "version 3" in version.snapshot().text
    version.exit()
    if old:
        pytest.skip("this fish is older than its marks")
    with terminal_session([fish, "--no-config"], rows=10, cols=60) as session:
        assert session.submit("echo hi", timeout=10).output == "hi\n"
        assert session.submit("false").exit_code == 1
