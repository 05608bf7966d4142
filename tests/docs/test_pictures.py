"""The pictures show the programs' current output."""

import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT


@pytest.fixture(scope="module")
def drawn(
    binaries: Path,
    ht: Path,
    target: Path,
    clean_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    into = tmp_path_factory.mktemp("pictures")
    command = [sys.executable, ROOT / "xtask/scripts/pictures.py", binaries, target / "corpus"]
    env = clean_env | {"HTTY_HT_BIN": str(ht)}
    done = subprocess.run([*command, into, "--svg"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return into


@pytest.mark.parametrize("name", ["problem.svg", "installs.svg"])
def test_picture_is_up_to_date(name: str, drawn: Path) -> None:
    picture = (drawn / name).read_text()
    assert picture == (ROOT / "docs/images" / name).read_text(), "run `cargo xtask docs --pictures`"
