"""Installers of the programs: cargo binstall, pre-commit."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import yaml
from host_nixpkgs import run
from package_index import Index
from packed import Release
from released import ACTIONS


def toml(text: str) -> dict[str, Any]:
    """A TOML file's content as plain values; Python has a reader only since 3.11."""
    return tomlkit.parse(text).unwrap()


@pytest.mark.parametrize("action", ACTIONS)
def test_binstall_downloads_what_is_released(root: Path, action: str) -> None:
    """The URL equals that in actions/binaries.json, which release_actions.py writes."""
    manifest = toml((root / f"actions/{action}/Cargo.toml").read_text())["package"]
    workspace = toml((root / "Cargo.toml").read_text())["workspace"]["package"]
    assert manifest["repository"] == {"workspace": True}
    binstall = manifest["metadata"]["binstall"]
    workflow = yaml.safe_load((root / ".github/workflows/actions-release.yml").read_text())
    for row in workflow["jobs"]["build"]["strategy"]["matrix"]["include"]:
        values = {
            "repo": workspace["repository"].replace("<owner>/<repo>", "octo/htty"),
            "version": "1.2.3",
            "name": manifest["name"],
            "target": row["target"],
            "binary-ext": ".exe" if "-windows-" in row["target"] else "",
        }
        url = binstall["pkg-url"]
        for name, value in values.items():
            url = url.replace(f"{{ {name} }}", value)
        assert "{" not in url
        # As `pages` and `split_name` in the script.
        pages = "https://github.com/octo/htty/releases/download/src-v1.2.3"
        assert url == f"{pages}/{action}-{row['target']}{values['binary-ext']}"
    assert binstall["pkg-fmt"] == "bin", "the released files are no archives"


def test_the_hooks_install_this_version(root: Path) -> None:
    project = toml((root / "pyproject.toml").read_text())["project"]
    version = toml((root / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert project["version"] == version
    assert project["dependencies"] == [f"wheel-actions=={version}"]
    for forge in ("gitlab", "forgejo"):
        assert f"wheel-actions=={version}\n" in (root / f"forges/{forge}.yml").read_text()


@pytest.fixture
def project(
    root: Path, wheel: Path, index: Index, tools: Path, checkout: Release, tmp_path: Path
) -> tuple[Path, dict[str, str]]:
    """A project with the hooks of a copy of this repository, and an index to install from."""
    shutil.copy(wheel, index.directory)
    hooks, project = tmp_path / "hooks", tmp_path / "project"
    for place in (hooks, project):
        run("git", "init", "--quiet", place, cwd=tmp_path)
    for file in (".pre-commit-hooks.yaml", "pyproject.toml"):
        shutil.copy(root / file, hooks)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    run("git", "add", ".", cwd=hooks)
    run("git", *identity, "commit", "--quiet", "-m", "hooks", cwd=hooks)
    revision = run("git", "rev-parse", "HEAD", cwd=hooks).strip()
    ids = [{"id": "verify-dist"}, {"id": "verify-wheels"}]
    config = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": ids}]}
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    run("git", "add", ".", cwd=project)
    env = checkout.env | {
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "PIP_INDEX_URL": f"{index.url}simple/",
        "PATH": f"{tools / 'pre-commit/bin'}:{os.environ['PATH']}",
    }
    for name in ("PIP_FIND_LINKS", "PIP_CERT"):
        env.pop(name, None)
    return project, env


def test_pre_commit_checks_dist_and_committed_wheels(
    project: tuple[Path, dict[str, str]], wheel: Path
) -> None:
    place, env = project

    def hook(*args: str) -> "subprocess.CompletedProcess[str]":
        command = ["pre-commit", "run", "--color", "never", "--all-files", *args]
        return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)

    (place / "dist").mkdir()
    shutil.copy(wheel, place / "dist")
    done = hook("--hook-stage", "manual", "verify-dist")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^verify-dist\.+Passed$", done.stdout, re.MULTILINE), done.stdout
    done = hook("verify-wheels")
    assert re.search(r"^verify-wheels\.+.*Skipped$", done.stdout, re.MULTILINE), done.stdout

    broken = place / "vendor" / wheel.name
    broken.parent.mkdir()
    broken.write_bytes(wheel.read_bytes()[:1000])
    run("git", "add", "vendor", cwd=place)
    done = hook("verify-wheels")
    assert done.returncode == 1, done.stdout
    assert f"error[ZIP001] {wheel.name}" in done.stdout
    assert not list(place.glob("**/dist-manifest.json"))
