"""The jobs that test.yml runs for a change."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_github import FakeGitHub, commit_all, script_env
from host_nixpkgs import run

ALL = {"code", "prose", "packages", "measured", "pins"}
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    subprocess.run([*GIT, "init", "--quiet"], cwd=tmp_path, check=True)
    commit(tmp_path, "README.md")
    return tmp_path


def commit(repository: Path, name: str) -> None:
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
    subprocess.run([*GIT, "add", "."], cwd=repository, check=True)
    subprocess.run([*GIT, "commit", "--quiet", "--message", name], cwd=repository, check=True)


def areas(root: Path, repository: Path, base: str) -> set[str]:
    """The areas that count as changed."""
    script = root / ".github/changed-areas.sh"
    done = subprocess.run([script, base], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split("=") for line in done.stdout.splitlines())
    assert set(lines) == ALL
    assert set(lines.values()) <= {"true", "false"}
    return {name for name, changed in lines.items() if changed == "true"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docs/releasing.md", {"prose"}),
        ("CHANGELOG.md", {"prose"}),
        ("htty/README.md", {"prose", "packages", "measured"}),
        ("htty/src/htty/__init__.py", {"code", "packages", "measured"}),
        ("nix/lib/version.nix", {"code", "packages"}),
        ("actions/publish/src/plan.rs", {"code", "measured", "pins"}),
        ("xtask/requirements/test.txt", {"code", "pins"}),
        ("Cargo.lock", {"code", "packages", "measured", "pins"}),
        ("htty-core/Cargo.lock", {"code", "packages", "measured", "pins"}),
        ("fuzz/Cargo.lock", {"code", "pins"}),
        (".github/workflows/test.yml", ALL),
        (".github/workflows/release.yml", {"code", "pins"}),
    ],
)
def test_a_file_belongs_to_areas(
    root: Path, repository: Path, name: str, expected: set[str]
) -> None:
    commit(repository, name)
    assert areas(root, repository, "HEAD~1") == expected


@pytest.mark.parametrize("base", ["", "0" * 40, "no-such-branch"])
def test_without_a_base_everything_changed(root: Path, repository: Path, base: str) -> None:
    assert areas(root, repository, base) == ALL


class Main:
    """Pushes to main, each with a run of test.yml and its conclusion, if any."""

    def __init__(
        self,
        root: Path,
        clean_env: dict[str, str],
        github: FakeGitHub,
        origin: Path,
        directory: Path,
    ) -> None:
        self.root, self.clean_env, self.github, self.origin = root, clean_env, github, origin
        self.output = directory / "output"
        self.runs: list[dict[str, Any]] = []
        workflow = yaml.safe_load((root / ".github/workflows/test.yml").read_text())
        (step,) = (s for s in workflow["jobs"]["changes"]["steps"] if s.get("id") == "filter")
        self.command: str = step["run"]

    def push(self, *files: str, conclusion: str | None = "success") -> set[str]:
        """The areas that the run of a push tests; the run ends with `conclusion`."""
        for file in files:
            (self.origin / file).parent.mkdir(parents=True, exist_ok=True)
            (self.origin / file).write_text(str(len(self.runs)))
        sha = commit_all(self.origin, " ".join(files))
        tested = self.tested()
        self.end(sha, conclusion)
        return tested

    def end(self, sha: str, conclusion: str | None, **more: str) -> None:
        path = ".github/workflows/test.yml"
        about = {"head_sha": sha, "head_branch": "main", "event": "push", "path": path}
        self.runs.insert(0, about | {"conclusion": conclusion} | more)
        self.github.set(runs=self.runs)

    def tested(self, **event: str) -> set[str]:
        """The output of the job `changes` for HEAD, with the repository's own scripts."""
        self.output.write_text("")
        for directory in (".github", "xtask/scripts"):
            run("mkdir", "-p", directory, cwd=self.origin)
        # The step runs in a checkout of the project; here, its scripts are beside it.
        command = re.sub(
            r"(xtask/scripts/\w+\.py|\.github/\w[\w-]*\.sh)", f"{self.root}/\\1", self.command
        )
        values = {"EVENT": "push", "BASE": "", "GITHUB_REF_NAME": "main"} | event
        env = script_env(self.clean_env, self.github, GITHUB_OUTPUT=self.output, **values)
        run("bash", "-euo", "pipefail", "-c", command, cwd=self.origin, env=env)
        lines = dict(line.split("=") for line in self.output.read_text().splitlines())
        return {name for name, changed in lines.items() if changed == "true"}


@pytest.fixture
def main(
    root: Path, clean_env: dict[str, str], github: FakeGitHub, origin: Path, tmp_path: Path
) -> Main:
    return Main(root, clean_env, github, origin, tmp_path)


def test_prose_after_code_does_not_hide_the_code(main: Main) -> None:
    assert main.push("README.md") == ALL, "nothing has passed so far"
    assert main.push("htty/a.py", conclusion="cancelled") == {"code", "packages", "measured"}
    both = {"code", "prose", "packages", "measured"}
    assert main.push("docs/a.md", conclusion=None) == both
    assert main.push("docs/b.md", conclusion="failure") == both
    assert main.push("docs/c.md") == both
    assert main.push("docs/d.md") == {"prose"}


def test_a_run_in_between_that_failed_adds_up(main: Main) -> None:
    main.push("README.md")
    assert main.push("xtask/requirements/a.txt", conclusion="failure") == {"code", "pins"}
    assert main.push("nix/a.nix") == {"code", "packages", "pins"}


def test_runs_that_say_nothing_of_main_do_not_count(main: Main) -> None:
    main.push("README.md")
    head = commit_all(main.origin, "empty")
    main.push("htty/a.py", conclusion="failure")
    for more in (
        {"head_branch": "topic"},
        {"event": "workflow_dispatch"},
        {"path": ".github/workflows/release.yml"},
    ):
        main.end(run("git", "rev-parse", "HEAD~0", cwd=main.origin).strip(), "success", **more)
        main.end(head, "failure", **more)
        assert main.tested() == {"code", "packages", "measured"}


def test_a_rewritten_branch_is_tested_from_what_is_left(main: Main) -> None:
    main.push("README.md")
    main.push("htty/a.py")
    run("git", "reset", "--quiet", "--hard", "HEAD~1", cwd=main.origin)
    assert main.push("docs/a.md") == {"prose"}
    main.runs = [one for one in main.runs if one["conclusion"] != "success"]
    main.github.set(runs=main.runs)
    assert main.push("docs/b.md") == ALL


def test_a_passed_run_that_is_repeated_runs_again(main: Main) -> None:
    main.push("README.md")
    expected = main.push("htty/a.py")
    assert main.tested() == expected


def test_without_an_answer_everything_runs(main: Main) -> None:
    main.push("README.md")
    main.push("docs/a.md")
    main.github.set(interrupt={"after": 0})
    assert main.tested() == ALL


def test_a_pull_request_is_compared_with_its_base(main: Main) -> None:
    main.push("README.md")
    base = commit_all(main.origin, "base")
    main.push("htty/a.py", conclusion=None)
    assert main.tested(EVENT="pull_request", BASE=base) == {"code", "packages", "measured"}
    assert main.tested(EVENT="workflow_dispatch") == ALL


def group(root: Path, event: str, ref: str, run_id: str) -> str:
    """test.yml's concurrency group, for both cases of its expression."""
    workflow = yaml.safe_load((root / ".github/workflows/test.yml").read_text())
    text: str = workflow["concurrency"]["group"]
    expression = "${{ github.event_name == 'pull_request' && github.ref || github.run_id }}"
    assert expression in text
    return text.replace(expression, ref if event == "pull_request" else run_id)


def test_on_main_no_run_waits_for_or_ends_another(root: Path) -> None:
    assert group(root, "push", "refs/heads/main", "1") != group(
        root, "push", "refs/heads/main", "2"
    )
    pull = "refs/pull/1/merge"
    assert group(root, "pull_request", pull, "1") == group(root, "pull_request", pull, "2")
