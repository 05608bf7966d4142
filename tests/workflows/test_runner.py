"""Requirements of GitHub's runner for the workflows."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from released import ACTIONS

Job = dict[str, Any]
WORKFLOWS = [
    "test.yml",
    "release.yml",
    "actions-release.yml",
    "book.yml",
    "renew.yml",
    "scheduled.yml",
    "soak.yml",
]


def jobs(root: Path, name: str) -> dict[str, Job]:
    return yaml.safe_load((root / ".github/workflows" / name).read_text())["jobs"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_container_trusts_its_checkout(root: Path, name: str) -> None:
    """Its steps run as root, but another user owns the workspace.

    actions/checkout removes its own setting of `safe.directory`.
    """
    for job in jobs(root, name).values():
        if "container" not in job:
            continue
        commands = [step.get("run", step.get("uses", "")) for step in job["steps"]]
        trust = 'git config --global --add safe.directory "$GITHUB_WORKSPACE"'
        assert commands[0].startswith("actions/checkout@")
        assert commands[1] == trust


@pytest.mark.parametrize("name", ["test.yml", "release.yml"])
def test_the_actions_are_built_once_for_a_platform(root: Path, name: str) -> None:
    """All other jobs get them as an artifact, with the hash from an output.

    The job for Windows is the only one on Windows, and builds its own binaries.
    """
    builders = {
        job
        for job, content in jobs(root, name).items()
        if any("build-binaries.sh" in step.get("run", "") for step in content["steps"])
    }
    assert builders == ({"binaries", "windows"} if name == "test.yml" else {"binaries"})
    steps = [
        (name, job, step)
        for name, job in jobs(root, name).items()
        for step in job["steps"]
        if step.get("uses", "").startswith("./actions/")
    ]
    assert len(steps) > 4
    for name, job, step in steps:
        digest = step["with"]["binary-sha256"]
        if name in builders:
            assert "steps.binaries.outputs" in digest
            continue
        assert "needs.binaries.outputs" in digest
        needs: str | list[str] = job["needs"]
        assert needs == "binaries" or "binaries" in needs
        names = [other.get("with", {}).get("name", "") for other in job["steps"]]
        assert any(name.startswith("binaries-") for name in names)


@pytest.mark.parametrize(
    ("name", "job"),
    [("test.yml", "binaries"), ("release.yml", "binaries"), ("actions-release.yml", "build")],
)
def test_each_row_has_an_output_of_its_own(root: Path, name: str, job: str) -> None:
    """Rows of a matrix overwrite a common output."""
    build = jobs(root, name)[job]
    rows = build["strategy"]["matrix"]["include"]
    targets = [row.get("target", row.get("host")) for row in rows]
    assert build["outputs"] == {t: f"${{{{ steps.hash.outputs.{t} }}}}" for t in targets}


def test_one_job_saves_what_the_others_restore(root: Path) -> None:
    """All jobs have one key: the first one to finish would save, with the fewest paths."""
    saving: list[str] = []
    for name, job in jobs(root, "test.yml").items():
        for step in job["steps"]:
            if (
                step.get("uses") == "./actions/setup-nix"
                and step["with"].get("cache") != "read-only"
            ):
                saving.append(name)
    assert saving == ["store"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_job_that_runs_again_replaces_its_artifact(root: Path, name: str) -> None:
    """The service rejects a second artifact with the same name in a run."""
    for job in jobs(root, name).values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/upload-artifact@"):
                assert step["with"]["overwrite"] is True


def test_the_compiler_of_the_released_binaries_stands_in_one_place(root: Path) -> None:
    workflow = yaml.safe_load((root / ".github/workflows/actions-release.yml").read_text())
    version = workflow["env"]["RUSTUP_TOOLCHAIN"]
    assert version.count(".") == 2
    assert not list(root.glob("rust-toolchain*"))


COMPOSITES = [*ACTIONS, "setup-nix/save"]


@pytest.mark.parametrize("name", COMPOSITES)
def test_the_launcher_is_told_what_the_inputs_say(root: Path, name: str) -> None:
    action = yaml.safe_load((root / "actions" / name / "action.yml").read_text())
    steps = [step for step in action["runs"]["steps"] if "launch.sh" in step.get("run", "")]
    assert steps
    for step in steps:
        for given in ("binary", "binary-sha256", "binary-token", "binary-mirror", "dry-run"):
            prefix = "INPUT" if given == "dry-run" else "LAUNCH"
            variable = f"{prefix}_{given.upper().replace('-', '_')}"
            assert step["env"][variable] == f"${{{{ inputs.{given} }}}}"
            assert given in action["inputs"]


def test_a_dry_run_leaves_the_cache_alone(
    root: Path, binaries: Path, clean_env: dict[str, str], tmp_path: Path
) -> None:
    """actions/cache fails without a path, which a dry run does not set."""
    action = yaml.safe_load((root / "actions/setup-nix/action.yml").read_text())
    cached = [step for step in action["runs"]["steps"] if "actions/cache" in step.get("uses", "")]
    assert cached
    steps = {step["id"]: step for step in action["runs"]["steps"] if "id" in step}

    def waits_for_the_plan(condition: str) -> bool:
        """A step whose input output is missing is skipped, and so are the following steps."""
        if condition == "steps.plan.outputs.cache != 'off'":
            return True
        source = re.match(r"(?:fromJSON\()?steps\.(\w+)\.outputs\.", condition)
        return source is not None and waits_for_the_plan(steps[source[1]].get("if", ""))

    for step in cached:
        assert waits_for_the_plan(step["if"]), step["name"]
    outputs = tmp_path / "outputs"
    env = clean_env | {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(outputs),
        "INPUT_DRY_RUN": "true",
        "INPUT_CACHE": "read-write",
    }
    command = [binaries / "setup-nix", "plan"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # A name, and its value between two delimiters.
    lines = outputs.read_text().splitlines()
    (at,) = (at for at, line in enumerate(lines) if line.startswith("cache<<"))
    assert lines[at + 1] == "off"
