"""Locators: combinations of texts and styles."""

import re

import pytest

from htty import Found, Locator, Snapshot, terminal_session

RED, INVERSE, OFF = r"\033[31m", r"\033[7m", r"\033[0m"
BOXES = rf"Save {RED}Save{OFF} Help\n{INVERSE}Save all{OFF} {RED}red {INVERSE}both{OFF}\nEnd Save"
RED_TEXT = Locator(style={"foreground": "red"})
INVERSE_TEXT = Locator(style={"inverse": True})
SAVE = Locator("Save")


def screen(text: str, rows: int = 4, cols: int = 20) -> Snapshot:
    with terminal_session(["printf", text], rows, cols) as session:
        session.cmd.wait(10)
        return session.snapshot()


@pytest.fixture(scope="module")
def boxes() -> Snapshot:
    return screen(BOXES)


def places(found: list[Found]) -> list[tuple[str, int, int]]:
    return [(one.text, one.row, one.col) for one in found]


def test_a_locator_finds_what_find_does(boxes: Snapshot) -> None:
    assert boxes.find_all(SAVE) == boxes.find_all("Save")
    assert boxes.find_all(RED_TEXT) == boxes.find_all(style={"foreground": "red"})
    both = Locator("Save", style={"foreground": "red"})
    assert boxes.find_all(both) == boxes.find_all("Save", style={"foreground": "red"})
    assert boxes.find_all(SAVE, style={"foreground": "red"}) == boxes.find_all(both)
    found = boxes.find(Locator(re.compile(r"(\w)elp")))
    assert found is not None
    assert found.match is not None
    assert found.match[1] == "H"


def test_and(boxes: Snapshot) -> None:
    assert places(boxes.find_all(SAVE & RED_TEXT)) == [("Save", 0, 5)]
    assert places(boxes.find_all(RED_TEXT & INVERSE_TEXT)) == [("both", 1, 13)]
    # Only the part that is in both.
    ave = boxes.find_all(Locator("ave all") & "Save")
    assert [(one.text, one.col, one.end_col, len(one.cells)) for one in ave] == [("ave", 1, 4, 3)]
    assert boxes.find(SAVE & "Help") is None


def test_and_keeps_the_match(boxes: Snapshot) -> None:
    found = boxes.find(Locator(re.compile("S(a)ve")) & RED_TEXT)
    assert found is not None
    assert found.match is not None
    assert found.match[1] == "a"


def test_or_is_in_reading_order_without_duplicates(boxes: Snapshot) -> None:
    either = Locator("Help") | "End" | (SAVE & RED_TEXT) | Locator("Help")
    assert places(boxes.find_all(either)) == [("Save", 0, 5), ("Help", 0, 10), ("End", 2, 0)]


def test_filter(boxes: Snapshot) -> None:
    lines = Locator(re.compile("^.*$", re.MULTILINE))
    assert [found.row for found in boxes.find_all(lines.filter(has="Save"))] == [0, 1, 2]
    assert [found.row for found in boxes.find_all(lines.filter(has=RED_TEXT))] == [0, 1]
    assert [found.row for found in boxes.find_all(lines.filter(has_not=RED_TEXT))] == [2, 3]
    one = lines.filter(has=RED_TEXT, has_not=INVERSE_TEXT)
    assert [found.row for found in boxes.find_all(one)] == [0]


def test_within_after_and_before(boxes: Snapshot) -> None:
    assert places(boxes.find_all(SAVE.within(INVERSE_TEXT))) == [("Save", 1, 0)]
    assert places(boxes.find_all(SAVE.after("Help"))) == [("Save", 1, 0), ("Save", 2, 4)]
    assert places(boxes.find_all(SAVE.before("Help"))) == [("Save", 0, 0), ("Save", 0, 5)]
    between = SAVE.after("Help").before("End")
    assert places(boxes.find_all(between)) == [("Save", 1, 0)]
    assert boxes.find(SAVE.after("missing")) is None
    assert boxes.find(SAVE.before("missing")) is None


def test_first_last_and_nth(boxes: Snapshot) -> None:
    cases = [(SAVE.first, 0), (SAVE.nth(0), 0), (SAVE.nth(1), 5), (SAVE.nth(-2), 0)]
    for locator, col in cases:
        (found,) = boxes.find_all(locator)
        assert found.col == col, locator
    assert places(boxes.find_all(SAVE.last)) == places(boxes.find_all(SAVE.nth(-1)))
    assert places(boxes.find_all(SAVE.last)) == [("Save", 2, 4)]
    assert boxes.find(SAVE.nth(9)) is None
    # The order of the two matters.
    assert boxes.find(SAVE.first & RED_TEXT) is None
    assert boxes.find((SAVE & RED_TEXT).first) is not None


def test_wrapped_lines_and_wide_characters() -> None:
    snapshot = screen("a long wörd 漢字 more", rows=3, cols=8)
    found = snapshot.find(Locator("wörd") & Locator("rd 漢"))
    assert found is not None
    assert (found.text, found.start, found.end) == ("rd", (1, 1), (1, 3))
    found = snapshot.find(Locator("long w") & Locator(re.compile("ng.*漢")))
    assert found is not None
    assert (found.text, found.start, found.end) == ("ng w", (0, 4), (0, 8))


def test_faults_are_told_at_once() -> None:
    with pytest.raises(TypeError, match="needs text"):
        Locator()
    with pytest.raises(ValueError, match="empty text"):
        Locator("")
    with pytest.raises(ValueError, match="did you mean `bold`"):
        Locator("x", style={"blod": True})  # type: ignore[typeddict-unknown-key]  # pyright: ignore


def test_waits_and_the_mouse_take_locators() -> None:
    script = (
        rf"stty raw -echo; printf '\033[?1000h\033[?1006hOK {RED}OK{OFF}\r\n'; read x; exec cat -v"
    )
    red = Locator("OK") & RED_TEXT
    with terminal_session(["sh", "-c", script], rows=4, cols=40) as session:
        assert session.expect(red).col == 3
        assert session.expect(["never", red]).index == 1
        session.expect_absent(Locator("OK").nth(2))
        with pytest.raises(TimeoutError, match=r"not found within 0\.1 .*\n?OK OK"):
            session.expect(Locator("OK").nth(2), 0.1)
        with pytest.raises(TimeoutError, match=r"`Locator\('OK'\)` is 2 times on the screen"):
            session.click(Locator("OK"), timeout=0.1)
        session.send_keys("Enter")
        session.send_keys("C-j")
        session.click(red)
        session.expect(re.escape("[<0;4;1M"))
        session.click(Locator("OK").first)
        session.expect(re.escape("[<0;1;1M"))
