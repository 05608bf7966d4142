"""The screens of `ht`."""

import sys

from running import Start, screen

from htty_core import StyleMode


def test_split_and_invalid_utf8(start: Start) -> None:
    script = "import os\nfor b in (b'\\xe4', b'\\xb8', b'\\xad', b'\\xff!'): os.write(1, b)"
    ht = start([sys.executable, "-c", script])
    ht.next("exitCode")
    ht.send(type="takeSnapshot")
    first = ht.next("snapshot")["text"].splitlines()[0]
    assert first.rstrip() == "\u4e2d\ufffd!"


def test_styled_snapshot(start: Start) -> None:
    ht = start(["printf", r"\033[1;31mred\033[0m."], style_mode=StyleMode.STYLED)
    ht.next("exitCode")
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot")["text"].startswith("\x1b[0;1;31mred\x1b[0m.")
    ht.send(type="setStyleMode", mode="plain")
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot")["text"].startswith("red. ")


def test_alternate_screen_comes_and_goes(start: Start) -> None:
    script = r"printf 'main\033[?1049hother'; read x; printf '\033[?1049l'; read x"
    ht = start(["sh", "-c", script])
    ht.send(type="takeSnapshot")
    assert "other" in ht.next("snapshot")["text"]
    ht.send(type="sendKeys", keys=["Enter"])
    ht.send(type="takeSnapshot")
    text = ht.next("snapshot")["text"]
    assert text.startswith("main")
    assert "other" not in text


def test_wide_characters_take_two_columns(start: Start) -> None:
    ht = start(["printf", "\u6f22\u5b57a"], cols=4, rows=2)
    ht.next("exitCode")
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot")["text"] == "\u6f22\u5b57\na   "


def test_settled_snapshot(start: Start) -> None:
    script = "for i in 1 2 3 4 5; do printf $i; sleep 0.1; done; exec cat"
    ht = start(["sh", "-c", script])
    ht.send(type="takeSnapshot", settle=0.3, timeout=20)
    snapshot = ht.next("snapshot")
    assert (snapshot["text"].split()[0], snapshot["settled"]) == ("12345", True)
    ht = start(["sh", "-c", "while :; do printf x; sleep 0.05; done"])
    ht.send(type="takeSnapshot", settle=1, timeout=0.3)
    assert ht.next("snapshot")["settled"] is False


def test_details_of_a_snapshot(start: Start) -> None:
    script = (
        r"printf 'one\ntwo\nthree\nfour\nfive\a\033]2;named\007';"
        r"printf '\033[?2004h\033[?1002h\033[?1006h\033[5 q\033[?25l'; exec cat"
    )
    ht = start(["sh", "-c", script])
    parts = ["cursor", "title", "scrollback", "bells", "modes"]
    ht.send(type="takeSnapshot", include=parts)
    snapshot = ht.next("snapshot")
    assert snapshot["cursor"] == {"row": 3, "col": 4, "visible": False, "shape": "beam"}
    assert snapshot["title"] == "named"
    assert snapshot["scrollback"] == ["one".ljust(20)]
    assert snapshot["bells"] == 1
    assert snapshot["modes"] == {
        "alternateScreen": False,
        "applicationCursor": False,
        "bracketedPaste": True,
        "focusEvents": False,
        "keyEvents": False,
        "mouse": "drag",
        "sgrMouse": True,
    }
    ht.send(type="takeSnapshot")
    assert ht.next("snapshot").keys() == {"cols", "rows", "text", "seq"}


def test_cells_and_pictures_of_a_snapshot(start: Start) -> None:
    ht = start(["sh", "-c", r"printf '\033[1;31mred\033[0m and too long a line'; exec cat"])
    ht.send(type="takeSnapshot", include=["cells", "wrapped", "html", "svg", "title"])
    snapshot = ht.next("snapshot")
    assert "clipboard" not in snapshot
    assert snapshot["wrapped"] == [0]
    assert snapshot["title"] is None
    assert snapshot["cells"] == [
        [
            {"text": "red", "cols": 3, "foreground": 1, "bold": True},
            {"text": " and too long a l", "cols": 17},
        ],
        [{"text": "ine", "cols": 3}],
        [],
        [],
    ]
    assert '<span style="color:#aa0000;font-weight:bold;">red</span>' in snapshot["html"]
    assert 'class="b" fill="#aa0000">red</text>' in snapshot["svg"]
    assert "cursor" not in snapshot


def test_what_is_copied(start: Start) -> None:
    ht = start(["sh", "-c", r"printf '\033]52;c;aMOk\007'; exec cat"])
    ht.send(type="takeSnapshot", include=["clipboard"])
    assert ht.next("snapshot")["clipboard"] == "hä"


def test_the_version_of_the_protocol(start: Start) -> None:
    assert start(["cat"]).next("init")["protocol"] == 1


def test_seq_is_for_every_terminal(start: Start) -> None:
    ht = start(["printf", r"aaaaaaaaaaaaaaaaaa\r\n\033[1;31mred\033[0m  \033[44m  \033[0m"])
    ht.next("exitCode")
    ht.send(type="takeSnapshot")
    seq = ht.next("snapshot")["seq"]
    assert seq.startswith("\x1b[1;1Haaaaaaaaaaaaaaaaaa\x1b[2;1H\x1b[0;1;31mred")


def test_the_view_moves_into_the_history(start: Start) -> None:
    ht = start(["sh", "-c", "seq 10; exec cat"])
    ht.send(type="scrollView", lines=-2)
    ht.send(type="takeSnapshot", include=["view", "cursor"])
    snapshot = ht.next("snapshot")
    assert snapshot["text"] == screen("6", "7", "8", "9")
    assert snapshot["view"] == {"offset": 2, "history": 7}
    assert snapshot["cursor"]["visible"] is False
    # The screen is drawn as it is now.
    assert "10" in snapshot["seq"]
    ht.send(type="sendKeys", keys=["x"])
    ht.send(type="takeSnapshot", include=["view"])
    snapshot = ht.next("snapshot")
    assert (snapshot["text"], snapshot["view"]["offset"]) == (screen("8", "9", "10", "x"), 0)


def test_what_a_shell_marks(start: Start) -> None:
    marks = r"\033]133;A\007> \033]133;B\007ls\n\033]133;C\007a b\n\033]133;D;4\007\033]133;A\007> "
    ht = start(["printf", marks])
    ht.next("exitCode")
    ht.send(type="takeSnapshot", include=["shell"])
    command = {"line": "ls", "output": "a b\n", "exitCode": 4, "running": False}
    expected = {"prompt": True, "finished": 1, "command": command}
    assert ht.next("snapshot")["shell"] == expected
    ht = start(["printf", "no marks"])
    ht.next("exitCode")
    ht.send(type="takeSnapshot", include=["shell"])
    assert ht.next("snapshot")["shell"] is None
