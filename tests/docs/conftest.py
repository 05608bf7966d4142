"""Another program in the documentation, besides the actions and xtask."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ht(root: Path, target: Path, clean_env: dict[str, str]) -> Path:
    """The terminal, built as for its own tests."""
    command = ["cargo", "build", "--quiet", "--locked", "--profile", "local"]
    command += ["--manifest-path", "htty-core/Cargo.toml", "--workspace", "--bins", "--tests"]
    subprocess.run(command, cwd=root, env=clean_env | {"CARGO_TARGET_DIR": str(target)}, check=True)
    return target / "local/ht"
