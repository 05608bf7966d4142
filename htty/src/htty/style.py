"""How cells look, and which looks are meant."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, TypedDict

_BASE = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")

COLOR_NAMES = (*_BASE, *(f"bright_{name}" for name in _BASE))
"""The first sixteen colours of the palette."""

Color = str | int | None
"""A name of `COLOR_NAMES`, an index of the palette (16 to 255), or `#rrggbb`;
`None` is the terminal's own colour."""


@dataclass(frozen=True)
class Style:
    """How a cell looks."""

    foreground: Color = None
    """The text's colour."""
    background: Color = None
    """The colour behind the text."""
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: str | None = None
    """`single`, `double`, `curly`, `dotted` or `dashed`."""
    inverse: bool = False
    """Whether the two colours change places."""
    hidden: bool = False
    strikethrough: bool = False
    link: str | None = None
    """Where the cell's hyperlink leads."""


class StyleFilter(TypedDict, total=False):
    """A look to search for: what it does not name may be as it likes.

    `{"foreground": "red", "bold": True}` is bold red text, whatever is behind it.
    """

    foreground: Color
    """The text's colour: a name (`"red"`), an index, `"#rrggbb"`, or `None`."""
    background: Color
    """The colour behind the text."""
    bold: bool
    dim: bool
    italic: bool
    underline: bool | str
    """Whether the text is underlined, or how."""
    inverse: bool
    hidden: bool
    strikethrough: bool
    link: str | None
    """Where the hyperlink leads; `None`: there is none."""


_FIELDS = tuple(Style.__dataclass_fields__)
_PLAIN = Style()


def color(value: Color) -> Color:
    """Gives a colour in the form in which `Style` has it.

    Raises `ValueError` for what is no colour.
    """
    if value is None:
        return None
    if isinstance(value, int) and 0 <= value <= 255:
        return COLOR_NAMES[value] if value < len(COLOR_NAMES) else value
    if isinstance(value, str):
        name = value.lower().replace("-", "_").replace("grey", "gray")
        if name in COLOR_NAMES or re.fullmatch("#[0-9a-f]{6}", name):
            return name
        if name == "gray":
            return "bright_black"
        close = difflib.get_close_matches(name, COLOR_NAMES, 1)
        meant = f"; did you mean `{close[0]}`" if close else ""
        raise ValueError(f"`{value}` is not a color{meant}")
    raise ValueError(f"expected a color's name, 0 to 255 or #rrggbb, found {value!r}")


def normalized(style: StyleFilter) -> dict[str, Any]:
    """Gives the filter with its colours as `Style` has them.

    Raises `ValueError` for an attribute that no style has.
    """
    if not isinstance(style, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"`style`: expected a dict such as {{'bold': True}}, found {style!r}")
    wanted: dict[str, Any] = {}
    for name, value in style.items():
        if name not in _FIELDS:
            close = difflib.get_close_matches(name, _FIELDS, 1)
            meant = f"; did you mean `{close[0]}`" if close else ""
            raise ValueError(f"`{name}` is not an attribute of a style{meant}")
        wanted[name] = color(value) if name.endswith("ground") else value  # type: ignore[arg-type]
    return wanted


def matches(style: Style, wanted: dict[str, Any]) -> bool:
    """Tells whether a cell looks as a normalized filter says."""
    for name, value in wanted.items():
        found = getattr(style, name)
        if name == "underline" and isinstance(value, bool):
            found = found is not None
        if found != value:
            return False
    return True


def of_run(run: dict[str, Any]) -> Style:
    """Gives the style of a run of cells, as `ht` tells it."""
    fields = {name: run[name] for name in _FIELDS if name in run}
    if not fields:
        return _PLAIN
    for name in ("foreground", "background"):
        if name in fields:
            fields[name] = color(fields[name])
    return Style(**fields)
