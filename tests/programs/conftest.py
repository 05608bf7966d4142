"""A checkout of a release, to pack wheels from."""

import os
import subprocess
from pathlib import Path

import pytest
from packed import Release, repaired


@pytest.fixture
def release(root: Path, xtask: Path, clean_env: dict[str, str], tmp_path: Path) -> Release:
    """A separate checkout for one test."""
    return made(root, xtask, clean_env, tmp_path)


def made(root: Path, xtask: Path, clean_env: dict[str, str], tmp_path: Path) -> Release:
    directory = tmp_path / "checkout"
    tools = tmp_path / "bin"
    for place in (directory / "xtask", directory / "actions", tools):
        place.mkdir(parents=True)
    for file in ("LICENSE", "actions/THIRD-PARTY-LICENSES.txt", "actions/wheel-actions.md"):
        (directory / file).write_bytes((root / file).read_bytes())
    (tools / "cargo").write_text(f'#!/bin/sh\n[ "$1" = xtask ] && shift && exec "{xtask}" "$@"\n')
    (tools / "rustup").write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    done = subprocess.run([xtask, "--version"], capture_output=True, text=True, check=True)
    env = clean_env | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "CARGO_MANIFEST_DIR": str(directory / "xtask"),
        "RUSTUP_TOOLCHAIN": "1.0.0",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "octo/wheels",
        "GITHUB_OUTPUT": str(directory / "outputs"),
    }
    env.pop("CARGO_TARGET_DIR", None)
    return Release(root, directory, env, done.stdout.split()[-1])


@pytest.fixture(scope="session")
def checkout(
    root: Path, xtask: Path, clean_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Release:
    """A checkout that several tests share."""
    return made(root, xtask, clean_env, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def wheel(checkout: Release, binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this machine's programs, ready to publish."""
    checkout.pins(binaries)
    checkout.download(binaries)
    done = checkout.pack()
    assert done.returncode == 0, done.stderr
    return repaired(binaries, checkout.wheel(), tmp_path_factory.mktemp("wheel"), checkout.env)
