"""The cells of a screen, and searches in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from htty import style as styles
from htty.style import Style, StyleFilter


class Cell(NamedTuple):
    """One cell of the screen."""

    character: str
    """The character, with its combining characters; empty for the second half of a
    wide one."""
    style: Style
    """Its style."""
    width: int = 1
    """The number of columns: 2 for a wide character, 0 for its second half."""


@dataclass(frozen=True)
class Found:
    """A search result on the screen; rows and columns count from 0."""

    text: str
    """The text, without the line breaks of wrapped lines."""
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
    """The index of the pattern, if a list was searched for."""
    cells: tuple[Cell, ...] = field(default=(), repr=False)
    """Its cells."""

    @property
    def start(self) -> tuple[int, int]:
        """Its first cell, in reading order."""
        return self.row, self.col

    @property
    def end(self) -> tuple[int, int]:
        """The place after its last cell, in reading order."""
        return self.end_row, self.end_col


class Grid:
    """The cells of a screen with its text."""

    def __init__(
        self, plain: str, runs: list[list[dict[str, Any]]], cols: int, wrapped: tuple[int, ...]
    ) -> None:
        """Wraps the text, and the runs of cells of each row, as `ht` sends them."""
        self.plain = plain
        self.cols = cols
        self.wrapped = wrapped
        self._runs = runs

    @cached_property
    def cells(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells: `cells[row][col]`."""
        return tuple(tuple(self._row(runs)) for runs in self._runs)

    def find(
        self, what: str | re.Pattern[str] | None, style: StyleFilter | None
    ) -> Iterator[Found]:
        """Finds text or a regular expression, styles, or both, in reading order."""
        if what is None:
            if style is None:
                raise TypeError("find needs text, a regular expression or a style")
            return self._styled_pieces(styles.normalized(style))
        if isinstance(what, str):
            if not what:
                raise ValueError("cannot find empty text")
            return self.matches(re.compile(re.escape(what)), style, joined=True, literal=True)
        return self.matches(what, style, joined=True)

    def matches(
        self,
        pattern: re.Pattern[str],
        style: StyleFilter | None,
        *,
        joined: bool,
        literal: bool = False,
    ) -> Iterator[Found]:
        """Finds a regular expression; with `joined`, wrapped lines count as one."""
        places: list[tuple[int, int]] | None = None
        for match in pattern.finditer(self._text(joined)):
            if places is None:
                places = self._places(joined)
            start, end = match.span()
            found = self._piece(match[0], places[start:end] or places[start : start + 1])
            if end == start:
                found = Found("", found.row, found.col, found.row, found.col)
            if looks(found, style):
                yield replace(found, match=None if literal else match)

    def between(self, start: tuple[int, int], end: tuple[int, int]) -> Found:
        """Returns the text between two places, in reading order."""
        pieces: list[str] = []
        cells: list[Cell] = []
        for row in range(start[0], end[0] + 1):
            first = start[1] if row == start[0] else 0
            last = end[1] if row == end[0] else self.cols
            piece = self.cells[row][first:last]
            cells += piece
            pieces.append("".join(cell.character for cell in piece))
            if row != end[0] and row not in self.wrapped:
                pieces.append("\n")
        return Found("".join(pieces), *start, *end, cells=tuple(cells))

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
            return self.plain
        rows = enumerate(self.plain.split("\n"))
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
        """Pieces of rows in which every cell has the style."""
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


def looks(found: Found, style: StyleFilter | None) -> bool:
    """Returns whether all cells have the style; blanks count only if there is nothing else."""
    if style is None:
        return True
    wanted = styles.normalized(style)
    visible = [cell for cell in found.cells if cell.character.strip()] or found.cells
    return bool(visible) and all(styles.matches(cell.style, wanted) for cell in visible)
