"""vim: keys, the displayed mode, and the written file."""

from pathlib import Path

from htty.pytest_plugin import Terminals


def test_a_word_is_replaced(terminal: Terminals, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello moon\n")
    vim = terminal(["vim", "-u", "NONE", "-N", str(file)], rows=8, cols=40)
    vim.expect("hello moon")
    vim.send_keys(["wcw", "world", "Escape"])
    vim.expect("^hello world")
    vim.expect_absent("INSERT")
    vim.send_keys([":wq", "Enter"])
    assert vim.cmd.wait(10) == 0
    assert file.read_text() == "hello world\n"


def test_insert_mode_is_announced(terminal: Terminals) -> None:
    vim = terminal(["vim", "-u", "NONE", "-N"], rows=8, cols=40)
    vim.send_keys("i")
    assert vim.expect("-- INSERT --", style={"bold": True}).row == 7
    assert vim.snapshot().modes.alternate_screen
