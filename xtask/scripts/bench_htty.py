"""Compares htty and ht with the published versions and other peers, alternating; prints a table.

    python bench_htty.py PEER_BIN HT BARE [PUBLISHED_TESTS]

PEER_BIN is the `bin` directory of an environment with the published packages, the peers
and pytest, HT is our binary, and BARE the example that parses only with
`alacritty_terminal`. Our Python packages are those of this repository. PUBLISHED_TESTS is
the directory `tests` of a checkout of the published project; if given, its tests are run.
"""

import contextlib
import os
import pty
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TURNS = 5

# Each sends a line to `cat`, waits until it is on the screen, and takes the screen.
# The number of rounds is the first argument; the median in seconds is printed.
ROUND_TRIPS = {
    "htty": """
import sys, time
from htty import Press, terminal_session
times = []
with terminal_session("cat", rows=24, cols=80) as session:
    for number in range(int(sys.argv[1])):
        begin = time.perf_counter()
        session.send_keys([f"line {number} end", Press.ENTER])
        session.expect(f"line {number} end")
        session.snapshot()
        times.append(time.perf_counter() - begin)
print(sorted(times)[len(times) // 2])
""",
    "pexpect + pyte": """
import re, sys, time
import pexpect, pyte
times = []
cat = pexpect.spawn("cat", dimensions=(24, 80), encoding="utf-8")
cat.delaybeforesend = None
screen = pyte.Screen(80, 24)
stream = pyte.Stream(screen)
for number in range(int(sys.argv[1])):
    begin = time.perf_counter()
    cat.sendline(f"line {number} end")
    while not re.search(f"line {number} end", "\\n".join(screen.display)):
        stream.feed(cat.read_nonblocking(65536, 5))
    "\\n".join(screen.display)
    times.append(time.perf_counter() - begin)
print(sorted(times)[len(times) // 2])
""",
    "tmux": """
import subprocess, sys, time
name = f"bench-{time.time_ns()}"
def tmux(*args):
    return subprocess.run(["tmux", "-L", name, *args], capture_output=True, text=True, check=True)
tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "cat")
times = []
for number in range(int(sys.argv[1])):
    begin = time.perf_counter()
    tmux("send-keys", f"line {number} end", "Enter")
    while f"line {number} end" not in tmux("capture-pane", "-p").stdout:
        pass
    tmux("capture-pane", "-p")
    times.append(time.perf_counter() - begin)
tmux("kill-server")
print(sorted(times)[len(times) // 2])
""",
    "tui-test": """
import asyncio, sys, time
from tui_test import TuiTest
async def main():
    times = []
    async with TuiTest.ephemeral() as terminal:
        await terminal.run("cat", cols=80, rows=24)
        for number in range(int(sys.argv[1])):
            begin = time.perf_counter()
            await terminal.submit(f"line {number} end")
            await terminal.get_by_text(f"line {number} end").first().expect()
            await terminal.text()
            times.append(time.perf_counter() - begin)
    print(sorted(times)[len(times) // 2])
asyncio.run(main())
""",
}

# Each runs `echo hello world`, waits for it and prints the screen.
ONE_SHOT = {
    "pexpect + pyte": """
import pexpect, pyte
echo = pexpect.spawn("echo hello world", dimensions=(4, 20), encoding="utf-8")
screen = pyte.Screen(20, 4)
stream = pyte.Stream(screen)
while "world" not in "".join(screen.display):
    stream.feed(echo.read_nonblocking(65536, 5))
print("\\n".join(screen.display))
""",
    "tmux": """
import subprocess, time
name = f"bench-{time.time_ns()}"
def tmux(*args):
    return subprocess.run(["tmux", "-L", name, *args], capture_output=True, text=True, check=True)
tmux("-f", "/dev/null", "new-session", "-d", "-x", "20", "-y", "4", "echo hello world; cat")
while "world" not in (screen := tmux("capture-pane", "-p").stdout):
    pass
tmux("kill-server")
print(screen)
""",
    "tui-test": """
import asyncio
from tui_test import TuiTest
async def main():
    async with TuiTest.ephemeral() as terminal:
        await terminal.run("sh", "-c", "echo hello world; cat", cols=20, rows=4)
        await terminal.get_by_text("world").expect()
        print(await terminal.text())
asyncio.run(main())
""",
}

# Each starts 100 sessions of `cat`, sends a line to each, sees it on each, ends them.
HUNDRED = {
    "htty": """
import contextlib
from htty import Press, terminal_session
with contextlib.ExitStack() as stack:
    sessions = [stack.enter_context(terminal_session("cat", 5, 20)) for _ in range(100)]
    for number, session in enumerate(sessions):
        session.send_keys([f"n{number}", Press.ENTER])
    for number, session in enumerate(sessions):
        session.expect(f"n{number}")
""",
    "pexpect + pyte": """
import pexpect, pyte
sessions = []
for _ in range(100):
    screen = pyte.Screen(20, 5)
    cat = pexpect.spawn("cat", dimensions=(5, 20), encoding="utf-8")
    cat.delaybeforesend = None
    sessions.append((cat, screen, pyte.Stream(screen)))
for number, (cat, _, _) in enumerate(sessions):
    cat.sendline(f"n{number}")
for number, (cat, screen, stream) in enumerate(sessions):
    while f"n{number}" not in "".join(screen.display):
        stream.feed(cat.read_nonblocking(65536, 5))
for cat, _, _ in sessions:
    cat.close(force=True)
""",
    "tui-test": """
import asyncio
from tui_test import TuiTest
async def main():
    sessions = [TuiTest.ephemeral() for _ in range(100)]
    for terminal in sessions:
        await terminal.__aenter__()
        await terminal.run("cat", cols=20, rows=5)
    for number, terminal in enumerate(sessions):
        await terminal.submit(f"n{number}")
    for number, terminal in enumerate(sessions):
        await terminal.get_by_text(f"n{number}").first().expect()
    for terminal in sessions:
        await terminal.__aexit__(None, None, None)
asyncio.run(main())
""",
}


@dataclass
class Side:
    """One of the two compared versions."""

    python: str
    ht: str
    env: dict[str, str]
    options: list[str]

    def run(self, *args: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Runs its Python."""
        return subprocess.run(
            [self.python, *args], env=self.env, cwd=cwd, capture_output=True, text=True, timeout=300
        )

    def with_env(self, more: dict[str, str], directory: Path) -> "Side":
        """The same with more variables, and its own `htty` first on PATH."""
        programs = directory / f"bin-{Path(self.ht).parent.name}"
        programs.mkdir()
        htty = programs / "htty"
        htty.write_text(f'#!/bin/sh\nexec "{self.python}" -m htty "$@"\n')
        htty.chmod(0o755)
        path = f"{programs}{os.pathsep}{self.env.get('PATH', '')}"
        env = {**self.env, "HTTY_HT_BIN": self.ht, **more, "PATH": path}
        return Side(self.python, self.ht, env, self.options)


def sides(peer: Path, ht: str) -> tuple[Side, Side]:
    """Returns the published side and ours; both use the same Python."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HTTY_", "PYTHON"))}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    path = os.pathsep.join(str(ROOT / part) for part in ("htty/src", "htty-core/python"))
    python = str(peer / "python")
    ours = env | {"PYTHONPATH": path, "HTTY_HT_BIN": ht}
    return Side(python, str(peer / "ht"), env, []), Side(python, ht, ours, ["--scrollback", "0"])


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Returns the duration of a call in seconds, and the CPU seconds of its child processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    call()
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def command_line(side: Side) -> tuple[float, float]:
    """`htty` with one expectation and one snapshot."""
    args = ["-r", "4", "-c", "20", "--expect", "world", "-s", "--", "echo", "hello", "world"]

    def call() -> None:
        done = side.run("-m", "htty", *args)
        assert done.stdout.startswith("hello world\n"), done

    return timed(call)


def printed(side: Side, script: str, *args: str) -> float:
    """The number that a script prints."""
    done = side.run("-c", script, *args)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def runs(side: Side, script: str, shows: str = "") -> Callable[[], tuple[float, float]]:
    """Returns a function that measures a script which prints `shows`."""

    def call() -> None:
        done = side.run("-c", script)
        assert done.returncode == 0, done.stderr
        assert shows in done.stdout, done.stdout

    return lambda: timed(call)


def mixed(path: Path) -> None:
    """Writes 30 MB of text, colors, cursor moves and wide characters."""
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        size = 0
        while size < 30_000_000:
            kind = chance.random()
            if kind < 0.7:
                text = "".join(chance.choices("abcdefghij klmnop qrstuv", k=60)) + "\r\n"
            elif kind < 0.8:
                text = f"\x1b[{chance.randint(30, 47)}mcolors colors colors\x1b[0m"
            elif kind < 0.9:
                text = f"\x1b[{chance.randint(1, 24)};{chance.randint(1, 80)}Hxy"
            else:
                text = "\u6f22\u5b57\u304b\u306a" * 6 + "\n"
            file.write(text)
            size += len(text.encode())


def throughput(side: Side, file: Path, events: str) -> tuple[float, float]:
    """Seconds until the exit code is reported, and the peak memory of ht in MB."""
    args = [
        "--subscribe",
        events,
        "--size",
        "80x24",
        *side.options,
        "--",
        "cat",
        str(file),
    ]
    pipe = subprocess.PIPE
    begin = time.perf_counter()
    with subprocess.Popen(
        [side.ht, *args], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as ht:
        assert ht.stdout
        # If it does not exit, it is killed, and the assertion below fails.
        end = threading.Timer(300, ht.kill)
        end.start()
        tail = b""
        while b'"exitCode"' not in tail:
            chunk = os.read(ht.stdout.fileno(), 1 << 20)
            assert chunk, "ht ended"
            tail = (tail + chunk)[-200:]
        wall = time.perf_counter() - begin
        end.cancel()
        status = Path(f"/proc/{ht.pid}/status").read_text()
        ht.kill()
    return wall, int(status.split("VmHWM:")[1].split()[0]) / 1024


def passed(file: Path) -> tuple[float, float]:
    """Seconds in which a file passes through a terminal to a reader that discards it."""
    begin = time.perf_counter()
    pid, master = pty.fork()
    if pid == 0:
        os.execvp("cat", ["cat", str(file)])
    with contextlib.suppress(OSError):
        while os.read(master, 1 << 16):
            pass
    wall = time.perf_counter() - begin
    os.close(master)
    os.waitpid(pid, 0)
    return wall, 0


def ticks(pid: int) -> float:
    """Returns the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_ended(pid: int) -> bool:
    """Returns whether a process has exited; its new parent may reap it later."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def idle(side: Side) -> tuple[float, str]:
    """CPU seconds of a session that idles for 10 s; the time until it exits after its parent."""
    starter = (
        "import json, os, subprocess, sys, time\n"
        "read, write = os.pipe()\n"
        "ht = subprocess.Popen([sys.argv[1], '--subscribe', 'pid', '--', 'sleep', '1000'],"
        " stdin=read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        "ht.stdout.readline()\n"
        "print(ht.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    parent = subprocess.Popen([side.python, "-c", starter, side.ht], stdin=pipe, stdout=pipe)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    time.sleep(1)
    before = ticks(pid)
    time.sleep(10)
    used = ticks(pid) - before
    parent.kill()
    parent.communicate()
    begin = time.perf_counter()
    while time.perf_counter() - begin < 3:
        if has_ended(pid):
            return used, f"gone after {time.perf_counter() - begin:.2f} s"
        time.sleep(0.01)
    os.kill(pid, 9)
    return used, "not gone after 3 s"


def tests(side: Side, directory: Path, *paths: str) -> str:
    """The number of passed tests, and their time."""
    lines: list[str] = []

    def call() -> None:
        args = ["-m", "pytest", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"]
        done = side.run(*args, f"--rootdir={directory}", *paths, cwd=directory)
        lines.append(done.stdout.strip().splitlines()[-1].split(" in ")[0].strip("= "))

    wall, cpu = timed(call)
    return f"{lines[0]}, {wall:.1f} s, {cpu:.1f} s CPU"


VERSION_OF_VIM = """
from htty import terminal_session
with terminal_session(["vim", "-n"], rows=20, cols=50) as vim:
    vim.expect("version")
    print(vim.snapshot().text)
"""


def adjusted(source: Path, ours: Side, directory: Path) -> Path:
    """Copies the published project's tests, for this machine's vim and shell."""
    copy = directory / "published"
    shutil.copytree(source, copy)
    first_screen = ours.run("-c", VERSION_OF_VIM).stdout
    version = re.search(r"version (\d[\d.]+)", first_screen)
    assert version, "vim does not show its version"
    shell = "'PS1=\"$ \" bash --posix --norc --noprofile -i'"
    for path in copy.rglob("test_*.py"):
        text = path.read_text().replace("9.1.1336", version[1])
        if "Modified by" in first_screen:
            # Debian's vim has one more line, and begins one line higher.
            text = re.sub(r'"~",\s+("~ +VIM - Vi IMproved")', r"\1", text)
            text = re.sub(r'("~ +by Bram Moolenaar et al\.",)', r'\1 re.compile("~ +Mod"),', text)
        path.write_text(text.replace('"sh -i"', shell))
    return copy


def test_rows(both: tuple[Side, Side], directory: Path, published: str | None) -> list[list[str]]:
    """The table rows of the tests."""
    own = ("--noconftest", str(ROOT / "htty/tests/test_compatible.py"))
    shown = [tests(side, directory, *own) for side in both]
    rows = [["tests of the common surface", *shown, "", "", "", "<= 8 s, <= 2 s CPU"]]
    if published is not None:
        copy = adjusted(Path(published), both[1], directory)
        vim = {"HTTY_TEST_VIM_TARGET": shutil.which("vim") or "vim"}
        # Both in the same environment, in which the first `htty` on PATH is their own.
        shown = [
            tests(side.with_env(vim, directory), copy, "cli_tests", "lib_tests") for side in both
        ]
        label = "the published project's own tests"
        rows.append([label, *shown, "", "", "", "28 passed, <= 8 s, <= 2 s CPU"])
    return rows


PEERS = ("pexpect + pyte", "tmux", "tui-test")


def main() -> None:
    """Prints the table."""
    _, ours = both = sides(Path(sys.argv[1]), sys.argv[2])
    rows: list[list[str]] = []

    def progress() -> None:
        # The table is printed at the end, minutes later.
        print(f"measuring row {len(rows) + 1}", file=sys.stderr, flush=True)

    def in_turns(
        measures: list[Callable[[], tuple[float, float]]], turns: int = TURNS
    ) -> list[tuple[float, float]]:
        """The median of each, measured alternately."""
        progress()
        seen = [[measure() for measure in measures] for _ in range(turns)]
        columns = zip(*seen, strict=True)
        return [
            (statistics.median(v[0] for v in values), statistics.median(v[1] for v in values))
            for values in columns
        ]

    def times(pairs: list[tuple[float, float]]) -> list[str]:
        return [f"{wall:.2f} s, {cpu:.2f} s CPU" for wall, cpu in pairs]

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        progress()
        rows += test_rows(both, directory, sys.argv[4] if len(sys.argv) > 4 else None)

        one = [lambda side=side: command_line(side) for side in both]
        one += [runs(ours, ONE_SHOT[peer], "hello world") for peer in PEERS]
        label = "`echo hello world`, seen once"
        rows.append([label, *times(in_turns(one)), "<= 0.2 s, <= 0.15 s CPU"])

        progress()
        scripts = {peer: ROUND_TRIPS[peer] for peer in PEERS}
        trips = [1000 * printed(side, ROUND_TRIPS["htty"], "20") for side in both]
        trips += [1000 * printed(ours, script, "100") for script in scripts.values()]
        trips[1] = 1000 * printed(ours, ROUND_TRIPS["htty"], "100")
        cells = [f"{trip:.2f} ms" for trip in trips]
        rows.append(["send a line, expect it, snapshot", *cells, "<= 2 x pexpect + pyte"])

        # Without the published version, each session of which keeps half a processor busy.
        hundred = [runs(ours, HUNDRED["htty"])]
        hundred += [runs(ours, HUNDRED[peer]) for peer in ("pexpect + pyte", "tui-test")]
        cells = times(in_turns(hundred, 1))
        rows.append(["100 sessions at once", "", *cells[:2], "", cells[2], "in the table"])

        file = directory / "mixed"
        mixed(file)

        def bare() -> tuple[float, float]:
            done = subprocess.run([sys.argv[3], file], capture_output=True, text=True, check=True)
            return float(done.stdout), 0

        def whole(side: Side, events: str) -> Callable[[], tuple[float, float]]:
            return lambda: throughput(side, file, events)

        events = ("exitCode", "output,exitCode")
        outputs = [whole(side, names) for names in events for side in both]
        *measured, (parsed, _), (kernel, _) = in_turns([*outputs, bare, lambda: passed(file)])
        cells = [f"{wall:.2f} s, {peak:.0f} MB" for wall, peak in measured]
        bar = (
            f"<= 1.3 x alacritty_terminal alone ({parsed:.2f} s; "
            f"through a terminal to nobody {kernel:.2f} s), <= 10 MB"
        )
        rows.append(["30 MB of mixed output until exitCode", *cells[:2], "", "", "", bar])
        rows.append(["the same, each byte reported as an event", *cells[2:], "", "", "", ""])
        progress()
        cells = [f"{used:.2f} s CPU, {gone}" for used, gone in (idle(side) for side in both)]
        rows.append(["idle for 10 s, then orphaned", *cells, "", "", "", "no CPU, gone within 1 s"])
    print("| | htty 0.2.30 | htty here | pexpect + pyte | tmux | tui-test 0.1.1 | bar |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
