"""The styles of cells, and filters for them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, TypedDict

_BASE = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")

COLOR_NAMES = (*_BASE, *(f"bright_{name}" for name in _BASE))
"""The first sixteen colors of the palette."""

Color = str | int | None
"""A name of `COLOR_NAMES`, an index of the palette (16 to 255), or `#rrggbb`;
`None` is the terminal's own color."""


@dataclass(frozen=True)
class Style:
    """The style of a cell."""

    foreground: Color = None
    """The text's color."""
    background: Color = None
    """The color behind the text."""
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: str | None = None
    """`single`, `double`, `curly`, `dotted` or `dashed`."""
    inverse: bool = False
    """Whether the two colors are swapped."""
    hidden: bool = False
    strikethrough: bool = False
    link: str | None = None
    """The target of the cell's hyperlink."""


class StyleFilter(TypedDict, total=False):
    """A style to search for; attributes that it does not name can have any value.

    `{"foreground": "red", "bold": True}` is bold red text on any background.
    """

    foreground: Color
    """The text's color: a name (`"red"`), an index, `"#rrggbb"`, or `None`."""
    background: Color
    """The color behind the text."""
    bold: bool
    dim: bool
    italic: bool
    underline: bool | str
    """Whether the text is underlined, or how."""
    inverse: bool
    hidden: bool
    strikethrough: bool
    link: str | None
    """The target of the hyperlink; `None` for text without one."""


_FIELDS = tuple(Style.__dataclass_fields__)
_PLAIN = Style()


def color(value: Color) -> Color:
    """Returns a color in the form that `Style` uses.

    Raises `ValueError` for an invalid color.
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
    """Returns the filter with its colors in the form that `Style` uses.

    Raises `ValueError` for an unknown attribute.
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
    """Returns whether a cell's style matches a normalized filter."""
    for name, value in wanted.items():
        found = getattr(style, name)
        if name == "underline" and isinstance(value, bool):
            found = found is not None
        if found != value:
            return False
    return True


def of_run(run: dict[str, Any]) -> Style:
    """Returns the style of a run of cells, as `ht` sends it."""
    fields = {name: run[name] for name in _FIELDS if name in run}
    if not fields:
        return _PLAIN
    for name in ("foreground", "background"):
        if name in fields:
            fields[name] = color(fields[name])
    return Style(**fields)
