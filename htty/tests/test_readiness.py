"""A session whose command is still starting, or busy."""

import sys
from pathlib import Path

import pytest

from htty import Press, run, terminal_session

GREETINGS = 'print("hello")\ninput()\nprint("world")\ninput()\nprint("goodbye")\n'


@pytest.fixture
def greeter(tmp_path: Path) -> str:
    """A program that starts slowly and reads two lines."""
    script = tmp_path / "greeter.py"
    script.write_text(GREETINGS)
    return f"{sys.executable} {script}"


def test_first_snapshot_waits_for_the_command(greeter: str) -> None:
    with terminal_session(greeter, rows=3, cols=8) as terminal:
        assert terminal.snapshot().text == "hello   \n        \n        "


def test_keys_wait_until_the_command_reads(greeter: str) -> None:
    with terminal_session(greeter, rows=6, cols=8) as terminal:
        terminal.send_keys(Press.ENTER)
        terminal.send_keys(Press.ENTER)
        terminal.cmd.wait()
        screen = ["hello   ", "        ", "world   ", "        ", "goodbye ", "        "]
        assert terminal.snapshot().text.splitlines() == screen
        assert terminal.ht.exit() == 0


def test_exit_of_a_running_command_tells_the_signal(greeter: str) -> None:
    terminal = run(greeter, rows=4, cols=8)
    assert "hello" in terminal.snapshot().text
    assert terminal.ht.exit() == -15
    assert terminal.cmd.completed


def test_html_has_colors_in_a_plain_session() -> None:
    with terminal_session(["printf", r"\033[31mred\033[0m"], rows=2, cols=8) as terminal:
        screen = terminal.snapshot()
    assert screen.text.splitlines()[0] == "red     "
    assert ".ansi31 { color: #aa0000; }" in screen.html
    assert '<span class="ansi31">red</span>' in screen.html


def test_command_may_start_with_assignments() -> None:
    with terminal_session('PS1="$ " sh -i', rows=4, cols=6) as shell:
        shell.send_keys([r"printf '\n\n\n\nhello world\n'", Press.ENTER])
        shell.expect("world")
        assert shell.snapshot().text.splitlines() == ["      ", "hello ", "world ", "$     "]
        shell.send_keys(["clear", Press.ENTER])
        shell.expect_absent("world")
        shell.expect(r"\$")
        assert shell.snapshot().text.splitlines() == ["$     ", "      ", "      ", "      "]
