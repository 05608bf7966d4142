"""The release of the actions, interrupted at any point and rerun."""

import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_github import FakeGitHub, commit_all, script_env
from host_nixpkgs import run
from released import ACTIONS

TARGETS = [
    *("aarch64-apple-darwin", "aarch64-unknown-linux-musl"),
    *("x86_64-apple-darwin", "x86_64-pc-windows-msvc", "x86_64-unknown-linux-musl"),
]


def file_name(action: str, target: str) -> str:
    return f"{action}-{target}" + (".exe" if "-windows-" in target else "")


def of_target(target: str) -> list[str]:
    """The actions that run on the target; setup-nix does not run on Windows."""
    return [one for one in ACTIONS if not ("-windows-" in target and one == "setup-nix")]


TAG, SOURCE_TAG = "v1.2.3", "src-v1.2.3"
FILES = sorted(file_name(action, target) for target in TARGETS for action in of_target(target))


@dataclass
class Project:
    """A repository whose tag has started actions-release.yml."""

    root: Path
    origin: Path
    source: str
    github: FakeGitHub
    directory: Path
    env: dict[str, str]

    def build(self, salt: str = "") -> dict[str, str]:
        """The jobs `build` and `attest`: files, hashes and attestations."""
        binaries = self.directory / "binaries"
        binaries.mkdir(exist_ok=True)
        outputs: dict[str, str] = {}
        hashes = (self.directory / "attested").open("a")
        for target in TARGETS:
            digests: dict[str, str] = {}
            for action in of_target(target):
                data = f"{action} for {target}{salt}".encode()
                (binaries / file_name(action, target)).write_bytes(data)
                digests[action] = hashlib.sha256(data).hexdigest()
                hashes.write(digests[action] + "\n")
            outputs[target] = json.dumps(digests)
        hashes.close()
        return {"HASHES": json.dumps(outputs), "BINARIES": str(binaries)}

    def step(self, command: str, jobs: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """A step of the job `release` of the workflow."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.root,
            env=self.env | jobs,
            capture_output=True,
            text=True,
        )

    def attempt(self, jobs: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """Runs the job's steps until one fails."""
        done = None
        for command in steps(self.root):
            done = self.step(command, jobs)
            if done.returncode != 0:
                break
        assert done
        return done

    def pins(self) -> dict[str, Any]:
        """The content of the tag that users pin."""
        text = run("git", "show", f"{TAG}:actions/binaries.json", cwd=self.origin)
        assert len([line for line in text.splitlines() if '"url"' in line]) == len(FILES)
        return json.loads(text)

    def check(self, digests: dict[str, str]) -> None:
        """A complete release of these files."""
        (release,) = (one for one in self.github.set()["releases"] if not one["draft"])
        assert (release["tag"], release["immutable"]) == (SOURCE_TAG, True)
        assert [name for name, _ in release["assets"]] == FILES
        assert run("git", "rev-parse", f"{TAG}^", cwd=self.origin).strip() == self.source
        changed = run("git", "diff", "--name-only", self.source, TAG, cwd=self.origin)
        assert changed == "actions/binaries.json\n"
        entries = self.pins()["binaries"]
        assert sorted(file_name(*name.split(" ")) for name in entries) == FILES
        ids = dict(release["assets"])
        for name, entry in entries.items():
            file = file_name(*name.split(" "))
            assert entry["sha256"] == digests[file]
            assert entry["url"].endswith(f"/octo/htty/releases/download/{SOURCE_TAG}/{file}")
            assert entry["api"].endswith(f"/repos/octo/htty/releases/assets/{ids[file]}")


def steps(root: Path) -> list[str]:
    workflow = yaml.safe_load((root / ".github/workflows/actions-release.yml").read_text())
    job = workflow["jobs"]["release"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert len(commands) == 5
    assert commands[-1].endswith(" tag"), "the tag that others pin comes last"
    return commands


def digests(jobs: dict[str, str]) -> dict[str, str]:
    outputs: dict[str, str] = json.loads(jobs["HASHES"])
    return {
        file_name(action, target): digest
        for target, text in outputs.items()
        for action, digest in json.loads(text).items()
    }


# A stand-in for gh: it compares an attestation with the attested files, and checks
# the workflow and the tag in the arguments.
GH = """#!/usr/bin/env bash
[ "$1 $2" = "attestation verify" ] || exit 9
expected="--repo octo/htty --signer-workflow octo/htty/.github/workflows/actions-release.yml"
expected+=" --source-ref refs/tags/{tag} --source-digest {source} --deny-self-hosted-runners"
[ "${{*:4}}" = "$expected" ] || {{ echo "gh: ${{*:4}}" >&2; exit 8; }}
grep -q "$(sha256sum <"$3" | cut -d ' ' -f 1)" {attested}
"""


@pytest.fixture
def project(
    root: Path, origin: Path, github: FakeGitHub, clean_env: dict[str, str], tmp_path: Path
) -> Project:
    source = commit_all(origin, "the source")
    run("git", "tag", SOURCE_TAG, cwd=origin)
    github.set(immutable=True)
    gh = tmp_path / "bin/gh"
    gh.parent.mkdir()
    gh.write_text(GH.format(tag=SOURCE_TAG, source=source, attested=tmp_path / "attested"))
    gh.chmod(0o755)
    values = {
        "GITHUB_REF_NAME": SOURCE_TAG,
        "GITHUB_SHA": source,
        "GITHUB_OUTPUT": tmp_path / "outputs",
        "PATH": f"{gh.parent}:{os.environ['PATH']}",
    }
    return Project(root, origin, source, github, tmp_path, script_env(clean_env, github, **values))


def test_a_release_is_made(project: Project) -> None:
    jobs = project.build()
    done = project.attempt(jobs)
    assert done.returncode == 0, done.stdout
    project.check(digests(jobs))
    # A second run changes and sends nothing.
    project.github.set()
    done = project.attempt(jobs)
    assert done.returncode == 0, done.stdout
    asked = project.github.set()["asked"]
    assert not [one for one in asked if one.startswith(("DELETE", "PATCH")) or "/assets?" in one]
    project.check(digests(jobs))


def requests_of_a_release(project: Project) -> list[str]:
    project.github.set()
    assert project.attempt(project.build()).returncode == 0
    return project.github.set()["asked"]


@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("anew", [False, True], ids=["same-bytes", "other-bytes"])
def test_a_release_is_completed_from_wherever_it_was_cut_off(
    project: Project, fake_github_program: Path, takes_effect: bool, anew: bool
) -> None:
    """Interrupted before and after each request that changes something; also with a new build."""
    changing = [
        at
        for at, request in enumerate(requests_of_a_release(project))
        if not request.startswith("GET")
    ]
    # Of sixteen uploads, only the first, a middle one and the last.
    assert len(changing) > len(FILES)
    uploads = changing[1 : 1 + len(FILES)]
    chosen = [at for at in changing if at not in uploads] + [uploads[at] for at in (0, 7, -1)]
    for at in chosen:
        run("git", "update-ref", "-d", f"refs/tags/{TAG}", cwd=project.origin)
        project.github.stop()
        project.github = FakeGitHub(fake_github_program, project.origin)
        project.env |= project.github.env
        project.github.set(immutable=True, interrupt={"after": at, "takes_effect": takes_effect})
        first = project.build(f" cut off at {at}")
        cut = project.attempt(first)
        assert cut.returncode == 1, f"request {at}"
        assert "the client was cut off" in cut.stdout
        held = project.github.set(interrupt=None)["releases"]
        published = any(not release["draft"] for release in held)
        second = project.build(f" built anew after {at}") if anew else first
        done = project.attempt(second)
        assert done.returncode == 0, f"request {at}\n{done.stdout}"
        # Published files do not change, even if a later run has built others.
        project.check(digests(first if published else second))


def test_a_step_that_ended_is_not_needed_again(project: Project) -> None:
    """Interrupted between two steps: each run starts with the first step."""
    commands = steps(project.root)
    for count in range(len(commands)):
        jobs = project.build()
        for command in commands[:count]:
            done = project.step(command, jobs)
            assert done.returncode == 0, done.stdout
    jobs = project.build()
    assert project.attempt(jobs).returncode == 0
    project.check(digests(jobs))


def test_a_file_of_another_job_is_refused(project: Project) -> None:
    jobs = project.build()
    (Path(jobs["BINARIES"]) / FILES[3]).write_text("swapped")
    done = project.attempt(jobs)
    assert done.returncode == 1
    assert f"artifact `{FILES[3]}`: expected SHA-256" in done.stdout
    assert project.github.set()["releases"] == []


def test_a_file_without_an_attestation_is_not_published(project: Project) -> None:
    jobs = project.build()
    (project.directory / "attested").write_text("")
    done = project.attempt(jobs)
    assert done.returncode == 1
    assert "has no attestation by this workflow" in done.stdout
    (release,) = project.github.set()["releases"]
    assert release["draft"]
    assert run("git", "tag", "--list", TAG, cwd=project.origin) == ""


def test_a_tag_elsewhere_is_not_moved(project: Project) -> None:
    run("git", "tag", TAG, project.source, cwd=project.origin)
    done = project.attempt(project.build())
    assert done.returncode == 1
    assert f"the tag `{TAG}` is at {project.source}" in done.stdout
    assert run("git", "rev-parse", TAG, cwd=project.origin).strip() == project.source


def test_a_missing_build_is_named(project: Project) -> None:
    jobs = project.build()
    outputs = json.loads(jobs["HASHES"]) | {"x86_64-apple-darwin": ""}
    done = project.attempt(jobs | {"HASHES": json.dumps(outputs)})
    assert done.returncode == 1
    assert "the build for `x86_64-apple-darwin` has not output" in done.stdout


def test_launch_reads_each_entry(project: Project, tmp_path: Path) -> None:
    assert project.attempt(project.build()).returncode == 0
    here = tmp_path / "here"
    here.mkdir()
    (here / "binaries.json").write_text(
        run("git", "show", f"{TAG}:actions/binaries.json", cwd=project.origin)
    )
    function = re.search(r"^entry\(\) \{\n.*?^\}\n", launcher(project.root), re.M | re.S)
    assert function
    for name, entry in project.pins()["binaries"].items():
        action, target = name.split(" ")
        script = f'here={here}\n{function.group()}entry "{action}" "{target}"'
        found = run("bash", "-c", script, cwd=here)
        assert found.split() == [entry["sha256"], entry["url"], entry["api"]]


def launcher(root: Path) -> str:
    return (root / "actions/launch.sh").read_text()


@pytest.mark.parametrize("target", ["x86_64-apple-darwin", "x86_64-pc-windows-msvc"])
def test_hashes_are_told_by_target(root: Path, tmp_path: Path, target: str) -> None:
    for action in ("setup-nix", "publish"):
        (tmp_path / file_name(action, target)).write_text(action)
    (tmp_path / "publish-aarch64-apple-darwin").write_text("another row's")
    told = run(root / ".github/hash-binaries.sh", target, tmp_path, cwd=root)
    name, _, value = told.partition("=")
    hashes = {a: hashlib.sha256(a.encode()).hexdigest() for a in ("publish", "setup-nix")}
    assert (name, json.loads(value)) == (target, hashes)
