"""A copy of the repository whose lock names host-nixpkgs, and a real Nix to evaluate it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Nix = Callable[..., str]

CONFIG = """\
experimental-features = nix-command flakes
sandbox = false
build-users-group =
substituters =
flake-registry =
warn-dirty = false
"""


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tool(name: str) -> str:
    """The program `name`; its absence fails the test."""
    found = shutil.which(name)
    assert found, f"`{name}` is not installed: run `cargo xtask setup-test-tools`"
    return found


@pytest.fixture(scope="session")
def tools(target: Path) -> Path:
    """What `cargo xtask setup-test-tools` has installed."""
    folder = Path(os.environ.get("XTASK_TOOLS", target / "tools"))
    assert (folder / "test/bin/python").is_file(), "run `cargo xtask setup-test-tools`"
    return folder


@pytest.fixture(scope="session")
def nix_home(target: Path) -> Path:
    """The folder of a Nix store of our own; kept, so that a second run builds less."""
    folder = target / "flake"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def machine(tools: Path, made: Path) -> dict[str, object]:
    """Where this machine has what host-nixpkgs offers."""
    programs = made / "bin"
    programs.mkdir(exist_ok=True)
    zig = programs / "zig"
    zig.write_text(f'#!/bin/sh\nexec {tools}/test/bin/python-zig "$@"\n')
    zig.chmod(0o755)
    rust = tools / "rust-cross"
    assert (rust / "bin/rustc").is_file(), "run `cargo xtask setup-test-tools`"
    # Beside it rustup's own Cargo: its proxy would ask for a home.
    cargo = run(tool("rustc"), "--print", "sysroot", cwd=made).strip() + "/bin"
    python = tools / "test/bin/python"
    code = "import sysconfig as s; print(s.get_path('purelib', vars={'base': '', 'platbase': ''}))"
    path = [rust / "bin", cargo, programs, tools / "test/bin", tools / "bin", "/usr/bin", "/bin"]
    return {
        "bash": tool("bash"),
        "cargoHome": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
        "path": ":".join(map(str, path)),
        "python": str(python),
        "sitePackages": run(python, "-c", code, cwd=made).strip().lstrip("/"),
        "system": "x86_64-linux",
        "sysroots": {name: str(rust / "usr") for name in ("x86_64-linux", "aarch64-linux")},
    }


@pytest.fixture(scope="session")
def flake(
    root: Path, tools: Path, nix_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A Git repository of its own with the files of this one as they are now."""
    copy = tmp_path_factory.mktemp("flake") / "source"
    files = run("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=root)
    for name in files.split("\0"):
        if name and (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, copy / name)
    run(tool("cargo"), "fetch", "--locked", cwd=copy)
    host = tmp_path_factory.mktemp("host") / "nixpkgs"
    shutil.copytree(root / "nix/tests/host-nixpkgs", host)
    (host / "machine.json").write_text(json.dumps(machine(tools, nix_home), indent=2))
    lock = json.loads((copy / "flake.lock").read_text())
    place = {"type": "path", "path": str(host)}
    nix = (tool("nix"), "--extra-experimental-features", "nix-command flakes")
    hashed = run(*nix, "hash", "path", host, cwd=host).strip()
    lock["nodes"]["nixpkgs"]["locked"] = {**place, "narHash": hashed}
    (copy / "flake.lock").write_text(json.dumps(lock, indent=2))
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    run(*git, "init", "--quiet", cwd=copy)
    run(*git, "add", "--all", cwd=copy)
    run(*git, "commit", "--quiet", "--message", "the flake under test", cwd=copy)
    return copy


@pytest.fixture(scope="session")
def nix(flake: Path, nix_home: Path, clean_env: dict[str, str]) -> Nix:
    """Runs `nix` in the copy with a store of our own, and gives its standard output."""
    program = tool("nix")
    (nix_home / "conf").mkdir(exist_ok=True)
    (nix_home / "conf/nix.conf").write_text(CONFIG)
    env = clean_env | {
        "NIX_CONF_DIR": str(nix_home / "conf"),
        "NIX_LOG_DIR": str(nix_home / "log"),
        "NIX_STATE_DIR": str(nix_home / "var"),
        "NIX_STORE_DIR": str(nix_home / "store"),
        "XDG_CACHE_HOME": str(nix_home / "cache"),
        "XDG_CONFIG_HOME": str(nix_home / "config"),
    }

    def nix(*args: str) -> str:
        return run(program, *args, cwd=flake, env=env)

    return nix
