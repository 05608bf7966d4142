"""The programs behave under Windows as under Linux.

Wine replaces Windows. docs/known-gaps.md lists what it cannot show.
"""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from package_index import Index
from under_wine import PROGRAMS, TARGET, Done, Wine

pytestmark = pytest.mark.soak


@pytest.fixture
def sound(corpus: Path, tmp_path: Path) -> Path:
    """A directory with `dist`, which holds a release."""
    dist = tmp_path / "project/dist"
    dist.mkdir(parents=True)
    files = sorted(corpus.glob("attrs-*"))
    assert {file.suffix for file in files} == {".whl", ".gz"}, files
    for file in files:
        shutil.copy(file, dist)
    return dist.parent


def test_they_start(wine: Wine, tmp_path: Path) -> None:
    for name in PROGRAMS:
        done = wine(name, "--version", cwd=tmp_path)
        assert done.returncode == 0, done
        assert done.stdout.startswith(f"{name} 0."), done


def test_the_report_on_real_files_is_the_same(
    wine: Wine, native: Callable[..., Done], corpus: Path, tmp_path: Path
) -> None:
    """Paths, separators and line endings of Windows must not appear in it."""
    (tmp_path / "dist").symlink_to(corpus)
    args = ("dist", "--format", "json", "--manifest", "none")
    expected = native("verify-dist", *args, cwd=tmp_path)
    found = wine("verify-dist", *args, cwd=tmp_path)
    assert expected.returncode in (0, 1), expected.stderr
    assert (found.returncode, found.stdout) == (expected.returncode, expected.stdout), found.stderr
    assert len(json.loads(found.stdout)["files"]) > 500
    for file in sorted(corpus.glob("*-win*.whl"))[:20]:
        args = (f"dist/{file.name}", "--format", "json", "--manifest", "none")
        expected = native("verify-dist", *args, cwd=tmp_path)
        # As a user types it on Windows.
        args = (f"dist\\{file.name}", *args[1:])
        found = wine("verify-dist", *args, cwd=tmp_path)
        assert (found.returncode, found.stdout) == (expected.returncode, expected.stdout), file


def test_patterns_as_cmd_and_powershell_pass_them(wine: Wine, sound: Path) -> None:
    for pattern in (r"dist\*", r".\dist\*.whl", r".\DIST\ATTRS-*.WHL"):
        done = wine("verify-dist", pattern, "--format", "json", "--manifest", "none", cwd=sound)
        assert done.returncode == 0, done
        assert json.loads(done.stdout)["files"], done
        args = ("--index", "testpypi", "--manifest", "none", "--dry-run=offline")
        done = wine("publish", pattern, *args, cwd=sound, INPUT_PASSWORD="none-needed")
        assert done.returncode == 0, done
        assert "attrs" in done.stdout, done


def test_a_runner_of_windows(
    wine: Wine, native: Callable[..., Done], sound: Path, tmp_path: Path
) -> None:
    """The variables contain drive letters and backslashes; the manifest has the same bytes."""
    assert native("verify-dist", "dist", cwd=sound).returncode == 0
    expected = (sound / "dist-manifest.json").read_bytes()
    (sound / "dist-manifest.json").unlink()
    temp = tmp_path / "temp"
    temp.mkdir()
    outputs, summary = temp / "outputs", temp / "summary"
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": Wine.path(outputs),
        "GITHUB_STEP_SUMMARY": Wine.path(summary),
        "GITHUB_WORKSPACE": Wine.path(sound),
        "RUNNER_TEMP": Wine.path(temp),
        "INPUT_PATHS": Wine.path(sound / "dist"),
    }
    # An older report, and long names below the temporary directory.
    report = temp / ("long-" * 20) / ("name-" * 20) / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text("of an earlier run")
    manifest = Wine.path(sound / "dist-manifest.json")
    args = ("--report-path", Wine.path(report), "--manifest", manifest)
    done = wine("verify-dist", *args, cwd=sound, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (sound / "dist-manifest.json").read_bytes() == expected
    assert json.loads(report.read_text())["schema"] == 1
    assert "manifest-sha256" in outputs.read_text()
    # Bash would take a backslash for an escape.
    assert manifest.replace("\\", "/") in outputs.read_text()
    assert summary.read_text()


def test_files_on_a_share(wine: Wine, index: Index, sound: Path, share: str) -> None:
    """The programs read, check, repack and publish from there, and write nothing elsewhere."""
    project = rf"{share}\project"
    local = wine("verify-dist", "dist", "--format", "json", "--manifest", "none", cwd=sound)
    args = (rf"{project}\dist", "--format", "json", "--manifest", rf"{project}\dist-manifest.json")
    done = wine("verify-dist", *args, cwd=sound, RUNNER_TEMP=share)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report.pop("manifest_sha256")
    expected = json.loads(local.stdout)
    assert expected.pop("manifest_sha256") is None
    assert report == expected
    listed = json.loads((sound / "dist-manifest.json").read_text())["files"]
    assert sorted(file["filename"] for file in listed) == sorted(os.listdir(sound / "dist"))

    (wheel,) = sound.glob("dist/*.whl")
    out = ("--out-dir", rf"{project}\again", "--report-path", rf"{project}\build-report.json")
    source = rf"{project}\dist\{wheel.name}"
    done = wine("build-wheel", source, "--backend", "wheel", "--smoke", "off", *out, cwd=sound)
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.listdir(sound / "again") == [wheel.name]

    options = ["--manifest", rf"{project}\dist-manifest.json", "--index", index.url]
    options += ["--allow-insecure-loopback", "true", "--attestations", "off"]
    options += ["--report-path", rf"{project}\publish-report.json"]
    done = wine("publish", rf"{project}\dist\*", *options, cwd=sound, INPUT_PASSWORD="none-needed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(index.files()) == sorted(os.listdir(sound / "dist"))


def test_names_that_windows_reserves(wine: Wine, native: Callable[..., Done], sound: Path) -> None:
    """They are findings as on Linux, and no device is opened."""
    (wheel,) = sound.glob("dist/*-py3-none-any.whl")
    foreign = wheel.rename(wheel.with_name(wheel.name.replace("-any", "-win_amd64")))
    with zipfile.ZipFile(foreign, "a") as archive:
        for name in ("attr/NUL.txt", "attr/con", "attr/dots..", "attr/COM1.py"):
            archive.writestr(name, "text")
    args = (f"dist/{foreign.name}", "--format", "json", "--manifest", "none")
    found, expected = wine("verify-dist", *args, cwd=sound), native("verify-dist", *args, cwd=sound)
    assert (found.returncode, found.stdout) == (1, expected.stdout), found.stderr
    findings = json.loads(found.stdout)["findings"]
    reserved = [one for one in findings if one["rule"] == "ZIP014"]
    assert [one["severity"] for one in reserved] == ["error"] * 4, findings


def test_publish_uploads_to_an_index(wine: Wine, index: Index, sound: Path) -> None:
    assert wine("verify-dist", "dist", cwd=sound).returncode == 0
    options = ["--manifest", "dist-manifest.json", "--index", index.url]
    options += ["--allow-insecure-loopback", "true", "--attestations", "off"]
    states: list[str] = []
    for _ in range(2):
        done = wine("publish", "dist\\*", *options, cwd=sound, INPUT_PASSWORD="none-needed")
        assert done.returncode == 0, done.stdout + done.stderr
        states.append(json.loads((sound / "publish-report.json").read_text())["result"])
    assert states == ["published", "unchanged"]
    assert sorted(index.files()) == sorted(os.listdir(sound / "dist"))
    for file in (sound / "dist").iterdir():
        assert (index.directory / file.name).read_bytes() == file.read_bytes()


def test_plans_for_the_machine(wine: Wine, tmp_path: Path) -> None:
    """Its processor, the case of its variables, and what it lacks."""
    for name in ("bin/maturin.exe", "bin/cargo.exe", "src/main.rs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    backend = '[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"\n'
    (tmp_path / "pyproject.toml").write_text(backend + '[project]\nname = "a"\nversion = "1"\n')
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "a"\nversion = "1.0.0"\n')
    start = f'"{Wine.path(wine.binaries / "build-wheel.exe")}" --linker native %*\n'

    def run(*args: str, **variables: str) -> Done:
        """Wine sets some variables itself, so a batch file sets them."""
        variables |= {"PATH": Wine.path(tmp_path / "bin") + ";%PATH%"}
        lines = [f"set {name}={value}\n" for name, value in variables.items()]
        (tmp_path / "run.bat").write_text("@echo off\n" + "".join(lines) + start)
        command = [wine.program, "cmd", "/c", "run.bat", *args]
        return subprocess.run(command, cwd=tmp_path, env=wine.env, capture_output=True, text=True)

    def plan(*args: str, **variables: str) -> tuple[str, dict[str, str]]:
        done = run("--dry-run", *args, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        planned = json.loads(done.stdout)
        return planned["target"], planned["build"]["env"]

    target, env = plan()
    assert target == "x86_64-pc-windows-msvc"
    assert env["CARGO_ENCODED_RUSTFLAGS"].endswith("-Clink-arg=/Brepro")
    assert not any(name.startswith("CFLAGS") for name in env)
    for arm in ({"RUNNER_ARCH": "ARM64"}, {"PROCESSOR_IDENTIFIER": "ARMv8 (64-bit) Family 8"}):
        assert plan(**arm)[0] == "aarch64-pc-windows-msvc"
    _, env = plan("--target", TARGET, cflags_X86_64_pc_windows_gnu="-O7")
    assert env["CFLAGS_x86_64_pc_windows_gnu"].startswith("-O7 -ffile-prefix-map=")
    for args, message in [
        (("--smoke-command", "x"), "`smoke-command` needs `sh`"),
        (("--smoke", "required", "--target", "x86"), "no Python for win32 on this machine"),
    ]:
        done = run(*args)
        assert message in done.stderr, done.stdout + done.stderr


def test_the_portable_tests_pass(root: Path, cross_env: dict[str, str]) -> None:
    """The tests that the job `windows` of test.yml runs."""
    command = [root / ".github/test-windows.sh", "--target", TARGET]
    done = subprocess.run(command, cwd=root, env=cross_env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("test result: ok.") >= 5, done.stdout
