"""The keys that a terminal program can be sent."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from enum import Enum


class Press(Enum):
    """A key by name; its value is what `ht` calls it."""

    ENTER = "Enter"
    TAB = "Tab"
    SPACE = "Space"
    ESCAPE = "Escape"
    LEFT = "Left"
    RIGHT = "Right"
    UP = "Up"
    DOWN = "Down"
    HOME = "Home"
    END = "End"
    PAGE_UP = "PageUp"
    PAGE_DOWN = "PageDown"
    BACKSPACE = "Backspace"
    INSERT = "Insert"
    DELETE = "Delete"
    F1 = "F1"
    F2 = "F2"
    F3 = "F3"
    F4 = "F4"
    F5 = "F5"
    F6 = "F6"
    F7 = "F7"
    F8 = "F8"
    F9 = "F9"
    F10 = "F10"
    F11 = "F11"
    F12 = "F12"

    CTRL_A = "C-a"
    CTRL_B = "C-b"
    CTRL_C = "C-c"
    CTRL_D = "C-d"
    CTRL_E = "C-e"
    CTRL_F = "C-f"
    CTRL_G = "C-g"
    CTRL_H = "C-h"
    CTRL_I = "C-i"
    CTRL_J = "C-j"
    CTRL_K = "C-k"
    CTRL_L = "C-l"
    CTRL_M = "C-m"
    CTRL_N = "C-n"
    CTRL_O = "C-o"
    CTRL_P = "C-p"
    CTRL_Q = "C-q"
    CTRL_R = "C-r"
    CTRL_S = "C-s"
    CTRL_T = "C-t"
    CTRL_U = "C-u"
    CTRL_V = "C-v"
    CTRL_W = "C-w"
    CTRL_X = "C-x"
    CTRL_Y = "C-y"
    CTRL_Z = "C-z"
    CTRL_SHIFT_A = "C-A"
    CTRL_SHIFT_B = "C-B"
    CTRL_SHIFT_C = "C-C"
    CTRL_SHIFT_D = "C-D"
    CTRL_SHIFT_E = "C-E"
    CTRL_SHIFT_F = "C-F"
    CTRL_SHIFT_G = "C-G"
    CTRL_SHIFT_H = "C-H"
    CTRL_SHIFT_I = "C-I"
    CTRL_SHIFT_J = "C-J"
    CTRL_SHIFT_K = "C-K"
    CTRL_SHIFT_L = "C-L"
    CTRL_SHIFT_M = "C-M"
    CTRL_SHIFT_N = "C-N"
    CTRL_SHIFT_O = "C-O"
    CTRL_SHIFT_P = "C-P"
    CTRL_SHIFT_Q = "C-Q"
    CTRL_SHIFT_R = "C-R"
    CTRL_SHIFT_S = "C-S"
    CTRL_SHIFT_T = "C-T"
    CTRL_SHIFT_U = "C-U"
    CTRL_SHIFT_V = "C-V"
    CTRL_SHIFT_W = "C-W"
    CTRL_SHIFT_X = "C-X"
    CTRL_SHIFT_Y = "C-Y"
    CTRL_SHIFT_Z = "C-Z"
    CTRL_AT = "C-@"
    CTRL_SPACE = "C-Space"
    CTRL_LBRACKET = "C-["
    CTRL_BACKSLASH = "C-\\"
    CTRL_RBRACKET = "C-]"
    CTRL_CARET = "C-^"
    CTRL_SLASH = "C-/"
    CTRL_MINUS = "C--"
    CTRL_UNDERSCORE = "C-_"

    ALT_A = "A-a"
    ALT_B = "A-b"
    ALT_C = "A-c"
    ALT_D = "A-d"
    ALT_E = "A-e"
    ALT_F = "A-f"
    ALT_G = "A-g"
    ALT_H = "A-h"
    ALT_I = "A-i"
    ALT_J = "A-j"
    ALT_K = "A-k"
    ALT_L = "A-l"
    ALT_M = "A-m"
    ALT_N = "A-n"
    ALT_O = "A-o"
    ALT_P = "A-p"
    ALT_Q = "A-q"
    ALT_R = "A-r"
    ALT_S = "A-s"
    ALT_T = "A-t"
    ALT_U = "A-u"
    ALT_V = "A-v"
    ALT_W = "A-w"
    ALT_X = "A-x"
    ALT_Y = "A-y"
    ALT_Z = "A-z"
    ALT_SHIFT_A = "A-A"
    ALT_SHIFT_B = "A-B"
    ALT_SHIFT_C = "A-C"
    ALT_SHIFT_D = "A-D"
    ALT_SHIFT_E = "A-E"
    ALT_SHIFT_F = "A-F"
    ALT_SHIFT_G = "A-G"
    ALT_SHIFT_H = "A-H"
    ALT_SHIFT_I = "A-I"
    ALT_SHIFT_J = "A-J"
    ALT_SHIFT_K = "A-K"
    ALT_SHIFT_L = "A-L"
    ALT_SHIFT_M = "A-M"
    ALT_SHIFT_N = "A-N"
    ALT_SHIFT_O = "A-O"
    ALT_SHIFT_P = "A-P"
    ALT_SHIFT_Q = "A-Q"
    ALT_SHIFT_R = "A-R"
    ALT_SHIFT_S = "A-S"
    ALT_SHIFT_T = "A-T"
    ALT_SHIFT_U = "A-U"
    ALT_SHIFT_V = "A-V"
    ALT_SHIFT_W = "A-W"
    ALT_SHIFT_X = "A-X"
    ALT_SHIFT_Y = "A-Y"
    ALT_SHIFT_Z = "A-Z"
    ALT_0 = "A-0"
    ALT_1 = "A-1"
    ALT_2 = "A-2"
    ALT_3 = "A-3"
    ALT_4 = "A-4"
    ALT_5 = "A-5"
    ALT_6 = "A-6"
    ALT_7 = "A-7"
    ALT_8 = "A-8"
    ALT_9 = "A-9"
    ALT_SPACE = "A- "
    ALT_EXCLAMATION = "A-!"
    ALT_AT = "A-@"
    ALT_HASH = "A-#"
    ALT_DOLLAR = "A-$"
    ALT_PERCENT = "A-%"
    ALT_CARET = "A-^"
    ALT_AMPERSAND = "A-&"
    ALT_ASTERISK = "A-*"
    ALT_LPAREN = "A-("
    ALT_RPAREN = "A-)"
    ALT_MINUS = "A--"
    ALT_UNDERSCORE = "A-_"
    ALT_EQUALS = "A-="
    ALT_PLUS = "A-+"
    ALT_LBRACKET = "A-["
    ALT_RBRACKET = "A-]"
    ALT_BACKSLASH = "A-\\"
    ALT_PIPE = "A-|"
    ALT_SEMICOLON = "A-;"
    ALT_COLON = "A-:"
    ALT_QUOTE = "A-'"
    ALT_DOUBLEQUOTE = 'A-"'
    ALT_COMMA = "A-,"
    ALT_DOT = "A-."
    ALT_SLASH = "A-/"
    ALT_QUESTION = "A-?"
    ALT_BACKTICK = "A-`"
    ALT_TILDE = "A-~"

    CTRL_LEFT = "C-Left"
    CTRL_RIGHT = "C-Right"
    CTRL_UP = "C-Up"
    CTRL_DOWN = "C-Down"
    CTRL_HOME = "C-Home"
    CTRL_END = "C-End"
    CTRL_PAGE_UP = "C-PageUp"
    CTRL_PAGE_DOWN = "C-PageDown"
    CTRL_F1 = "C-F1"
    CTRL_F2 = "C-F2"
    CTRL_F3 = "C-F3"
    CTRL_F4 = "C-F4"
    CTRL_F5 = "C-F5"
    CTRL_F6 = "C-F6"
    CTRL_F7 = "C-F7"
    CTRL_F8 = "C-F8"
    CTRL_F9 = "C-F9"
    CTRL_F10 = "C-F10"
    CTRL_F11 = "C-F11"
    CTRL_F12 = "C-F12"

    SHIFT_LEFT = "S-Left"
    SHIFT_RIGHT = "S-Right"
    SHIFT_UP = "S-Up"
    SHIFT_DOWN = "S-Down"
    SHIFT_HOME = "S-Home"
    SHIFT_END = "S-End"
    SHIFT_PAGE_UP = "S-PageUp"
    SHIFT_PAGE_DOWN = "S-PageDown"
    SHIFT_F1 = "S-F1"
    SHIFT_F2 = "S-F2"
    SHIFT_F3 = "S-F3"
    SHIFT_F4 = "S-F4"
    SHIFT_F5 = "S-F5"
    SHIFT_F6 = "S-F6"
    SHIFT_F7 = "S-F7"
    SHIFT_F8 = "S-F8"
    SHIFT_F9 = "S-F9"
    SHIFT_F10 = "S-F10"
    SHIFT_F11 = "S-F11"
    SHIFT_F12 = "S-F12"

    ALT_LEFT = "A-Left"
    ALT_RIGHT = "A-Right"
    ALT_UP = "A-Up"
    ALT_DOWN = "A-Down"
    ALT_HOME = "A-Home"
    ALT_END = "A-End"
    ALT_PAGE_UP = "A-PageUp"
    ALT_PAGE_DOWN = "A-PageDown"
    ALT_F1 = "A-F1"
    ALT_F2 = "A-F2"
    ALT_F3 = "A-F3"
    ALT_F4 = "A-F4"
    ALT_F5 = "A-F5"
    ALT_F6 = "A-F6"
    ALT_F7 = "A-F7"
    ALT_F8 = "A-F8"
    ALT_F9 = "A-F9"
    ALT_F10 = "A-F10"
    ALT_F11 = "A-F11"
    ALT_F12 = "A-F12"

    CTRL_SHIFT_LEFT = "C-S-Left"
    CTRL_SHIFT_RIGHT = "C-S-Right"
    CTRL_SHIFT_UP = "C-S-Up"
    CTRL_SHIFT_DOWN = "C-S-Down"
    CTRL_SHIFT_HOME = "C-S-Home"
    CTRL_SHIFT_END = "C-S-End"
    CTRL_SHIFT_PAGE_UP = "C-S-PageUp"
    CTRL_SHIFT_PAGE_DOWN = "C-S-PageDown"
    CTRL_SHIFT_F1 = "C-S-F1"
    CTRL_SHIFT_F2 = "C-S-F2"
    CTRL_SHIFT_F3 = "C-S-F3"
    CTRL_SHIFT_F4 = "C-S-F4"
    CTRL_SHIFT_F5 = "C-S-F5"
    CTRL_SHIFT_F6 = "C-S-F6"
    CTRL_SHIFT_F7 = "C-S-F7"
    CTRL_SHIFT_F8 = "C-S-F8"
    CTRL_SHIFT_F9 = "C-S-F9"
    CTRL_SHIFT_F10 = "C-S-F10"
    CTRL_SHIFT_F11 = "C-S-F11"
    CTRL_SHIFT_F12 = "C-S-F12"

    CTRL_ALT_LEFT = "C-A-Left"
    CTRL_ALT_RIGHT = "C-A-Right"
    CTRL_ALT_UP = "C-A-Up"
    CTRL_ALT_DOWN = "C-A-Down"
    CTRL_ALT_HOME = "C-A-Home"
    CTRL_ALT_END = "C-A-End"
    CTRL_ALT_PAGE_UP = "C-A-PageUp"
    CTRL_ALT_PAGE_DOWN = "C-A-PageDown"
    CTRL_ALT_F1 = "C-A-F1"
    CTRL_ALT_F2 = "C-A-F2"
    CTRL_ALT_F3 = "C-A-F3"
    CTRL_ALT_F4 = "C-A-F4"
    CTRL_ALT_F5 = "C-A-F5"
    CTRL_ALT_F6 = "C-A-F6"
    CTRL_ALT_F7 = "C-A-F7"
    CTRL_ALT_F8 = "C-A-F8"
    CTRL_ALT_F9 = "C-A-F9"
    CTRL_ALT_F10 = "C-A-F10"
    CTRL_ALT_F11 = "C-A-F11"
    CTRL_ALT_F12 = "C-A-F12"

    ALT_SHIFT_LEFT = "A-S-Left"
    ALT_SHIFT_RIGHT = "A-S-Right"
    ALT_SHIFT_UP = "A-S-Up"
    ALT_SHIFT_DOWN = "A-S-Down"
    ALT_SHIFT_HOME = "A-S-Home"
    ALT_SHIFT_END = "A-S-End"
    ALT_SHIFT_PAGE_UP = "A-S-PageUp"
    ALT_SHIFT_PAGE_DOWN = "A-S-PageDown"
    ALT_SHIFT_F1 = "A-S-F1"
    ALT_SHIFT_F2 = "A-S-F2"
    ALT_SHIFT_F3 = "A-S-F3"
    ALT_SHIFT_F4 = "A-S-F4"
    ALT_SHIFT_F5 = "A-S-F5"
    ALT_SHIFT_F6 = "A-S-F6"
    ALT_SHIFT_F7 = "A-S-F7"
    ALT_SHIFT_F8 = "A-S-F8"
    ALT_SHIFT_F9 = "A-S-F9"
    ALT_SHIFT_F10 = "A-S-F10"
    ALT_SHIFT_F11 = "A-S-F11"
    ALT_SHIFT_F12 = "A-S-F12"

    CTRL_ALT_SHIFT_LEFT = "C-A-S-Left"
    CTRL_ALT_SHIFT_RIGHT = "C-A-S-Right"
    CTRL_ALT_SHIFT_UP = "C-A-S-Up"
    CTRL_ALT_SHIFT_DOWN = "C-A-S-Down"
    CTRL_ALT_SHIFT_HOME = "C-A-S-Home"
    CTRL_ALT_SHIFT_END = "C-A-S-End"
    CTRL_ALT_SHIFT_PAGE_UP = "C-A-S-PageUp"
    CTRL_ALT_SHIFT_PAGE_DOWN = "C-A-S-PageDown"
    CTRL_ALT_SHIFT_F1 = "C-A-S-F1"
    CTRL_ALT_SHIFT_F2 = "C-A-S-F2"
    CTRL_ALT_SHIFT_F3 = "C-A-S-F3"
    CTRL_ALT_SHIFT_F4 = "C-A-S-F4"
    CTRL_ALT_SHIFT_F5 = "C-A-S-F5"
    CTRL_ALT_SHIFT_F6 = "C-A-S-F6"
    CTRL_ALT_SHIFT_F7 = "C-A-S-F7"
    CTRL_ALT_SHIFT_F8 = "C-A-S-F8"
    CTRL_ALT_SHIFT_F9 = "C-A-S-F9"
    CTRL_ALT_SHIFT_F10 = "C-A-S-F10"
    CTRL_ALT_SHIFT_F11 = "C-A-S-F11"
    CTRL_ALT_SHIFT_F12 = "C-A-S-F12"

    CARET_A = "^a"
    CARET_B = "^b"
    CARET_C = "^c"
    CARET_D = "^d"
    CARET_E = "^e"
    CARET_F = "^f"
    CARET_G = "^g"
    CARET_H = "^h"
    CARET_I = "^i"
    CARET_J = "^j"
    CARET_K = "^k"
    CARET_L = "^l"
    CARET_M = "^m"
    CARET_N = "^n"
    CARET_O = "^o"
    CARET_P = "^p"
    CARET_Q = "^q"
    CARET_R = "^r"
    CARET_S = "^s"
    CARET_T = "^t"
    CARET_U = "^u"
    CARET_V = "^v"
    CARET_W = "^w"
    CARET_X = "^x"
    CARET_Y = "^y"
    CARET_Z = "^z"
    CARET_SHIFT_A = "^A"
    CARET_SHIFT_B = "^B"
    CARET_SHIFT_C = "^C"
    CARET_SHIFT_D = "^D"
    CARET_SHIFT_E = "^E"
    CARET_SHIFT_F = "^F"
    CARET_SHIFT_G = "^G"
    CARET_SHIFT_H = "^H"
    CARET_SHIFT_I = "^I"
    CARET_SHIFT_J = "^J"
    CARET_SHIFT_K = "^K"
    CARET_SHIFT_L = "^L"
    CARET_SHIFT_M = "^M"
    CARET_SHIFT_N = "^N"
    CARET_SHIFT_O = "^O"
    CARET_SHIFT_P = "^P"
    CARET_SHIFT_Q = "^Q"
    CARET_SHIFT_R = "^R"
    CARET_SHIFT_S = "^S"
    CARET_SHIFT_T = "^T"
    CARET_SHIFT_U = "^U"
    CARET_SHIFT_V = "^V"
    CARET_SHIFT_W = "^W"
    CARET_SHIFT_X = "^X"
    CARET_SHIFT_Y = "^Y"
    CARET_SHIFT_Z = "^Z"
    CARET_AT = "^@"
    CARET_LBRACKET = "^["
    CARET_BACKSLASH = "^\\"
    CARET_RBRACKET = "^]"


KeyInput = str | Press
"""A key, or text that is typed as it is."""


NAMES = (
    *("Enter", "Tab", "Space", "Escape", "Backspace", "Insert", "Delete"),
    *("Up", "Down", "Left", "Right", "Home", "End", "PageUp", "PageDown"),
    *(f"F{number}" for number in range(1, 13)),
)
"""The names of keys, which may follow `C-` (Ctrl), `A-` (Alt) and `S-` (Shift)."""

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
    """Gives the key that `word` seems to mean, where it is no key's name; else `None`.

    `Esc`, `Return`, `Ctrl+C` and `<C-c>` look like keys, `hello` and `end` do not.
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
    # `end` and `return` are words, `Return` and `ESC` are not.
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
    """Gives keys as `ht` names them.

    Raises `TypeError` for what is neither text nor a key, and `ValueError` for
    text that looks like a key and is none.
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
    """Gives a key as `ht` names it."""
    return key.value if isinstance(key, Press) else key


def keys_to_strings(keys: KeyInput | Iterable[KeyInput]) -> list[str]:
    """Gives keys as `ht` names them."""
    return [key_to_string(key) for key in ([keys] if isinstance(keys, (str, Press)) else keys)]
