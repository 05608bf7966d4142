"""The composite actions under real act, on this machine."""

import hashlib
import json
import subprocess
from pathlib import Path

from declared import check_outputs
from under_act import Command


def test_build_and_verify_under_act(
    root: Path,
    target: Path,
    clean_env: dict[str, str],
    act_command: Command,
    tmp_path: Path,
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    act = [
        *act_command("workflow_dispatch", CARGO_TARGET_DIR=target, RESULTS=results),
        *("-W", "tests/act/actions.yml"),
    ]
    done = subprocess.run(act, cwd=root, env=clean_env, capture_output=True, text=True)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log

    (wheel,) = (results / "dist").iterdir()
    filename, sha256, artifact, manifest_sha256 = (results / "outputs").read_text().split()
    assert filename == wheel.name
    assert wheel.name.startswith("wheel_hello-1.2.3-py3-none-manylinux_")
    assert sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()
    # The first of the platforms, without its other names.
    assert artifact == "dist-wheel-hello-" + wheel.stem.split("-")[-1].split(".")[0]

    manifest = (results / "dist-manifest.json").read_bytes()
    assert manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    (file,) = json.loads(manifest)["files"]
    assert (file["filename"], file["sha256"]) == (wheel.name, sha256)

    for action in ("build-wheel", "verify-dist"):
        check_outputs(root, results, action)
    assert (results / "refused").read_text() == "failure\n"
    assert "did you mean `true`?" in log
