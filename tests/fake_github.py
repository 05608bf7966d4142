"""testkit's fake of GitHub's API, for the workflows' own scripts."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_nixpkgs import run


class FakeGitHub:
    """A running fake with a Git repository."""

    def __init__(self, program: Path, git: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, git], stdin=pipe, stdout=pipe, text=True)
        told = self._line()
        self.env: dict[str, str] = {
            "GH_TOKEN": told["token"],
            "GITHUB_API_URL": told["url"].rstrip("/"),
            "GITHUB_REPOSITORY": told["repository"],
        }

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def set(self, **values: object) -> dict[str, Any]:
        """Configures the fake; returns its state and the requests since then."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()
        return self._line()

    def stop(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="session")
def fake_github_program(root: Path, target: Path) -> Path:
    command = ["cargo", "build", "--quiet", "--locked", "--profile", "local", "--workspace"]
    run(*command, "--bin", "fake-github", cwd=root)
    return target / "local/fake-github"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A Git repository with one commit."""
    directory = tmp_path / "origin"
    (directory / "actions").mkdir(parents=True)
    (directory / "actions/binaries.json").write_text('{\n  "binaries": {}\n}\n')
    (directory / "README.md").write_text("first")
    run("git", "init", "--quiet", "--initial-branch", "main", cwd=directory)
    commit_all(directory, "first")
    return directory


def commit_all(directory: Path, message: str) -> str:
    """Commits everything; returns the commit."""
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    run(*git, "add", "--all", cwd=directory)
    run(*git, "commit", "--quiet", "--allow-empty", "--message", message, cwd=directory)
    return run("git", "rev-parse", "HEAD", cwd=directory).strip()


@pytest.fixture
def github(fake_github_program: Path, origin: Path) -> Iterator[FakeGitHub]:
    fake = FakeGitHub(fake_github_program, origin)
    yield fake
    fake.stop()


def script_env(clean_env: dict[str, str], github: FakeGitHub, **more: str | Path) -> dict[str, str]:
    """A step's environment."""
    given = {name: str(value) for name, value in more.items()}
    return clean_env | {"PATH": os.environ["PATH"], "GITHUB_ACTIONS": "true"} | github.env | given
