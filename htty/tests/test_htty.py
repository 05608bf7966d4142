"""`htty` as a library."""

import sys
import threading
from collections.abc import Iterator

import pytest

from htty import HtWrapper, Press, StyleMode, run, terminal_session


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
        assert session.cmd.exit() == -15


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
    assert cat.exit() == 0
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


def test_html_of_a_styled_session() -> None:
    printf = ["printf", r"\033[1;31m<b>\033[0m"]
    with terminal_session(printf, rows=1, cols=5, style_mode=StyleMode.STYLED) as session:
        session.cmd.wait(5)
        html = session.snapshot().html
    style = "font-weight:bold;color:#cd0000"
    assert html == f'<pre class="terminal"><span style="{style}">&lt;b&gt;</span>  </pre>'


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
