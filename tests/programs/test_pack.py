"""The programs as wheels: packed from a release, tagged, verified, published and started."""

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from package_index import Index
from packed import TARGET, Release, repaired
from released import ACTIONS

STATIC = """#include <stdio.h>
int main(int argc, char **argv) { puts(argc > 2 ? argv[2] : "program 1.0"); return 0; }
"""


def verdict(binaries: Path, dist: Path, *args: str) -> dict[str, Any]:
    command = [binaries / "verify-dist", dist, "--manifest", dist.parent / "manifest.json"]
    command += ["--format", "json", *args]
    done = subprocess.run(command, cwd=dist.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_very_bytes_of_the_release_are_published_once(
    checkout: Release, wheel: Path, binaries: Path, tools: Path, index: Index, tmp_path: Path
) -> None:
    release, place = checkout, wheel.parent.parent
    first = release.wheel().read_bytes()
    assert release.pack().returncode == 0
    assert release.wheel().read_bytes() == first, "packed again, it has the same bytes"
    again = repaired(binaries, release.wheel(), tmp_path / "two", release.env)
    hashes = release.pins(binaries)
    assert (wheel.name, wheel.read_bytes()) == (again.name, again.read_bytes())
    data = f"wheel_actions-{release.version}.data"
    with zipfile.ZipFile(wheel) as archive:
        for action, digest in hashes.items():
            program = archive.getinfo(f"{data}/scripts/{action}")
            assert hashlib.sha256(archive.read(program)).hexdigest() == digest
            assert program.external_attr >> 16 == 0o100755
            page = archive.read(f"{data}/data/share/man/man1/{action}.1").decode()
            assert ".SH OPTIONS" in page
            share = f"{data}/data/share"
            for file, word in (
                (f"bash-completion/completions/{action}", "complete -F"),
                (f"zsh/site-functions/_{action}", f"#compdef {action}"),
                (f"fish/vendor_completions.d/{action}.fish", f"complete -c {action}"),
            ):
                assert word in archive.read(f"{share}/{file}").decode(), file
        licences = [name for name in archive.namelist() if ".dist-info/licenses/" in name]
        assert len(licences) == 2
    # For the released binaries; these have the profile `local`, which also strips.
    report = verdict(binaries, wheel.parent)
    assert [one for one in report["findings"] if one["severity"] != "info"] == []
    twine = [tools / "test/bin/twine", "check", "--strict", wheel]
    done = subprocess.run(twine, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

    results = [publish(binaries, place, index, release.env) for _ in range(2)]
    assert results == ["published", "unchanged"]
    command = [tools / "test/bin/uvx", "--no-config", "--no-cache", "--default-index"]
    command += [f"{index.url}simple/", "--from", "wheel-actions", "verify-dist", wheel.parent]
    env = release.env | {"UV_TOOL_DIR": str(tmp_path / "tools")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "manifest:" in done.stdout


def publish(binaries: Path, place: Path, index: Index, env: dict[str, str]) -> str:
    report = place / "publish.json"
    command = [binaries / "publish", place / "dist", "--manifest", place / "manifest.json"]
    command += ["--index", index.url, "--allow-insecure-loopback", "--report-path", report]
    env = env | {"INPUT_PASSWORD": "none-needed"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text())["result"]


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """Small static programs, like the released ones."""
    place = tmp_path / "static"
    place.mkdir()
    (place / "a.c").write_text(STATIC)
    for action in ACTIONS:
        command = ["cc", "-static", "-s", "-o", place / action, place / "a.c"]
        subprocess.run(command, check=True)
    return place


def test_static_programs_are_for_every_linux(
    release: Release, static: Path, binaries: Path, tmp_path: Path
) -> None:
    release.pins(static)
    release.download(static)
    assert release.pack().returncode == 0
    wheel = repaired(binaries, release.wheel(), tmp_path / "one", release.env)
    tags = "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64"
    assert wheel.name == f"wheel_actions-{release.version}-py3-none-{tags}.whl"


def test_every_named_platform_gets_a_wheel(
    release: Release, static: Path, binaries: Path, tmp_path: Path
) -> None:
    """With the tags of all released targets, every environment in `installs` has a wheel."""
    release.pins(static)
    release.download(static)
    assert release.pack().returncode == 0
    wheel = repaired(binaries, release.wheel(), tmp_path / "one", release.env)
    start, linux = wheel.name.removesuffix(".whl").split("-none-")
    arm = wheel.with_name(f"{start}-none-{linux.replace('x86_64', 'aarch64')}.whl")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(arm, "w") as copy:
        for member in source.infolist():
            data = source.read(member)
            # The machine in the header: 183 is AArch64.
            is_program = data.startswith(b"\x7fELF")
            copy.writestr(member, data[:18] + b"\xb7\0" + data[20:] if is_program else data)
    for tag in ("macosx_10_12_x86_64", "macosx_11_0_arm64"):
        (wheel.parent / f"{start}-none-{tag}.whl").write_bytes(wheel.read_bytes())
    command = [binaries / "verify-dist", "installs", wheel.parent, "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (package,) = json.loads(done.stdout)["packages"]
    named = ("x86_64", "aarch64", "arm64")
    environments = {
        one["environment"]: {answer["outcome"] for answer in one["outcomes"].values()}
        for one in package["environments"]
        if one["environment"].endswith(named) and not one["environment"].startswith("windows")
    }
    assert {name.split("-")[0] for name in environments} >= {"debian", "alpine", "macos", "rhel"}
    assert {name: found for name, found in environments.items() if found != {"wheel"}} == {}


def test_another_binary_is_refused(release: Release, static: Path) -> None:
    release.pins(static)
    release.download(static)
    with (release.directory / f"binaries/publish-{TARGET}").open("ab") as file:
        file.write(b"x")
    done = release.pack()
    assert done.returncode == 1
    assert f"publish-{TARGET}` has SHA-256" in done.stderr
    assert not (release.directory / "packed").exists()


def test_a_checkout_without_pins_is_refused(release: Release, static: Path) -> None:
    release.download(static)
    empty = (release.root / "actions/binaries.json").read_bytes()
    (release.directory / "actions/binaries.json").write_bytes(empty)
    done = release.pack()
    assert done.returncode == 2
    assert f"has no entry `setup-nix {TARGET}`" in done.stderr
    assert "hint: check out the commit of a tag" in done.stderr


def test_each_released_target_has_a_wheel(root: Path) -> None:
    workflow = yaml.safe_load((root / ".github/workflows/actions-release.yml").read_text())
    rows = [workflow["jobs"][job]["strategy"]["matrix"] for job in ("build", "wheels")]
    assert rows[0] == rows[1]
