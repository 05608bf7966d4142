"""The scripts for other forges, run with an index that has the wheel."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from package_index import Index
from packed import Release

Env = dict[str, str]


@pytest.fixture
def job(checkout: Release, wheel: Path, index: Index, tmp_path: Path) -> Env:
    """The environment of a job that installs from the index and publishes to it."""
    shutil.copy(wheel, index.directory)
    home = tmp_path / "home"
    home.mkdir()
    env = checkout.env | {
        "HOME": str(home),
        "PIP_INDEX_URL": f"{index.url}simple/",
        # rustup and Cargo use HOME.
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
        "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
    }
    for name in (
        "PIP_FIND_LINKS",
        "RUSTUP_TOOLCHAIN",
        "GITHUB_OUTPUT",
        "GITHUB_REPOSITORY",
        "CARGO_MANIFEST_DIR",
    ):
        env.pop(name, None)
    return env


def to(index: Index) -> Env:
    """The inputs of publish, which a job sets only for that program."""
    return {
        "INPUT_INDEX": index.url,
        "INPUT_ALLOW_INSECURE_LOOPBACK": "true",
        "INPUT_PASSWORD": "none-needed",
    }


def bash(script: str, place: Path, env: Env) -> str:
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hello(root: Path, place: Path) -> Path:
    shutil.copytree(root / "tests/act/hello", place, ignore=shutil.ignore_patterns("target"))
    return place


def test_gitlab(root: Path, job: Env, wheel: Path, index: Index, tmp_path: Path) -> None:
    """Runs the jobs in order, and passes the variable and the files on as GitLab does."""
    jobs: dict[str, Any] = yaml.safe_load((root / "forges/gitlab.yml").read_text())
    common = jobs[".wheel-actions"]
    place = tmp_path / "project"
    (place / "dist").mkdir(parents=True)
    shutil.copy(wheel, place / "dist")
    env = job | {name: str(value) for name, value in common["variables"].items()}
    for name in (".verify-dist", ".publish"):
        assert jobs[name]["extends"] == ".wheel-actions"
        lines = common["before_script"] + jobs[name]["script"]
        bash("\n".join(lines), place, env | (to(index) if name == ".publish" else {}))
        told = jobs[name].get("artifacts", {}).get("reports", {}).get("dotenv")
        if told:
            key, _, value = (place / told).read_text().strip().partition("=")
            env[key] = value
            for path in jobs[name]["artifacts"]["paths"]:
                assert (place / path.replace("$DIST", "dist")).exists(), path
    assert index.files() == [wheel.name]
    tokens = jobs[".publish"]["id_tokens"]
    assert {name: token["aud"] for name, token in tokens.items()} == {
        "PYPI_ID_TOKEN": "pypi",
        "SIGSTORE_ID_TOKEN": "sigstore",
    }


@pytest.mark.soak
def test_forgejo(
    root: Path, job: Env, target: Path, tools: Path, index: Index, tmp_path: Path
) -> None:
    workflow = yaml.safe_load((root / "forges/forgejo.yml").read_text())
    steps = {step["name"]: step for step in workflow["jobs"]["release"]["steps"] if "name" in step}
    place = hello(root, tmp_path / "hello")
    path = tmp_path / "path"
    env = job | {"GITHUB_PATH": str(path), "CARGO_TARGET_DIR": str(target / "consumers")}
    bash(steps["Install the programs"]["run"], place, env)
    # Maturin, zig and the packages of apt are those of the tests.
    env["PATH"] = f"{path.read_text().strip()}:{tools / 'test/bin'}:{os.environ['PATH']}"
    del env["GITHUB_PATH"]
    for name in ("Build", "Verify"):
        bash(steps[name]["run"], place, env)
    bash(steps["Publish"]["run"], place, env | to(index))
    assert [name for name in index.files() if name.startswith("wheel_hello")]
    assert steps["Publish"]["env"] == {"INPUT_PASSWORD": "${{ secrets.PYPI_TOKEN }}"}
