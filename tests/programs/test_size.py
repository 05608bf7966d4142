"""The wheel of the released programs is within its size limit."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from packed import TARGET, Release, repaired
from released import ACTIONS

LIMIT = 15_000_000


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_programs_above_the_limit_are_refused(root: Path, out: Path, tmp_path: Path) -> None:
    """The build script fails, and prints the size."""
    built = tmp_path / "x86_64-unknown-linux-gnu/dist"
    built.mkdir(parents=True)
    cargo = tmp_path / "bin/cargo"
    cargo.parent.mkdir()
    cargo.write_text("#!/bin/sh\n")
    cargo.chmod(0o755)
    env = os.environ | {
        "CARGO_TARGET_DIR": str(tmp_path),
        "PATH": f"{cargo.parent}:{os.environ['PATH']}",
    }
    script = root / ".github/build-binaries.sh"
    command = [script, "x86_64-unknown-linux-gnu", out, "publish"]
    program = built / "publish"
    for filler, code in ((1_000_000, 0), (14_900_000, 1)):
        program.write_bytes(b"#!/bin/sh\nexit\n" + os.urandom(filler))
        program.chmod(0o755)
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
    assert "bytes compressed, expected at most 14800000" in done.stderr


@pytest.mark.soak
def test_the_wheel_is_small(
    root: Path,
    target: Path,
    clean_env: dict[str, str],
    release: Release,
    binaries: Path,
    out: Path,
    tmp_path: Path,
) -> None:
    """A build of the whole workspace with link-time optimisation: many minutes."""
    script = root / ".github/build-binaries.sh"
    env = clean_env | {"CARGO_TARGET_DIR": str(target)}
    done = subprocess.run([script, TARGET, out], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for action in ACTIONS:
        (out / f"{action}-{TARGET}").rename(out / action)
    release.pins(out)
    release.download(out)
    done = release.pack()
    assert done.returncode == 0, done.stderr
    wheel = repaired(binaries, release.wheel(), tmp_path, release.env)
    assert wheel.stat().st_size <= LIMIT
    assert "manylinux2014_x86_64" in wheel.name
    assert "musllinux_1_1_x86_64" in wheel.name
    command = [out / "verify-dist", wheel, "--manifest", "none", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert [one for one in report["findings"] if one["severity"] != "info"] == []
