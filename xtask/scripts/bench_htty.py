"""Measures htty and ht beside the published ones, in turns; prints a table.

    python bench_htty.py PEER_BIN HT

PEER_BIN is the `bin` of an environment with the published packages and pytest,
HT our binary; our Python packages are those of this repository.
"""

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TURNS = 5

ROUND_TRIPS = """
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
"""


@dataclass
class Side:
    """One of the two that are compared."""

    python: str
    ht: str
    env: dict[str, str]

    def run(self, *args: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Runs its Python."""
        return subprocess.run(
            [self.python, *args], env=self.env, cwd=cwd, capture_output=True, text=True, timeout=300
        )


def sides(peer: Path, ht: str) -> tuple[Side, Side]:
    """Gives the published side and ours; both use the same Python."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HTTY_", "PYTHON"))}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    path = os.pathsep.join(str(ROOT / part) for part in ("htty/src", "htty-core/python"))
    python = str(peer / "python")
    ours = env | {"PYTHONPATH": path, "HTTY_HT_BIN": ht}
    return Side(python, str(peer / "ht"), env), Side(python, ht, ours)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Gives the seconds that a call takes, and those of its children's CPU."""
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


def round_trip(side: Side, count: int) -> float:
    """A line sent, expected and seen, in seconds (median)."""
    done = side.run("-c", ROUND_TRIPS, str(count))
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def mixed(path: Path) -> None:
    """Writes 30 MB of text, colours, cursor moves and wide characters."""
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        size = 0
        while size < 30_000_000:
            kind = chance.random()
            if kind < 0.7:
                text = "".join(chance.choices("abcdefghij klmnop qrstuv", k=60)) + "\r\n"
            elif kind < 0.8:
                text = f"\x1b[{chance.randint(30, 47)}mcolours colours colours\x1b[0m"
            elif kind < 0.9:
                text = f"\x1b[{chance.randint(1, 24)};{chance.randint(1, 80)}Hxy"
            else:
                text = "\u6f22\u5b57\u304b\u306a" * 6 + "\n"
            file.write(text)
            size += len(text.encode())


def throughput(side: Side, file: Path) -> tuple[float, float]:
    """Seconds until the exit code is told, and the peak memory of ht in MB."""
    args = ["--subscribe", "output,exitCode", "--size", "80x24", "--", "cat", str(file)]
    pipe = subprocess.PIPE
    begin = time.perf_counter()
    with subprocess.Popen(
        [side.ht, *args], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as ht:
        assert ht.stdout
        tail = b""
        while b'"exitCode"' not in tail:
            chunk = os.read(ht.stdout.fileno(), 1 << 20)
            assert chunk, "ht ended"
            tail = (tail + chunk)[-200:]
        wall = time.perf_counter() - begin
        status = Path(f"/proc/{ht.pid}/status").read_text()
        ht.kill()
    return wall, int(status.split("VmHWM:")[1].split()[0]) / 1024


def ticks(pid: int) -> float:
    """Gives the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_ended(pid: int) -> bool:
    """Tells whether a process has ended; whoever adopts it may wait for it later."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def idle(side: Side) -> tuple[float, str]:
    """CPU seconds of a session that idles for 10 s; when it is gone after its parent."""
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


def tests(side: Side, folder: Path) -> tuple[str, float, float]:
    """Our tests of what both offer: how many pass, in seconds and CPU seconds."""
    told: list[str] = []

    def call() -> None:
        path = str(ROOT / "htty/tests/test_compatible.py")
        args = ["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=no"]
        done = side.run(*args, f"--rootdir={folder}", path, cwd=folder)
        told.append(done.stdout.strip().splitlines()[-1].split(" in ")[0])

    wall, cpu = timed(call)
    return told[0], wall, cpu


def main() -> None:
    """Prints the table."""
    both = sides(Path(sys.argv[1]), sys.argv[2])
    rows: list[list[str]] = []

    def in_turns(
        measure: Callable[[Side], tuple[float, float]], turns: int
    ) -> list[tuple[float, float]]:
        seen: list[list[tuple[float, float]]] = [[], []]
        for _ in range(turns):
            for side, values in zip(both, seen, strict=True):
                values.append(measure(side))
        return [
            (statistics.median(v[0] for v in values), statistics.median(v[1] for v in values))
            for values in seen
        ]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown = [
            f"{told}, {wall:.1f} s, {cpu:.1f} s CPU"
            for told, wall, cpu in (tests(side, folder) for side in both)
        ]
        rows.append(["tests of the common surface", *shown, "<= 10 s, <= 3 s CPU"])
        cells = [f"{wall:.2f} s, {cpu:.2f} s CPU" for wall, cpu in in_turns(command_line, TURNS)]
        label = "`htty -r 4 -c 20 --expect world -s -- echo hello world`"
        rows.append([label, *cells, "<= 0.2 s, <= 0.15 s CPU"])
        cells = [f"{1000 * round_trip(side, 20):.1f} ms" for side in both]
        rows.append(["send a line, expect it, snapshot", *cells, "<= 10 ms"])
        file = folder / "mixed"
        mixed(file)
        cells = [
            f"{wall:.2f} s, {peak:.0f} MB"
            for wall, peak in in_turns(lambda side: throughput(side, file), TURNS)
        ]
        rows.append(["30 MB of mixed output until exitCode", *cells, "<= 0.6 s, <= 20 MB"])
        cells = [f"{used:.2f} s CPU, {gone}" for used, gone in (idle(side) for side in both)]
        rows.append(["idle for 10 s, then orphaned", *cells, "no CPU, gone within 1 s"])
    print("| | htty 0.2.30 | htty here | bar |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
