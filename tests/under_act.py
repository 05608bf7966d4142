"""Workflows of this repository under real act, on this very machine."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Act = Callable[..., str]

# What runs here; jobs for other machines are left out by act.
RUNNERS = ("ubuntu-latest", "ubuntu-24.04-arm")
STAND_INS = ("cache", "upload-artifact", "download-artifact")


@pytest.fixture
def act(
    flake: Path,
    tools: Path,
    target: Path,
    clean_env: dict[str, str],
    nix_env: dict[str, str],
    free_port: Callable[[], int],
    tmp_path: Path,
) -> Act:
    """Runs a workflow of the copy; its log says what each step did."""
    program = tools / "test/bin/act"
    assert program.is_file(), "run `cargo xtask setup-test-tools`"
    texts = [file.read_text() for file in flake.glob(".github/workflows/*.yml")]
    texts += [file.read_text() for file in flake.glob("actions/**/action.yml")]
    places: dict[str, Path] = {}
    for name, sha in re.findall(r"uses: actions/([\w-]+)[\w/-]*@(\w{40})", "\n".join(texts)):
        if name in STAND_INS:
            places[f"actions/{name}@{sha}"] = tools / "stand-ins" / name

    def act(workflow: str, event: dict[str, Any], *args: str | Path, **env: str) -> str:
        (tmp_path / "event.json").write_text(json.dumps(event | {"act": True}))
        kind = "push" if "ref" in event else "workflow_dispatch"
        stand_ins = [f"{action}={place}" for action, place in places.items()]
        command = [
            *(program, kind, "-W", f".github/workflows/{workflow}"),
            *("--eventpath", tmp_path / "event.json"),
            *(part for runner in RUNNERS for part in ("-P", f"{runner}=-self-hosted")),
            # Without addresses of their own its servers listen on the outside one.
            *("--cache-server-addr", "127.0.0.1", "--cache-server-port", str(free_port())),
            *("--cache-server-path", tmp_path / "caches"),
            *("--artifact-server-addr", "127.0.0.1", "--artifact-server-port", str(free_port())),
            *("--artifact-server-path", tmp_path / "artifacts"),
            *(part for place in stand_ins for part in ("--local-repository", place)),
            *("--env", f"CARGO_TARGET_DIR={target / 'act'}"),
            *(part for pair in env.items() for part in ("--env", "=".join(pair))),
            *args,
        ]
        path = f"{tools / 'bin'}:{os.environ['PATH']}"
        told = tmp_path / "act.log"
        with told.open("w") as file:
            all_env = clean_env | nix_env | {"PATH": path}
            done = subprocess.run(command, cwd=flake, env=all_env, stdout=file, stderr=file)
        log = told.read_text()
        assert done.returncode == 0, log
        return log

    return act
