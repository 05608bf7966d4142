"""Projects of several kinds are released by the workflow that `build-wheel init` writes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from elsewhere import Install, Make
from host_nixpkgs import commit, lock_to_host, nix_variables, run
from package_index import Index

ROOT = Path(__file__).resolve().parents[2]
# A platform of `matrix`, or an environment of `require`.
PLATFORM = re.compile(r"^ {12}((?:manylinux|musllinux|macosx)\S+|\S+ \S+ cp\d+t?)$", re.M)


def elsewhere(name: str, pythons: list[str] | None = None) -> dict[str, str]:
    """Edits that remove the wheels of other machines, whose jobs cannot run here."""
    workflow = ROOT / "tests/consumers" / name / ".github/workflows/release.yml"
    platforms: list[str] = PLATFORM.findall(workflow.read_text())
    assert platforms, f"{workflow} asks for no platform"

    def is_here(platform: str) -> bool:
        is_python = pythons is None or " " not in platform or platform.split()[-1] in pythons
        return "mac" not in platform and "x86_64" in platform and is_python

    return {f"            {platform}\n": "" for platform in platforms if not is_here(platform)}


HERE = ("--matrix", "target:x86_64-unknown-linux-gnu")


def output(*command: str | Path, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pyo3_abi3(project: Make, index: Index, installed: Install) -> None:
    """One wheel for the stable ABI, for manylinux2014."""
    project("pyo3-abi3", edit=elsewhere("pyo3-abi3"))(*HERE)
    tag = "manylinux_2_17_x86_64.manylinux2014_x86_64"
    assert sorted(index.files()) == [
        f"sample_abi3-0.1.0-cp310-abi3-{tag}.whl",
        "sample_abi3-0.1.0.tar.gz",
    ]
    python = installed("sample-abi3") / "python"
    code = "import sample_abi3; print(sample_abi3.count('one two One'))"
    assert output(python, "-c", code) == "{'one': 2, 'two': 1}\n"


def test_mixed(project: Make, index: Index, installed: Install, root: Path) -> None:
    """One job builds a wheel for each version of Python that this machine has."""
    find = root / "tests/consumers/setup-python/find_python.py"
    here: dict[str, str] = {}
    listed = ("3.10", "3.11", "3.12", "3.13")
    for version in listed:
        found = subprocess.run([sys.executable, find, version], capture_output=True, text=True)
        if found.returncode == 0:
            here[version] = found.stdout.strip()
    versions = list(here)[-2:]
    assert versions, "none of the Pythons in the workflow is on this machine"

    def lines(name: str, pythons: Iterable[str]) -> str:
        return f"          {name}: |\n" + "".join(f"            {python}\n" for python in pythons)

    inputs = ("python-version", "interpreters")
    chosen = {lines(name, listed): lines(name, versions) for name in inputs}
    wheels = [f"cp{version.replace('.', '')}" for version in versions]
    project("mixed", edit=elsewhere("mixed", wheels) | chosen)(*HERE)
    files = sorted(index.files())
    assert [file.split("-")[2] for file in files if file.endswith(".whl")] == wheels
    assert "sample_mixed-0.1.0.tar.gz" in files
    programs = installed("sample-mixed", python=here[versions[-1]])
    assert output(programs / "sample-mixed", "aabbbc") == "bbb\n"


def test_several_packages(project: Make, index: Index, installed: Install) -> None:
    """Requirements arrive first, although one step publishes all packages."""
    project("several-packages", edit=elsewhere("several-packages"))(*HERE)
    files = index.files()
    assert [file.split("-")[0] for file in files] == ["sample_core", "sample_app", "sample_plugin"]
    assert files[0].startswith("sample_core-0.1.0-py3-none-manylinux")
    programs = installed("sample-plugin", build=True)
    assert output(programs / "sample-app", "stressed") == "desserts\n"
    code = "import sample_plugin; print(sample_plugin.palindrome('racecar'))"
    assert output(programs / "python", "-c", code) == "True\n"


def test_uv_workspace(project: Make, index: Index, installed: Install, tmp_path: Path) -> None:
    """Files built by uv are verified and published with those of build-wheel."""
    project("uv-workspace", edit=elsewhere("uv-workspace"))(*HERE)
    files = index.files()
    assert len(files) == 4
    # The extension module before the package that pins it, each with its source last.
    assert files[0].startswith("sample_ws_fast-0.1.0-cp310-abi3-manylinux")
    assert files[1:] == [
        "sample_ws_fast-0.1.0.tar.gz",
        "sample_ws-0.1.0-py3-none-any.whl",
        "sample_ws-0.1.0.tar.gz",
    ]
    (tmp_path / "file").write_text("Wikipedia")
    programs = installed("sample-ws")
    assert output(programs / "sample-ws", tmp_path / "file").split()[0] == "11e60398"


def test_bin_wheel(
    project: Make,
    index: Index,
    installed: Install,
    root: Path,
    tools: Path,
    target: Path,
) -> None:
    """A program that Nix builds with the nixpkgs of this machine."""
    home = target / "flake"
    home.mkdir(exist_ok=True)

    def prepare(directory: Path) -> None:
        lock_to_host(directory, root=root, tools=tools, nix_home=home)

    act = project("bin-wheel", edit=elsewhere("bin-wheel"), prepare=prepare)
    act(*HERE, **nix_variables(home))
    (wheel,) = index.files()
    assert wheel.startswith("sample_bin-0.1.0-py3-none-manylinux")
    assert output(installed("sample-bin") / "sample-bin", "12", "18") == "6\n"


def test_the_readmes_workflow_runs_as_it_is(
    root: Path,
    tools: Path,
    target: Path,
    released: Path,
    index: Index,
    installed: Install,
    clean_env: dict[str, str],
    tmp_path: Path,
) -> None:
    """The README's workflow runs unchanged, with the command in docs/other-runners.md."""
    (workflow,) = re.findall(r"^```yaml\n(.*?)^```", (root / "README.md").read_text(), re.M | re.S)
    directory = tmp_path / "pyo3-abi3"
    ignore = shutil.ignore_patterns(".github", "requirements*", "target", "dist")
    shutil.copytree(root / "tests/consumers/pyo3-abi3", directory, ignore=ignore)
    (directory / ".github/workflows").mkdir(parents=True)
    (directory / ".github/workflows/release.yml").write_text(workflow)
    commit(directory, tag="v0.1.0")
    (tmp_path / "event.json").write_text(json.dumps({"ref": "refs/tags/v0.1.0"}))

    documented = (root / "docs/other-runners.md").read_text()
    command = "tests/act/act.sh push -W .github/workflows/release.yml"
    assert f"../wheel-actions/{command}" in documented
    env = clean_env | {"XTASK_TOOLS": str(tools), "CARGO_TARGET_DIR": str(target / "consumers")}
    # The released actions, instead of a build from source.
    (name, pin), *_ = re.findall(r"uses: (\S+)/actions/build-wheel@(\S+)", workflow)
    place = ("--local-repository", f"{name}@{pin}={released}")
    event = ("--eventpath", tmp_path / "event.json")

    kept = tmp_path / "artifacts"

    def act(*args: str | Path) -> str:
        act_sh = (root / "tests/act/act.sh", "--artifacts", kept, *command.split()[1:])
        return run(*act_sh, *args, *event, *place, cwd=directory, env=env)

    log = act("--job", "wheel")
    assert "Artifact release has been uploaded" in log
    (wheel,) = (kept / "release/dist").iterdir()
    assert wheel.name in (kept / "release/dist-manifest.json").read_text()
    # The index on this machine replaces PyPI, because act has no identity.
    publish = "with: { manifest: dist-manifest.json,"
    assert workflow.count(publish) == 1
    here = f"index: '{index.url}', allow-insecure-loopback: true, password: none-needed,"
    edited = workflow.replace(publish, f"{publish} {here}")
    (directory / ".github/workflows/release.yml").write_text(edited)
    act()
    assert [name.split("-")[0] for name in index.files()] == ["sample_abi3"]
    python = installed("sample-abi3") / "python"
    code = "import sample_abi3; print(sample_abi3.count('a b A'))"
    assert output(python, "-c", code) == "{'a': 2, 'b': 1}\n"


def test_act_sh_stands_for_what_is_not_released(root: Path, tmp_path: Path) -> None:
    """The placeholder in the documents, and the pins of init before the first release."""
    zeros = "0" * 40
    programs = tmp_path / "tools/test/bin"
    programs.mkdir(parents=True)
    (programs / "act").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (programs / "act").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    workflows = tmp_path / ".github/workflows"
    workflows.mkdir(parents=True)
    uses = [f"a/b/actions/build-wheel@{zeros} # v0", f"a/b/actions/setup-nix/save@{zeros}"]
    uses += [f"c/d/actions/publish@{'1' * 40}", f"e/f/other@{zeros}"]
    (workflows / "x.yml").write_text("".join(f"- uses: {name}\n" for name in uses))
    command = (root / "tests/act/act.sh", "push", "--job", "wheels")
    env = {**os.environ, "XTASK_TOOLS": str(tmp_path / "tools")}
    given = run(*command, cwd=tmp_path, env=env).splitlines()
    assert [text for text in given if text.endswith(f"={root}")] == [
        f"<owner>/<repo>@<sha>={root}",
        f"a/b@{zeros}={root}",
    ]
    assert given[0] == "push"
    assert given[-2:] == ["--job", "wheels"]
