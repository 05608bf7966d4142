"""The content of a snapshot, and searches in it."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from htty import Cell, Session, Snapshot, Style, terminal_session

RED = r"\033[1;31m"
OFF = r"\033[0m"


def screen(text: str, rows: int = 4, cols: int = 20) -> Snapshot:
    with terminal_session(["printf", text], rows, cols) as session:
        session.cmd.wait(10)
        return session.snapshot()


def test_cells() -> None:
    cells = screen(rf"a{RED}b{OFF}\033[38;5;200;48;2;1;2;3me漢\033[0;4:3;96mx").cells
    assert (len(cells), len(cells[0])) == (4, 20)
    assert cells[0][0] == Cell("a", Style())
    assert cells[0][1] == Cell("b", Style(foreground="red", bold=True))
    colored = Style(foreground=200, background="#010203")
    assert cells[0][2:5] == (Cell("e", colored), Cell("漢", colored, 2), Cell("", colored, 0))
    assert cells[0][5].style == Style(foreground="bright_cyan", underline="curly")
    assert cells[0][6] == Cell(" ", Style())
    assert cells[3][19] == Cell(" ", Style())


def test_combined_characters_are_one_cell() -> None:
    cells = screen("e\u0301x").cells
    assert [cell.character for cell in cells[0][:2]] == ["e\u0301", "x"]


def test_links_and_the_clipboard() -> None:
    snapshot = screen(r"\033]8;;https://a.example\033\\x\033]8;;\033\\ \033]52;c;aGk=\007")
    assert snapshot.cells[0][0].style.link == "https://a.example"
    assert snapshot.clipboard == "hi"
    found = snapshot.find(style={"link": "https://a.example"})
    assert found is not None
    assert (found.text, found.col, found.end_col) == ("x", 0, 1)


def test_text_is_found() -> None:
    snapshot = screen("one two\nthree two")
    places = [
        (found.text, found.row, found.col, found.end_col) for found in snapshot.find_all("two")
    ]
    assert places == [("two", 0, 4, 7), ("two", 1, 6, 9)]
    assert snapshot.find("four") is None
    assert snapshot.find("t.o") is None, "text is no regular expression"
    found = snapshot.find(re.compile(r"th(\w+)"))
    assert found is not None
    assert found.match is not None
    assert (found.text, found.match[1]) == ("three", "ree")
    assert "".join(cell.character for cell in found.cells) == "three"


def test_columns_are_those_of_the_screen() -> None:
    snapshot = screen("漢e\u0301字x")
    found = snapshot.find("x")
    assert found is not None
    assert (found.col, found.end_col) == (5, 6)
    found = snapshot.find("字")
    assert found is not None
    assert (found.col, found.end_col) == (3, 5)


def test_wrapped_lines_are_one_line() -> None:
    snapshot = screen(r"aaaaaaaaaaaaaaaaword and\nmore", cols=18)
    assert snapshot.wrapped == (0,)
    found = snapshot.find("word and")
    assert found is not None
    assert (found.row, found.col, found.end_row, found.end_col) == (0, 16, 1, 6)
    assert snapshot.find(re.compile(r"and$")) is None, "lines are filled with blanks"
    assert snapshot.find(re.compile(r"and +\nmore")) is not None


def test_styles_are_found() -> None:
    snapshot = screen(rf"Error {RED}Error two{OFF} \033[44m  \033[0m")
    found = snapshot.find("Error", style={"foreground": "red"})
    assert found is not None
    assert found.col == 6
    assert snapshot.find("Error", style={"foreground": 1, "bold": True}) == found
    assert snapshot.find("Error", style={"background": "blue"}) is None
    # Blanks are compared only if there is nothing else.
    pieces = snapshot.find_all(style={"background": "blue"})
    assert [(piece.col, piece.end_col) for piece in pieces] == [(16, 18)]
    assert [piece.text for piece in snapshot.find_all(style={"bold": True})] == ["Error two"]
    with pytest.raises(
        ValueError, match="`blod` is not an attribute of a style; did you mean `bold`"
    ):
        snapshot.find(style={"blod": True})  # type: ignore[typeddict-unknown-key]  # pyright: ignore
    with pytest.raises(ValueError, match="`rad` is not a color; did you mean `red`"):
        snapshot.find(style={"foreground": "rad"})
    with pytest.raises(TypeError, match="needs text"):
        snapshot.find()
    with pytest.raises(ValueError, match="empty text"):
        snapshot.find("")


def test_svg_is_an_image_with_the_text() -> None:
    first, second = (screen(rf"a <b> & {RED}red{OFF} \033]2;my <title>\007") for _ in range(2))
    assert first.svg == second.svg, "the same screen gives the same image"
    image = ET.fromstring(first.svg)
    space = "{http://www.w3.org/2000/svg}"
    assert image.tag == f"{space}svg"
    assert [text.text for text in image.iter(f"{space}text")][:2] == ["a <b> &", "red"]
    assert image.findtext(f"{space}title") == "my <title>"


def test_snapshots_are_equal_where_the_screen_is() -> None:
    first, second, third = screen("a"), screen("a"), screen("b")
    assert first == second
    assert hash(first) == hash(second)
    assert first != third
    assert repr(third) == "<Snapshot 20x4: 'b'>"
    assert third.lines == ["b", "", "", ""]


@pytest.fixture
def shell() -> Iterator[Session]:
    with terminal_session("PS1='$ ' sh -i", rows=5, cols=20) as session:
        yield session


def test_expect_gives_what_it_found(shell: Session) -> None:
    shell.send_keys(["echo n$((6 * 7))", "Enter"])
    found = shell.expect(r"^n(\d+)")
    assert found.match is not None
    assert (found.row, found.col, found.match[1], found.index) == (1, 0, "42", 0)


def test_expect_takes_flags_lists_and_styles(shell: Session) -> None:
    shell.send_keys([r"printf '\033[32mDone\033[0m\n'", "Enter"])
    assert shell.expect(["never", "^done"], flags=re.IGNORECASE).index == 1
    assert shell.expect("Done", style={"foreground": "green"}).row > 0
    assert shell.expect(style={"foreground": "green"}).text == "Done"
    with pytest.raises(
        TimeoutError, match=r"Pattern 'Done' in style .*'red'.* not found within 0\.1"
    ):
        shell.expect("Done", 0.1, style={"foreground": "red"})
    with pytest.raises(TimeoutError, match=r"Patterns 'a', 'b' not found|Patterns"):
        shell.expect(["aaaa", "bbbb"], 0.1)
    shell.expect_absent(["aaaa", "bbbb"])
    with pytest.raises(TimeoutError, match="still present"):
        shell.expect_absent(["aaaa", "Done"], 0.1)
    with pytest.raises(TypeError, match="a pattern, a style or both"):
        shell.expect()
    with pytest.raises(ValueError, match="at least one pattern"):
        shell.expect([])


def test_expect_joins_wrapped_lines(shell: Session) -> None:
    shell.send_keys(["echo 1234567890123456 word", "Enter"])
    shell.expect("^1234567890123456 word")
    # Also as it is on the screen.
    shell.expect("^1234567890123456 wor\nd")
    shell.expect_absent("wordless")


def test_wait_for(shell: Session) -> None:
    shell.send_keys([r"printf '\033]2;named\007'", "Enter"])
    assert shell.wait_for(lambda screen: screen.title) == "named"
    with pytest.raises(
        TimeoutError, match=r"the condition not met within 0\.1 seconds; the screen:"
    ):
        shell.wait_for(lambda screen: screen.title == "other", 0.1)

    def is_empty(screen: Snapshot) -> bool:
        return not screen.text.strip()

    shell.send_keys(["exit", "Enter"])
    with pytest.raises(
        TimeoutError, match="`is_empty` not met: the command has ended with exit code 0"
    ):
        shell.wait_for(is_empty, None)
