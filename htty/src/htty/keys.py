"""The keys that can be sent to a terminal program."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Literal

from htty.press import Press

KeyInput = str | Press
"""A key, or text that is typed as it is."""

KeyEvent = Literal["press", "repeat", "release"]
"""The event of a key."""


NAMES = (
    *("Enter", "Tab", "Space", "Escape", "Backspace", "Insert", "Delete"),
    *("Up", "Down", "Left", "Right", "Home", "End", "PageUp", "PageDown"),
    *(f"F{number}" for number in range(1, 13)),
)
"""The names of keys, which may have the prefixes `C-` (Ctrl), `A-` (Alt) and `S-` (Shift)."""

_OTHER_NAMES = {
    **dict.fromkeys(("esc", "escape"), "Escape"),
    **dict.fromkeys(("return", "ret", "cr", "enter"), "Enter"),
    **dict.fromkeys(("bs", "bksp", "backspace", "back_space"), "Backspace"),
    **dict.fromkeys(("del", "delete_key"), "Delete"),
    **dict.fromkeys(("ins", "insert_key"), "Insert"),
    **dict.fromkeys(("pgup", "pageup", "page_up"), "PageUp"),
    **dict.fromkeys(("pgdn", "pgdown", "pagedown", "page_down"), "PageDown"),
    **{f"arrow{way.lower()}": way for way in ("Up", "Down", "Left", "Right")},
    "spacebar": "Space",
}
_MODIFIERS = {
    **dict.fromkeys(("ctrl", "control", "c"), "C-"),
    **dict.fromkeys(("alt", "meta", "option", "a", "m"), "A-"),
    **dict.fromkeys(("shift", "s"), "S-"),
}
_KEY = re.compile(rf"(?:[CAS]-)*(?:{'|'.join(NAMES)}|.)|\^.", re.DOTALL)
_CHORD = re.compile(
    r"((?:(?i:ctrl|control|alt|meta|option|shift)[+-]|[CAS]-)*)([^\s<>]+)"
    r"|<((?:(?i:ctrl|control|alt|meta|shift|[cams])-)*)([^\s<>]+)>"
)


def suggestion(word: str) -> str | None:
    """Returns the key that `word` seems to mean if it is not a key's name itself.

    `Esc`, `Return`, `Ctrl+C` and `<C-c>` look like keys, `hello` and `end` do not:
    for those it returns `None`.
    """
    if _KEY.fullmatch(word):
        return None
    number = re.fullmatch(r"F(\d{2})", word)
    if number is not None:
        return "F12"
    chord = _CHORD.fullmatch(word)
    if chord is None:
        return None
    prefixes, base = chord[1] or chord[3] or "", chord[2] or chord[4]
    names = {name.lower(): name for name in NAMES}
    bracketed = word.startswith("<")
    is_key = bool(prefixes) or (bracketed and base.lower() in names | _OTHER_NAMES)
    if bracketed and not is_key:
        return None
    # `end` and `return` are ordinary words, `Return` and `ESC` are meant as keys.
    if not is_key and not base[0].isupper():
        return None
    known = _OTHER_NAMES.get(base.lower())
    if known is None and is_key:
        close = difflib.get_close_matches(base.lower(), names, 1)
        known = base if len(base) == 1 else names[close[0]] if close else None
    if known is None or known == word:
        return None
    modifiers = [_MODIFIERS[part.lower()] for part in re.split(r"[+-]", prefixes) if part]
    if len(known) == 1 and "S-" not in modifiers:
        known = known.lower()
    return "".join(modifiers) + known


def key_names(keys: KeyInput | Iterable[KeyInput]) -> list[str]:
    """Returns the names that `ht` uses for keys.

    Raises `TypeError` for anything but text and keys, and `ValueError` for text that
    looks like a key name but is not one.
    """
    several = [keys] if isinstance(keys, (str, Press)) else keys
    if not isinstance(several, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected text, a key or a list of both, found {keys!r}")
    names: list[str] = []
    for key in several:
        if not isinstance(key, (str, Press)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"expected text or a key, found {key!r}")
        name = key.value if isinstance(key, Press) else key
        meant = suggestion(name)
        if meant is not None:
            raise ValueError(
                f"`{name}` is not the name of a key; did you mean `{meant}`? "
                "Type it as text with `type`"
            )
        names.append(name)
    return names


def key_to_string(key: KeyInput) -> str:
    """Returns the name that `ht` uses for a key."""
    return key.value if isinstance(key, Press) else key


def keys_to_strings(keys: KeyInput | Iterable[KeyInput]) -> list[str]:
    """Returns the names that `ht` uses for keys."""
    return [key_to_string(key) for key in ([keys] if isinstance(keys, (str, Press)) else keys)]
