"""Styled text as HTML, with the classes and colors of ansi2html."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

SGR = re.compile(r"\x1b\[([0-9;]*)m")
"""A sequence that changes the style (ECMA-48, 8.3.117)."""

BASE = ("000316", "aa0000", "00aa00", "aa5500", "0000aa", "e850a8", "00aaaa", "f5f1de")
BRIGHT = ("7f7f7f", "ff0000", "00ff00", "ffff00", "5c5cff", "ff00ff", "00ffff", "ffffff")
"""The first sixteen colors."""

FLAGS = {
    1: "font-weight: bold",
    2: "font-weight: lighter",
    3: "font-style: italic",
    4: "text-decoration: underline",
    5: "text-decoration: blink",
    8: "visibility: hidden",
    9: "text-decoration: line-through",
}
"""The rules of the styles without a color."""

PAGE = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>Terminal</title>
<style>
.terminal {{ white-space: pre; }}
.body_foreground {{ color: #aaaaaa; }}
.body_background {{ background-color: #000000; }}
{rules}</style>
</head>
<body class="body_foreground body_background">
<pre class="terminal">{content}</pre>
</body>
</html>
"""


@dataclass
class Style:
    """The style of the following text."""

    flags: list[str] = field(default_factory=list[str])
    foreground: str = ""
    background: str = ""
    inverse: bool = False

    def classes(self) -> list[str]:
        """Returns the names of its classes."""
        foreground, background = self.foreground, self.background
        if self.inverse:
            foreground = turned(self.background) or "inv_foreground"
            background = turned(self.foreground) or "inv_background"
        return [*self.flags, *filter(None, (foreground, background))]


def plain(text: str) -> str:
    """Returns styled text without its styles."""
    return SGR.sub("", text)


def to_html(text: str) -> str:
    """Returns an HTML page that shows styled text as a terminal does."""
    content: list[str] = []
    used: dict[str, str] = {}
    style = Style()
    end = 0

    def add(piece: str) -> None:
        if piece:
            classes = style.classes()
            used.update((name, rule(name)) for name in classes)
            escaped = html.escape(piece, quote=False)
            span = f'<span class="{" ".join(classes)}">{escaped}</span>'
            content.append(span if classes else escaped)

    for change in SGR.finditer(text):
        add(text[end : change.start()])
        apply(style, [int(code or 0) for code in change[1].split(";")])
        end = change.end()
    add(text[end:])
    rules = "".join(f".{name} {{ {used[name]}; }}\n" for name in sorted(used))
    return PAGE.format(rules=rules, content="".join(content))


def apply(style: Style, codes: list[int]) -> None:
    """Applies codes to a style."""
    codes = list(codes)
    while codes:
        code = codes.pop(0)
        if code == 0:
            style.__init__()
        elif code in FLAGS:
            style.flags.append(f"ansi{code}")
        elif code == 7:
            style.inverse = True
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style.foreground = f"ansi{code}"
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style.background = f"ansi{code}"
        elif code in (38, 48) and codes:
            kind = codes.pop(0)
            count = 1 if kind == 5 else 3
            numbers, codes = codes[:count], codes[count:]
            digits = str(numbers[0]) if kind == 5 else "".join(f"{part:03}" for part in numbers)
            if code == 38:
                style.foreground = f"ansi38-{digits}"
            else:
                style.background = f"ansi48-{digits}"


def turned(name: str) -> str:
    """Returns the background's class for a foreground's, and vice versa."""
    if name.startswith(("ansi38-", "ansi48-")):
        return f"ansi{86 - int(name[4:6])}-{name[7:]}"
    if not name:
        return ""
    code = int(name[4:])
    return f"ansi{code + 10 if code // 10 % 2 else code - 10}"


def rule(name: str) -> str:
    """Returns the CSS rule of a class."""
    if name.startswith("inv"):
        return "color: #000000" if name == "inv_foreground" else "background-color: #aaaaaa"
    code, _, digits = name[4:].partition("-")
    number = int(code)
    if number in FLAGS:
        return FLAGS[number]
    if len(digits) == 9:
        color = "".join(f"{int(digits[at : at + 3]):02x}" for at in (0, 3, 6))
    elif digits:
        color = indexed(int(digits))
    else:
        color = (BRIGHT if number >= 90 else BASE)[number % 10]
    background = number in range(40, 49) or number >= 100
    return f"{'background-color' if background else 'color'}: #{color}"


def indexed(index: int) -> str:
    """Returns a color of xterm's 256-color palette."""
    if index < 16:
        return (BASE + BRIGHT)[index]
    if index < 232:
        levels = (0, 95, 135, 175, 215, 255)
        index -= 16
        parts = (levels[index // 36], levels[index // 6 % 6], levels[index % 6])
        return "{:02x}{:02x}{:02x}".format(*parts)
    grey = 8 + 10 * (index - 232)
    return f"{grey:02x}" * 3
