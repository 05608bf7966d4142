"""`git add -p`: a program that asks several questions."""

import subprocess
from pathlib import Path

import pytest

from htty.pytest_plugin import Terminals


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A file with two separate changes."""
    file = tmp_path / "poem"
    file.write_text("".join(f"line {number}\n" for number in range(1, 21)))
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "First")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    text = file.read_text()
    file.write_text(text.replace("line 2\n", "second\n").replace("line 19\n", "last but one\n"))
    return tmp_path


def test_only_the_second_change_is_added(terminal: Terminals, repository: Path) -> None:
    # Git's output does not depend on the user's configuration.
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_PAGER": "cat"}
    git = terminal(["git", "-c", "color.ui=always", "add", "-p"], 30, 80, env=env, cwd=repository)
    git.expect(r"\(1/2\) Stage this hunk")
    git.expect(r"^\+second", style={"foreground": "green"})
    git.send_keys(["n", "Enter"])
    git.expect(r"\(2/2\) Stage this hunk")
    git.send_keys(["y", "Enter"])
    assert git.cmd.wait(10) == 0
    staged = subprocess.run(
        ["git", "diff", "--cached"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    assert "+last but one" in staged
    assert "+second" not in staged
