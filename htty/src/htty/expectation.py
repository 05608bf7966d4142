"""The patterns of `expect`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from htty.grid import Found
from htty.locator import Locator
from htty.snapshot import Snapshot
from htty.style import StyleFilter

Pattern = str | re.Pattern[str] | Locator
"""A regular expression, compiled or not, or a locator."""


def search(
    pattern: Pattern | Iterable[Pattern] | None, flags: int, style: StyleFilter | None
) -> tuple[Callable[[Snapshot], Found | None], str]:
    """Returns a function that searches a screen for the patterns, and their description."""
    if pattern is None:
        if style is None:
            raise TypeError("expected a pattern, a style or both")
        return lambda screen: screen.find(style=style), f"Style {style}"
    several = [pattern] if isinstance(pattern, (str, re.Pattern, Locator)) else list(pattern)
    if not several:
        raise ValueError("expected at least one pattern")
    regexes = [_regex(one, flags) for one in several]

    def find(screen: Snapshot) -> Found | None:
        for index, regex in enumerate(regexes):
            found = screen.search(regex, style)
            if found is not None:
                return replace(found, index=index)
        return None

    names = ", ".join(
        str(regex) if isinstance(regex, Locator) else f"'{regex.pattern}'" for regex in regexes
    )
    styled = "" if style is None else f" in style {style}"
    return find, f"Pattern{'s' if len(regexes) > 1 else ''} {names}{styled}"


def _regex(pattern: Pattern, flags: int) -> re.Pattern[str] | Locator:
    if isinstance(pattern, (re.Pattern, Locator)):
        return pattern
    try:
        return re.compile(pattern, re.MULTILINE | flags)
    except re.error as error:
        raise ValueError(f"Invalid regex pattern '{pattern}': {error}") from error
