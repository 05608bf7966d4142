"""setup-nix under real act, with its cache server, on an empty /nix."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from declared import check_outputs
from under_act import Command, stand_ins

Job = Callable[..., tuple[Path, str]]

# 32 digits of Nix's base 32.
HASH = "0" * 32


def tarball(directory: Path) -> tuple[Path, str]:
    """This machine's own Nix in the official layout; returns the file and its SHA-256."""
    layout = directory / "nix-9.9.9-here"
    name = f"{HASH}-nix-9.9.9"
    programs = layout / "store" / name / "bin"
    programs.mkdir(parents=True)
    nix = shutil.which("nix-store")
    assert nix, "install nix-bin: `cargo xtask setup-test-tools`"
    shutil.copy(Path(nix).resolve(), programs / "nix")
    for program in ("nix-store", "nix-build", "nix-instantiate"):
        (programs / program).symlink_to("nix")
    (programs / "nix").chmod(0o555)
    nar = subprocess.run((nix, "--dump", programs.parent), check=True, capture_output=True).stdout
    digest = hashlib.sha256(nar).hexdigest()
    (layout / ".reginfo").write_text(f"/nix/store/{name}\nsha256:{digest}\n{len(nar)}\n\n0\n")
    (layout / "install").write_text(f'#!/bin/sh\nnix="/nix/store/{name}"\n')
    file = directory / "nix.tar.xz"
    subprocess.run(("tar", "-C", directory, "-cJf", file, layout.name), check=True)
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def job(
    root: Path,
    binaries: Path,
    tools: Path,
    clean_env: dict[str, str],
    act_command: Command,
    tmp_path: Path,
) -> Job:
    """Runs the workflow on a new machine; returns the directory of results and the log."""
    file, digest = tarball(tmp_path)
    paths = ("setup-nix/action.yml", "setup-nix/save/action.yml")
    texts = [(root / "actions" / path).read_text() for path in paths]
    places = stand_ins(tools / "stand-ins", texts)
    binary = binaries / "setup-nix"

    def run(
        name: str, *, fail: bool = False, hash_files: str = "**/flake.lock", extra: str = ""
    ) -> tuple[Path, str]:
        # The service also identifies a cache by the path of its directory.
        machine = tmp_path / "machine"
        if machine.exists():
            subprocess.run(("chmod", "-R", "u+w", machine), check=True)
            shutil.rmtree(machine)
        results = tmp_path / name
        results.mkdir(parents=True)
        (machine / "nix").mkdir(parents=True)
        variables = {
            "XDG_CACHE_HOME": machine / "cache",
            "RESULTS": results,
            "TARBALL": file,
            "TARBALL_SHA256": digest,
            # A build from source would be repeated in each run, because its directory differs.
            "BINARY": binary,
            "BINARY_SHA256": hashlib.sha256(binary.read_bytes()).hexdigest(),
            "FAIL": "yes" if fail else "",
            "HASH_FILES": hash_files,
            "EXTRA": extra,
        }
        act = [
            *act_command("workflow_dispatch", places=places, **variables),
            *("-W", "tests/act/setup-nix.yml"),
        ]
        namespace = [
            "unshare",
            "-m",
            "sh",
            "-c",
            'mount --bind "$0" /nix && exec "$@"',
            machine / "nix",
        ]
        (Path("/nix")).mkdir(exist_ok=True)
        done = subprocess.run(
            [*namespace, *act], cwd=root, env=clean_env, capture_output=True, text=True, timeout=900
        )
        log = done.stdout + done.stderr
        assert done.returncode == (1 if fail else 0), log
        return results, log

    return run


def report(results: Path, name: str) -> dict[str, Any]:
    """One of a job's JSON reports."""
    content: dict[str, Any] = json.loads((results / f"{name}.json").read_text())
    assert content["schema"] == 1
    return content


def test_what_a_job_builds_the_next_one_has(root: Path, job: Job) -> None:
    results, log = job("first", fail=True)
    for action in ("setup-nix", "setup-nix/save"):
        check_outputs(root, results, action)
    installed, saved = report(results, "install"), report(results, "save")
    assert installed["cache"]["lookup"] == "miss", log
    assert installed["nix"]["paths_placed"] == 1
    assert "building" in (results / "build.log").read_text()
    assert saved["cache"]["changed"], log
    assert saved["packed_in_background"]["paths"] == 6, saved
    assert saved["packed"]["paths"] == 0, "nothing was left to pack at the end"
    # The layer is saved before the index that refers to it.
    layer = re.search(r"Cache saved with key: nix-store-layer-\d+-[0-9a-f]{32}\b", log)
    assert layer, log
    assert f"Cache saved with key: {saved['cache']['save_key']}" in log[layer.end() :], log
    first = (results / "path").read_text()

    results, log = job("second")
    installed, saved = report(results, "install"), report(results, "save")
    assert installed["cache"]["lookup"] == "hit", log
    assert installed["restored"]["paths"] == 6, installed
    assert installed["restored"]["refused"] == []
    assert (results / "path").read_text() == first
    assert "building" not in (results / "build.log").read_text()
    assert not saved["cache"]["changed"], log
    assert "Cache saved with key" not in log, log

    # The additions of a commit are a new layer; the others are not uploaded again.
    results, log = job("third", extra="more")
    installed, saved = report(results, "install"), report(results, "save")
    assert installed["restored"]["paths"] == 6, log
    assert saved["cache"]["changed"], log
    assert len(re.findall(r"Cache saved with key: nix-store-layer-", log)) == 1, log

    results, log = job("fourth", extra="more")
    assert len(re.findall(r"Cache restored from key: nix-store-layer-", log)) == 2, log
    assert report(results, "install")["restored"]["paths"] == 8, log
    assert "building" not in (results / "build.log").read_text()

    # An updated flake has another key, and starts with the previous store.
    results, log = job("fifth", hash_files="Cargo.lock")
    installed = report(results, "install")
    assert installed["cache"]["lookup"] == "partial-hit", log
    assert installed["restored"]["paths"] == 8, installed
    assert "building" not in (results / "build.log").read_text()
    assert not report(results, "save")["cache"]["changed"], "the set is that of before"
