"""The programs whose command lines the documentation names, beside the actions."""

import subprocess
from pathlib import Path

import pytest


def build(root: Path, target: Path, env: dict[str, str], manifest: str, program: str) -> Path:
    """Builds a program of this repository; what is built already costs nothing."""
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", manifest]
    command += ["--bin", program]
    subprocess.run(command, cwd=root, env=env | {"CARGO_TARGET_DIR": str(target)}, check=True)
    return target / "debug" / program


@pytest.fixture(scope="session")
def xtask(root: Path, target: Path, clean_env: dict[str, str]) -> Path:
    """The program behind `cargo xtask`."""
    return build(root, target, clean_env, "xtask/Cargo.toml", "xtask")


@pytest.fixture(scope="session")
def ht(root: Path, target: Path, clean_env: dict[str, str]) -> Path:
    """The terminal."""
    return build(root, target, clean_env, "htty-core/Cargo.toml", "ht")
