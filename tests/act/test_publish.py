"""publish in a plain workflow and within a composite, under real act."""

import hashlib
import json
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from declared import check_outputs
from under_act import Command

TOKEN = "pypi-act/token+with=signs"


def wheel(directory: Path, name: str, metadata: str = "") -> Path:
    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{metadata}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    return path


@pytest.fixture
def index(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[tuple[str, Path]]:
    """A pypiserver: its URL and the directory of its files."""
    directory, port = tmp_path / "index", free_port()
    directory.mkdir()
    command = ["pypi-server", "run", "--disable-fallback", "-i", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen([*command, "-P", ".", "-a", ".", str(directory)])
    try:
        while True:
            assert server.poll() is None, "the index has ended"
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/", directory
    finally:
        server.kill()
        server.wait()


def test_publish_under_act(
    root: Path,
    binaries: Path,
    clean_env: dict[str, str],
    act_command: Command,
    tmp_path: Path,
    index: tuple[str, Path],
) -> None:
    url, kept = index
    results = tmp_path / "results"
    (results / "dist").mkdir(parents=True)
    wheels = [
        wheel(results / "dist", "act_core"),
        wheel(results / "dist", "act_cli", "Requires-Dist: act-core==1.0\n"),
    ]
    binary = binaries / "publish"
    variables = {
        "RESULTS": results,
        "INDEX": url,
        "BINARY": binary,
        "BINARY_SHA256": hashlib.sha256(binary.read_bytes()).hexdigest(),
    }
    act = [
        *act_command("workflow_dispatch", **variables),
        *("-W", "tests/act/publish.yml", "--secret", f"TOKEN={TOKEN}"),
    ]
    done = subprocess.run(act, cwd=root, env=clean_env, capture_output=True, text=True)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log

    assert (results / "outputs").read_text().split() == ["dry-run", "published", "unchanged"]
    # Without a GitHub Release.
    check_outputs(root, results, "publish", "release-url")
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}
    assert {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept.iterdir()
    } == hashes
    requirements = (results / "requirements.txt").read_text()
    assert requirements.startswith("act-core==1.0 --hash=sha256:"), "what is required comes first"
    report = json.loads((results / "publish-report.json").read_text())
    assert [(file["filename"], file["state"]) for file in report["files"]] == [
        (path.name, "present") for path in wheels
    ]
    assert TOKEN not in log
