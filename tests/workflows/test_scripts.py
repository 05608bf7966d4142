"""The workflows' smaller scripts."""

import os
import subprocess
from pathlib import Path

import pytest
from host_nixpkgs import run


@pytest.mark.parametrize(
    ("date", "late"), [("2026-12-31", 0), ("2027-01-01", 2), ("2027-09-01", 3)]
)
def test_what_is_out_of_support_is_named(root: Path, date: str, late: int) -> None:
    done = subprocess.run(
        [root / ".github/scan.sh", "support", date], capture_output=True, text=True
    )
    named = [line for line in done.stdout.splitlines() if line.startswith("::error file=")]
    assert (done.returncode, len(named)) == (1 if late else 0, late), done.stdout
    assert all(" ended on " in line and "%0Ahint: " in line for line in named)
    if late:
        assert "flake.nix::support of `nixpkgs-26.05-darwin`" in named[0]


# A stand-in for gh in `propose.sh`: pull requests are lines of a file, STATE NUMBER.
GH = """#!/usr/bin/env bash
echo "$*" >> {log}
case "$1 $2" in
  "auth setup-git") ;;
  "pr list") [[ "$*" == *"--state open"* ]] && sed -n 's/^open //p' {pulls} ;;
  "pr view") exit 0 ;;
  "pr create") [ ! -e {forbidden} ] ;;
  "workflow run") [ "$3 $4 $5" = "test.yml --ref renew" ] ;;
  *) exit 9 ;;
esac
"""


class Proposal:
    def __init__(self, root: Path, directory: Path) -> None:
        self.root, self.directory = root, directory
        self.pulls, self.log = directory / "pulls", directory / "log"
        self.forbidden = directory / "forbidden"
        self.pulls.write_text("")
        gh = directory / "bin/gh"
        gh.parent.mkdir()
        text = GH.replace("{log}", str(self.log)).replace("{pulls}", str(self.pulls))
        gh.write_text(text.replace("{forbidden}", str(self.forbidden)))
        gh.chmod(0o755)
        self.upstream = directory / "upstream.git"
        run("git", "init", "--quiet", "--bare", self.upstream, cwd=directory)

    def run(self, content: str) -> "subprocess.CompletedProcess[str]":
        """A weekly run in a separate checkout, with the change `content`."""
        work = self.directory / f"work-{content}"
        run("git", "init", "--quiet", "--initial-branch", "main", work, cwd=self.directory)
        git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
        (work / "pins").write_text("old\n")
        run(*git, "add", ".", cwd=work)
        run(*git, "commit", "--quiet", "--message", "first", cwd=work)
        run("git", "remote", "add", "origin", self.upstream, cwd=work)
        (work / "pins").write_text(content + "\n")
        patch = self.directory / "renew.patch"
        patch.write_text(run("git", "diff", "--binary", cwd=work))
        run("git", "checkout", "--quiet", "--", ".", cwd=work)
        self.log.write_text("")
        env = os.environ | {"PATH": f"{self.directory}/bin:{os.environ['PATH']}"}
        command = [self.root / ".github/propose.sh", patch]
        return subprocess.run(command, cwd=work, env=env, capture_output=True, text=True)

    def calls(self, *words: str) -> int:
        return sum(line.startswith(" ".join(words)) for line in self.log.read_text().splitlines())

    def pushed(self) -> str:
        return run("git", "show", "renew:pins", cwd=self.upstream)


@pytest.fixture
def proposal(root: Path, tmp_path: Path) -> Proposal:
    return Proposal(root, tmp_path)


def test_each_week_has_its_proposal(proposal: Proposal) -> None:
    done = proposal.run("first")
    assert done.returncode == 0, done.stderr
    assert proposal.pushed() == "first\n"
    assert (proposal.calls("pr create"), proposal.calls("workflow run")) == (1, 1)
    # It is open: the branch is updated, and the tests run again.
    proposal.pulls.write_text("open 7\n")
    assert proposal.run("second").returncode == 0
    assert proposal.pushed() == "second\n"
    assert (proposal.calls("pr create"), proposal.calls("workflow run")) == (0, 1)
    # It was merged, and another one closed: a new one is opened.
    proposal.pulls.write_text("merged 7\nclosed 8\n")
    assert proposal.run("third").returncode == 0
    assert (proposal.calls("pr create"), proposal.calls("workflow run")) == (1, 1)


def test_what_to_allow_is_said(proposal: Proposal) -> None:
    proposal.forbidden.write_text("")
    done = proposal.run("first")
    assert done.returncode == 1
    assert "Allow GitHub Actions to create and approve pull requests" in done.stdout


def test_a_foreign_checkout_is_read(root: Path, clean_env: dict[str, str], tmp_path: Path) -> None:
    """As in a container job: root's HOME is empty, and another user owns the checkout."""
    home = tmp_path / "home"
    home.mkdir()
    env = {k: v for k, v in clean_env.items() if not k.startswith("GIT_")}
    env |= {"HOME": str(home), "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    list_files = ["git", "ls-files"]
    refused = subprocess.run(list_files, cwd=root, env=env, capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    # The step of the workflows.
    trust = 'git config --global --add safe.directory "$GITHUB_WORKSPACE"'
    run("bash", "-c", trust, cwd=root, env=env | {"GITHUB_WORKSPACE": str(root)})
    assert "README.md" in run(*list_files, cwd=root, env=env).splitlines()
