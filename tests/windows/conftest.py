"""The programs for Windows, built with MinGW and started under Wine."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from under_wine import PROGRAMS, TARGET, Done, Wine


def rustc(tools: Path, env: dict[str, str]) -> dict[str, str]:
    """The variables of a compiler with the target's standard library."""
    command = ["rustc", "--print", "target-libdir", "--target", TARGET]
    own = subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip()
    if own and Path(own).is_dir():
        return {}
    return {"RUSTC": str(tools / "rust-cross/bin/rustc")}


@pytest.fixture(scope="session")
def cross_env(tools: Path, target: Path, clean_env: dict[str, str]) -> dict[str, str]:
    """The environment of a build for Windows."""
    wine = tools / "wine/bin/wine"
    assert wine.is_file(), "run `cargo xtask setup-test-tools`"
    name = TARGET.upper().replace("-", "_")
    variables = {
        "CARGO_TARGET_DIR": str(target),
        f"CARGO_TARGET_{name}_LINKER": "x86_64-w64-mingw32-gcc",
        f"CARGO_TARGET_{name}_RUNNER": str(wine),
        # As in .github/build-binaries.sh.
        "AWS_LC_SYS_PREBUILT_NASM": "1",
    }
    return clean_env | rustc(tools, clean_env) | variables


@pytest.fixture(scope="session")
def wine(
    root: Path, tools: Path, target: Path, cross_env: dict[str, str], clean_env: dict[str, str]
) -> Wine:
    command = ["cargo", "build", "--quiet", "--locked", "--workspace", "--target", TARGET]
    command += [argument for name in PROGRAMS for argument in ("--bin", name)]
    done = subprocess.run(command, cwd=root, env=cross_env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Wine(tools / "wine/bin/wine", target / TARGET / "debug", clean_env)


@pytest.fixture
def share(tools: Path, tmp_path: Path) -> Iterator[str]:
    """The temporary directory as a network share: `\\\\server\\share`."""
    server = tools / "wine/prefix/dosdevices/unc" / f"test-{os.getpid()}"
    server.mkdir(parents=True)
    (server / "share").symlink_to(tmp_path)
    yield rf"\\{server.name}\share"
    shutil.rmtree(server)


@pytest.fixture(scope="session")
def native(binaries: Path, clean_env: dict[str, str]) -> Callable[..., Done]:
    """Starts the same programs, built for this machine."""

    def start(name: str, *args: str | Path, cwd: Path, **env: str) -> Done:
        command = [binaries / name, *args]
        return subprocess.run(command, cwd=cwd, env=clean_env | env, capture_output=True, text=True)

    return start


@pytest.fixture(scope="session")
def corpus(target: Path) -> Path:
    """The popular files, which `cargo xtask soak` and `cargo xtask corpus` download."""
    directory = target / "corpus"
    assert any(directory.glob("attrs-*")), "run `cargo xtask corpus`"
    return directory
