"""Workflows under real act, directly on this machine."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Act = Callable[..., str]
# What starts act: an event's name, the directories that stand for `places` (an action
# at a commit), the labels of `runners` that are this machine, and variables.
Command = Callable[..., list[str | Path]]


def stand_ins(directory: Path, texts: list[str]) -> dict[str, Path]:
    """The stand-ins in `directory` for GitHub's own actions in the texts."""
    places: dict[str, Path] = {}
    for name, sha in re.findall(r"uses: actions/([\w-]+)[\w/-]*@(\w{40})", "\n".join(texts)):
        if (directory / name).is_dir():
            places[f"actions/{name}@{sha}"] = directory / name
    return places


@pytest.fixture
def act_command(
    tools: Path, quick_build: dict[str, str], free_port: Callable[[], int], tmp_path: Path
) -> Command:
    program = tools / "test/bin/act"
    assert program.is_file(), "run `cargo xtask setup-test-tools`"

    def command(
        event: str,
        *,
        places: dict[str, Path] | None = None,
        runners: tuple[str, ...] = ("ubuntu-latest",),
        **variables: str | Path,
    ) -> list[str | Path]:
        found = (places or {}).items()
        environment = {**quick_build, **variables}
        # act's server panics when it lists the artifacts of a run without any.
        (tmp_path / "artifacts/1").mkdir(parents=True, exist_ok=True)
        return [
            *(program, event),
            *(part for runner in runners for part in ("-P", f"{runner}=-self-hosted")),
            # By default, act's servers listen on the external address.
            *("--cache-server-addr", "127.0.0.1", "--cache-server-port", str(free_port())),
            *("--cache-server-path", tmp_path / "caches"),
            *("--artifact-server-addr", "127.0.0.1", "--artifact-server-port", str(free_port())),
            *("--artifact-server-path", tmp_path / "artifacts"),
            *(part for at, to in found for part in ("--local-repository", f"{at}={to}")),
            *(part for name, it in environment.items() for part in ("--env", f"{name}={it}")),
        ]

    return command


@pytest.fixture
def act(
    flake: Path,
    tools: Path,
    clean_env: dict[str, str],
    musl_build: dict[str, str],
    nix_env: dict[str, str],
    act_command: Command,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Act:
    """Runs a workflow of the copy, prints each job's result, and returns the log of all steps."""
    texts = [file.read_text() for file in flake.glob(".github/workflows/*.yml")]
    texts += [file.read_text() for file in flake.glob("actions/**/action.yml")]

    def act(workflow: str, event: dict[str, Any], *args: str | Path) -> str:
        (tmp_path / "event.json").write_text(json.dumps(event | {"act": True}))
        command = act_command(
            "push" if "ref" in event else "workflow_dispatch",
            places=stand_ins(tools / "stand-ins", texts),
            # act skips jobs for other machines.
            runners=("ubuntu-latest", "ubuntu-24.04-arm"),
            **musl_build,
        )
        command += ["-W", f".github/workflows/{workflow}"]
        command += ["--eventpath", tmp_path / "event.json", *args]
        path = f"{tools / 'bin'}:{os.environ['PATH']}"
        told = tmp_path / "act.log"
        with told.open("w") as file:
            all_env = clean_env | nix_env | {"PATH": path}
            done = subprocess.run(command, cwd=flake, env=all_env, stdout=file, stderr=file)
        log = told.read_text()
        ends = [line for line in log.splitlines() if re.search(r"\bJob (succeeded|failed)$", line)]
        with capsys.disabled():
            print("", f"{workflow} under act:", *ends, sep="\n  ")
        assert done.returncode == 0, log
        return log

    return act
