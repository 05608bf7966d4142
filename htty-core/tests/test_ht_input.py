"""Keys and clicks that `ht` sends, and answers of the terminal."""

import sys
import time
from typing import Any

import pytest
from running import Ht, Start, screen


def test_keys_in_application_mode(start: Start) -> None:
    script = r"stty raw -echo; printf '\033[?1h.'; head -c 9 | od -An -c; sleep 1000"
    ht = start(["sh", "-c", script], cols=60)
    while "." not in ht.next("output")["seq"]:
        pass
    ht.send(type="sendKeys", keys=["Up", "C-S-Left"])
    seen = ""
    while "6" not in seen:
        seen += ht.next("output")["seq"]
    assert seen.split() == ["033", "O", "A", "033", "[", "1", ";", "6", "D"][: len(seen.split())]


def test_command_that_does_not_read_its_keys(start: Start) -> None:
    ht = start(["sleep", "1000"])
    for _ in range(50):
        ht.send(type="input", payload="x" * 10_000)
    ht.send(type="takeSnapshot")
    ht.next("snapshot")


MODIFIERS = {"": 1, "S-": 2, "A-": 3, "A-S-": 4, "C-": 5, "C-S-": 6, "C-A-": 7, "C-A-S-": 8}


LETTERS = {"Up": "A", "Down": "B", "Right": "C", "Left": "D", "Home": "H", "End": "F"}


NUMBERS = {"Insert": 2, "Delete": 3, "PageUp": 5, "PageDown": 6}


FUNCTIONS = {"F5": 15, "F6": 17, "F7": 18, "F8": 19, "F9": 20, "F10": 21, "F11": 23, "F12": 24}


def test_every_key_with_every_modifier(start: Start) -> None:
    """As xterm sends them (ctlseqs, "PC-Style Function Keys")."""
    keys: list[str] = []
    sequences: list[str] = []
    for prefix, number in MODIFIERS.items():
        for key, letter in LETTERS.items():
            keys.append(prefix + key)
            sequences.append(f"\x1b[1;{number}{letter}" if prefix else f"\x1b[{letter}")
        for key, letter in zip(("F1", "F2", "F3", "F4"), "PQRS", strict=True):
            keys.append(prefix + key)
            sequences.append(f"\x1b[1;{number}{letter}" if prefix else f"\x1bO{letter}")
        for key, code in (NUMBERS | FUNCTIONS).items():
            keys.append(prefix + key)
            sequences.append(f"\x1b[{code};{number}~" if prefix else f"\x1b[{code}~")
    for code in range(26):
        letter = chr(ord("a") + code)
        keys += [f"C-{letter}", f"^{letter}", f"A-{letter}"]
        sequences += [chr(code + 1), chr(code + 1), f"\x1b{letter}"]
    simple = {"Enter": "\r", "Tab": "\t", "Space": " ", "Escape": "\x1b", "Backspace": "\x7f"}
    keys += simple
    sequences += simple.values()
    expected = "".join(sequences).encode().hex()
    script = f"stty raw -echo; head -c {len(expected) // 2} | od -An -v -tx1 | tr -d ' \\n'"
    ht = start(["sh", "-c", script], rows=50, cols=100)
    ht.send(type="sendKeys", keys=keys)
    seen = ""
    while len(seen) < len(expected):
        seen += ht.next("output")["seq"]
    assert seen == expected


def test_a_program_gets_the_terminals_answers(start: Start) -> None:
    script = (
        "import os, sys, tty\n"
        "tty.setraw(0)\n"
        "for query in ('\\x1b[c', '\\x1b[6n', '\\x1b]11;?\\x07'):\n"
        "    os.write(1, query.encode())\n"
        "    os.write(1, repr(os.read(0, 100)).encode() + b' ')\n"
        "os.write(1, b'done')\n"
        "os.read(0, 1)\n"
    )
    ht = start([sys.executable, "-c", script], cols=100)
    ht.send(type="takeSnapshot")
    text = ht.next("snapshot")["text"]
    for part in (r"b'\x1b[?6c'", r"b'\x1b[1;13R'", r"b'\x1b]11;rgb:0000/0000/0000\x07'", "done"):
        assert part in text, text


def test_keys_are_those_that_the_program_asks_for(start: Start) -> None:
    """With the kitty keyboard protocol, nothing waits after an Escape."""
    script = r"stty raw -echo; printf '\033[>1u.'; head -c 9 | od -An -c; sleep 1000"
    ht = start(["sh", "-c", script], cols=60)
    while "." not in ht.next("output")["seq"]:
        pass
    ht.send(type="sendKeys", keys=["Escape", "O", "A-x"])
    seen = ""
    while "u" not in seen:
        seen += ht.next("output")["seq"]
    assert seen.split()[:6] == ["033", "[", "2", "7", "u", "O"]


ECHO_RAW = "stty raw -echo; printf '{}ready'; exec cat -v"


def echo_raw(start: Start, modes: str) -> Ht:
    """Input is shown, with control characters as `^[`."""
    ht = start(["sh", "-c", ECHO_RAW.format(modes)])
    ht.send(type="takeSnapshot", settle=0.2, timeout=10)
    assert "ready" in ht.next("snapshot")["text"]
    return ht


def shown(ht: Ht, text: str) -> None:
    """Waits until the screen shows this text after `ready`."""
    end = time.monotonic() + 10
    while True:
        ht.send(type="takeSnapshot")
        screen = ht.next("snapshot")["text"].replace("\n", "").replace(" ", "")
        if screen == f"ready{text}":
            return
        assert time.monotonic() < end, screen


@pytest.mark.parametrize(
    ("modes", "event", "expected"),
    [
        (r"\033[?1000h\033[?1006h", {"action": "press", "button": "left"}, "^[[<0;5;3M"),
        (r"\033[?1000h\033[?1006h", {"action": "release", "button": "right"}, "^[[<2;5;3m"),
        (r"\033[?1000h", {"action": "press"}, "^[[M%#"),
        (r"\033[?1003h\033[?1006h", {"action": "move"}, "^[[<35;5;3M"),
        (r"\033[?1000h\033[?1006h", {"action": "scrollDown", "shift": True}, "^[[<69;5;3M"),
        (r"\033[?1049h\033[H", {"action": "scrollUp"}, "^[[A"),
    ],
)
def test_mouse(start: Start, modes: str, event: dict[str, Any], expected: str) -> None:
    ht = echo_raw(start, modes)
    ht.send(type="mouse", row=2, col=4, **event)
    shown(ht, expected)


def test_a_mouse_event_that_nobody_wants_is_reported(start: Start) -> None:
    ht = echo_raw(start, "")
    ht.send(type="mouse", action="press", row=0, col=0)
    assert ht.process.stderr
    line = ht.process.stderr.readline()
    assert line == "ht: ignored a mouse event: the command has not asked for mouse events\n"


@pytest.mark.parametrize(
    ("modes", "expected"),
    [("", "a^M^[[201~b^Mc"), (r"\033[?2004h", "^[[200~a[201~b^Mc^[[201~")],
)
def test_paste(start: Start, modes: str, expected: str) -> None:
    ht = echo_raw(start, modes)
    ht.send(type="paste", text="a\n\x1b[201~b\r\nc")
    shown(ht, expected)


def test_keys_that_repeat_and_are_released(start: Start) -> None:
    ht = echo_raw(start, r"\033[>3u")
    ht.send(type="sendKeys", keys=["Up"], event="repeat")
    ht.send(type="sendKeys", keys=["Up", "x"], event="release")
    shown(ht, "^[[1;1:2A^[[1;1:3A^[[120;1:3u")
    ht = echo_raw(start, "")
    ht.send(type="sendKeys", keys=["Up"], event="release")
    assert ht.process.stderr
    assert "has not asked for them" in ht.process.stderr.readline()


def test_keys_are_not_typed_into_what_has_just_ended(start: Start) -> None:
    for _ in range(40):
        ht = start(["true"])
        ht.send(type="sendKeys", keys=["lost"])
        assert ht.process.stderr
        assert "the command has exited" in ht.process.stderr.readline()
        ht.send(type="takeSnapshot")
        assert ht.next("snapshot")["text"] == screen("", "", "", "")


ASKS = """
import os, select, time, tty
tty.setraw(0)
os.write(1, b"\x1b[6n")
end = time.process_time() + {seconds}
while time.process_time() < end:
    pass
early = bool(select.select([0], [], [], 0)[0])
os.write(1, b"early" if early else b"late")
assert os.read(0, 20).endswith(b"R")
os.write(1, b" answered")
os.read(0, 1)
"""


def test_answers_wait_while_the_command_draws(start: Start) -> None:
    # A command that never sleeps also gets them.
    for seconds, expected in ((0.01, "late"), (0.5, "early")):
        ht = start([sys.executable, "-c", ASKS.format(seconds=seconds)])
        seen = ""
        while "answered" not in seen:
            seen += ht.next("output")["seq"]
        assert f"{expected} answered" in seen
