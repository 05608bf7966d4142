"""The README's first command, as a newcomer runs it."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

STEPS = (
    *("tools", "binaries", "build htty-core", "build htty", "build wheel-actions"),
    *("verify-dist", "index server", "publish", "install", "compare"),
    *("run verify-dist", "run htty"),
)


@pytest.fixture
def command(target: Path, clean_env: dict[str, str], root: Path) -> Iterator[list[str]]:
    yield ["cargo", "xtask", "release", "--local"]
    assert servers(target) == [], "no index server is left running"


def servers(target: Path) -> list[str]:
    """The command lines of index servers of local releases, except those of other tests."""
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True)
    return [
        line
        for line in lines.stdout.splitlines()
        if f"scripts/serve_index.py {target}/release-local/" in line
    ]


def rows(table: str) -> dict[str, str]:
    """The steps in the table, and the result of each."""
    found = re.findall(r"^(\S.*?) {2,}(.*?) +\d+\.\d\d s$", table, re.MULTILINE)
    return dict(found)


def test_twice_publishes_once(root: Path, clean_env: dict[str, str], command: list[str]) -> None:
    first = subprocess.run(
        [*command, "--fresh"], cwd=root, env=clean_env, capture_output=True, text=True
    )
    assert first.returncode == 0, first.stdout + first.stderr
    table = rows(first.stdout)
    assert tuple(table)[: len(STEPS)] == STEPS
    assert table["publish"] == "3 sent, 0 already there"
    assert table["run verify-dist"].startswith("verify-dist ")
    assert table["run htty"] == "printed `hello world`"

    second = subprocess.run(command, cwd=root, env=clean_env, capture_output=True, text=True)
    assert second.returncode == 0, second.stdout + second.stderr
    table = rows(second.stdout)
    assert table["build htty-core"] == "unchanged, reused"
    assert table["publish"] == "0 sent, 3 already there"
    assert table["run htty"] == "printed `hello world`"


def test_a_changed_distribution_is_not_published(
    root: Path, target: Path, clean_env: dict[str, str], command: list[str]
) -> None:
    """A file that is damaged after the build stops the release."""
    subprocess.run(command, cwd=root, env=clean_env, capture_output=True, check=True)
    (wheel,) = (target / "release-local" / "dist").glob("htty_core-*.whl")
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[: len(whole) // 2])
    try:
        done = subprocess.run(command, cwd=root, env=clean_env, capture_output=True, text=True)
    finally:
        wheel.write_bytes(whole)
    assert done.returncode == 1, done.stdout + done.stderr
    assert rows(done.stdout)["verify-dist"] == "FAILED"
    assert "publish" not in rows(done.stdout)
    assert wheel.name in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_leaves_no_server(
    root: Path, target: Path, clean_env: dict[str, str], command: list[str], how: signal.Signals
) -> None:
    process = subprocess.Popen(
        command,
        cwd=root,
        env=clean_env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("index server"):
            break
    else:
        pytest.fail("the release ended before it started the index server")
    while not servers(target):
        assert process.poll() is None
    # cargo is the group's leader and does not forward signals.
    os.killpg(process.pid, how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    end = time.monotonic() + 60
    while servers(target) and time.monotonic() < end:
        time.sleep(0.05)
    # The fixture asserts that none remains.
