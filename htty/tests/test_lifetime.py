"""The end of sessions, and their use from other processes."""

import gc
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from htty import Press, Session, run


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def ends(pid: int) -> None:
    end = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < end, f"process {pid} still runs"
        time.sleep(0.01)


def pids(session: Session) -> list[int]:
    session.snapshot()
    assert session.ht.pid
    assert session.cmd.pid
    return [session.ht.pid, session.cmd.pid]


def test_a_session_ends_when_nobody_holds_it() -> None:
    session = run("sleep 1000")
    numbers = pids(session)
    command = session.cmd
    del session
    gc.collect()
    assert all(map(is_running, numbers)), "its command is still held"
    del command
    # Without the cyclic garbage collector.
    for number in numbers:
        ends(number)
    for name in ("ht events", "ht errors"):
        for thread in threading.enumerate():
            if thread.name == name:
                thread.join(10)
                assert not thread.is_alive()


def test_sessions_end_with_the_interpreter() -> None:
    script = "import htty; s = htty.run('sleep 1000'); s.snapshot(); print(s.ht.pid, s.cmd.pid)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    for number in done.stdout.split():
        ends(int(number))


def test_a_session_is_a_block() -> None:
    with run("sleep 1000") as session:
        numbers = pids(session)
    for number in numbers:
        ends(number)


def in_child(work: Callable[[], None]) -> None:
    """Calls a function in a forked process, which must not fail."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_leaves_the_session_alone() -> None:
    session = run("cat", rows=2, cols=20)
    session.send_keys(["before", Press.ENTER])
    session.expect("before")

    def work() -> None:
        for use in (session.snapshot, lambda: session.send_keys("x"), session.cmd.wait):
            with pytest.raises(RuntimeError, match="this one was forked"):
                use()
        assert session.exit() == 0
        # Its own session works.
        with run("echo inner") as other:
            other.expect("inner")
        gc.collect()

    in_child(work)
    session.send_keys(["after", Press.ENTER])
    session.expect("after")
    assert session.exit() == -15


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_keep_ht_alive() -> None:
    session = run("sleep 1000")
    numbers = pids(session)
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        # `ht` ends only because standard input ends.
        assert session._connection.process.stdin is not None  # pyright: ignore[reportPrivateUsage]
        session._connection.process.stdin.close()  # pyright: ignore[reportPrivateUsage]
        for number in numbers:
            ends(number)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        session.exit()


def test_waits_of_several_threads_end_together() -> None:
    with run("cat", rows=4, cols=20) as session:
        seen: list[str] = []

        def wait() -> None:
            seen.append(session.expect("now").text)

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        session.send_keys("now")
        for thread in threads:
            thread.join()
        assert seen == ["now"] * 4
