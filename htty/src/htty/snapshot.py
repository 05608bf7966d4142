"""The screen at one moment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from htty import style as styles
from htty.html import plain, to_html
from htty.style import Style, StyleFilter

PARTS = ("bells", "cells", "clipboard", "cursor", "modes", "scrollback", "svg", "title", "wrapped")
"""What a snapshot has beside its text."""

SEARCHED = ("cells", "wrapped")
"""What a search needs."""


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
    """What a program has asked its terminal for."""

    alternate_screen: bool = False
    application_cursor: bool = False
    bracketed_paste: bool = False
    focus_events: bool = False
    mouse: str = "off"
    """`off`, `click`, `drag` or `motion`."""
    sgr_mouse: bool = False
    """Whether mouse events come as SGR sequences."""


class Cell(NamedTuple):
    """One place on the screen."""

    character: str
    """What is shown, with the characters that are combined with it; empty for
    the second half of a wide one."""
    style: Style
    """How it looks."""
    width: int = 1
    """How many columns it takes: 2 for a wide character, 0 for its second half."""


@dataclass(frozen=True)
class Found:
    """A piece of the screen that was searched for; rows and columns count from 0."""

    text: str
    """The text that was found, without the line breaks of wrapped lines."""
    row: int
    """The row of its first cell."""
    col: int
    """The column of its first cell."""
    end_row: int
    """The row of its last cell."""
    end_col: int
    """The column after its last cell."""
    match: re.Match[str] | None = None
    """The match of a regular expression, with its groups."""
    index: int = 0
    """Which pattern it was, where a list was searched for."""
    cells: tuple[Cell, ...] = field(default=(), repr=False)
    """Its cells."""


class Snapshot:
    """The screen at one moment."""

    text: str
    """Its lines, each padded to the terminal's width; with styles in a styled session."""
    styled: str
    """Its lines with their styles, as SGR sequences."""
    raw_seq: str
    """The escape sequences that make a terminal of this size look like it."""
    rows: int
    """The terminal's height."""
    cols: int
    """The terminal's width."""
    cursor: Cursor
    """Where the cursor is, and how it looks."""
    title: str | None
    """What the command has named its window; `None` where it has not."""
    modes: Modes
    """What the command has asked the terminal for."""
    scrollback: str
    """The lines above the screen, at most the last 1000, as `text`."""
    bells: int
    """How often the bell has rung since the start."""
    clipboard: str | None
    """What the command has copied last (OSC 52); `None` where it has not."""
    svg: str
    """The screen as an SVG image with real text; the same for the same screen."""
    wrapped: tuple[int, ...]
    """The rows that go on in the next one, because the line was too long."""

    def __init__(self, data: dict[str, Any], *, styled: bool = False) -> None:
        """Takes the data of the event `snapshot` of `ht`."""
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

    @cached_property
    def html(self) -> str:
        """The screen as a page of HTML, with its styles."""
        return to_html(self.styled)

    @property
    def lines(self) -> list[str]:
        """The screen's lines without styles, and without the blanks at their ends."""
        return [line.rstrip() for line in self._plain.split("\n")]

    @cached_property
    def cells(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells: `cells[row][col]`."""
        return tuple(tuple(self._row(runs)) for runs in self._data["cells"])

    def find(
        self,
        what: str | re.Pattern[str] | None = None,
        *,
        style: StyleFilter | None = None,
    ) -> Found | None:
        """Finds the first place that `find_all` would; `None` where there is none."""
        return next(self._search(what, style), None)

    def find_all(
        self,
        what: str | re.Pattern[str] | None = None,
        *,
        style: StyleFilter | None = None,
    ) -> list[Found]:
        """Finds text on the screen, in reading order.

        `what` is text as it is, or a compiled regular expression. With `style`
        all of the text must look so (blanks aside); `style` alone finds pieces of
        lines that do. A line that was too long for the screen is one line.

        >>> snapshot.find("Save").col
        >>> snapshot.find(re.compile(r"line (\\d+)")).match[1]
        >>> snapshot.find_all(style={"foreground": "red"})
        """
        return list(self._search(what, style))

    def search(self, pattern: re.Pattern[str], style: StyleFilter | None = None) -> Found | None:
        """Finds a regular expression as `expect` does: on the screen as it is, with
        its lines as wide as the terminal, or with wrapped lines joined."""
        found = next(self._matches(pattern, style, joined=False), None)
        if found is None and self.wrapped:
            found = next(self._matches(pattern, style, joined=True), None)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and (self.text, self._data) == (other.text, other._data)

    def __hash__(self) -> int:
        return hash((self.text, self.raw_seq))

    def __repr__(self) -> str:
        return f"<Snapshot {self.cols}x{self.rows}: {chr(10).join(self.lines).strip()!r}>"

    def _search(
        self, what: str | re.Pattern[str] | None, style: StyleFilter | None
    ) -> Iterator[Found]:
        if what is None and style is None:
            raise TypeError("find needs text, a regular expression or a style")
        if what is None:
            return self._styled_pieces(styles.normalized(style or {}))
        if isinstance(what, str):
            if not what:
                raise ValueError("cannot find empty text")
            return self._matches(re.compile(re.escape(what)), style, joined=True, literal=True)
        return self._matches(what, style, joined=True)

    def _row(self, runs: list[dict[str, Any]]) -> Iterator[Cell]:
        seen = 0
        for run in runs:
            style, text, cols = styles.of_run(run), run["text"], run["cols"]
            seen += cols
            if run.get("wide"):
                yield Cell(text, style, 2)
                yield Cell("", style, 0)
            elif len(text) == cols:
                for character in text:
                    yield Cell(character, style)
            else:
                yield Cell(text, style)
        for _ in range(seen, self.cols):
            yield Cell(" ", styles.of_run({}))

    def _text(self, joined: bool) -> str:
        if not joined or not self.wrapped:
            return self._plain
        rows = enumerate(self._plain.split("\n"))
        return "".join(line if row in self.wrapped else f"{line}\n" for row, line in rows)[:-1]

    def _places(self, joined: bool) -> list[tuple[int, int]]:
        """The row and the column of each character of the text."""
        places: list[tuple[int, int]] = []
        for row, cells in enumerate(self.cells):
            for col, cell in enumerate(cells):
                places += [(row, col)] * len(cell.character)
            if not (joined and row in self.wrapped):
                places.append((row, len(cells)))
        return places

    def _matches(
        self,
        pattern: re.Pattern[str],
        style: StyleFilter | None,
        *,
        joined: bool,
        literal: bool = False,
    ) -> Iterator[Found]:
        wanted = None if style is None else styles.normalized(style)
        places: list[tuple[int, int]] | None = None
        for match in pattern.finditer(self._text(joined)):
            if places is None:
                places = self._places(joined)
            start, end = match.span()
            found = self._piece(match[0], places[start:end] or places[start : start + 1])
            if end == start:
                found = Found("", found.row, found.col, found.row, found.col)
            if wanted is None or _looks(found.cells, wanted):
                yield Found(
                    found.text,
                    found.row,
                    found.col,
                    found.end_row,
                    found.end_col,
                    None if literal else match,
                    0,
                    found.cells,
                )

    def _piece(self, text: str, places: list[tuple[int, int]]) -> Found:
        if not places:
            last = len(self.cells) - 1
            return Found(text, last, self.cols, last, self.cols)
        inside = [(row, col) for row, col in dict.fromkeys(places) if col < len(self.cells[row])]
        cells = tuple(self.cells[row][col] for row, col in inside)
        (row, col), (end_row, end_col) = places[0], (inside or places)[-1]
        width = cells[-1].width if cells else 0
        return Found(text, row, col, end_row, end_col + width, cells=cells)

    def _styled_pieces(self, wanted: dict[str, Any]) -> Iterator[Found]:
        """Pieces of rows in which every cell looks so."""
        for row, cells in enumerate(self.cells):
            col = 0
            while col < len(cells):
                start = col
                while col < len(cells) and styles.matches(cells[col].style, wanted):
                    col += 1
                if col == start:
                    col += 1
                    continue
                piece = cells[start:col]
                text = "".join(cell.character for cell in piece)
                yield Found(text, row, start, row, col, cells=piece)


def _snake(name: str) -> str:
    """Gives a name of JSON as Python spells it."""
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _looks(cells: tuple[Cell, ...], wanted: dict[str, Any]) -> bool:
    """Tells whether all cells look so; blanks count only where there is nothing else."""
    visible = [cell for cell in cells if cell.character.strip()] or cells
    return bool(visible) and all(styles.matches(cell.style, wanted) for cell in visible)


SnapshotResult = Snapshot
"""The name of `Snapshot` up to htty 0.2.30."""
