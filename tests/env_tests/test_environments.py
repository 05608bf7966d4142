"""The content of each environment, and that htty works in it.

Each test runs in the environment of its mark: `pytest -m cli tests/env_tests`.
"""

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

import pytest


def hello(*command: str) -> None:
    """Runs htty's command line and checks the printed screen."""
    options = ["-r", "4", "-c", "20", "--expect", "world", "-s", "--", "echo", "hello", "world"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "hello world"


def hello_from_python() -> None:
    """The same, as a library."""
    from htty import terminal_session

    with terminal_session("sh -c 'echo hello world; exec cat'", rows=4, cols=20) as terminal:
        terminal.expect("hello world")
        assert terminal.snapshot().text.splitlines()[0].rstrip() == "hello world"


@pytest.mark.empty
@pytest.mark.parametrize("package", ["htty", "htty-core"])
def test_empty_has_no_package(package: str) -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution(package)


@pytest.mark.empty
@pytest.mark.parametrize("program", ["htty", "ht"])
def test_empty_has_no_program(program: str) -> None:
    assert shutil.which(program) is None


@pytest.mark.wheel
def test_wheel_is_portable() -> None:
    from htty_core import find_ht_binary

    content = Path(find_ht_binary()).read_bytes()
    assert b"/nix/store" not in content
    wheel = importlib.metadata.distribution("htty-core").read_text("WHEEL")
    assert wheel is not None
    tags = [line.split(": ")[1] for line in wheel.splitlines() if line.startswith("Tag: ")]
    assert tags
    assert all(tag.startswith(("py3-none-manylinux", "py3-none-macosx")) for tag in tags), tags


@pytest.mark.wheel
@pytest.mark.sdist
@pytest.mark.htty
def test_library_shows_a_screen() -> None:
    hello_from_python()


@pytest.mark.wheel
@pytest.mark.sdist
@pytest.mark.htty
def test_versions_agree() -> None:
    htty = importlib.metadata.distribution("htty")
    assert htty.version == importlib.metadata.version("htty-core")
    assert f"htty-core=={htty.version}" in (htty.requires or [])


@pytest.mark.cli
def test_cli_shows_a_screen() -> None:
    hello("htty")


@pytest.mark.cli
def test_cli_brings_no_library() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("htty")
