"""The examples run unchanged, with the plugin and from their own directory."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from test_pytest_plugin import pytest_command

from htty import terminal_session

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "htty/examples"
COUNTER = EXAMPLES / "counter"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("test_*.py")))
def test_example(name: str, tmp_path: Path) -> None:
    words, env = pytest_command("--htty-artifacts", str(tmp_path), name)
    done = subprocess.run(words, cwd=EXAMPLES, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["guide", "migrating"])
def test_the_code_of_a_guide(name: str, tmp_path: Path) -> None:
    text = (ROOT / f"docs/htty/{name}.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block{number}.py").write_text(block)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for update in (("--snapshot-update",), ()):
        words, env = pytest_command(*update)
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{len(blocks)} passed" in done.stdout


def test_the_picture_of_the_guide() -> None:
    """`docs/htty/counter.svg` equals the program's screen, byte by byte."""
    subprocess.run(["cargo", "build", "--quiet", "--locked"], cwd=COUNTER, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", COUNTER / "target"))
    with terminal_session([str(target / "debug/counter")], rows=5, cols=40) as counter:
        counter.expect("Counter")
        counter.send_keys("+++")
        counter.expect(r"\b3\b")
        svg = counter.snapshot().svg
    assert svg == (ROOT / "docs/htty/counter.svg").read_text()
