"""The library `htty`."""

import contextlib
import gc
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from htty import Cursor, HtWrapper, Modes, Press, StyleMode, run, terminal_session
from htty.html import to_html


@pytest.fixture
def cat() -> Iterator[HtWrapper]:
    with terminal_session("cat", rows=4, cols=20) as session:
        yield session


def test_keys_then_snapshot(cat: HtWrapper) -> None:
    cat.send_keys(["hello", Press.ENTER])
    cat.expect(r"^hello *\nhello")
    assert cat.snapshot().text == "\n".join(s.ljust(20) for s in ("hello", "hello", "", ""))


def test_a_key_alone_and_text_alone(cat: HtWrapper) -> None:
    cat.send_keys("a")
    cat.send_keys(Press.ENTER)
    cat.expect(r"^a *\na")


def test_expect_says_what_was_not_found(cat: HtWrapper) -> None:
    with pytest.raises(TimeoutError, match=r"Pattern 'x\+y' not found within 0\.1 seconds"):
        cat.expect("x+y", timeout=0.1)


def test_expect_absent(cat: HtWrapper) -> None:
    cat.send_keys("word")
    cat.expect("word")
    with pytest.raises(TimeoutError, match=r"Pattern 'word' still present after 0\.1 seconds"):
        cat.expect_absent("word", timeout=0.1)
    cat.send_keys(Press.CTRL_U)
    cat.expect_absent("word")


def test_command_is_split_as_a_shell_does() -> None:
    with terminal_session("printf '%s|' 'a b' \"c d\"", rows=2, cols=20) as session:
        session.cmd.wait(5)
        assert session.snapshot().text.startswith("a b|c d|")


def test_exit_code_of_the_command() -> None:
    with terminal_session(["sh", "-c", "exit 3"]) as session:
        assert session.cmd.wait(5) == 3
        assert session.cmd.exit_code == 3
        assert session.cmd.completed
        assert not session.ht.completed
    assert session.ht.exit_code == 0


def test_kill_and_terminate() -> None:
    with terminal_session("sleep 1000") as session:
        session.cmd.kill()
        assert session.cmd.wait(5) == -9
    with terminal_session("sleep 1000") as session:
        session.cmd.terminate()
        assert session.cmd.wait(5) == -15
        assert session.cmd.poll() == -15


def test_exit_of_the_command_waits_and_then_insists() -> None:
    with terminal_session("sh -c 'read line; exit 4'") as session:
        session.send_keys(Press.ENTER)
        assert session.cmd.exit() == 4
    with terminal_session("sleep 1000") as session:
        assert session.cmd.exit(timeout=0.1) == -15
    with terminal_session(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]) as session:
        session.snapshot()
        assert session.cmd.exit(timeout=0.1) == -9


def test_waiting_is_bounded() -> None:
    with terminal_session("sleep 1000") as session:
        assert session.cmd.wait(0.1) is None
        assert session.ht.wait(0.1) is None
        assert session.cmd.pid
        assert session.ht.pid
        assert session.cmd.poll() is None
        assert session.ht.poll() is None


def test_invalid_pattern_is_named(cat: HtWrapper) -> None:
    with pytest.raises(ValueError, match=r"Invalid regex pattern '\('"):
        cat.expect("(")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("echo $((6 * 7)) | cat", "42"),
        ("X=1 sh -c 'echo $X'", "1"),
        ("echo 'a|b' \"c;d\"", "a|b c;d"),
        ("echo a\\ b", "a b"),
        ("cd / && pwd", "/"),
    ],
)
def test_string_is_read_as_a_shell_does(command: str, shown: str) -> None:
    with terminal_session(command, rows=2, cols=20) as session:
        assert session.cmd.wait(5) == 0
        assert session.snapshot().text.splitlines()[0] == shown.ljust(20)


def test_hundred_sessions_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sockets and FIFOs would be listed here.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    descriptors = Path("/proc/self/fd")
    # Objects that earlier tests left to the garbage collector are not counted.
    gc.collect()
    before = len(list(descriptors.iterdir()))
    pids: list[int] = []
    with contextlib.ExitStack() as stack:
        sessions = [
            stack.enter_context(terminal_session("sh -c 'sleep 1000 & exec cat'", rows=3, cols=20))
            for _ in range(100)
        ]
        for number, session in enumerate(sessions):
            session.send_keys([f"n{number}", Press.ENTER])
        for number, session in enumerate(sessions):
            assert session.snapshot().text.startswith(f"n{number} ".ljust(20)), number
            assert session.cmd.pid
            assert session.ht.pid
            pids += [session.cmd.pid, session.ht.pid]
            children = Path(f"/proc/{session.cmd.pid}/task/{session.cmd.pid}/children")
            pids += [int(child) for child in children.read_text().split()]
    assert len(pids) == 300
    left = [pid for pid in pids if Path(f"/proc/{pid}").exists() and not is_zombie(pid)]
    assert left == []
    gc.collect()
    assert len(list(descriptors.iterdir())) == before
    assert threading.active_count() == 1
    assert list(tmp_path.iterdir()) == []


def is_zombie(pid: int) -> bool:
    """The init process reaps orphans, possibly later."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_session_ends_though_the_block_fails() -> None:
    sessions: list[HtWrapper] = []

    def fail() -> None:
        with terminal_session("sleep 1000") as session:
            sessions.append(session)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert sessions[0].ht.completed


def test_snapshot_after_the_end_is_the_last_one(cat: HtWrapper) -> None:
    cat.send_keys("kept")
    cat.expect("kept")
    assert cat.exit() == -15
    assert cat.snapshot().text.startswith("kept")
    with pytest.raises(RuntimeError, match="ended"):
        cat.send_keys("late")


def test_output_events(cat: HtWrapper) -> None:
    cat.send_keys(["x", Press.ENTER])
    cat.expect("x\\s+x")
    text = "".join(event["data"]["seq"] for event in cat.get_output())
    assert text == "x\r\nx\r\n"


def test_threads_share_a_session(cat: HtWrapper) -> None:
    faults: list[BaseException] = []

    def work(letter: str) -> None:
        try:
            for _ in range(20):
                cat.send_keys(letter)
                assert len(cat.snapshot().text) == 4 * 20 + 3
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert cat.snapshot().text.replace("\n", "").strip().count("a") == 20


def test_html_and_text_of_a_styled_session() -> None:
    printf = ["printf", r"\033[1;31m<b>\033[0;44mc\033[0;7md\033[0;38;5;200me\033[0;38;2;1;2;3mf"]
    with terminal_session(printf, rows=1, cols=9, style_mode=StyleMode.STYLED) as session:
        session.cmd.wait(5)
        styled = session.snapshot()
        session.set_style_mode(StyleMode.PLAIN)
        assert session.snapshot().text == "<b>cdef  "
    assert styled.text.startswith("\x1b[0;1;31m<b>\x1b[0;44mc")
    spans = [
        '<span class="ansi1 ansi31">&lt;b&gt;</span>',
        '<span class="ansi44">c</span>',
        '<span class="inv_foreground inv_background">d</span>',
        '<span class="ansi38-200">e</span>',
        '<span class="ansi38-001002003">f</span>',
    ]
    assert "".join(spans) in styled.html
    rules = [
        ".ansi1 { font-weight: bold; }",
        ".ansi31 { color: #aa0000; }",
        ".ansi38-001002003 { color: #010203; }",
        ".ansi38-200 { color: #ff00d7; }",
        ".ansi44 { background-color: #0000aa; }",
    ]
    assert "\n".join(rules) in styled.html


def test_inverse_colors() -> None:
    text = "\x1b[0;7;31;42ma\x1b[0;7;97;48;5;20mb\x1b[0;7;48;2;0;0;255mc"
    html = to_html(text)
    assert '<span class="ansi32 ansi41">a</span><span class="ansi38-20 ansi107">b</span>' in html
    assert '<span class="ansi38-000000255 inv_background">c</span>' in html


def test_run_without_a_block() -> None:
    session = run([sys.executable, "-c", "print('hi')"], rows=2, cols=10)
    try:
        session.expect("hi")
    finally:
        session.exit()
    assert session.ht.completed


def test_resize(cat: HtWrapper) -> None:
    cat.resize(rows=2, cols=10)
    assert cat.snapshot().text == "\n".join([" " * 10] * 2)


def test_text_that_equals_keys(cat: HtWrapper) -> None:
    cat.type("Enter Esc")
    cat.send_keys(Press.ENTER)
    cat.expect(r"Enter Esc *\nEnter Esc")


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ("Esc", ValueError, "`Esc` is not the name of a key; did you mean `Escape`"),
        (["a", "Ctrl+C"], ValueError, "did you mean `C-c`"),
        (3, TypeError, "expected text, a key or a list of both, found 3"),
        (["a", None], TypeError, "expected text or a key, found None"),
        ([b"a"], TypeError, "expected text or a key, found b'a'"),
    ],
)
def test_wrong_keys(cat: HtWrapper, keys: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        cat.send_keys(keys)
    assert cat.snapshot().text.strip() == "", "nothing of it was typed"


@pytest.mark.parametrize(
    ("rows", "cols", "error"),
    [
        (0, 5, ValueError),
        (5, 1001, ValueError),
        (5, 1, ValueError),
        ("5", 5, TypeError),
        (True, 5, TypeError),
    ],
)
def test_wrong_sizes(cat: HtWrapper, rows: Any, cols: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"`(rows|cols)`: expected"):
        cat.resize(rows, cols)
    with pytest.raises(error, match=r"`(rows|cols)`: expected"):
        run("cat", rows, cols)


@pytest.mark.parametrize("command", [[], "", " "])
def test_no_command(command: Any) -> None:
    with pytest.raises(ValueError, match="no command"), terminal_session(command):
        pass


def test_keys_after_the_end_of_the_command() -> None:
    with terminal_session("sh -c 'exit 5'") as session:
        session.cmd.wait(10)
        for send in (session.send_keys, session.type):
            with pytest.raises(RuntimeError, match="ended with exit code 5"):
                send("x")


def test_expectations_take_any_timeout(cat: HtWrapper) -> None:
    cat.send_keys("seen")
    cat.expect("seen")
    for timeout in (0, None, 1e9, 1e30):
        cat.expect("seen", timeout=timeout)
        cat.expect_absent("hidden", timeout=timeout)
        assert cat.snapshot(timeout=timeout).text.startswith("seen")
    with pytest.raises(TimeoutError, match="not found within 0 seconds"):
        cat.expect("hidden", timeout=0)


def test_compiled_patterns(cat: HtWrapper) -> None:
    cat.send_keys("SEEN")
    cat.expect(re.compile("seen", re.IGNORECASE))
    with pytest.raises(TimeoutError, match=r"Pattern 'seen' not found"):
        cat.expect(re.compile("seen"), timeout=0.1)


def test_failed_expectation_shows_the_screen(cat: HtWrapper) -> None:
    cat.send_keys("what there is")
    with pytest.raises(TimeoutError, match=r"0\.2 seconds; the screen:\nwhat there is$"):
        cat.expect("never", timeout=0.2)


def test_expectation_ends_with_the_command() -> None:
    with terminal_session(["sh", "-c", "echo said; read line; exit 3"]) as session:
        session.expect("said")
        session.send_keys(Press.ENTER)
        for expect in (session.expect, session.expect_absent):
            pattern = "never" if expect == session.expect else "said"
            with pytest.raises(TimeoutError, match=r"the command has ended with exit code 3"):
                expect(pattern, timeout=None)


def test_waiting_for_quiet() -> None:
    script = "for i in 1 2 3 4; do printf $i; sleep 0.1; done; exec cat"
    with terminal_session(["sh", "-c", script], rows=1, cols=8) as session:
        session.wait_idle(0.4)
        assert session.snapshot().text == "1234    "
        session.send_keys("x")
        assert session.snapshot(settle=0.1).text == "1234x   "
    with (
        terminal_session("while :; do echo; sleep 0.05; done") as session,
        pytest.raises(TimeoutError, match=r"did not stop for 1 seconds within 0\.3 seconds"),
    ):
        session.wait_idle(1, timeout=0.3)


def test_modules_of_0_2_30() -> None:
    from htty import constants, ht, html_utils, keys, proc
    from htty.cli import htty_sync
    from htty_core import core

    assert ht.HtWrapper is HtWrapper
    assert ht.terminal_session is terminal_session
    assert proc.CmdProcess is not proc.HtProcess
    assert keys.keys_to_strings(["a", Press.CTRL_C]) == ["a", "C-c"]
    assert constants.DEFAULT_TERMINAL_COLS == 60
    assert core.HtArgs(["cat"], [], 2, 3).get_command("ht")[-1] == "cat"
    assert "red" in html_utils.simple_ansi_to_html("\x1b[1;31mred\x1b[5;1H\x1b[?25l")
    assert callable(htty_sync)
    assert Press.CARET_SHIFT_A.value == "^A"
    assert Press.CARET_BACKSLASH.value == "^\\"


def test_what_a_snapshot_has_beside_the_text() -> None:
    script = (
        r"printf 'a\n\033[31mb\033[0m\nc\a\033]2;named\007';"
        r"printf '\033[?1049h\033[?1003h\033[4 q'; exec cat"
    )
    with terminal_session(["sh", "-c", script], rows=2, cols=5) as session:
        snapshot = session.snapshot()
        assert snapshot.cursor == Cursor(row=1, col=1, visible=True, shape="underline")
        assert (snapshot.title, snapshot.bells) == ("named", 1)
        assert snapshot.modes == Modes(alternate_screen=True, mouse="motion")
    script = r"seq 5; printf '\033[?25l\033[?2004h'; exec cat"
    with terminal_session(["sh", "-c", script], rows=2, cols=5) as session:
        snapshot = session.snapshot()
        assert snapshot.scrollback.split() == ["1", "2", "3", "4"]
        assert not snapshot.cursor.visible
        assert snapshot.modes.bracketed_paste
