"""Fixtures for tests that span the repository."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from package_index import Index, serve

# Fixtures of several directories: the flake with a real Nix, workflows under act,
# the actions' binaries to download.
pytest_plugins = ["flake_copy", "under_act", "released", "fake_github"]

ROOT = Path(__file__).resolve().parent.parent
# In a container job, another user owns the checkout, which git then refuses to read.
os.environ |= {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": str(ROOT),
}


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def target() -> Path:
    """Cargo's target directory."""
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


@pytest.fixture(scope="session")
def tools(target: Path) -> Path:
    """The tools that `cargo xtask setup-test-tools` has installed."""
    directory = Path(os.environ.get("XTASK_TOOLS", target / "tools"))
    assert (directory / "test/bin/python").is_file(), "run `cargo xtask setup-test-tools`"
    return directory


@pytest.fixture(scope="session")
def clean_env() -> dict[str, str]:
    """The environment without a runner's variables."""
    prefixes = ("GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_", "LAUNCH_")
    return {k: v for k, v in os.environ.items() if not k.startswith(prefixes) and k != "CI"}


@pytest.fixture(scope="session")
def quick_build() -> dict[str, str]:
    """Makes cargo's profile `release` quick to compile."""
    settings = {"LTO": "off", "OPT_LEVEL": "1", "CODEGEN_UNITS": "16"}
    return {f"CARGO_PROFILE_RELEASE_{name}": value for name, value in settings.items()}


@pytest.fixture(scope="session")
def musl_build(tools: Path, target: Path, quick_build: dict[str, str]) -> dict[str, str]:
    """Makes .github/build-binaries.sh build for musl with the tests' compiler, and quickly.

    All tests use the same settings and so share one build. The standard library of this
    compiler does not support `panic = "abort"`.
    """
    settings = {"OPT_LEVEL": "0", "PANIC": "unwind"}
    return {
        **quick_build,
        **{f"CARGO_PROFILE_RELEASE_{name}": value for name, value in settings.items()},
        "BINARIES_PROFILE": "release",
        "CARGO_TARGET_DIR": str(target),
        "RUSTC": str(tools / "rust-cross/bin/rustc"),
    }


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Returns free ports of 127.0.0.1."""

    def port() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return int(listener.getsockname()[1])

    return port


@pytest.fixture(scope="session")
def binaries(root: Path, target: Path, clean_env: dict[str, str]) -> Path:
    """The directory of the actions' programs, optimised lightly."""
    packages = [path.parent.name for path in sorted(root.glob("actions/*/action.yml"))]
    command = ["cargo", "build", "--profile", "local", "--locked", "--workspace"]
    command += [argument for package in packages for argument in ("--bin", package)]
    env = clean_env | {"CARGO_TARGET_DIR": str(target)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / "local"


@pytest.fixture(scope="session")
def xtask(root: Path, target: Path, clean_env: dict[str, str]) -> Path:
    """The program of `cargo xtask`, built as by its alias."""
    command = ["cargo", "build", "--quiet", "--locked", "--profile", "local", "--package", "xtask"]
    subprocess.run(command, cwd=root, env=clean_env | {"CARGO_TARGET_DIR": str(target)}, check=True)
    return target / "local/xtask"


@pytest.fixture
def index(root: Path, tools: Path, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Index]:
    """An empty package index."""
    with serve(root, tools, tmp_path / "index", free_port()) as index:
        yield index
