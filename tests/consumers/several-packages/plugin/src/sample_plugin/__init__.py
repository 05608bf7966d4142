"""Recognises palindromes."""

from sample_app import reverse


def palindrome(text: str) -> bool:
    """Whether a line reads the same from both ends."""
    return reverse(text) == text
