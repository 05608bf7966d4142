"""`htty` as a command."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from htty import __version__

HTTY = str(Path(sys.executable).with_name("htty"))


def htty(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([HTTY, *args], capture_output=True, text=True, timeout=30)


def test_hello_world() -> None:
    args = ("-r", "4", "-c", "20", "--expect", "world", "-s", "--", "echo", "hello", "world")
    done = htty(*args)
    assert (done.returncode, done.stdout) == (0, "hello world\n\n\n\n----\n"), done.stderr


def test_actions_in_order() -> None:
    actions = ["-k", "one,Enter", "--expect", "one\\s+one", "-s", "-k", "two", "--expect", "two"]
    done = htty("-r", "3", "-c", "8", *actions, "-s", "cat")
    assert done.stdout == "one\none\n\n----\none\none\ntwo\n----\n", done.stderr


def test_delimiter() -> None:
    done = htty("-r", "3", "-c", "8", "-d", ";", "-k", "a,b;Enter", "--expect", "b\\s+a", "cat")
    assert done.stdout == "a,b\na,b\n\n----\n", done.stderr


def test_failed_expectation() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLI, "--expect", "never", "--", "cat"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Pattern 'never' not found within" in done.stderr


CLI = """
import sys
from htty import cli, session
default = session.HtWrapper.expect
session.HtWrapper.expect = lambda self, pattern: default(self, pattern, timeout=0.2)
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -15 $$", 143)])
def test_exit_status(script: str, status: int) -> None:
    assert htty("-s", "--", "sh", "-c", script).returncode == 0
    assert htty("--exit-status", "-s", "--", "sh", "-c", script).returncode == status


def test_version() -> None:
    done = htty("--version")
    assert done.returncode == 0
    pattern = rf"htty {re.escape(__version__)} \(ht {re.escape(__version__)} \([0-9a-z]+\)\)\n"
    assert re.fullmatch(pattern, done.stdout)


def test_help_names_every_option() -> None:
    text = htty("--help").stdout
    for option in ("--rows", "--keys", "--snapshot", "--expect-absent", "--exit-status"):
        assert option in text


def test_long_options_and_no_dashes() -> None:
    options = ["--rows", "3", "--cols", "8", "--delimiter", ";", "--keys", "a;Enter"]
    actions = ["--expect", "a\\s+a", "--expect-absent", "b", "--snapshot", "cat"]
    done = htty(*options, *actions)
    assert (done.returncode, done.stdout) == (0, "a\na\n\n----\n"), done.stderr


def test_options_after_the_command_are_its_own() -> None:
    done = htty("-r", "2", "-c", "8", "echo", "-s", "-k")
    assert done.stdout == "-s -k\n\n----\n", done.stderr


def test_debug_shows_events() -> None:
    done = htty("--debug", "-r", "2", "-c", "8", "-k", "ab", "--expect", "ab", "--", "cat")
    assert "typing 2 bytes" in done.stderr
    assert done.stdout == "ab\n\n----\n"


def test_usage_errors() -> None:
    assert htty("-s").returncode == 2
    assert htty("-r", "0", "--", "cat").returncode == 2


def test_missing_command_is_told() -> None:
    done = htty("--", "no-such-command-here")
    assert done.returncode == 1
    assert "no-such-command-here" in done.stderr
