"""A copy of the repository whose lock names host-nixpkgs, and a real Nix to evaluate it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from host_nixpkgs import commit, copy_files, lock_to_host, nix_variables, run, tool

Nix = Callable[..., str]


@pytest.fixture(scope="session")
def nix_home(target: Path) -> Path:
    """The directory of a separate Nix store; kept, so that a second run builds less."""
    directory = target / "flake"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def flake(
    root: Path,
    tools: Path,
    nix_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A separate Git repository with the current files of this one."""
    copy = tmp_path_factory.mktemp("flake") / "source"
    copy_files(root, copy)
    for workspace in (copy, copy / "htty-core"):
        run(tool("cargo"), "fetch", "--locked", cwd=workspace)
    lock_to_host(copy, root=root, tools=tools, nix_home=nix_home)
    commit(copy)
    return copy


@pytest.fixture(scope="session")
def nix_env(nix_home: Path) -> dict[str, str]:
    """The environment with which Nix uses a separate store."""
    return nix_variables(nix_home)


@pytest.fixture(scope="session")
def nix(flake: Path, nix_env: dict[str, str], clean_env: dict[str, str]) -> Nix:
    """Runs `nix` in the copy with a separate store; returns its standard output."""
    program = tool("nix")

    def nix(*args: str) -> str:
        return run(program, *args, cwd=flake, env=clean_env | nix_env)

    return nix


@pytest.fixture(scope="session")
def version(nix: Nix) -> str:
    """The version of htty and htty-core."""
    return str(json.loads(nix("eval", "--json", ".#lib.version.version")))
