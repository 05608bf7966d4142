"""Prints checksums of files."""

import sys
from pathlib import Path

from sample_ws_fast import adler32


def main() -> None:
    """Prints the checksum of each file in the arguments."""
    for name in sys.argv[1:]:
        print(f"{adler32(Path(name).read_bytes()):08x}  {name}")
