"""The released actions, an index, and act to run a workflow."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from elsewhere import Act, Make, Prepare
from host_nixpkgs import commit, copy_files, run
from package_index import Index
from under_act import Command, stand_ins

# The placeholders of this repository and its tag's commit in the templates.
RELEASE = f"OWNER/REPOSITORY@{'0' * 40}"


@pytest.fixture(scope="session")
def released(root: Path, binaries_json: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the tag that users pin."""
    checkout = tmp_path_factory.mktemp("released")
    copy_files(root, checkout, "actions")
    (checkout / "actions/binaries.json").write_text(binaries_json)
    return checkout


@pytest.fixture
def project(
    root: Path,
    target: Path,
    tools: Path,
    released: Path,
    index: Index,
    clean_env: dict[str, str],
    act_command: Command,
    tmp_path: Path,
) -> Make:
    """Creates a project from a template that releases to the index on this machine."""

    def make(name: str, *, edit: dict[str, str], prepare: Prepare = lambda _: None) -> Act:
        directory = tmp_path / name
        ignore = shutil.ignore_patterns("target", "dist", "__pycache__", ".venv")
        shutil.copytree(root / "tests/consumers" / name, directory, ignore=ignore)
        workflow = directory / ".github/workflows/release.yml"
        text = workflow.read_text()
        # The index on this machine replaces PyPI; the rest of the file is unchanged.
        here = f"index: {index.url}\n          allow-insecure-loopback: true"
        here += "\n          password: none-needed"
        for old, new in {"index: pypi": here, **edit}.items():
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {workflow}"
            text = text.replace(old, new)
        workflow.write_text(text)
        prepare(directory)
        commit(directory, tag="v0.1.0")
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"ref": "refs/tags/v0.1.0"}))
        # Third-party actions of the workflow, and those that our actions use.
        texts = [text, *(file.read_text() for file in released.rglob("action.yml"))]
        places = stand_ins(tools / "stand-ins", texts) | stand_ins(root / "tests/consumers", texts)
        places[RELEASE] = released

        def act(*args: str, **variables: str) -> str:
            variables["CARGO_TARGET_DIR"] = str(target / "consumers")
            command = [*act_command("push", places=places, **variables), "--eventpath", event]
            command += ["-W", ".github/workflows/release.yml"]
            return run(*command, *args, cwd=directory, env=clean_env)

        return act

    return make


@pytest.fixture
def installed(
    tools: Path, index: Index, clean_env: dict[str, str], tmp_path: Path
) -> Callable[..., Path]:
    """Installs only from the index into a new environment; returns its programs."""

    python = tools / "test/bin/python"

    def install(*requirements: str, python: str | Path = python, build: bool = False) -> Path:
        uv = (tools / "test/bin/uv", "--no-config", "--quiet")
        venv = tmp_path / "installed"
        hidden = ("PIP_", "UV_", "VIRTUAL_ENV", "PYTHON")
        env = {k: v for k, v in clean_env.items() if not k.startswith(hidden)}
        run(*uv, "venv", "--clear", "--python", python, venv, cwd=tmp_path, env=env)
        source = ["--no-cache", "--default-index", index.url + "simple/"]
        source += [] if build else ["--no-build"]
        run(*uv, "pip", "install", *source, "--python", venv, *requirements, cwd=tmp_path, env=env)
        return venv / "bin"

    return install
