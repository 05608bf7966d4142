"""A nixpkgs of this machine's programs, which replaces the real one in a tested flake."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CONFIG = """\
experimental-features = nix-command flakes
sandbox = false
build-users-group =
substituters =
flake-registry =
warn-dirty = false
"""


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tool(name: str) -> str:
    """The program `name`; its absence fails the test."""
    found = shutil.which(name)
    assert found, f"`{name}` is not installed: run `cargo xtask setup-test-tools`"
    return found


def copy_files(root: Path, to: Path, *paths: str) -> None:
    """Copies the repository's current files, or only those below `paths`."""
    files = run("git", "ls-files", "-z", "-co", "--exclude-standard", *paths, cwd=root)
    for name in files.split("\0"):
        if name and (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, to / name)


def machine(tools: Path, made: Path) -> dict[str, object]:
    """The paths of host-nixpkgs' programs on this machine."""
    programs = made / "bin"
    programs.mkdir(exist_ok=True)
    # Renamed, because another process may be running it.
    zig = programs / f"zig-{os.getpid()}"
    zig.write_text(f'#!/bin/sh\nexec {tools}/test/bin/python-zig "$@"\n')
    zig.chmod(0o755)
    zig.replace(programs / "zig")
    rust = tools / "rust-cross"
    assert (rust / "bin/rustc").is_file(), "run `cargo xtask setup-test-tools`"
    # Use rustup's own Cargo beside it: the proxy would need a home directory.
    cargo = run(tool("rustc"), "--print", "sysroot", cwd=made).strip() + "/bin"
    python = tools / "test/bin/python"
    code = "import sysconfig as s; print(s.get_path('purelib', vars={'base': '', 'platbase': ''}))"
    path = [rust / "bin", cargo, programs, tools / "test/bin", tools / "bin"]
    path += [*sorted(tools.glob("nixfmt_rs@*/bin")), "/usr/bin", "/bin"]
    return {
        "bash": tool("bash"),
        "dropped": [],
        "cargoHome": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
        "path": ":".join(map(str, path)),
        "python": str(python),
        "sitePackages": run(python, "-c", code, cwd=made).strip().lstrip("/"),
        "system": "x86_64-linux",
        "sysroots": {name: str(rust / "usr") for name in ("x86_64-linux", "aarch64-linux")},
    }


def host_nixpkgs(root: Path, values: dict[str, object], nix_home: Path) -> Path:
    """A nixpkgs for `values` in `nix_home`, shared by all processes and runs.

    So the lock files that name it, and the commits that are built, are also the same.
    """
    with tempfile.TemporaryDirectory(dir=nix_home) as made:
        directory = Path(made) / "nixpkgs"
        shutil.copytree(root / "nix/tests/host-nixpkgs", directory)
        (directory / "machine.json").write_text(json.dumps(values, indent=2))
        files = sorted(file for file in directory.rglob("*") if file.is_file())
        content = b"".join(bytes(file.name, "utf-8") + file.read_bytes() for file in files)
        place = nix_home / f"nixpkgs-{hashlib.sha256(content).hexdigest()[:16]}"
        # Another process may have been faster.
        with contextlib.suppress(OSError):
            directory.rename(place)
    assert (place / "machine.json").is_file()
    return place


def lock_to_host(copy: Path, *, root: Path, tools: Path, nix_home: Path) -> None:
    """Sets both nixpkgs inputs of the flake in `copy` to this machine's programs."""
    lock = json.loads((copy / "flake.lock").read_text())
    inputs = {"nixpkgs": ["x86_64-darwin"], "nixpkgs-intel-mac": []}
    assert lock["nodes"].keys() - {"root"} == inputs.keys()
    nix = (tool("nix"), "--extra-experimental-features", "nix-command flakes")
    for name, dropped in inputs.items():
        directory = host_nixpkgs(root, machine(tools, nix_home) | {"dropped": dropped}, nix_home)
        hashed = run(*nix, "hash", "path", directory, cwd=directory).strip()
        place = {"type": "path", "path": str(directory)}
        lock["nodes"][name]["locked"] = {**place, "narHash": hashed}
    (copy / "flake.lock").write_text(json.dumps(lock, indent=2))


def commit(directory: Path, *, tag: str = "") -> None:
    """Commits the files of `directory`, and creates the Git repository if necessary.

    The same files give the same commit, so Nix builds each commit once.
    """
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    date = "2026-01-01T00:00:00Z"
    env = os.environ | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    run(*git, "init", "--quiet", "--initial-branch", "main", cwd=directory)
    run(*git, "add", "--all", cwd=directory)
    run(*git, "commit", "--quiet", "--message", "the sources under test", cwd=directory, env=env)
    if tag:
        run(*git, "tag", tag, cwd=directory)


def nix_variables(nix_home: Path) -> dict[str, str]:
    """The variables of a Nix with a separate store in `nix_home`."""
    (nix_home / "conf").mkdir(parents=True, exist_ok=True)
    (nix_home / "conf/nix.conf").write_text(CONFIG)
    return {
        "NIX_CONF_DIR": str(nix_home / "conf"),
        "NIX_LOG_DIR": str(nix_home / "log"),
        "NIX_STATE_DIR": str(nix_home / "var"),
        "NIX_STORE_DIR": str(nix_home / "store"),
        "XDG_CACHE_HOME": str(nix_home / "cache"),
        "XDG_CONFIG_HOME": str(nix_home / "config"),
    }
