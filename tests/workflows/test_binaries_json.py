"""What actions-release.yml writes is what launch.sh reads."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from released import ACTIONS

TARGETS = [
    *("aarch64-apple-darwin", "aarch64-unknown-linux-musl"),
    *("x86_64-apple-darwin", "x86_64-unknown-linux-musl"),
]


@pytest.fixture
def binaries(tmp_path: Path) -> Path:
    """A folder with a file for each action and target."""
    for action in ACTIONS:
        for target in TARGETS:
            (tmp_path / f"{action}-{target}").write_text(f"{action} for {target}")
    return tmp_path


def write(root: Path, binaries: Path) -> subprocess.CompletedProcess[str]:
    script = root / ".github/binaries-json.sh"
    return subprocess.run(
        [script, binaries, "https://example.org/v1", "1.2.3"], capture_output=True, text=True
    )


def test_every_binary_has_an_entry_on_a_line_of_its_own(root: Path, binaries: Path) -> None:
    done = write(root, binaries)
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    committed = json.loads((root / "actions/binaries.json").read_text())
    assert written.keys() == committed.keys()
    assert (written["schema"], written["version"]) == (committed["schema"], "1.2.3")
    entries = written["binaries"]
    assert list(entries) == [f"{action} {target}" for action in ACTIONS for target in TARGETS]
    for name, entry in entries.items():
        file = binaries / name.replace(" ", "-")
        assert entry["url"] == f"https://example.org/v1/{file.name}"
        assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(done.stdout.splitlines()) == len(entries) + 6


def test_launch_reads_each_entry(root: Path, binaries: Path, tmp_path: Path) -> None:
    text = write(root, binaries).stdout
    here = tmp_path / "here"
    here.mkdir()
    (here / "binaries.json").write_text(text)
    launch = (root / "actions/launch.sh").read_text()
    start = launch.index("entry() {")
    function = launch[start : launch.index("\n}\n", start) + 3]
    for action in ACTIONS:
        for target in TARGETS:
            script = f'here={here}\n{function}entry "{action}" "{target}"'
            found = subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout
            entry = json.loads(text)["binaries"][f"{action} {target}"]
            assert found.split() == [entry["url"], entry["sha256"]]


def test_a_missing_platform_is_refused(root: Path, binaries: Path) -> None:
    (binaries / "publish-x86_64-apple-darwin").unlink()
    done = write(root, binaries)
    assert done.returncode == 1
    assert "publish-x86_64-apple-darwin is not there" in done.stderr
    assert done.stdout == ""
