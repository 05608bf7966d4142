"""The input and the start of a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from htty import Session, run, terminal_session

Echo = Callable[[str], Session]


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Shows its input after some output, with control characters as `^[`."""
    sessions: list[Session] = []

    def start(output: str) -> Session:
        script = f"stty raw -echo; printf '{output}'; exec cat -v"
        sessions.append(run(["sh", "-c", script], rows=6, cols=60))
        return sessions[-1]

    yield start
    for session in sessions:
        session.exit()


def shows(session: Session, text: str) -> None:
    session.wait_for(lambda screen: text in screen.text.replace("\n", ""))


def test_paste(echo: Echo) -> None:
    session = echo(r"ready\033[?2004h")
    session.expect("ready")
    session.paste("two\nlines")
    shows(session, "lines^[[201~")
    shows(session, "^[[200~two")
    session = echo("ready")
    session.expect("ready")
    session.paste("two\nlines")
    shows(session, "two^Mlines")
    with pytest.raises(TypeError, match="expected text"):
        session.paste(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_keys_that_repeat_and_are_released(echo: Echo) -> None:
    session = echo(r"ready\033[>3u")
    session.expect("ready")
    session.send_keys(["Up", "C-a", "x"], event="repeat")
    shows(session, "ready^[[1;1:2A^[[97;5:2ux")
    session.send_keys(["Up", "x", "Enter"], event="release")
    shows(session, "x^[[1;1:3A^[[120;1:3u")
    with pytest.raises(ValueError, match="`down` is not an event: expected press, repeat"):
        session.send_keys("Up", event="down")  # type: ignore[arg-type]  # pyright: ignore
    session = echo("ready")
    session.expect("ready")
    session.send_keys("Up", event="repeat")
    shows(session, "ready^[[A")
    with pytest.raises(RuntimeError, match="has not asked for released keys"):
        session.send_keys("Up", event="release")


MENU = r"\033[?1002h\033[?1006h  Open  Save\r\n"


def test_click_on_text(echo: Echo) -> None:
    session = echo(MENU)
    session.click("Save")
    shows(session, "^[[<0;10;1M^[[<0;10;1m")
    found = session.snapshot().find("Open")
    assert found is not None
    session.click(found, button="right", control=True, count=2)
    shows(session, "^[[<18;4;1M^[[<18;4;1m^[[<18;4;1M^[[<18;4;1m")
    session.click((3, 7))
    shows(session, "^[[<0;8;4M^[[<0;8;4m")


def test_drag_move_and_scroll(echo: Echo) -> None:
    session = echo(MENU)
    session.drag((2, 1), (2, 3))
    shows(session, "^[[<0;2;3M^[[<32;3;3M^[[<32;4;3M^[[<0;4;3m")
    session.scroll(2, (0, 0))
    shows(session, "^[[<65;1;1M^[[<65;1;1M")
    session.scroll(-1, "Open")
    shows(session, "^[[<64;4;1M")
    with pytest.raises(RuntimeError, match="has not asked for the mouse's motion"):
        session.move("Open")
    session = echo(r"\033[?1003h\033[?1006hOpen\r\n")
    session.move("Open")
    shows(session, "^[[<35;2;1M")


def test_the_wheel_moves_a_pager(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("".join(f"line {number}\n" for number in range(100)))
    with terminal_session(["less", str(file)], rows=5, cols=20) as session:
        session.expect("line 0")
        session.scroll(3)
        session.expect(r"\Aline 3 ")


def test_clicks_that_cannot_be(echo: Echo) -> None:
    session = echo(r"\033[?1000hOne One\r\n")
    with pytest.raises(TimeoutError, match=r"`Two` is not on the screen after 0\.2 seconds"):
        session.click("Two", timeout=0.2)
    with pytest.raises(TimeoutError, match=r"`One` is 2 times on the screen"):
        session.click("One", timeout=0.2)
    with pytest.raises(ValueError, match="row 6, column 0: the screen has 6 rows and 60 columns"):
        session.click((6, 0))
    with pytest.raises(ValueError, match="`up` is not a button"):
        session.click((0, 0), button="up")
    session = echo("One")
    with pytest.raises(TimeoutError, match="the command has not asked for mouse events"):
        session.click("One", timeout=0.2)


def test_environment_directory_and_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN", "outer")
    monkeypatch.setenv("TAKEN", "outer")
    script = 'echo "$GIVEN,${TAKEN-none},$ADDED,$TERM"; pwd -P'
    env = {"ADDED": "inner", "TAKEN": None}
    with terminal_session(["sh", "-c", script], cols=100, env=env, cwd=tmp_path) as session:
        session.cmd.wait(10)
        lines = session.snapshot().lines
    assert lines[:2] == ["outer,none,inner,xterm-256color", str(tmp_path.resolve())]
    for given in ({"term": "vt100"}, {"env": {"TERM": "vt100"}}):
        with terminal_session(["sh", "-c", script], **given) as session:  # type: ignore[arg-type]
            session.expect("outer,outer,,vt100")
    with pytest.raises(FileNotFoundError, match="missing"), terminal_session("cat", cwd="missing"):
        pass
