"""The binaries that actions-release.yml releases."""

import os
import subprocess
from pathlib import Path

import pytest
from released import ACTIONS

MUSL = "x86_64-unknown-linux-musl"


def test_one_that_is_not_static_is_refused(
    root: Path, clean_env: dict[str, str], tmp_path: Path
) -> None:
    built = tmp_path / MUSL / "dist"
    built.mkdir(parents=True)
    # A linker that ignores the target links a binary for this machine.
    (built / "publish").symlink_to("/bin/cat")
    cargo = tmp_path / "cargo"
    cargo.write_text("#!/bin/sh\n")
    cargo.chmod(0o755)
    env = clean_env | {
        "CARGO_TARGET_DIR": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    script = root / ".github/build-binaries.sh"
    done = subprocess.run(
        [script, MUSL, tmp_path / "out", "publish"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout
    assert "is not static" in done.stderr
    assert "libc.so" in done.stderr + done.stdout
    assert "coreutils" not in done.stdout, "it was started"


@pytest.mark.parametrize("action", ACTIONS)
def test_each_is_static_and_starts(
    root: Path, clean_env: dict[str, str], musl_build: dict[str, str], tmp_path: Path, action: str
) -> None:
    env = clean_env | musl_build
    script = root / ".github/build-binaries.sh"
    done = subprocess.run([script, MUSL, tmp_path, action], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{action} ")
    # Without the machine's libraries; the script also checks the headers.
    kind = subprocess.run(["ldd", tmp_path / f"{action}-{MUSL}"], capture_output=True, text=True)
    assert "statically linked" in kind.stdout + kind.stderr
