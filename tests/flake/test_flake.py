"""The flake, evaluated for every system and built for this one, by a real Nix."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from host_nixpkgs import run
from released import ACTIONS

Nix = Callable[..., str]

SYSTEMS = ["aarch64-darwin", "aarch64-linux", "x86_64-darwin", "x86_64-linux"]
PACKAGES = {"default", "htty", "htty-cli", "htty-core-wheel", "htty-sdist", *ACTIONS}
APPS = {
    *("nix-analysis", "rust-analysis", "python-analysis", "generic-analysis"),
    *("python-docs", "version-bump"),
}
SHELLS = {"core", "wheel", "sdist", "htty", "cli", "empty"}


def build(nix: Nix, attribute: str) -> Path:
    """Builds the attribute; returns its output."""
    (built,) = json.loads(nix("build", "--no-link", "--json", "-L", f".#{attribute}"))
    return Path(built["outputs"]["out"])


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_output_evaluates(nix: Nix, system: str) -> None:
    def names(output: str, value: str) -> dict[str, str]:
        select = f"builtins.mapAttrs (_: x: {value})"
        return json.loads(nix("eval", "--json", f".#{output}.{system}", "--apply", select))

    packages = names("packages", "x.drvPath")
    cross = {"htty-core-wheel-aarch64-linux"} if system.endswith("linux") else set[str]()
    assert set(packages) == PACKAGES | cross
    assert all(path.endswith(".drv") for path in packages.values())
    assert set(names("apps", "x.program")) == APPS
    shells = {"default"} | {f"pytest-{name}" for name in SHELLS}
    assert set(names("devShells", "x.drvPath")) == shells
    assert set(names("checks", "x.drvPath")) == (PACKAGES - {"default"}) | cross | shells


def test_nix_fmt_formats_all_files(nix: Nix, flake: Path) -> None:
    file = flake / "nix/apps.nix"
    tidy = file.read_text()
    file.write_text(tidy.replace("{ pkgs, python }:", "{pkgs,python}:"))
    try:
        assert file.read_text() != tidy
        nix("fmt")
        assert file.read_text() == tidy
    finally:
        file.write_text(tidy)


def test_version_names_the_commit(nix: Nix, flake: Path) -> None:
    version = json.loads(nix("eval", "--json", ".#lib.version"))
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=flake, check=True, capture_output=True, text=True
    ).stdout
    assert version["git"] == head[:12]
    numbers = ".".join(str(version[part]) for part in ("major", "minor", "patch"))
    assert version["full"] == f"{numbers} ({head[:12]})"
    assert version["version"] == numbers


@pytest.mark.parametrize("directory", [".", "tests/consumers/bin-wheel"])
def test_the_lock_names_nixpkgs_twice(root: Path, directory: str) -> None:
    lock = json.loads((root / directory / "flake.lock").read_text())
    branches = {
        name: node["original"]["ref"] for name, node in lock["nodes"].items() if name != "root"
    }
    # No workflow uses the nixpkgs for Intel Macs, which the other one has dropped.
    assert branches == {
        "nixpkgs": "nixpkgs-unstable",
        "nixpkgs-intel-mac": "nixpkgs-26.05-darwin",
    }
    for name in branches:
        locked = lock["nodes"][name]["locked"]
        assert (locked["owner"], locked["repo"], len(locked["rev"])) == ("NixOS", "nixpkgs", 40)


def test_nixpkgs_throws_for_intel_macs(nix: Nix, flake: Path) -> None:
    """As with the real nixpkgs: packages for it come from the other input."""
    host = json.loads((flake / "flake.lock").read_text())["nodes"]["nixpkgs"]["locked"]["path"]
    with pytest.raises(AssertionError, match="nixpkgs has dropped x86_64-darwin"):
        nix("eval", f"path:{host}#legacyPackages.x86_64-darwin.rustc")


def test_the_wheel_runs_anywhere(nix: Nix, tmp_path: Path) -> None:
    (wheel,) = build(nix, "htty-core-wheel").iterdir()
    version = json.loads(nix("eval", "--json", ".#lib.version"))
    start = f"htty_core-{version['version']}-py3-none-manylinux2014_x86_64"
    assert wheel.name.startswith(start)
    with zipfile.ZipFile(wheel) as archive:
        (program,) = [name for name in archive.namelist() if name.endswith("/scripts/ht")]
        path = Path(archive.extract(program, tmp_path))
    assert b"/nix/store" not in path.read_bytes()
    path.chmod(0o755)
    done = subprocess.run([path, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"ht {version['full']}"


def test_the_cross_built_wheel_runs_under_qemu(nix: Nix, tmp_path: Path) -> None:
    (wheel,) = build(nix, "htty-core-wheel-aarch64-linux").iterdir()
    assert wheel.name.endswith("-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl")
    with zipfile.ZipFile(wheel) as archive:
        (program,) = [name for name in archive.namelist() if name.endswith("/scripts/ht")]
        path = Path(archive.extract(program, tmp_path))
    assert b"/nix/store" not in path.read_bytes()
    path.chmod(0o755)
    qemu = shutil.which("qemu-aarch64-static")
    assert qemu, "`qemu-aarch64-static` is not installed: run `cargo xtask setup-test-tools`"
    ht = [qemu, "-L", "/usr/aarch64-linux-gnu", path, "--version"]
    done = subprocess.run(ht, check=True, capture_output=True, text=True)
    version = json.loads(nix("eval", "--json", ".#lib.version"))
    assert done.stdout.strip() == f"ht {version['full']}"


def test_an_unknown_target_system_is_named(nix: Nix) -> None:
    with pytest.raises(AssertionError, match="targetSystem is riscv64-linux; known are aarch64"):
        nix(
            *("eval", "--impure", "--expr"),
            "(import ./nix/packages/htty-core-wheel.nix {"
            " cargo = 0; cargo-zigbuild = 0; foreign = 0; maturin = 0; python3 = 0;"
            " rustPlatform = 0; rustc = 0; source = 0; zig = 0;"
            " lib = import ./nix/tests/host-nixpkgs/lib.nix;"
            ' stdenv = { hostPlatform.system = "x86_64-linux"; mkDerivation = x: x; };'
            ' version = { version = "1"; git = "0"; };'
            ' targetSystem = "riscv64-linux"; }).buildPhase',
        )


@pytest.mark.soak
@pytest.mark.parametrize("action", ACTIONS)
def test_each_program_runs(nix: Nix, action: str) -> None:
    """One build of the whole workspace with link-time optimisation: many minutes."""
    head = json.loads(nix("eval", "--json", ".#lib.version"))["git"]
    printed = nix("run", f".#{action}", "--", "--version")
    assert printed.startswith(f"{action} ")
    assert printed.strip().endswith(f"({head})")
    share = build(nix, action) / "share"
    assert (share / f"man/man1/{action}.1").is_file()
    assert (share / f"fish/vendor_completions.d/{action}.fish").is_file()


def test_the_source_distribution(nix: Nix) -> None:
    (sdist,) = build(nix, "htty-sdist").iterdir()
    version = json.loads(nix("eval", "--json", ".#lib.version.version"))
    assert sdist.name == f"htty-{version}.tar.gz"


def test_the_command_line(nix: Nix) -> None:
    htty = build(nix, "htty-cli") / "bin/htty"
    done = subprocess.run(
        [htty, "-r", "4", "-c", "20", "--expect", "world", "-s", "--", "echo", "hello", "world"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "hello world"


@pytest.mark.parametrize("name", sorted(SHELLS))
def test_the_python_tests_pass_in_their_shell(nix: Nix, name: str) -> None:
    tests = ["tests/lib_tests"] if name == "core" else ["-m", name, "tests/env_tests"]
    log = nix(
        "develop", f".#pytest-{name}", "--command", "pytest", "-p", "no:cacheprovider", *tests
    )
    assert " passed" in log


@pytest.fixture
def in_target(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cargo builds in its usual directory, not in the copy."""
    monkeypatch.setenv("CARGO_TARGET_DIR", str(target))


def test_the_python_analysis_has_what_the_files_import(root: Path) -> None:
    """The type checker uses nixpkgs's Python, not the one of `cargo xtask lint`."""
    imported: set[str] = set()
    for file in run("git", "ls-files", "*.py", cwd=root).splitlines():
        for node in ast.walk(ast.parse((root / file).read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    distributions = packages_distributions()
    foreign = imported & set(distributions) - set(sys.stdlib_module_names) - {"htty", "htty_core"}
    needed = {name.lower() for module in foreign for name in distributions[module]}
    assert "pytest" in needed
    apps = (root / "nix/apps.nix").read_text().partition("python-analysis =")[2]
    named = set(re.findall(r"packages\.([\w-]+)", apps.partition("basedpyright --")[0]))
    assert named == needed


# Without nix-analysis, of whose linters statix is in no registry, and rust-analysis,
# which repeats `cargo xtask lint`.
@pytest.mark.usefixtures("in_target")
@pytest.mark.parametrize(
    "name",
    ["python-analysis", pytest.param("generic-analysis", marks=pytest.mark.workflow)],
)
def test_the_analysis_passes(nix: Nix, name: str) -> None:
    nix("run", f".#{name}")


@pytest.mark.usefixtures("in_target")
def test_steps_run_through_nix(flake: Path, nix_env: dict[str, str]) -> None:
    """As run by a person at a terminal, with the steps that build little."""
    env = {**os.environ, **nix_env}
    steps = ["pytest-empty", "pytest-cli", "python-docs"]
    done = subprocess.run(
        ["./steps.sh", *steps], cwd=flake, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[3:] for line in done.stdout.splitlines() if line.startswith("== ")] == steps
    assert 'class="def"' in (flake / "target/python-docs/htty.html").read_text()


def test_an_unknown_step_is_named(root: Path) -> None:
    done = subprocess.run([root / "steps.sh", "pytest-none"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown step pytest-none; expected one of: nix-analysis" in done.stderr
