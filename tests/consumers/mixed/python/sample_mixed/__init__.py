"""Finds the longest run of a character."""

import sys

from sample_mixed._native import longest_run

__all__ = ["longest_run", "main"]


def main() -> None:
    """Prints the longest run in the arguments."""
    print(longest_run(" ".join(sys.argv[1:])))
