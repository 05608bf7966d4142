"""Files with the expected screens of tests."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import fields
from pathlib import Path

from htty.snapshot import Snapshot
from htty.style import Style

STYLES = "--- styles (row:columns)"
"""The line between a screen's text and its styles."""


def plain_text(screen: Snapshot) -> str:
    """Returns the screen without trailing blanks and trailing empty lines."""
    return "\n".join(screen.lines).rstrip("\n") + "\n"


def styled_text(screen: Snapshot) -> str:
    """Returns the screen's text, followed by the styled pieces."""
    lines = [plain_text(screen).rstrip("\n"), STYLES]
    plain = Style()
    for row, cells in enumerate(screen.cells):
        start = 0
        for col in range(1, len(cells) + 1):
            style = cells[start].style
            if col < len(cells) and cells[col].style == style:
                continue
            if style != plain:
                lines.append(f"{row}:{start}-{col} {describe(style)}")
            start = col
    return "\n".join(lines) + "\n"


def describe(style: Style) -> str:
    """Returns the attributes of a style in one line."""
    words: list[str] = []
    for field in fields(style):
        value = getattr(style, field.name)
        if value is True:
            words.append(field.name)
        elif value not in (None, False):
            words.append(f"{field.name}={value}")
    return " ".join(words)


def file_name(test: str) -> str:
    """Returns a unique name for the files of a test."""
    name = re.sub(r"[^\w.-]+", "_", test).strip("_")[:100]
    if name == test:
        return name
    return f"{name}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"


def difference(expected: str, found: str, path: Path) -> str:
    """Returns the lines in which two screens differ."""
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), str(path), "the screen", lineterm=""
    )
    return "\n".join(lines)
