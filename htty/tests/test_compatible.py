"""The features that htty shares with the previous release (0.2.30).

`cargo xtask bench htty` runs these tests with both versions, so they use only features
that both have.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from htty import Press, run, terminal_session
from htty_core import HtArgs, HtEvent, find_ht_binary

GREETER = "print({0!r})\ninput()\nprint({1!r})\ninput()\nprint({2!r})\n"


def screen(cols: int, *lines: str) -> str:
    return "\n".join(line.ljust(cols) for line in lines)


@pytest.fixture
def greeter(tmp_path: Path) -> str:
    path = tmp_path / "greeter.py"
    path.write_text(GREETER.format("one", "two", "three"))
    return f"{sys.executable} {path}"


@pytest.fixture
def colored(tmp_path: Path) -> str:
    path = tmp_path / "colored.py"
    colors = [f"\x1b[{code}m{text}\x1b[0m" for code, text in ((31, "red"), (32, "green"))]
    path.write_text(GREETER.format(*colors, "plain"))
    return f"{sys.executable} {path}"


def test_screen_scrolls(greeter: str) -> None:
    terminal = run(greeter, rows=3, cols=8)
    assert terminal.snapshot().text == screen(8, "one", "", "")
    terminal.send_keys(Press.ENTER)
    assert terminal.snapshot().text == screen(8, "", "two", "")
    terminal.ht.exit()


def test_screen_after_the_end(greeter: str) -> None:
    terminal = run(greeter, rows=6, cols=8)
    terminal.send_keys(Press.ENTER)
    terminal.send_keys(Press.ENTER)
    terminal.cmd.wait()
    assert terminal.snapshot().text == screen(8, "one", "", "two", "", "three", "")
    assert terminal.ht.exit() == 0
    assert terminal.cmd.exit_code == 0


def test_output_is_kept(greeter: str) -> None:
    with terminal_session(greeter, rows=4, cols=8) as terminal:
        terminal.send_keys([Press.ENTER, Press.ENTER])
        terminal.cmd.wait()
        text = "".join(event["data"]["seq"] for event in terminal.get_output())
    assert all(word in text for word in ("one", "two", "three"))


def test_html_has_the_colors(colored: str) -> None:
    with terminal_session(colored, rows=4, cols=8) as terminal:
        page = terminal.snapshot().html
        assert ".ansi31 { color: #aa0000; }" in page
        assert '<span class="ansi31">red</span>' in page
        terminal.send_keys(Press.ENTER)
        page = terminal.snapshot().html
        assert ".ansi32 { color: #00aa00; }" in page
        assert '<span class="ansi32">green</span>' in page


def test_exit_while_the_command_runs(greeter: str) -> None:
    terminal = run(greeter, rows=4, cols=8, no_exit=True)
    assert "one" in terminal.snapshot().text
    assert terminal.ht.exit(timeout=5.0) == -15
    assert terminal.ht.poll() is not None


def test_expectations(colored: str) -> None:
    with terminal_session(colored, rows=4, cols=8) as terminal:
        terminal.expect(r"^red\s*$")
        terminal.expect_absent("green")
        terminal.send_keys(Press.ENTER)
        terminal.expect("green")
        with pytest.raises(TimeoutError, match=r"Pattern 'never' not found within 0\.5 seconds"):
            terminal.expect("never", timeout=0.5)
        with pytest.raises(TimeoutError, match=r"Pattern 'green' still present after 0\.5 sec"):
            terminal.expect_absent("green", timeout=0.5)


def test_shell_with_a_prompt() -> None:
    with terminal_session('PS1="$ " sh -i', rows=4, cols=6) as shell:
        shell.send_keys([r"printf '\n\n\n\nhello world\n'", Press.ENTER])
        shell.expect("world")
        assert shell.snapshot().text == screen(6, "", "hello", "world", "$")
        shell.send_keys(["clear", Press.ENTER])
        shell.expect_absent("world")
        shell.expect(r"\$")
        assert shell.snapshot().text == screen(6, "$", "", "", "")


def test_editor(tmp_path: Path) -> None:
    vim = shutil.which("vim")
    assert vim, "the tests need vim"
    with terminal_session(f"{vim} -u NONE -i NONE -n {tmp_path}/file", rows=5, cols=40) as terminal:
        terminal.send_keys("i")
        terminal.send_keys("hello")
        terminal.send_keys(Press.ESCAPE)
        terminal.expect_absent("INSERT")
        assert terminal.snapshot().text.splitlines()[0].strip() == "hello"
        for key in ("V", "y", "p"):
            terminal.send_keys(key)
        terminal.expect(r"hello\s+hello")
        terminal.send_keys([":wq", Press.ENTER])
        terminal.cmd.wait()
    assert (tmp_path / "file").read_text() == "hello\nhello\n"


def test_command_line_of_ht() -> None:
    args = HtArgs(command="echo hi", subscribes=[HtEvent.OUTPUT, HtEvent.PID], rows=5, cols=20)
    words = [find_ht_binary(), "--subscribe", "output,pid", "--size", "20x5", "--", "echo", "hi"]
    assert args.get_command() == words
    assert args.get_command("other")[0] == "other"


@pytest.mark.parametrize(
    ("args", "status", "shown"),
    [
        (["-s", "--", "echo", "hello"], 0, "hello\n\n\n----\n"),
        (["--", "echo", "hello"], 0, "hello\n\n\n----\n"),
        (["-k", "a,Enter", "--expect", "a\\s+a", "-s", "--", "cat"], 0, "a\na\n\n----\n"),
        (["-k", "a b;Enter", "-d", ";", "-s", "--", "cat"], 0, "a b\na b\n\n----\n"),
        (["--expect-absent", "x", "-s", "-s", "--", "printf", "y"], 0, "y\n\n\n----\n" * 2),
    ],
)
def test_command_line(args: list[str], status: int, shown: str) -> None:
    words = [sys.executable, "-m", "htty", "-r", "3", "-c", "10", *args]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (status, shown)


def test_versions_can_be_asked_for() -> None:
    done = subprocess.run([sys.executable, "-m", "htty", "--version"], capture_output=True)
    assert done.returncode == 0
    assert done.stdout.startswith(b"htty ")
