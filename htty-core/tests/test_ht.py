"""`ht` as a program: JSON lines in, JSON lines out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import Ht, Start, gone, screen

from htty_core import HtArgs, HtEvent, __version__, find_ht_binary


def test_events_have_their_shapes(start: Start) -> None:
    ht = start(["cat"])
    init = ht.next("init")
    assert init["cols"] == 20
    assert init["rows"] == 4
    assert init["text"] == screen("", "", "", "")
    assert isinstance(init["seq"], str)
    assert init["pid"] == ht.next("pid")["pid"] > 0
    ht.send(type="resize", cols=30, rows=5)
    assert ht.next("resize") == {"cols": 30, "rows": 5}
    ht.send(type="input", payload="héllo\r")
    assert ht.next("output")["seq"].startswith("h")
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot")["text"].startswith("héllo".ljust(30) + "\nhéllo")
    ht.send(type="sendKeys", keys=["C-d"])
    assert ht.next("exitCode") == {"exitCode": 0}


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -9 $$", -9), ("exec 0<&- 1>&- 2>&-; exit 3", 3)]
)
def test_exit_codes(start: Start, script: str, code: int) -> None:
    assert start(["sh", "-c", script]).next("exitCode") == {"exitCode": code}


def test_last_output_is_in_a_snapshot_after_the_end(start: Start) -> None:
    for _ in range(20):
        ht = start(["sh", "-c", "printf last"])
        ht.next("exitCode")
        ht.send(type="takeSnapshot")
        assert ht.next("snapshot")["text"] == screen("last", "", "", "")


def test_command_that_closes_its_terminal_lives_on(start: Start) -> None:
    script = "exec 0<&- 1>&- 2>&-; sleep 0.2; echo back > /dev/tty; exit 5"
    ht = start(["sh", "-c", script])
    assert ht.next("output") == {"seq": "back\r\n"}
    assert ht.next("exitCode") == {"exitCode": 5}


def test_command_that_leaves_a_child_behind(start: Start) -> None:
    ht = start(["sh", "-c", "sleep 1000 & echo $!"])
    pid = int(ht.next("output")["seq"])
    assert ht.next("exitCode") == {"exitCode": 0}
    ht.end()
    assert gone(pid)


def test_malformed_line_is_reported_and_skipped(start: Start) -> None:
    ht = start(["cat"])
    assert ht.process.stdin
    assert ht.process.stderr
    ht.process.stdin.write('{"type":"nonsense"}\nno json\n')
    ht.process.stdin.flush()
    assert "nonsense" in ht.process.stderr.readline()
    assert "no json" in ht.process.stderr.readline()
    ht.send(type="takeSnapshot")
    ht.next("snapshot")


def test_ends_with_its_standard_input(start: Start) -> None:
    ht = start(["sh", "-c", "trap '' HUP TERM; echo $$; while :; do sleep 1; done"])
    pid = int(ht.next("output")["seq"])
    ht.end()
    assert gone(pid), "a command that ignores signals is ended too"


def test_ends_with_its_parent() -> None:
    """Even if another process holds its standard input open."""
    read, write = os.pipe()
    starter = (
        "import subprocess, sys\n"
        "from htty_core import *\n"
        "args = HtArgs(['sleep', '1000'], [HtEvent.PID]).get_command()\n"
        "ht = subprocess.Popen(args, stdin=int(sys.argv[1]), stdout=subprocess.PIPE)\n"
        "print(ht.pid, ht.stdout.readline().decode(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starter, str(read)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[read],
        text=True,
    )
    assert parent.stdout
    ht, event = parent.stdout.readline().split(maxsplit=1)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    try:
        assert gone(int(ht))
        assert gone(json.loads(event)["data"]["pid"])
    finally:
        os.close(read)
        os.close(write)


def test_client_that_stops_reading_stops_the_command(start: Start) -> None:
    ht = start(["sh", "-c", "while :; do echo yyyyyyyyyyyyyyyyyyyy; done"])
    pid = ht.next("pid")["pid"]
    ticks: list[int] = []
    for _ in range(3):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks.append(int(fields[11]) + int(fields[12]))
        time.sleep(0.3)
    status = Path(f"/proc/{ht.process.pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0])
    assert peak < 20 * 1024, "kilobytes"
    assert ticks[2] - ticks[1] <= 1, "the command waits"


def test_idle_uses_no_cpu(start: Start) -> None:
    ht = start(["sleep", "1000"])
    ht.next("pid")
    stat = Path(f"/proc/{ht.process.pid}/stat")
    before = stat.read_text().rsplit(")", 1)[1].split()[11:13]
    time.sleep(1)
    assert stat.read_text().rsplit(")", 1)[1].split()[11:13] == before


def test_hundred_at_once(start: Start) -> None:
    sessions = [start(["cat"]) for _ in range(100)]
    pids = [ht.next("pid")["pid"] for ht in sessions]
    for number, ht in enumerate(sessions):
        ht.send(type="sendKeys", keys=[f"n{number}", "Enter"])
        ht.send(type="takeSnapshot")
    for number, ht in enumerate(sessions):
        text = ht.next("snapshot")["text"]
        assert text.startswith(f"n{number} ".ljust(20))
    for ht in sessions:
        ht.end()
    assert all(gone(pid) for pid in pids)


def test_unknown_command_and_event_are_errors() -> None:
    ht = find_ht_binary()
    too_long = ["--size", "1001x4"]
    for args in (["--", "no-such-command-here"], ["--subscribe", "nothing"], too_long):
        done = subprocess.run([ht, *args], stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode != 0
        assert args[-1].encode() in done.stderr


def test_short_options() -> None:
    done = subprocess.run(
        [find_ht_binary(), "-s", "styled", "-l", "--subscribe", "snapshot", "--size", "3x1", "cat"],
        input='{"type":"input","payload":"\\u001b[31m"}\n{"type":"takeSnapshot"}\n',
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert json.loads(done.stdout)["data"]["cols"] == 3
    assert "live view at http://127.0.0.1:" in done.stderr
    for option, found in (("-h", "--style-mode"), ("-V", f"ht {__version__} (")):
        done = subprocess.run([find_ht_binary(), option], capture_output=True, text=True)
        assert (done.returncode, found in done.stdout) == (0, True)


def test_version_names_the_commit() -> None:
    for command in ([find_ht_binary()], [sys.executable, "-m", "htty_core"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert done.stdout.startswith(f"ht {__version__} (")


def test_hundreds_of_megabytes_in_bounded_memory(start: Start) -> None:
    ht = start(["sh", "-c", "yes 'twenty characters or so' | head -c 200000000"], rows=24, cols=80)
    assert ht.process.stdout
    length = 0
    for line in ht.process.stdout:
        if line.startswith('{"type":"output"'):
            length += len(line)
        elif "exitCode" in line:
            break
    assert length > 200_000_000
    status = Path(f"/proc/{ht.process.pid}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 20 * 1024, "kilobytes"


def test_does_not_wait_forever_for_a_busy_command(start: Start) -> None:
    ht = start(["sh", "-c", "while :; do :; done"])
    ht.send(type="takeSnapshot")
    ht.next("snapshot")
    ht.send(type="sendKeys", keys=["C-c"])
    assert ht.next("exitCode") == {"exitCode": -2}


def test_daemon_of_the_command_stays(start: Start) -> None:
    """A process that starts its own session is meant to outlive the terminal."""
    ht = start(["sh", "-c", "setsid sh -c 'echo $$; exec sleep 1000' & wait"])
    daemon = int(ht.next("output")["seq"])
    ht.end()
    try:
        assert Path(f"/proc/{daemon}/stat").read_text().split(") ")[1][0] not in "ZX"
    finally:
        os.kill(daemon, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_ht_and_the_command(start: Start, number: signal.Signals) -> None:
    ht = start(["sleep", "1000"])
    pid = ht.next("pid")["pid"]
    ht.process.send_signal(number)
    assert ht.process.wait(10) == -number
    assert gone(pid)


def test_what_was_asked_before_the_end_of_input_is_done() -> None:
    lines = ['{"type":"sendKeys","keys":["abc"]}', '{"type":"takeSnapshot"}']
    done = subprocess.run(
        [find_ht_binary(), "--size", "10x1", "--subscribe", "snapshot", "cat"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert json.loads(done.stdout)["data"]["text"] == "abc".ljust(10)


def test_one_word_with_blanks_is_a_line_for_a_shell(start: Start) -> None:
    ht = start(["X=5; echo $X"])
    assert ht.next("output") == {"seq": "5\r\n"}


def test_debug_events_describe_ht() -> None:
    ht = Ht(HtArgs(["cat"], [HtEvent.DEBUG]))
    ht.send(type="input", payload="ab")
    assert ht.next("debug") == {"message": "typing 2 bytes"}
    ht.end()


def test_command_completed_tells_the_time(start: Start) -> None:
    ht = start(["true"])
    assert 0 < ht.next("commandCompleted")["time"] < 60
    assert ht.next("exitCode") == {"exitCode": 0}


@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_wait_exit_waits_until_the_file_is_gone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "signal"
    path.touch() if kind == "file" else os.mkfifo(path)
    waiting = subprocess.Popen([find_ht_binary(), "wait-exit", str(path)])
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.2)
    path.unlink()
    assert waiting.wait(10) == 0
    assert subprocess.run([find_ht_binary(), "wait-exit", str(path)]).returncode == 0


def test_environment_of_the_command() -> None:
    env = {**os.environ, "COLUMNS": "33", "LINES": "44", "COLORTERM": "", "TERM": "dumb"}
    script = "echo $TERM $COLORTERM ${COLUMNS-none} ${LINES-none}"
    for options, term in ([], "xterm-256color"), (["--term", "xterm-direct"], "xterm-direct"):
        ht = [find_ht_binary(), "--subscribe", "output", *options, "--", "sh", "-c", script]
        with subprocess.Popen(
            ht, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout
            event = json.loads(running.stdout.readline())
            running.kill()
        assert event["data"]["seq"] == f"{term} truecolor none none\r\n"


def test_errors_name_their_cause() -> None:
    ht = find_ht_binary()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [ht, "--subscribe", "init", "--", "cat"],
            stdin=subprocess.PIPE,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "cannot write to standard output: No space left" in done.stderr
    done = subprocess.run([ht, "no-such"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.stderr == "ht: cannot run `no-such`: No such file or directory (os error 2)\n"


def test_without_pseudo_terminals() -> None:
    """In a separate mount namespace, with an empty directory instead of `/dev/pts`."""
    script = f"mount -t tmpfs none /dev/pts && exec {find_ht_binary()} --subscribe init -- cat"
    done = subprocess.run(
        ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ht: cannot open a pseudo-terminal: " in done.stderr
    assert "hint: " in done.stderr


def test_refused_sizes_and_late_keys_are_reported(start: Start) -> None:
    ht = start(["sh", "-c", "exit 3"])
    ht.next("exitCode")
    assert ht.process.stderr
    ht.send_unchecked(type="resize", cols=2000, rows=5)
    expected = "cannot resize the terminal: expected 2x1 to 1000x1000 characters, found 2000x5"
    assert ht.process.stderr.readline() == f"ht: {expected}\n"
    ht.send(type="sendKeys", keys=["x"])
    assert "the command has exited" in ht.process.stderr.readline()


@pytest.mark.parametrize("number", range(10))
def test_threads_may_be_the_first_to_look_for_ht(number: int) -> None:
    """Without a lock, two threads would initialise the variables of `sysconfig` at once."""
    script = (
        "import sys, threading\n"
        "from htty_core import find_ht_binary\n"
        "sys.setswitchinterval(1e-6)\n"
        "together = threading.Barrier(8)\n"
        "def find():\n"
        "    together.wait()\n"
        "    found.append(find_ht_binary())\n"
        "found = []\n"
        "threads = [threading.Thread(target=find) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "assert len(found) == 8, found\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HTTY_HT_BIN"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
