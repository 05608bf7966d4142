"""The nixpkgs of this machine in the place of the real one, for a flake under test."""

import json
import os
import shutil
import subprocess
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
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tool(name: str) -> str:
    """The program `name`; its absence fails the test."""
    found = shutil.which(name)
    assert found, f"`{name}` is not installed: run `cargo xtask setup-test-tools`"
    return found


def copy_files(root: Path, to: Path, *paths: str) -> None:
    """Copies the repository's files, below `paths` alone if given, as they are now."""
    files = run("git", "ls-files", "-z", "-co", "--exclude-standard", *paths, cwd=root)
    for name in files.split("\0"):
        if name and (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, to / name)


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


def lock_to_host(copy: Path, host: Path, *, root: Path, tools: Path, nix_home: Path) -> None:
    """Makes `host` the nixpkgs of the flake in `copy`, and one beside it the older one."""
    lock = json.loads((copy / "flake.lock").read_text())
    inputs = {"nixpkgs": ["x86_64-darwin"], "nixpkgs-intel-mac": []}
    assert lock["nodes"].keys() - {"root"} == inputs.keys()
    nix = (tool("nix"), "--extra-experimental-features", "nix-command flakes")
    for name, dropped in inputs.items():
        folder = host.with_name(f"{host.name}-{name}")
        shutil.copytree(root / "nix/tests/host-nixpkgs", folder)
        values = machine(tools, nix_home) | {"dropped": dropped}
        (folder / "machine.json").write_text(json.dumps(values, indent=2))
        hashed = run(*nix, "hash", "path", folder, cwd=folder).strip()
        place = {"type": "path", "path": str(folder)}
        lock["nodes"][name]["locked"] = {**place, "narHash": hashed}
    (copy / "flake.lock").write_text(json.dumps(lock, indent=2))


def commit(folder: Path, *, tag: str = "") -> None:
    """Makes `folder` a Git repository with one commit."""
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    run(*git, "init", "--quiet", "--initial-branch", "main", cwd=folder)
    run(*git, "add", "--all", cwd=folder)
    run(*git, "commit", "--quiet", "--message", "the sources under test", cwd=folder)
    if tag:
        run(*git, "tag", tag, cwd=folder)


def nix_variables(nix_home: Path) -> dict[str, str]:
    """The variables of a Nix with a store of its own in `nix_home`."""
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
