"""Styled text as HTML."""

from __future__ import annotations

import html
import re

SGR = re.compile(r"\x1b\[([0-9;]*)m")
"""A sequence that changes the style (ECMA-48, 8.3.117)."""

BASE = ("000000", "cd0000", "00cd00", "cdcd00", "0000ee", "cd00cd", "00cdcd", "e5e5e5")
BRIGHT = ("7f7f7f", "ff0000", "00ff00", "ffff00", "5c5cff", "ff00ff", "00ffff", "ffffff")
"""xterm's first sixteen colours."""

FLAGS = {
    1: "font-weight:bold",
    2: "opacity:0.5",
    3: "font-style:italic",
    4: "text-decoration:underline",
    9: "text-decoration:line-through",
}


def to_html(text: str) -> str:
    """Gives a `pre` element in which styled text looks as in a terminal."""
    out: list[str] = []
    style: dict[str, str] = {}
    end = 0
    for change in SGR.finditer(text):
        out.append(span(text[end : change.start()], style))
        style = changed(style, [int(code or 0) for code in change[1].split(";")])
        end = change.end()
    out.append(span(text[end:], style))
    return f'<pre class="terminal">{"".join(out)}</pre>'


def span(text: str, style: dict[str, str]) -> str:
    """Gives `text` in this style."""
    if not text:
        return ""
    shown = dict(style)
    if shown.pop("inverse", None):
        foreground = shown.get("background-color", "#000000")
        shown["background-color"] = shown.get("color", "#ffffff")
        shown["color"] = foreground
    rules = ";".join(
        value if name.startswith("flag") else f"{name}:{value}" for name, value in shown.items()
    )
    content = html.escape(text, quote=False)
    return f'<span style="{rules}">{content}</span>' if rules else content


def changed(style: dict[str, str], codes: list[int]) -> dict[str, str]:
    """Gives the style after these codes."""
    style = dict(style)
    codes = list(codes)
    while codes:
        code = codes.pop(0)
        if code == 0:
            style = {}
        elif code in FLAGS:
            style[f"flag{code}"] = FLAGS[code]
        elif code == 7:
            style["inverse"] = "yes"
        elif 30 <= code <= 37:
            style["color"] = f"#{BASE[code - 30]}"
        elif 40 <= code <= 47:
            style["background-color"] = f"#{BASE[code - 40]}"
        elif 90 <= code <= 97:
            style["color"] = f"#{BRIGHT[code - 90]}"
        elif 100 <= code <= 107:
            style["background-color"] = f"#{BRIGHT[code - 100]}"
        elif code in (38, 48) and len(codes) >= 2:
            name = "color" if code == 38 else "background-color"
            if codes[0] == 5:
                style[name] = indexed(codes[1])
                del codes[:2]
            elif codes[0] == 2 and len(codes) >= 4:
                style[name] = "#{:02x}{:02x}{:02x}".format(*codes[1:4])
                del codes[:4]
    return style


def indexed(index: int) -> str:
    """Gives a colour of xterm's palette of 256."""
    if index < 16:
        return f"#{(BASE + BRIGHT)[index]}"
    if index < 232:
        levels = (0, 95, 135, 175, 215, 255)
        index -= 16
        parts = (levels[index // 36], levels[index // 6 % 6], levels[index % 6])
        return "#{:02x}{:02x}{:02x}".format(*parts)
    grey = 8 + 10 * (index - 232)
    return f"#{grey:02x}{grey:02x}{grey:02x}"
