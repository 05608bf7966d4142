"""htty's source distribution: its content, and its installation by pip."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

# The files of a source distribution, in addition to the package itself.
FILES = {"PKG-INFO", "pyproject.toml", "README.md", "LICENSE", ".gitignore"}


@pytest.fixture(scope="module")
def sdist(root: Path, tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built by its own build backend."""
    directory = tmp_path_factory.mktemp("sdist")
    build = [tools / "release/bin/hatchling", "build", "-t", "sdist", "-d", directory]
    subprocess.run(build, cwd=root / "htty", check=True, capture_output=True)
    (path,) = directory.iterdir()
    return path


def test_it_holds_what_it_needs_and_nothing_else(root: Path, sdist: Path) -> None:
    top = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        held = {member.name.removeprefix(f"{top}/") for member in archive if member.isfile()}
    listed = subprocess.run(
        ["git", "ls-files", "src"], cwd=root / "htty", check=True, capture_output=True, text=True
    )
    assert held == FILES | set(listed.stdout.split())


def test_pip_alone_installs_it(sdist: Path, tools: Path, tmp_path: Path) -> None:
    """With build isolation: pip finds the build backend by `pyproject.toml`."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    wheels = str(tools / "build-requirements")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-deps"]
    subprocess.run(
        [*pip, "--find-links", wheels, "--target", tmp_path / "into", sdist],
        check=True,
        env=env | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels},
    )
    assert (tmp_path / "into/htty/py.typed").is_file()
    (scripts,) = (tmp_path / "into").glob("htty-*.dist-info/entry_points.txt")
    assert "htty = htty.cli:main" in scripts.read_text()
