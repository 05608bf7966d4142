"""Reverses lines with the program of sample-core."""

import subprocess
import sys
import sysconfig
from pathlib import Path


def reverse(text: str) -> str:
    """The text with each line reversed."""
    program = Path(sysconfig.get_path("scripts")) / "sample-reverse"
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\n")


def main() -> None:
    """Prints the arguments reversed."""
    print(reverse(" ".join(sys.argv[1:])))
