"""Locators: combinations of texts and styles to search for on a screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from htty.grid import Found, Grid
from htty.style import StyleFilter, normalized

Search = Callable[[Grid], list[Found]]


class Locator:
    """A description of text on a screen: text, a regular expression, a style, or several.

    `find`, `find_all`, `expect`, `expect_absent` and the mouse accept one instead of
    text. It refers to no particular screen, so it can be reused.

    >>> save = Locator("Save") & Locator(style={"inverse": True})
    >>> error = Locator(re.compile(r"^Error.*$", re.MULTILINE))
    >>> error.filter(has="disk").first
    """

    def __init__(
        self,
        what: str | re.Pattern[str] | None = None,
        *,
        style: StyleFilter | None = None,
    ) -> None:
        """Takes the arguments of `Snapshot.find`."""
        shown = [] if what is None else [repr(what if isinstance(what, str) else what.pattern)]
        if style is not None:
            # Report errors here, not at the first screen.
            normalized(style)
            shown.append(f"style={style}")
        self._set(lambda grid: list(grid.find(what, style)), f"Locator({', '.join(shown)})")
        self._search(Grid("", [], 0, ()))

    def search(self, grid: Grid) -> list[Found]:
        """Finds its matches in a screen's cells, in reading order."""
        return self._search(grid)

    def __and__(self, other: Target) -> Locator:
        """The cells that are in a match of both."""

        def search(mine: list[Found], others: list[Found], grid: Grid) -> Iterator[Found]:
            for first in mine:
                for second in others:
                    start, end = max(first.start, second.start), min(first.end, second.end)
                    same = (it for it in (first, second) if (it.start, it.end) == (start, end))
                    if start < end:
                        yield next(same, None) or grid.between(start, end)

        return self._with(other, search, "&")

    def __or__(self, other: Target) -> Locator:
        """The matches of either."""
        return self._with(other, lambda mine, others, _: iter([*mine, *others]), "|")

    def filter(self, *, has: Target | None = None, has_not: Target | None = None) -> Locator:
        """The matches that contain a match of `has`, and none of `has_not`."""
        result = self
        if has is not None:
            result = result._with(has, lambda mine, others, _: _inside(mine, others, True), "has")
        if has_not is not None:
            result = result._with(
                has_not, lambda mine, others, _: _inside(mine, others, False), "has not"
            )
        return result

    def within(self, other: Target) -> Locator:
        """The matches inside a match of `other`."""
        return self._with(
            other,
            lambda mine, others, _: (
                found for found in mine if any(_holds(outer, found) for outer in others)
            ),
            "within",
        )

    def after(self, other: Target) -> Locator:
        """The matches after the first match of `other`."""
        return self._with(
            other,
            lambda mine, others, _: (
                found for found in mine if others and found.start >= others[0].end
            ),
            "after",
        )

    def before(self, other: Target) -> Locator:
        """The matches before the last match of `other`."""
        return self._with(
            other,
            lambda mine, others, _: (
                found for found in mine if others and found.end <= others[-1].start
            ),
            "before",
        )

    def nth(self, index: int) -> Locator:
        """The match with this index, from 0; -1 is the last."""
        return self._picked(slice(index, index + 1 or None), f"nth({index})")

    @property
    def first(self) -> Locator:
        """The first match."""
        return self._picked(slice(1), "first")

    @property
    def last(self) -> Locator:
        """The last match."""
        return self._picked(slice(-1, None), "last")

    def __repr__(self) -> str:
        return self._shown

    def _set(self, search: Search, shown: str) -> None:
        self._search = search
        self._shown = shown

    def _made(self, search: Search, shown: str) -> Locator:
        made = Locator.__new__(Locator)
        made._set(search, shown)
        return made

    def _picked(self, part: slice, name: str) -> Locator:
        return self._made(lambda grid: self._search(grid)[part], f"{self}.{name}")

    def _with(
        self,
        other: Target,
        combine: Callable[[list[Found], list[Found], Grid], Iterator[Found]],
        name: str,
    ) -> Locator:
        second = other if isinstance(other, Locator) else Locator(other)

        def search(grid: Grid) -> list[Found]:
            found = combine(self._search(grid), second.search(grid), grid)
            # The same place counts once.
            places = {(one.start, one.end): one for one in reversed(list(found))}
            return sorted(places.values(), key=lambda one: (one.start, one.end))

        return self._made(search, f"({self} {name} {second})")


Target = str | re.Pattern[str] | Locator
"""Text as it is, a regular expression, or a locator."""


def _holds(outer: Found, inner: Found) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _inside(outers: list[Found], inners: list[Found], wanted: bool) -> Iterator[Found]:
    """Those that contain one of the others, or, unless `wanted`, none."""
    for outer in outers:
        if any(_holds(outer, inner) for inner in inners) == wanted:
            yield outer
