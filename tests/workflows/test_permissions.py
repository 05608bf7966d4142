"""The permissions in this repository's workflows."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

Jobs = dict[str, dict[str, Any]]
WORKFLOWS = [
    "test.yml",
    "release.yml",
    "actions-release.yml",
    "renew.yml",
    "scheduled.yml",
    "soak.yml",
    "book.yml",
]
READ = {"contents": "read"}


def jobs(root: Path, name: str) -> Jobs:
    """The workflow's jobs; the workflow itself grants no permissions."""
    workflow = yaml.safe_load((root / ".github/workflows" / name).read_text())
    assert workflow["permissions"] == {}
    return workflow["jobs"]


def more_than_reading(root: Path, name: str) -> dict[str, dict[str, str]]:
    given = {name: job["permissions"] for name, job in jobs(root, name).items()}
    return {name: permissions for name, permissions in given.items() if permissions != READ}


def used(job: dict[str, Any]) -> list[str]:
    return [step["uses"].split("@")[0] for step in job["steps"] if "uses" in step]


def test_every_workflow_is_looked_at(root: Path) -> None:
    found = {path.name for path in (root / ".github/workflows").iterdir()}
    assert found == set(WORKFLOWS)


def test_a_token_is_given_where_it_is_needed(root: Path) -> None:
    assert more_than_reading(root, "test.yml") == {
        "changes": {"actions": "read", "contents": "read"}
    }
    assert more_than_reading(root, "scheduled.yml") == {}
    assert more_than_reading(root, "soak.yml") == {}
    assert more_than_reading(root, "release.yml") == {
        "publish": {"contents": "read", "id-token": "write"},
        "github-release": {"contents": "write"},
    }
    assert more_than_reading(root, "actions-release.yml") == {
        "attest": {"id-token": "write", "attestations": "write"},
        "release": {"contents": "write", "attestations": "read"},
        "pins": {"actions": "write", "contents": "write", "pull-requests": "write"},
        "pypi": {"contents": "read", "id-token": "write"},
    }
    assert more_than_reading(root, "book.yml") == {"deploy": {"contents": "write"}}
    assert more_than_reading(root, "renew.yml") == {
        "propose": {"actions": "write", "contents": "write", "pull-requests": "write"}
    }


@pytest.mark.parametrize("name", ["release.yml", "actions-release.yml", "renew.yml"])
def test_no_job_with_a_token_compiles_or_restores(root: Path, name: str) -> None:
    for job in (jobs(root, name)[privileged] for privileged in more_than_reading(root, name)):
        for action in used(job):
            assert action not in ("./actions/setup-nix", "./actions/build-wheel")
        assert not re.search(r"\b(cargo|nix|pip|maturin)\b", yaml.safe_dump(job["steps"]))


@pytest.mark.parametrize("name", ["release.yml", "actions-release.yml", "renew.yml"])
def test_caches_are_written_by_tests_alone(root: Path, name: str) -> None:
    for job in jobs(root, name).values():
        assert not any(action.startswith("actions/cache") for action in used(job))
        for step in job["steps"]:
            if step.get("uses") == "./actions/setup-nix":
                assert step["with"]["cache"] in ("read-only", "off")


def test_what_is_published_has_run_on_its_platform(root: Path) -> None:
    release = jobs(root, "release.yml")
    assert release["aarch64"]["runs-on"] == "ubuntu-24.04-arm"
    assert set(release["verify"]["needs"]) >= {"wheels", "sdist", "aarch64"}
    assert "verify" in release["publish"]["needs"]
    # A dry run from a branch is not rejected, although `release` is only for tags.
    expression = "${{ github.ref_type == 'tag' && 'release' || 'dry-run' }}"
    assert release["publish"]["environment"] == expression
    strategy = release["wheels"]["strategy"]
    assert strategy["fail-fast"] is False
    rows = {row["target"]: row for row in strategy["matrix"]["include"]}
    assert len(rows) == 4
    # nixpkgs rejects this system, so no row of a workflow evaluates it.
    assert rows.pop("x86_64-apple-darwin")["backend"] == "maturin"
    assert {row["backend"] for row in rows.values()} == {"nix"}
    assert "intel" not in yaml.safe_dump(release)


def test_a_foreign_action_has_one_pin(root: Path) -> None:
    """Each pin is a commit, the same in all files, with the version in a comment."""
    pins: dict[str, set[str]] = {}
    files = [*root.glob(".github/workflows/*.yml"), *root.glob("actions/**/action.yml")]
    for path in [*files, *root.glob("tests/consumers/*/.github/workflows/*.yml")]:
        for action, pin in re.findall(r"uses: ([\w-]+/[\w-]+)[\w/-]*@(.*)", path.read_text()):
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), f"{path}: {pin}"
            pins.setdefault(action, set()).add(pin)
    assert {action: pin for action, pin in pins.items() if len(pin) > 1} == {}
    assert len(pins) >= 5
