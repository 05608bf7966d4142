"""The workflow that `build-wheel init` translates from maturin-action, run under act.

These are small equivalents of the real projects in docs/reference/init-projects.md. Each builds
wheels with the same tags as the project's own workflow.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from elsewhere import Make
from host_nixpkgs import run
from package_index import Index

pytestmark = pytest.mark.soak

TRIGGERS = """\
on:
  push:
    tags: ["v*"]
  pull_request:
env:
  PROFILE: ${{ startsWith(github.ref, 'refs/tags/') && 'release' || 'dev' }}
jobs:
"""

ABI3 = """\
  linux:
    runs-on: ${{ matrix.platform.runner }}
    strategy:
      matrix:
        platform:
          - { runner: ubuntu-22.04, target: x86_64, manylinux: 2_28 }
    steps:
      - uses: actions/checkout@v4
      - uses: PyO3/maturin-action@v1
        with:
          target: ${{ matrix.platform.target }}
          args: --profile ${{ env.PROFILE }} --out dist --find-interpreter
          sccache: ${{ !startsWith(github.ref, 'refs/tags/') }}
          manylinux: ${{ matrix.platform['manylinux'] || 'auto' }}
"""

PER_INTERPRETER = """\
  rows:
    runs-on: ubuntu-latest
    outputs:
      rows: ${{ steps.rows.outputs.rows }}
    steps:
      - id: rows
        run: echo 'rows=[{"target":"x86_64","pythons":"PYTHONS"}]' >> "$GITHUB_OUTPUT"
  linux:
    needs: rows
    runs-on: ubuntu-latest
    strategy:
      matrix:
        include: ${{ fromJSON(needs.rows.outputs.rows) }}
    steps:
      - if: github.event_name == 'pull_request'
        uses: PyO3/maturin-action@v1
        with:
          args: --profile dev
      - uses: PyO3/maturin-action@v1
        with:
          target: ${{ matrix.target }}
          args: ${{ format('--release --out dist -i {0}', matrix.pythons) }}
"""

PROGRAM = """\
  linux:
    runs-on: ubuntu-latest
    env:
      TARGET: x86_64-unknown-linux-gnu
    steps:
      - run: maturin build --release --target "$TARGET" --manifest-path core/Cargo.toml
"""

POLICY = "manylinux_2_17_x86_64.manylinux2014_x86_64"


def translated(make: Make, index: Index, binaries: Path, name: str, jobs: str) -> list[str]:
    """The wheels that the translation of `jobs` publishes for the project `name`."""

    def prepare(directory: Path) -> None:
        workflows = directory / ".github/workflows"
        text = (workflows / "release.yml").read_text()
        here = text[text.index(f"index: {index.url}") :].split("\n")[:3]
        (workflows / "release.yml").unlink()
        (workflows / "CI.yml").write_text(TRIGGERS + jobs)
        init: list[str | Path] = [binaries / "build-wheel", "init", "--offline"]
        init += ["--from-maturin-action", ".github/workflows/CI.yml", "--pin", "0" * 40]
        run(*init, "--repository", "OWNER/REPOSITORY", cwd=directory)
        text = (workflows / "release.yml").read_text()
        assert text.count("index: pypi") == 1
        (workflows / "release.yml").write_text(text.replace("index: pypi", "\n".join(here)))

    make(name, edit={}, prepare=prepare)()
    return sorted(file for file in index.files() if file.endswith(".whl"))


def test_the_stable_abi(project: Make, index: Index, binaries: Path) -> None:
    files = translated(project, index, binaries, "pyo3-abi3", ABI3)
    # zig links for the glibc that the step names, and the wheel needs no newer one.
    assert files == [f"sample_abi3-0.1.0-cp310-abi3-{POLICY}.whl"] or files == [
        "sample_abi3-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl"
    ]


def test_a_wheel_for_each_interpreter(
    project: Make, index: Index, binaries: Path, root: Path
) -> None:
    find = root / "tests/consumers/setup-python/find_python.py"
    listed = ("3.10", "3.11", "3.12", "3.13")
    found = [
        version
        for version in listed
        if not subprocess.run([sys.executable, find, version], capture_output=True).returncode
    ][-2:]
    assert found, "no Python of the list is on this machine"
    jobs = PER_INTERPRETER.replace("PYTHONS", " ".join(found))
    files = translated(project, index, binaries, "mixed", jobs)
    tags = [f"cp{version.replace('.', '')}" for version in found]
    assert files == [f"sample_mixed-0.1.0-{tag}-{tag}-{POLICY}.whl" for tag in tags]


def test_a_program_of_several_packages(project: Make, index: Index, binaries: Path) -> None:
    files = translated(project, index, binaries, "several-packages", PROGRAM)
    (program,) = [file for file in files if file.startswith("sample_core-")]
    assert program == f"sample_core-0.1.0-py3-none-{POLICY}.whl"
