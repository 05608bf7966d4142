"""The output of programs, on our terminal and on those of tui-test's wheel."""

# The linters' environment has no tui_test, only that of the packages' tests.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from htty import Press, terminal_session

ROWS, COLS = 6, 12
BACKENDS = ("alacritty", "ghostty", "xtermjs")

# Resets the terminal, writes each input, and sets its number as the title.
WRITER = """
import json, os, sys, tty
inputs = json.load(open(sys.argv[1]))
tty.setraw(0)
for number, text in enumerate(inputs):
    os.write(1, ("\\x1bc" + text + f"\\x1b]2;input {number}\\x07").encode())
    os.read(0, 1)
"""

SCREEN = "".join(f"\x1b[{row};1H{letter * COLS}" for row, letter in enumerate("abcdef", 1))
MOVES = [
    f"{SCREEN}\x1b[3;5H\x1b[{count}{final}X" for final in "ABCDEFG`ade" for count in ("", 1, 3, 99)
]
ERASES = [
    f"{SCREEN}\x1b[{row};4H\x1b[{part}{final}"
    for row in (1, 2, 4)
    for part in "012"
    for final in "JK"
]
EDITS = [f"{SCREEN}\x1b[3;5H\x1b[{count}{final}" for final in "@PXLMST" for count in ("", 2, 99)]
REGION = f"{SCREEN}\x1b[2;4r"
IN_REGION = [
    f"{REGION}\x1b[{row};3H{text}"
    for row in (1, 2, 4, 5)
    for text in ("\n", "\x1bM", "\x1bD", "\x1bE", "\x1b[2LX", "\x1b[2MX")
]
ORIGIN = [
    f"{REGION}\x1b[?6h{text}"
    for text in ("X", "\x1b[2;2HX", "\x1b[9;9HX", "\x1bMX", "\x1b[?6lX", "\x1b[3;1H\nX")
]
WIDTHS = [
    *("e\u0301X", "Mu\u0308llerX", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05ddX"),
    *(
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35X",
        "\u0928\u092e\u0938\u094d\u0924\u0947X",
        "\u2764\ufe0fX",
    ),
    *(
        "\U0001f468\u200d\U0001f469\u200d\U0001f467X",
        "\u1112\u1161\u11abX",
        "a\u200b\u200c\u200f\ufeffX",
    ),
    *("\u6f22\u5b57X", "abcdefghijk\u6f22X", "\u6f22\u5b57\x1b[1;2HX", "\u6f22\u5b57\x1b[1;3HX"),
]
WRAPS = [
    *(
        "abcdefghijklX",
        "abcdefghijkl\x08X",
        "abcdefghijkl\rX",
        "abcdefghijkl\tX",
        "abcdefghijkl\x1b[KX",
    ),
    *(
        "\x1b[?7labcdefghijklmnX",
        f"{SCREEN}\x1b[6;12HxX",
        "\x1b[4hab\rX",
        "a\tb\tc",
        "ab\x1b[3g\tX",
    ),
]
REST = [
    *("\x1b[?1049hX", "ab\x1b[?1049hX\x1b[?1049lY", "ab\x1b7\x1b[3;3HX\x1b8Y", "\x1b(0lqkx\x1b(Bx"),
    *(
        "\x1b)0\x0elqk\x0fx",
        "\x1b[8mhidden\x1b[0mX",
        "ab\x1b[3bX",
        "\x1b[31mred\x1b[0mX",
        "a\x00b\x7fcX",
    ),
    *(
        "\x1b[?25lX",
        "\x1b]0;title\x07X",
        "\x1b#8",
        "a\x0bb\x0cc",
        "\x1b[20hab\ncd",
        "\x1b[2;2Hab\x1b[sX\x1b[uY",
    ),
]
INPUTS = [*MOVES, *ERASES, *EDITS, *IN_REGION, *ORIGIN, *WIDTHS, *WRAPS, *REST]


def trimmed(text: str) -> str:
    """Without trailing blanks and empty lines at the bottom; Alacritty keeps tabs in cells."""
    text = text.replace("\t", " ")
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps(INPUTS))
    return [sys.executable, "-c", WRITER, str(inputs)]


def ours(command: list[str]) -> list[str]:
    screens: list[str] = []
    with terminal_session(command, rows=ROWS, cols=COLS) as session:
        for _ in INPUTS:
            screens.append(trimmed(session.snapshot().text))
            session.send_keys(Press.SPACE)
    return screens


async def theirs(command: list[str], backend: str) -> list[str]:
    from tui_test import TuiTest

    screens: list[str] = []
    async with TuiTest.ephemeral() as terminal:
        await terminal.run(*command, rows=ROWS, cols=COLS, backend=backend)
        for number in range(len(INPUTS)):
            while await terminal.get_title() != f"input {number}":
                await asyncio.sleep(0.001)
            screens.append(trimmed(await terminal.text()))
            await terminal.write(" ")
    return screens


def test_our_screen_is_never_alone(command: list[str]) -> None:
    assert len(INPUTS) >= 131
    others = [asyncio.run(theirs(command, backend)) for backend in BACKENDS]
    alone = {
        text: (mine, *seen)
        for text, mine, *seen in zip(INPUTS, ours(command), *others, strict=True)
        if mine not in seen
    }
    assert alone == {}


# Cursor movements, then screen features.
MENUS = ["1", "\r", *["\r"] * 6, "2", "\r", *["\r"] * 15]


def our_pages(vttest: str) -> list[str]:
    with terminal_session([vttest], rows=24, cols=80) as session:
        pages = [trimmed(session.snapshot(settle=0.2).text)]
        for key in MENUS:
            session.type(key)
            if key == "\r":
                pages.append(trimmed(session.snapshot(settle=0.2).text))
    return pages


async def their_pages(vttest: str, backend: str) -> list[str]:
    from tui_test import TuiTest

    async with TuiTest.ephemeral() as terminal:

        async def page() -> str:
            """The screen once it no longer changes."""
            seen: list[str] = []
            while len(seen) < 5 or len(set(seen[-5:])) > 1:
                await asyncio.sleep(0.05)
                seen.append(await terminal.text())
            return trimmed(seen[-1])

        await terminal.run(vttest, rows=24, cols=80, backend=backend)
        pages = [await page()]
        for key in MENUS:
            await terminal.write(key)
            if key == "\r":
                pages.append(await page())
    return pages


def test_pages_of_vttest() -> None:
    vttest = shutil.which("vttest")
    assert vttest, "`vttest` is not installed: run `cargo xtask setup-test-tools`"
    others = [asyncio.run(their_pages(vttest, backend)) for backend in BACKENDS]
    mine = our_pages(vttest)
    assert len(set(mine)) > 15
    alone = {
        number: (page, *seen)
        for number, (page, *seen) in enumerate(zip(mine, *others, strict=True))
        if page not in seen
    }
    assert alone == {}
