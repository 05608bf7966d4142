"""`ht` as a program: JSON lines in, JSON lines out."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from htty_core import HtArgs, HtEvent, StyleMode, __version__, find_ht_binary, run

Start = Callable[..., "Ht"]


class Ht:
    """A running `ht`."""

    def __init__(self, args: HtArgs) -> None:
        self.process = run(args)

    def send(self, **command: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def next(self, kind: str) -> dict[str, Any]:
        """Reads events up to the next one of this kind; gives its data."""
        assert self.process.stdout
        for line in self.process.stdout:
            event = json.loads(line)
            if event["type"] == kind:
                return event["data"]
        raise AssertionError(f"ht ended before {kind}")

    def end(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Ht] = []

    def start(command: list[str], *, rows: int = 4, cols: int = 20, **kwargs: Any) -> Ht:
        events = [event for event in HtEvent if event is not HtEvent.DEBUG]
        running.append(Ht(HtArgs(command, events, rows, cols, **kwargs)))
        return running[-1]

    yield start
    for ht in running:
        ht.process.kill()
        ht.end()


def screen(*lines: str, cols: int = 20) -> str:
    return "\n".join(line.ljust(cols) for line in lines)


def gone(pid: int) -> bool:
    """Waits until a process has ended."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


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


def test_split_and_invalid_utf8(start: Start) -> None:
    script = "import os\nfor b in (b'\\xe4', b'\\xb8', b'\\xad', b'\\xff!'): os.write(1, b)"
    ht = start([sys.executable, "-c", script])
    ht.next("exitCode")
    ht.send(type="takeSnapshot")
    first = ht.next("snapshot")["text"].splitlines()[0]
    assert first.rstrip() == "\u4e2d\ufffd!"


def test_malformed_line_is_told_and_survived(start: Start) -> None:
    ht = start(["cat"])
    assert ht.process.stdin
    assert ht.process.stderr
    ht.process.stdin.write('{"type":"nonsense"}\nno json\n')
    ht.process.stdin.flush()
    assert "nonsense" in ht.process.stderr.readline()
    assert "no json" in ht.process.stderr.readline()
    ht.send(type="takeSnapshot")
    ht.next("snapshot")


def test_styled_snapshot(start: Start) -> None:
    ht = start(["printf", r"\033[1;31mred\033[0m."], style_mode=StyleMode.STYLED)
    ht.next("exitCode")
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot")["text"].startswith("\x1b[0;1;31mred\x1b[0m.")
    ht.send(type="setStyleMode", mode="plain")
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot")["text"].startswith("red. ")


def test_keys_in_application_mode(start: Start) -> None:
    script = r"stty raw -echo; printf '\033[?1h.'; head -c 9 | od -An -c; sleep 1000"
    ht = start(["sh", "-c", script], cols=60)
    while "." not in ht.next("output")["seq"]:
        pass
    ht.send(type="sendKeys", keys=["Up", "C-S-Left"])
    seen = ""
    while "6" not in seen:
        seen += ht.next("output")["seq"]
    assert seen.split() == ["033", "O", "A", "033", "[", "1", ";", "6", "D"][: len(seen.split())]


def test_ends_with_its_standard_input(start: Start) -> None:
    ht = start(["sh", "-c", "trap '' HUP TERM; echo $$; while :; do sleep 1; done"])
    pid = int(ht.next("output")["seq"])
    ht.end()
    assert gone(pid), "a command that ignores signals is ended too"


def test_ends_with_its_parent() -> None:
    """Though somebody else holds its standard input open."""
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
    for option, told in (("-h", "--style-mode"), ("-V", f"ht {__version__} (")):
        done = subprocess.run([find_ht_binary(), option], capture_output=True, text=True)
        assert (done.returncode, told in done.stdout) == (0, True)


def test_version_names_the_commit() -> None:
    for command in ([find_ht_binary()], [sys.executable, "-m", "htty_core"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert done.stdout.startswith(f"ht {__version__} (")


def test_alternate_screen_comes_and_goes(start: Start) -> None:
    script = r"printf 'main\033[?1049hother'; read x; printf '\033[?1049l'; read x"
    ht = start(["sh", "-c", script])
    ht.send(type="takeSnapshot")
    assert "other" in ht.next("snapshot")["text"]
    ht.send(type="sendKeys", keys=["Enter"])
    ht.send(type="takeSnapshot")
    text = ht.next("snapshot")["text"]
    assert text.startswith("main")
    assert "other" not in text


def test_wide_characters_take_two_columns(start: Start) -> None:
    ht = start(["printf", "\u6f22\u5b57a"], cols=4, rows=2)
    ht.next("exitCode")
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot")["text"] == "\u6f22\u5b57\na   "


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


def test_command_that_does_not_read_its_keys(start: Start) -> None:
    ht = start(["sleep", "1000"])
    for _ in range(50):
        ht.send(type="input", payload="x" * 10_000)
    ht.send(type="takeSnapshot")
    ht.next("snapshot")


def test_busy_command_is_not_waited_for_for_ever(start: Start) -> None:
    ht = start(["sh", "-c", "while :; do :; done"])
    ht.send(type="takeSnapshot")
    ht.next("snapshot")
    ht.send(type="sendKeys", keys=["C-c"])
    assert ht.next("exitCode") == {"exitCode": -2}


def test_daemon_of_the_command_stays(start: Start) -> None:
    """What starts a session of its own is meant to outlive the terminal."""
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


def test_debug_events_tell_what_ht_does() -> None:
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


MODIFIERS = {"": 1, "S-": 2, "A-": 3, "A-S-": 4, "C-": 5, "C-S-": 6, "C-A-": 7, "C-A-S-": 8}
LETTERS = {"Up": "A", "Down": "B", "Right": "C", "Left": "D", "Home": "H", "End": "F"}
NUMBERS = {"Insert": 2, "Delete": 3, "PageUp": 5, "PageDown": 6}
FUNCTIONS = {"F5": 15, "F6": 17, "F7": 18, "F8": 19, "F9": 20, "F10": 21, "F11": 23, "F12": 24}


def test_every_key_with_every_modifier(start: Start) -> None:
    """As xterm sends them (ctlseqs, "PC-Style Function Keys")."""
    keys: list[str] = []
    sequences: list[str] = []
    for prefix, number in MODIFIERS.items():
        for key, letter in LETTERS.items():
            keys.append(prefix + key)
            sequences.append(f"\x1b[1;{number}{letter}" if prefix else f"\x1b[{letter}")
        for key, letter in zip(("F1", "F2", "F3", "F4"), "PQRS", strict=True):
            keys.append(prefix + key)
            sequences.append(f"\x1b[1;{number}{letter}" if prefix else f"\x1bO{letter}")
        for key, code in (NUMBERS | FUNCTIONS).items():
            keys.append(prefix + key)
            sequences.append(f"\x1b[{code};{number}~" if prefix else f"\x1b[{code}~")
    for code in range(26):
        letter = chr(ord("a") + code)
        keys += [f"C-{letter}", f"^{letter}", f"A-{letter}"]
        sequences += [chr(code + 1), chr(code + 1), f"\x1b{letter}"]
    simple = {"Enter": "\r", "Tab": "\t", "Space": " ", "Escape": "\x1b", "Backspace": "\x7f"}
    keys += simple
    sequences += simple.values()
    expected = "".join(sequences).encode().hex()
    script = f"stty raw -echo; head -c {len(expected) // 2} | od -An -v -tx1 | tr -d ' \\n'"
    ht = start(["sh", "-c", script], rows=50, cols=100)
    ht.send(type="sendKeys", keys=keys)
    seen = ""
    while len(seen) < len(expected):
        seen += ht.next("output")["seq"]
    assert seen == expected


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
    """In a mount namespace of its own, with an empty directory in the place of `/dev/pts`."""
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


def test_refused_sizes_and_late_keys_are_told(start: Start) -> None:
    ht = start(["sh", "-c", "exit 3"])
    ht.next("exitCode")
    assert ht.process.stderr
    ht.send(type="resize", cols=2000, rows=5)
    expected = "cannot resize the terminal: expected 2x1 to 1000x1000 characters, found 2000x5"
    assert ht.process.stderr.readline() == f"ht: {expected}\n"
    ht.send(type="sendKeys", keys=["x"])
    assert "the command has ended" in ht.process.stderr.readline()


def test_a_program_gets_the_terminals_answers(start: Start) -> None:
    script = (
        "import os, sys, tty\n"
        "tty.setraw(0)\n"
        "for query in ('\\x1b[c', '\\x1b[6n', '\\x1b]11;?\\x07'):\n"
        "    os.write(1, query.encode())\n"
        "    os.write(1, repr(os.read(0, 100)).encode() + b' ')\n"
        "os.write(1, b'done')\n"
        "os.read(0, 1)\n"
    )
    ht = start([sys.executable, "-c", script], cols=100)
    ht.send(type="takeSnapshot")
    text = ht.next("snapshot")["text"]
    for part in (r"b'\x1b[?6c'", r"b'\x1b[1;13R'", r"b'\x1b]11;rgb:0000/0000/0000\x07'", "done"):
        assert part in text, text


def test_keys_are_those_that_the_program_asks_for(start: Start) -> None:
    """The kitty keyboard protocol, with which an Escape is nothing to wait after."""
    script = r"stty raw -echo; printf '\033[>1u.'; head -c 9 | od -An -c; sleep 1000"
    ht = start(["sh", "-c", script], cols=60)
    while "." not in ht.next("output")["seq"]:
        pass
    ht.send(type="sendKeys", keys=["Escape", "O", "A-x"])
    seen = ""
    while "u" not in seen:
        seen += ht.next("output")["seq"]
    assert seen.split()[:6] == ["033", "[", "2", "7", "u", "O"]


def test_settled_snapshot(start: Start) -> None:
    script = "for i in 1 2 3 4 5; do printf $i; sleep 0.1; done; exec cat"
    ht = start(["sh", "-c", script])
    ht.send(type="takeSnapshot", settle=0.3, timeout=20)
    snapshot = ht.next("snapshot")
    assert (snapshot["text"].split()[0], snapshot["settled"]) == ("12345", True)
    ht = start(["sh", "-c", "while :; do printf x; sleep 0.05; done"])
    ht.send(type="takeSnapshot", settle=1, timeout=0.3)
    assert ht.next("snapshot")["settled"] is False


def test_details_of_a_snapshot(start: Start) -> None:
    script = (
        r"printf 'one\ntwo\nthree\nfour\nfive\a\033]2;named\007';"
        r"printf '\033[?2004h\033[?1002h\033[?1006h\033[5 q\033[?25l'; exec cat"
    )
    ht = start(["sh", "-c", script])
    parts = ["cursor", "title", "scrollback", "bells", "modes"]
    ht.send(type="takeSnapshot", include=parts)
    snapshot = ht.next("snapshot")
    assert snapshot["cursor"] == {"row": 3, "col": 4, "visible": False, "shape": "beam"}
    assert snapshot["title"] == "named"
    assert snapshot["scrollback"] == ["one".ljust(20)]
    assert snapshot["bells"] == 1
    assert snapshot["modes"] == {
        "alternateScreen": False,
        "applicationCursor": False,
        "bracketedPaste": True,
        "focusEvents": False,
        "mouse": "drag",
        "sgrMouse": True,
    }
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot").keys() == {"cols", "rows", "text", "seq"}


def test_cells_and_pictures_of_a_snapshot(start: Start) -> None:
    ht = start(["sh", "-c", r"printf '\033[1;31mred\033[0m and too long a line'; exec cat"])
    ht.send(type="takeSnapshot", include=["cells", "wrapped", "html", "svg", "title"])
    snapshot = ht.next("snapshot")
    assert "clipboard" not in snapshot
    assert snapshot["wrapped"] == [0]
    assert snapshot["title"] is None
    assert snapshot["cells"] == [
        [
            {"text": "red", "cols": 3, "foreground": 1, "bold": True},
            {"text": " and too long a l", "cols": 17},
        ],
        [{"text": "ine", "cols": 3}],
        [],
        [],
    ]
    assert '<span style="color:#aa0000;font-weight:bold;">red</span>' in snapshot["html"]
    assert 'class="b" fill="#aa0000">red</text>' in snapshot["svg"]
    assert "cursor" not in snapshot


def test_what_is_copied(start: Start) -> None:
    ht = start(["sh", "-c", r"printf '\033]52;c;aMOk\007'; exec cat"])
    ht.send(type="takeSnapshot", include=["clipboard"])
    assert ht.next("snapshot")["clipboard"] == "hä"


def test_the_version_of_the_protocol(start: Start) -> None:
    assert start(["cat"]).next("init")["protocol"] == 1


ECHO_RAW = "stty raw -echo; printf '{}ready'; exec cat -v"


def echo_raw(start: Start, modes: str) -> Ht:
    """What is typed is shown, control characters as `^[`."""
    ht = start(["sh", "-c", ECHO_RAW.format(modes)])
    ht.send(type="takeSnapshot", settle=0.2, timeout=10)
    assert "ready" in ht.next("snapshot")["text"]
    return ht


def shown(ht: Ht, text: str) -> None:
    """Waits until the screen has this text after `ready`."""
    end = time.monotonic() + 10
    while True:
        ht.send(type="takeSnapshot")
        screen = ht.next("snapshot")["text"].replace("\n", "").replace(" ", "")
        if screen == f"ready{text}":
            return
        assert time.monotonic() < end, screen


@pytest.mark.parametrize(
    ("modes", "event", "expected"),
    [
        (r"\033[?1000h\033[?1006h", {"action": "press", "button": "left"}, "^[[<0;5;3M"),
        (r"\033[?1000h\033[?1006h", {"action": "release", "button": "right"}, "^[[<2;5;3m"),
        (r"\033[?1000h", {"action": "press"}, "^[[M%#"),
        (r"\033[?1003h\033[?1006h", {"action": "move"}, "^[[<35;5;3M"),
        (r"\033[?1000h\033[?1006h", {"action": "scrollDown", "shift": True}, "^[[<69;5;3M"),
        (r"\033[?1049h\033[H", {"action": "scrollUp"}, "^[[A"),
    ],
)
def test_mouse(start: Start, modes: str, event: dict[str, Any], expected: str) -> None:
    ht = echo_raw(start, modes)
    ht.send(type="mouse", row=2, col=4, **event)
    shown(ht, expected)


def test_a_mouse_event_that_nobody_wants_is_reported(start: Start) -> None:
    ht = echo_raw(start, "")
    ht.send(type="mouse", action="press", row=0, col=0)
    assert ht.process.stderr
    line = ht.process.stderr.readline()
    assert line == "ht: ignored a mouse event: the command has not asked for mouse events\n"


@pytest.mark.parametrize(
    ("modes", "expected"),
    [("", "a^M^[[201~b^Mc"), (r"\033[?2004h", "^[[200~a[201~b^Mc^[[201~")],
)
def test_paste(start: Start, modes: str, expected: str) -> None:
    ht = echo_raw(start, modes)
    ht.send(type="paste", text="a\n\x1b[201~b\r\nc")
    shown(ht, expected)


def test_seq_is_for_every_terminal(start: Start) -> None:
    ht = start(["printf", r"aaaaaaaaaaaaaaaaaa\r\n\033[1;31mred\033[0m  \033[44m  \033[0m"])
    ht.next("exitCode")
    ht.send(type="takeSnapshot")
    seq = ht.next("snapshot")["seq"]
    assert seq.startswith("\x1b[1;1Haaaaaaaaaaaaaaaaaa\x1b[2;1H\x1b[0;1;31mred")
