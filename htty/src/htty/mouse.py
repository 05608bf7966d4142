"""The mouse of a session: its targets and events."""

from __future__ import annotations

import re
from typing import Any

from htty.grid import Found
from htty.locator import Locator
from htty.snapshot import Snapshot

Target = str | re.Pattern[str] | Locator | Found | tuple[int, int]
"""The target of the mouse: text, a regular expression or a locator that matches exactly
once on the screen, a result of `find`, or a row and a column."""

BUTTONS = ("left", "middle", "right")
"""The mouse's buttons."""


class TargetMissing(LookupError):
    """The target is not on the screen, or more than once."""


def locate(target: Target, screen: Snapshot) -> tuple[int, int]:
    """Returns the row and the column of a target: the middle of a text's first line.

    Raises `TargetMissing`, or `ValueError` for a place outside the screen.
    """
    if isinstance(target, (str, re.Pattern, Locator)):
        places = screen.find_all(target)
        shown = target.pattern if isinstance(target, re.Pattern) else target
        if len(places) != 1:
            how = "not" if not places else f"{len(places)} times"
            raise TargetMissing(f"`{shown}` is {how} on the screen")
        target = places[0]
    if isinstance(target, Found):
        end = target.end_col if target.end_row == target.row else screen.cols
        row, col = target.row, (target.col + max(target.col, end - 1)) // 2
    else:
        row, col = target
    if not (0 <= row < screen.rows and 0 <= col < screen.cols):
        raise ValueError(
            f"row {row}, column {col}: the screen has {screen.rows} rows and {screen.cols} columns"
        )
    return row, col


def path(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the cells on the way from one cell to another, without the first."""
    rows, cols = end[0] - start[0], end[1] - start[1]
    steps = max(abs(rows), abs(cols))
    return [
        (start[0] + round(rows * step / steps), start[1] + round(cols * step / steps))
        for step in range(1, steps + 1)
    ]


def event(
    action: str,
    place: tuple[int, int],
    button: str | None = None,
    modifiers: dict[str, bool] | None = None,
) -> dict[str, Any]:
    """Returns the command of `ht` for an event.

    Raises `ValueError` for an unknown button.
    """
    if button is not None and button not in BUTTONS:
        raise ValueError(f"`{button}` is not a button: expected left, middle or right")
    message: dict[str, Any] = {"type": "mouse", "action": action, "row": place[0], "col": place[1]}
    if button is not None:
        message["button"] = button
    return {**message, **(modifiers or {})}
