"""The jobs of test.yml under act that `cargo xtask test` does not run otherwise."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from host_nixpkgs import commit, run
from under_act import Act

pytestmark = pytest.mark.workflow


@pytest.fixture(autouse=True)
def with_binaries(flake: Path, binaries_json: str) -> Iterator[None]:
    """Each action starts immediately, without a build from source."""
    (flake / "actions/binaries.json").write_text(binaries_json)
    commit(flake)
    yield
    run("git", "reset", "--quiet", "--hard", "HEAD~1", cwd=flake)


EVENT = {"ref": "refs/heads/main", "before": "0" * 40}


def test_python_in_every_environment(act: Act) -> None:
    log = act("test.yml", EVENT, "--job", "python", "--matrix", "runner:ubuntu-latest")
    environments = ("empty", "core", "wheel", "sdist", "htty", "cli")
    for environment in environments:
        assert f"== pytest-{environment}" in log
    # The changed areas, the actions, the store, and then the environments.
    assert log.count("Job succeeded") == 3 + len(environments), log


def test_documentation(act: Act) -> None:
    log = act("test.yml", EVENT, "--job", "docs")
    assert "Artifact python-docs has been uploaded" in log


def test_analysis(act: Act) -> None:
    """Without nix-analysis, because statix is missing."""
    apps = [part for app in ("python", "generic") for part in ("--matrix", f"app:{app}-analysis")]
    log = act("test.yml", EVENT, "--job", "lint", *apps)
    assert log.count("Job succeeded") == 2 + 2, log
