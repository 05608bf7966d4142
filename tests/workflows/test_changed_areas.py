"""What a change makes test.yml run."""

import subprocess
from pathlib import Path

import pytest

GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    subprocess.run([*GIT, "init", "--quiet"], cwd=tmp_path, check=True)
    commit(tmp_path, "README.md")
    return tmp_path


def commit(repository: Path, name: str) -> None:
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
    subprocess.run([*GIT, "add", "."], cwd=repository, check=True)
    subprocess.run([*GIT, "commit", "--quiet", "--message", name], cwd=repository, check=True)


def areas(root: Path, repository: Path, base: str) -> set[str]:
    """The areas that count as changed."""
    script = root / ".github/changed-areas.sh"
    done = subprocess.run([script, base], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split("=") for line in done.stdout.splitlines())
    assert set(lines) == {"code", "packages", "measured", "pins"}
    assert set(lines.values()) <= {"true", "false"}
    return {name for name, changed in lines.items() if changed == "true"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docs/releasing.md", set[str]()),
        ("CHANGELOG.md", set[str]()),
        ("htty/src/htty/__init__.py", {"code", "packages", "measured"}),
        ("nix/lib/version.nix", {"code", "packages"}),
        ("actions/publish/src/plan.rs", {"code", "measured", "pins"}),
        ("xtask/requirements/test.txt", {"code", "pins"}),
        ("Cargo.lock", {"code", "packages", "measured", "pins"}),
        ("htty-core/Cargo.lock", {"code", "packages", "measured", "pins"}),
        (".github/workflows/test.yml", {"code", "packages", "measured", "pins"}),
        (".github/workflows/release.yml", {"code", "pins"}),
    ],
)
def test_a_file_belongs_to_areas(
    root: Path, repository: Path, name: str, expected: set[str]
) -> None:
    commit(repository, name)
    assert areas(root, repository, "HEAD~1") == expected


@pytest.mark.parametrize("base", ["", "0" * 40, "no-such-branch"])
def test_without_a_base_everything_changed(root: Path, repository: Path, base: str) -> None:
    assert areas(root, repository, base) == {"code", "packages", "measured", "pins"}
