"""The pins of a release in the documents."""

import re
import subprocess
import sys
from pathlib import Path

from host_nixpkgs import run

COMMIT, LATER = "1" * 40, "2" * 40


def pin(root: Path, place: Path, tag: str, commit: str) -> list[str]:
    script = root / "xtask/scripts/pin_documents.py"
    command = [sys.executable, script, "octo/wheels", tag, commit]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_each_release_pins_its_own_commit(root: Path, tmp_path: Path) -> None:
    run("git", "init", "--quiet", ".", cwd=tmp_path)
    other = "uses: actions/checkout@" + "3" * 40 + " # v6\n"
    text = (
        "uses: <owner>/<repo>/actions/publish@<sha> # v0.1.0\n"
        "uses: https://github.com/<owner>/<repo>/actions/setup-nix/save@<sha>\n"
        f"{other}`<owner>/<repo>` stays.\n"
        "<!-- until the first release -->\nThere is none.\n<!-- end -->\nEnd.\n"
    )
    (tmp_path / "a.md").write_text(text)
    address = 'repository = "https://github.com/<owner>/<repo>"\n'
    (tmp_path / "Cargo.toml").write_text(f"# The first release writes it.\n{address}")
    (tmp_path / "b.md").write_text("nothing")
    run("git", "add", ".", cwd=tmp_path)
    assert pin(root, tmp_path, "v1.0.0", COMMIT) == ["Cargo.toml", "a.md"]
    manifest = (tmp_path / "Cargo.toml").read_text()
    assert manifest == 'repository = "https://github.com/octo/wheels"\n'
    first = (tmp_path / "a.md").read_text()
    assert first == (
        f"uses: octo/wheels/actions/publish@{COMMIT} # v1.0.0\n"
        f"uses: https://github.com/octo/wheels/actions/setup-nix/save@{COMMIT} # v1.0.0\n"
        f"{other}`<owner>/<repo>` stays.\nEnd.\n"
    )
    assert pin(root, tmp_path, "v1.0.0", COMMIT) == []
    assert pin(root, tmp_path, "v1.1.0", LATER) == ["a.md"]
    second = (tmp_path / "a.md").read_text()
    assert second == first.replace(COMMIT, LATER).replace("v1.0.0", "v1.1.0")


def test_every_pin_of_the_documents_is_written(root: Path, tmp_path: Path) -> None:
    run("git", "init", "--quiet", ".", cwd=tmp_path)
    for path in [root / "README.md", *root.glob("actions/*/README.md"), *root.glob("docs/**/*.md")]:
        copy = tmp_path / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    run("git", "add", ".", cwd=tmp_path)
    assert "README.md" in pin(root, tmp_path, "v1.0.0", COMMIT)
    left = [
        f"{path.name}: {line}"
        for path in tmp_path.rglob("*.md")
        for line in path.read_text().splitlines()
        if re.match(r"\s*- uses: .*<sha>", line)
    ]
    assert left == []
    assert "There is no release yet" not in (tmp_path / "README.md").read_text()
