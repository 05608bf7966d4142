"""One command bumps the version in all files, with cargo, with Nix, and as cog would."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from host_nixpkgs import run, tool

Nix = Callable[..., str]

FILES = {
    "htty-core/Cargo.lock",
    "htty-core/Cargo.toml",
    "htty-core/pyproject.toml",
    "htty-core/python/htty_core/_core.py",
    "htty/pyproject.toml",
    "nix/lib/version.nix",
}
PARTS = ("--patch", "--minor", "--major")


def raised(version: str, part: str) -> str:
    major, minor, patch = map(int, version.split("."))
    new = {
        "--patch": (major, minor, patch + 1),
        "--minor": (major, minor + 1, 0),
        "--major": (major + 1, 0, 0),
    }[part]
    return ".".join(map(str, new))


@pytest.fixture
def cargo(target: Path, flake: Path, clean_env: dict[str, str]) -> Callable[..., str]:
    """Runs `cargo` in the copy."""
    env = clean_env | {"CARGO_TARGET_DIR": str(target)}

    def cargo(*args: str) -> str:
        return run(tool("cargo"), *args, cwd=flake, env=env)

    return cargo


@pytest.fixture(autouse=True)
def reset(flake: Path) -> Iterator[None]:
    """Restores the copy after each test."""
    yield
    run("git", "checkout", "--quiet", "--", ".", cwd=flake)


def diff(flake: Path) -> str:
    return run("git", "diff", cwd=flake)


@pytest.mark.parametrize("part", PARTS)
def test_both_commands_change_the_same(
    flake: Path,
    cargo: Callable[..., str],
    nix: Nix,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    part: str,
) -> None:
    cargo("xtask", "version-bump", part)
    changed = run("git", "diff", "--name-only", cwd=flake).split()
    assert set(changed) == FILES
    by_cargo = diff(flake)
    assert f'+version = "{raised(version, part)}"' in by_cargo
    assert f'+dependencies = ["htty-core=={raised(version, part)}"]' in by_cargo
    # The version that cargo and Nix read.
    manifest = ("--manifest-path", "htty-core/Cargo.toml")
    cargo("metadata", *manifest, "--locked", "--offline", "--no-deps", "--format-version", "1")
    evaluated = nix("eval", "--json", ".#lib.version.version")
    assert json.loads(evaluated) == raised(version, part)

    run("git", "checkout", "--quiet", "--", ".", cwd=flake)
    monkeypatch.setenv("CARGO_TARGET_DIR", str(target))
    nix("run", ".#version-bump", "--", part)
    assert diff(flake) == by_cargo


def test_cog_itself_agrees(
    flake: Path, tools: Path, cargo: Callable[..., str], version: str
) -> None:
    cargo("xtask", "version-bump", "--major")
    ours = diff(flake)
    marked = run("git", "grep", "-l", "-F", "[[[cog ", "--", "*.toml", "*.py", cwd=flake).split()
    new = raised(version, "--major")
    cog = (tools / "test/bin/cog", "--check", "-D", f"version={new}")
    run(*cog, *(name for name in marked if name in FILES), cwd=flake)
    assert diff(flake) == ours


def test_drift_is_named(flake: Path, target: Path, clean_env: dict[str, str], version: str) -> None:
    path = flake / "htty/pyproject.toml"
    path.write_text(path.read_text().replace(f"htty-core=={version}", "htty-core==0.0.1"))
    env = clean_env | {"CARGO_TARGET_DIR": str(target)}
    for command in (("gen", "--check"), ("version-bump", "--check")):
        done = subprocess.run(
            [tool("cargo"), "xtask", *command], cwd=flake, env=env, capture_output=True, text=True
        )
        assert done.returncode == 1, done.stderr
        told = f"nix/lib/version.nix has version {version}, these files have another one: "
        told += "htty/pyproject.toml;"
        assert told in done.stdout + done.stderr
