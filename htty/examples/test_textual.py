"""A Textual application, from outside: the mouse, the keyboard, and its exit."""

import sys
from pathlib import Path

from htty.pytest_plugin import Terminals

APP = Path(__file__).with_name("textual_counter.py")


def test_buttons_are_clicked(terminal: Terminals) -> None:
    app = terminal([sys.executable, str(APP)], rows=16, cols=50)
    app.click("More", timeout=30)
    app.click("More")
    app.send_keys(["S-Tab", "Enter"])
    app.wait_idle()
    app.send_keys("q")
    assert app.cmd.wait(30) == 0
    app.expect("counted to 1")


def test_the_screen_is_as_it_was(terminal: Terminals) -> None:
    app = terminal([sys.executable, str(APP)], rows=16, cols=50)
    less = app.expect("Less", timeout=30)
    more = app.expect("More")
    assert (less.row, less.col < more.col) == (more.row, True)
    assert app.snapshot().modes.mouse == "motion"
