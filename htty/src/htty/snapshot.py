"""The screen at one moment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from htty.grid import Cell, Found, Grid, looks
from htty.html import plain, to_html
from htty.locator import Locator, Target
from htty.style import StyleFilter

PARTS = (
    *("bells", "cells", "clipboard", "cursor", "modes", "scrollback", "shell", "svg", "title"),
    *("view", "wrapped"),
)
"""The parts of a snapshot in addition to its text."""

SEARCHED = ("cells", "wrapped")
"""The parts that a search needs."""


@dataclass(frozen=True)
class Cursor:
    """The cursor; rows and columns count from 0."""

    row: int = 0
    col: int = 0
    visible: bool = True
    shape: str = "block"
    """`block`, `underline` or `beam`."""


@dataclass(frozen=True)
class Modes:
    """The terminal modes that a program has enabled."""

    alternate_screen: bool = False
    application_cursor: bool = False
    bracketed_paste: bool = False
    focus_events: bool = False
    key_events: bool = False
    """Whether repeated and released keys are reported (kitty keyboard protocol)."""
    mouse: str = "off"
    """`off`, `click`, `drag` or `motion`."""
    sgr_mouse: bool = False
    """Whether mouse events are sent as SGR sequences."""


@dataclass(frozen=True)
class View:
    """Which lines a snapshot shows."""

    offset: int = 0
    """How many lines above the screen it begins; 0 is the screen."""
    history: int = 0
    """The number of lines above the screen."""


@dataclass(frozen=True)
class ShellCommand:
    """A command in a shell, running or finished."""

    line: str
    """The command line."""
    output: str
    """Its output on the screen; for a finished command, as of its end."""
    exit_code: int | None = None
    """`None` while it runs, and if the shell does not report it."""
    running: bool = False
    """Whether it is still running."""


@dataclass(frozen=True)
class Shell:
    """The state of a shell that marks its prompts and commands (OSC 133)."""

    prompt: bool
    """Whether it waits for a line."""
    finished: int
    """The number of finished commands."""
    command: ShellCommand | None = None
    """The last command; `None` before the first."""


class Snapshot:
    """The screen at one moment."""

    text: str
    """Its lines, each padded to the terminal's width; with styles in a styled session."""
    styled: str
    """Its lines with their styles, as SGR sequences."""
    raw_seq: str
    """The escape sequences that make a terminal of this size look the same."""
    rows: int
    """The terminal's height."""
    cols: int
    """The terminal's width."""
    cursor: Cursor
    """The position and shape of the cursor."""
    title: str | None
    """The window title that the command has set, if any."""
    modes: Modes
    """The terminal modes that the command has enabled."""
    scrollback: str
    """The lines above the screen, at most the last 1000, as `text`."""
    bells: int
    """How often the bell has rung since the start."""
    clipboard: str | None
    """The text that the command has last copied (OSC 52), if any."""
    svg: str
    """The screen as an SVG image with real text; the same for the same screen."""
    wrapped: tuple[int, ...]
    """The rows that continue in the next row, because the line was too long."""
    view: View
    """Which lines are shown, if the view was moved."""
    shell: Shell | None
    """The state of a shell; `None` if it marks no prompts."""

    def __init__(self, data: dict[str, Any], *, styled: bool = False) -> None:
        """Wraps the data of the event `snapshot` of `ht`."""
        self._data = data
        self.styled = data["text"]
        self._plain = plain(self.styled)
        self.text = self.styled if styled else self._plain
        self.raw_seq = data["seq"]
        self.rows = data["rows"]
        self.cols = data["cols"]
        self.cursor = Cursor(**data.get("cursor", {}))
        self.title = data.get("title")
        self.modes = Modes(**{_snake(name): on for name, on in data.get("modes", {}).items()})
        above = "\n".join(data.get("scrollback", ()))
        self.scrollback = above if styled else plain(above)
        self.bells = data.get("bells", 0)
        self.clipboard = data.get("clipboard")
        self.svg = data.get("svg", "")
        self.wrapped = tuple(data.get("wrapped", ()))
        self.view = View(**data.get("view", {}))
        self.shell = _shell(data.get("shell"))
        self._grid = Grid(self._plain, data.get("cells", []), self.cols, self.wrapped)

    @cached_property
    def html(self) -> str:
        """The screen as an HTML page, with its styles."""
        return to_html(self.styled)

    @property
    def lines(self) -> list[str]:
        """The screen's lines without styles and trailing blanks."""
        return [line.rstrip() for line in self._plain.split("\n")]

    @property
    def cells(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells: `cells[row][col]`."""
        return self._grid.cells

    def find(
        self,
        what: Target | None = None,
        *,
        style: StyleFilter | None = None,
    ) -> Found | None:
        """Returns the first match of `find_all`, or `None`."""
        return next(iter(self._search(what, style)), None)

    def find_all(
        self,
        what: Target | None = None,
        *,
        style: StyleFilter | None = None,
    ) -> list[Found]:
        """Finds text on the screen, in reading order.

        `what` is literal text, a compiled regular expression, or a `Locator`. With
        `style`, all of the text except blanks must have that style; `style` alone finds
        pieces of lines that have it. A wrapped line counts as one line.

        >>> snapshot.find("Save").col
        >>> snapshot.find(re.compile(r"line (\\d+)")).match[1]
        >>> snapshot.find_all(style={"foreground": "red"})
        """
        return list(self._search(what, style))

    def search(
        self, pattern: re.Pattern[str] | Locator, style: StyleFilter | None = None
    ) -> Found | None:
        """Finds a regular expression as `expect` does: first in lines as wide as the
        terminal, then with wrapped lines joined."""
        if isinstance(pattern, Locator):
            return self.find(pattern, style=style)
        found = next(self._grid.matches(pattern, style, joined=False), None)
        if found is None and self.wrapped:
            found = next(self._grid.matches(pattern, style, joined=True), None)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and (self.text, self._data) == (other.text, other._data)

    def __hash__(self) -> int:
        return hash((self.text, self.raw_seq))

    def __repr__(self) -> str:
        return f"<Snapshot {self.cols}x{self.rows}: {chr(10).join(self.lines).strip()!r}>"

    def _search(self, what: Target | None, style: StyleFilter | None) -> Iterable[Found]:
        if isinstance(what, Locator):
            return [found for found in what.search(self._grid) if looks(found, style)]
        return self._grid.find(what, style)


def _snake(name: str) -> str:
    """Converts a JSON name to Python's spelling."""
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _shell(data: dict[str, Any] | None) -> Shell | None:
    if data is None:
        return None
    command = data["command"]
    if command is not None:
        command = ShellCommand(**{_snake(name): value for name, value in command.items()})
    return Shell(data["prompt"], data["finished"], command)


SnapshotResult = Snapshot
"""The name of `Snapshot` in htty 0.2.30."""
