"""Real programs in their default configuration: their screens, and an Escape."""

# The linters' environment has no pyte, only that of the packages' tests.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from htty import Press, terminal_session

TIMES = 20
TOGETHER = 4
"""How many sessions of a program run at once; they mostly wait."""


def program(name: str) -> str:
    """Returns the path of a program that the tests install."""
    found = shutil.which(name)
    assert found, f"`{name}` is not installed: run `cargo xtask setup-test-tools`"
    return found


@pytest.fixture
def load() -> Iterator[None]:
    """Keeps every processor busy."""
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without any configuration."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    # An editor that is terminated leaves a file in its directory.
    monkeypatch.chdir(tmp_path)
    return tmp_path


def repeat(work: Callable[[int], None]) -> None:
    """Calls a function `TIMES` times, with the number of the call."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        for done in [pool.submit(work, number) for number in range(TIMES)]:
            done.result()


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def edits(editor: str, file: Path) -> None:
    """`Escape`, then `O`, opens a new line above; it is not the key Home."""
    with terminal_session([program(editor), str(file)], rows=12, cols=70) as session:
        session.send_keys(["ihello", Press.ESCAPE])
        screen = session.snapshot().text
        assert "INSERT" not in screen, screen
        session.send_keys(["Oabove", Press.ESCAPE, ":wq", Press.ENTER])
        session.cmd.wait(20)
    assert file.read_text() == "above\nhello\n"


@pytest.mark.parametrize("editor", ["vim", "nvim"])
def test_editors(editor: str, home: Path, load: None) -> None:
    repeat(lambda number: edits(editor, home / f"file{number}"))


def test_nano(home: Path, load: None) -> None:
    def work(number: int) -> None:
        file = home / f"file{number}"
        with terminal_session([program("nano"), str(file)], rows=12, cols=70) as session:
            assert "^X Exit" in session.snapshot().text
            session.send_keys(["hello", Press.CTRL_O, Press.ENTER])
            assert "Wrote 1 line" in session.snapshot().text
            session.send_keys(Press.CTRL_X)
            session.cmd.wait(20)
        assert file.read_text() == "hello\n"

    repeat(work)


def test_less(home: Path, load: None) -> None:
    file = home / "numbers"
    file.write_text("".join(f"line {number}\n" for number in range(1, 101)))

    def work(_: int) -> None:
        with terminal_session([program("less"), str(file)], rows=10, cols=40) as session:
            assert lines(session.snapshot().text)[0] == "line 1"
            session.send_keys("G")
            assert "line 100" in session.snapshot().text
            session.send_keys(["?line 42", Press.ENTER])
            assert lines(session.snapshot().text)[0] == "line 42"
            session.send_keys("q")
            assert session.cmd.wait(20) == 0

    repeat(work)


def test_fzf(home: Path, load: None) -> None:
    def work(_: int) -> None:
        choose = f"seq 1 100 | {program('fzf')} --height 40%"
        with terminal_session(choose, rows=20, cols=40) as session:
            assert "100/100" in session.snapshot().text
            session.send_keys("42")
            assert "1/100" in session.snapshot(settle=0.3).text
            session.send_keys(Press.ENTER)
            assert session.cmd.wait(20) == 0
            assert "42" in session.snapshot().text
        with terminal_session(choose, rows=20, cols=40) as session:
            session.snapshot()
            session.send_keys(Press.ESCAPE)
            assert session.cmd.wait(20) == 130

    repeat(work)


def test_dialog(home: Path, load: None) -> None:
    command = [program("dialog"), "--yesno", "Really?", "7", "30"]

    def work(_: int) -> None:
        with terminal_session(command, rows=20, cols=50) as session:
            before = session.snapshot()
            assert "Really?" in before.text
            assert before.modes.application_cursor
            session.send_keys(Press.ESCAPE)
            # A second later, it has recognised the Escape and restored the terminal.
            assert not session.snapshot().modes.application_cursor
            # Only its exit may be missing.
            assert session.cmd.wait(20) == 255

    repeat(work)


def test_htop(home: Path, load: None) -> None:
    def work(_: int) -> None:
        with terminal_session([program("htop")], rows=20, cols=80) as session:
            assert "Load average" in session.snapshot().text
            session.send_keys(Press.F1)
            assert "(C) 2004" in session.snapshot().text
            session.send_keys("q")
            assert "Load average" in session.snapshot().text
            session.send_keys("q")
            assert session.cmd.wait(20) == 0

    repeat(work)


def test_tmux(home: Path, load: None) -> None:
    def work(number: int) -> None:
        command = [program("tmux"), "-L", f"htty-{os.getpid()}-{number}", "new-session", "sh"]
        with terminal_session(command, rows=10, cols=60) as session:
            session.send_keys(["echo $((6 * 7))", Press.ENTER])
            screen = session.snapshot().text
            assert "\n42" in screen, screen
            session.send_keys(["exit", Press.ENTER])
            assert session.cmd.wait(20) == 0

    repeat(work)


def test_a_terminal_inside_the_terminal(home: Path, load: None) -> None:
    """Input passes through two terminals, and the output returns through both."""

    def work(_: int) -> None:
        with terminal_session([program("script"), "-qc", "cat", "/dev/null"]) as session:
            for word in ("one", "two", "three"):
                session.send_keys([word, Press.ENTER])
                screen = lines(session.snapshot().text)
                assert screen.count(word) == 2, screen

    repeat(work)


def test_fish_shows_its_prompt_at_once(home: Path) -> None:
    with terminal_session([program("fish")], rows=10, cols=60) as session:
        session.expect("> ", timeout=20)
        session.send_keys(["echo (math 6 x 7)", Press.ENTER])
        screen = session.snapshot().text
        assert "\n42" in screen, screen
        # An Escape and the following key, by the keyboard protocol that fish enables.
        session.send_keys(["echo no", Press.ESCAPE, Press.CTRL_U, "echo yes", Press.ENTER])
        session.expect("^yes")


def test_prompt_toolkit_has_no_complaint() -> None:
    script = "from prompt_toolkit import prompt; print('got', prompt('name: '))"
    with terminal_session([sys.executable, "-c", script], rows=10, cols=60) as session:
        session.expect("name: ", timeout=20)
        session.send_keys(["me", Press.ENTER])
        session.expect("got me")
        assert "CPR" not in session.snapshot().text


def test_ipython_has_no_complaint(home: Path) -> None:
    with terminal_session([sys.executable, "-m", "IPython"], rows=20, cols=70) as session:
        session.expect(r"In \[1\]: ", timeout=60)
        session.send_keys(["6 * 7", Press.ENTER])
        session.expect(r"Out\[1\]: 42", timeout=20)
        assert "CPR" not in session.snapshot().text


def test_one_that_sleeps_before_it_paints() -> None:
    def work(_: int) -> None:
        with terminal_session("sleep 0.2; echo painted; exec cat", rows=3, cols=20) as session:
            assert lines(session.snapshot().text)[0] == "painted"

    repeat(work)


def test_example_of_the_readme_of_0_2_30(home: Path) -> None:
    """The screen after Escape, not the one before it."""
    command = [sys.executable, "-m", "htty", "-k", "ihello,Escape", "-s", "--", program("vim")]

    def work(_: int) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("hello\n"), done.stdout
        assert "INSERT" not in done.stdout, done.stdout

    repeat(work)


THREADS = r"""
import os, select, threading, tty
tty.setraw(0)
for _ in range(60):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
os.write(1, b"ready")
os.read(0, 100)
select.select([], [], [], 0.1)
os.write(1, b"\\r\\x1b[Kseen")
os.read(0, 100)
"""


def test_escape_is_seen_by_an_ht_that_gets_no_processor() -> None:
    """Activity of the command while ht reads its threads' states does not count as sleep."""

    def freeze(pid: int, done: threading.Event) -> None:
        while not done.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.11)
            os.kill(pid, signal.SIGCONT)
            time.sleep(random.uniform(0.0002, 0.01))

    def work(_: int) -> None:
        with terminal_session([sys.executable, "-c", THREADS], rows=3, cols=20) as session:
            session.expect("ready", timeout=20)
            assert session.ht.pid
            done = threading.Event()
            freezer = threading.Thread(target=freeze, args=(session.ht.pid, done))
            session.send_keys(Press.ESCAPE)
            freezer.start()
            screen = session.snapshot().text
            done.set()
            freezer.join()
            assert "seen" in screen, screen

    repeat(work)


def test_seq_is_understood_by_pyte(tmp_path: Path) -> None:
    """It makes another terminal look the same: text, cursor, colors."""
    import pyte

    script = (
        r"printf '\033[1;31mred\033[0m \033[44mblue\033[0m aaaaaaaaaaaa\n'; ls --color=always /"
    )
    for command in (["sh", "-c", script], [program("vim"), "-u", "NONE", str(tmp_path / "x")]):
        with terminal_session(command, rows=20, cols=40) as session:
            snapshot = session.snapshot(settle=0.2)
        screen = pyte.Screen(40, 20)
        pyte.Stream(screen).feed(snapshot.raw_seq)
        assert "\n".join(screen.display) == snapshot.text
