"""htty-core's wheels, for this system and another, through build-wheel's `nix` backend."""

import json
import os
from pathlib import Path

import pytest
from host_nixpkgs import run


@pytest.mark.parametrize(
    ("attribute", "arch", "smoke"),
    [
        ("htty-core-wheel", "x86_64", "passed"),
        ("htty-core-wheel-aarch64-linux", "aarch64", "emulated"),
    ],
)
def test_the_flakes_wheels_are_built_repaired_and_tried(
    attribute: str,
    arch: str,
    smoke: str,
    flake: Path,
    nix_env: dict[str, str],
    clean_env: dict[str, str],
    binaries: Path,
    version: str,
    tmp_path: Path,
) -> None:
    # Variables of nixpkgs' Python in a shell must not affect a cross wheel's tag.
    env = {**clean_env, **nix_env, "_PYTHON_HOST_PLATFORM": "linux-x86_64"}
    env["PATH"] = os.environ["PATH"]
    run(
        *(binaries / "build-wheel", flake, "--flake-attr", attribute),
        *("--target", f"{arch}-unknown-linux-gnu", "--compatibility", "manylinux2014"),
        *("--smoke", "required", "--smoke-command", "ht --version"),
        cwd=tmp_path,
        env=env,
    )
    report = json.loads((tmp_path / "build-report.json").read_text())
    assert report["plan"]["backend"] == "nix"
    assert report["smoke"]["result"] == smoke
    assert (report["package"], report["version"]) == ("htty-core", version)
    assert report["floor"] == "glibc 2.17"
    tags = f"manylinux_2_17_{arch}.manylinux2014_{arch}"
    assert report["filename"] == f"htty_core-{version}-py3-none-{tags}.whl"
    assert (tmp_path / "dist" / report["filename"]).stat().st_size == report["size"]
