"""The examples in the READMEs run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from htty_core import find_ht_binary

ROOT = Path(__file__).resolve().parents[2]
READMES = ["htty/README.md", "htty-core/README.md"]


def blocks(readme: str, language: str) -> list[str]:
    text = (ROOT / readme).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("readme", READMES)
def test_python(readme: str) -> None:
    code = blocks(readme, "python")
    assert code
    for block in code:
        subprocess.run([sys.executable, "-c", block], check=True, timeout=30)


def test_console() -> None:
    (block,) = blocks("htty/README.md", "console")
    command, expected = block.removeprefix("$ ").split("\n", 1)
    htty = Path(sys.executable).with_name("htty")
    words = command.split()
    done = subprocess.run([str(htty), *words[1:]], capture_output=True, text=True)
    assert done.stdout == expected


def test_console_of_ht() -> None:
    """The lines after the command are typed into it."""
    (block,) = blocks("htty-core/README.md", "console")
    command, lines = block.removeprefix("$ ").split("\n", 1)
    words = [find_ht_binary(), *command.split()[1:]]
    done = subprocess.run(words, input=lines, capture_output=True, text=True, timeout=30)
    (event,) = map(json.loads, done.stdout.splitlines())
    assert event["type"] == "snapshot"
    assert event["data"]["text"].split() == ["hello", "hello"]
