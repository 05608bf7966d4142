"""The actions as a release gives them to others, an index, and act to run a workflow."""

import hashlib
import http.server
import json
import platform
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from elsewhere import Act, Make, Prepare
from host_nixpkgs import commit, run
from package_index import Index

# What stands for this repository and its tag's commit in the templates.
RELEASE = f"OWNER/REPOSITORY@{'0' * 40}"


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def released(
    root: Path, binaries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A checkout of the tag that others pin: the binaries are downloads with known hashes."""
    downloads = tmp_path_factory.mktemp("downloads")
    serve = partial(Silent, directory=str(downloads))
    checkout = tmp_path_factory.mktemp("released")
    files = run("git", "ls-files", "-z", "-co", "--exclude-standard", "actions", cwd=root)
    for name in filter(None, files.split("\0")):
        if (root / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, checkout / name)
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        lines: list[str] = []
        for action in sorted(path.parent.name for path in root.glob("actions/*/action.yml")):
            shutil.copy(binaries / action, downloads)
            digest = hashlib.sha256((downloads / action).read_bytes()).hexdigest()
            entry = {"url": f"{url}/{action}", "sha256": digest}
            lines.append(f'    "{action} {machine}-unknown-linux-musl": {json.dumps(entry)}')
        text = '{\n  "schema": 1,\n  "version": "0.1.0",\n  "binaries": {\n'
        text += ",\n".join(lines) + "\n  }\n}\n"
        (checkout / "actions/binaries.json").write_text(text)
        yield checkout
        server.shutdown()


@pytest.fixture
def project(
    root: Path,
    target: Path,
    tools: Path,
    released: Path,
    index: Index,
    clean_env: dict[str, str],
    free_port: Callable[[], int],
    tmp_path: Path,
) -> Make:
    """Makes a project of a template, released to the index on this machine."""

    def make(name: str, *, edit: dict[str, str], prepare: Prepare = lambda _: None) -> Act:
        folder = tmp_path / name
        ignore = shutil.ignore_patterns("target", "dist", "__pycache__", ".venv")
        shutil.copytree(root / "tests/consumers" / name, folder, ignore=ignore)
        workflow = folder / ".github/workflows/release.yml"
        text = workflow.read_text()
        # The index on this machine in place of PyPI; else it is the user's file.
        here = f"index: {index.url}\n          allow-insecure-loopback: true"
        here += "\n          password: none-needed"
        for old, new in {"index: pypi": here, **edit}.items():
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {workflow}"
            text = text.replace(old, new)
        workflow.write_text(text)
        prepare(folder)
        commit(folder, tag="v0.1.0")
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"ref": "refs/tags/v0.1.0"}))
        stand_ins = {place.name: place for place in (tools / "stand-ins").iterdir()}
        stand_ins["setup-python"] = root / "tests/consumers/setup-python"
        places = {RELEASE: released}
        # Foreign actions, those of the workflow and those that ours use in turn.
        texts = [text, *(file.read_text() for file in released.rglob("action.yml"))]
        for action, sha in re.findall(r"uses: actions/([\w-]+)[\w/-]*@(\w+)", "\n".join(texts)):
            if action != "checkout":  # which act does itself
                places[f"actions/{action}@{sha}"] = stand_ins[action]

        def act(*args: str, **variables: str) -> str:
            variables["CARGO_TARGET_DIR"] = str(target / "consumers")
            command = [
                *(tools / "test/bin/act", "push", "--eventpath", event),
                *("-P", "ubuntu-latest=-self-hosted"),
                # Without addresses of their own its servers listen on the outside one.
                *("--cache-server-addr", "127.0.0.1", "--cache-server-port", str(free_port())),
                *("--cache-server-path", tmp_path / "caches"),
                *("--artifact-server-addr", "127.0.0.1"),
                *("--artifact-server-port", str(free_port())),
                *("--artifact-server-path", tmp_path / "artifacts"),
            ]
            for name, value in variables.items():
                command += ["--env", f"{name}={value}"]
            for repository, place in places.items():
                command += ["--local-repository", f"{repository}={place}"]
            return run(*command, *args, cwd=folder, env=clean_env)

        return act

    return make


@pytest.fixture
def installed(
    tools: Path, index: Index, clean_env: dict[str, str], tmp_path: Path
) -> Callable[..., Path]:
    """Installs from the index alone into a new environment; gives its programs."""

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
