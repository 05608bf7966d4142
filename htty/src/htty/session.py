"""A session: one command on one headless terminal."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from htty import mouse
from htty.connection import Connection, Deadline
from htty.expectation import Pattern, search
from htty.grid import Found
from htty.keys import KeyEvent, KeyInput, key_names
from htty.mouse import Target, TargetMissing
from htty.process import LAST_TIMEOUT, CommandController, HtController, ProcessController
from htty.recording import Recording
from htty.snapshot import PARTS, SEARCHED, Shell, ShellCommand, Snapshot
from htty.style import StyleFilter
from htty.watcher import Watcher
from htty_core import StyleMode

if TYPE_CHECKING:
    import logging

T = TypeVar("T")

_FAR = 2**31 - 1
"""More lines than any history has."""

LARGEST = 1000
"""A terminal has at most so many rows, and so many columns."""


def check_size(name: str, length: int) -> None:
    """Raises `TypeError` or `ValueError` where no terminal has so many rows or columns."""
    number = isinstance(length, int)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or isinstance(length, bool):
        raise TypeError(f"`{name}`: expected a number, found {length!r}")
    # A wide character must fit into a line.
    least = 2 if name == "cols" else 1
    if not least <= length <= LARGEST:
        raise ValueError(f"`{name}`: expected {least} to {LARGEST}, found {length}")


class Session:
    """A running session. Its methods may be called from several threads.

    It ends with `exit`, with its `with` block, when nothing refers to it any more,
    and with this process. A process that is forked from this one cannot use it.
    """

    cmd: ProcessController
    """The command that runs on the terminal."""
    ht: ProcessController
    """The `ht` process itself."""

    def __init__(
        self,
        process: subprocess.Popen[str],
        rows: int,
        cols: int,
        logger: logging.Logger | None = None,
        style_mode: StyleMode | None = None,
        *,
        recording: Recording | None = None,
        description: tuple[str, str | None] = ("", None),
    ) -> None:
        """Takes an `ht` that has been started; `run` does both."""
        self.rows = rows
        self.cols = cols
        self._description = description
        self._connection = Connection(process, logger, recording)
        self._watcher = Watcher(self._connection, styled=style_mode == StyleMode.STYLED)
        self.cmd = CommandController(self._connection)
        self.ht = HtController(self._connection)

    @property
    def description(self) -> str:
        """The command, as a shell would read it."""
        return self._description[0]

    @property
    def changed(self) -> threading.Condition:
        """What is notified whenever something is heard of the command."""
        return self._connection.state.changed

    # Input

    def send_keys(self, keys: KeyInput | Iterable[KeyInput], *, event: KeyEvent = "press") -> None:
        """Types keys and text, in this order.

        What follows an Escape waits until the command has understood it as one.
        With the `event` `"repeat"` the keys are held, with `"release"` let go: a
        command that has not asked for that (kitty keyboard protocol) takes a
        repeated key as pressed again. Raises `ValueError` for text that looks
        like a key's name and is none (`Esc`, `Ctrl+C`), and `RuntimeError` where
        the command has ended or has not asked for released keys.
        """
        if event not in get_args(KeyEvent):
            raise ValueError(f"`{event}` is not an event: expected press, repeat or release")
        message = {"type": "sendKeys", "keys": key_names(keys)}
        if (
            event == "release"
            and not self._watcher.snapshot(5.0, None, ("modes",)).modes.key_events
        ):
            raise RuntimeError("the command has not asked for released keys")
        self._send(message if event == "press" else {**message, "event": event})

    def submit(self, line: str, timeout: float | None = 5.0) -> ShellCommand:
        """Has a shell run a line; gives what it wrote, and its exit code.

        That is for shells that mark their prompts and commands (OSC 133), as fish
        does and others can be told to. Raises `TimeoutError`, which shows the
        screen, where there is no prompt, or the command has not ended, after
        `timeout` seconds (`None`: never), or where the shell itself ends.
        """
        end = Deadline(timeout)

        def prompt(screen: Snapshot) -> Shell | None:
            return screen.shell if screen.shell is not None and screen.shell.prompt else None

        before = self._watcher.wait(
            prompt, timeout, PARTS, "no prompt that is marked (OSC 133)", "after"
        )
        self._send({"type": "input", "payload": f"{_text(line)}\r"})

        def ended(screen: Snapshot) -> ShellCommand | None:
            shell = screen.shell
            return shell.command if shell and shell.finished > before.finished else None

        return self._watcher.wait(ended, end.left(), PARTS, f"`{line}` has not ended", "within")

    def type(self, text: str) -> None:
        """Types text as it is, also where it equals the name of a key.

        Raises `RuntimeError` where the command has ended.
        """
        self._send({"type": "input", "payload": _text(text)})

    def paste(self, text: str) -> None:
        """Pastes text: marked as such where the command has asked for that (bracketed
        paste), otherwise typed, with Enter at the ends of lines.

        Raises `RuntimeError` where the command has ended.
        """
        self._send({"type": "paste", "text": _text(text)})

    def resize(self, rows: int, cols: int) -> None:
        """Gives the terminal a new size: 1 to 1000 rows, 2 to 1000 columns."""
        check_size("rows", rows)
        check_size("cols", cols)
        self._connection.send({"type": "resize", "rows": rows, "cols": cols})
        self.rows, self.cols = rows, cols

    # The mouse

    def click(
        self,
        target: Target,
        *,
        button: str = "left",
        count: int = 1,
        shift: bool = False,
        alt: bool = False,
        control: bool = False,
        timeout: float | None = 5.0,
    ) -> None:
        """Clicks on text, on what `find` has found, or on `(row, column)`.

        Text is waited for, and must be on the screen once. Raises `TimeoutError`
        where it is not after `timeout` seconds, or where the command has not asked
        for mouse events by then.
        """
        (place,) = self._point([target], timeout)
        modifiers = {"shift": shift, "alt": alt, "control": control}
        for _ in range(count):
            for action in ("press", "release"):
                self._send(mouse.event(action, place, button, modifiers))

    def drag(
        self,
        start: Target,
        end: Target,
        *,
        button: str = "left",
        shift: bool = False,
        alt: bool = False,
        control: bool = False,
        timeout: float | None = 5.0,
    ) -> None:
        """Moves the mouse from one place to another with a button held.

        The places are as for `click`.
        """
        first, last = self._point([start, end], timeout)
        modifiers = {"shift": shift, "alt": alt, "control": control}
        self._send(mouse.event("press", first, button, modifiers))
        if self.snapshot(timeout).modes.mouse != "click":
            for place in mouse.path(first, last):
                self._send(mouse.event("move", place, button, modifiers))
        self._send(mouse.event("release", last, button, modifiers))

    def move(self, target: Target, *, timeout: float | None = 5.0) -> None:
        """Moves the mouse with no button held; the place is as for `click`.

        Raises `RuntimeError` where the command has not asked for that (mode 1003).
        """
        (place,) = self._point([target], timeout)
        if self.snapshot(timeout).modes.mouse != "motion":
            raise RuntimeError("the command has not asked for the mouse's motion")
        self._send(mouse.event("move", place))

    def scroll(
        self, lines: int, target: Target | None = None, *, timeout: float | None = 5.0
    ) -> None:
        """Turns the mouse's wheel: down for a positive number, up for a negative one.

        The place is as for `click`, and else the middle of the screen. Where the
        command has not asked for mouse events and shows the alternate screen, the
        wheel sends the cursor keys Up and Down, as terminals do.
        """
        where = (self.rows // 2, self.cols // 2) if target is None else target
        (place,) = self._point([where], timeout, wheel=True)
        for _ in range(abs(lines)):
            self._send(mouse.event("scrollDown" if lines > 0 else "scrollUp", place))

    # The screen

    def scroll_view(self, lines: int | Literal["top", "bottom"]) -> None:
        """Moves what snapshots show: down for a positive number, up into the history
        for a negative one, to its `"top"`, or back to the screen, its `"bottom"`.

        All that looks at the screen sees this view. It stays where it is when the
        command writes, and goes back to the screen with the next key.
        """
        ends = {"top": -_FAR, "bottom": _FAR}
        number = ends.get(lines) if isinstance(lines, str) else lines
        if number is None:
            raise ValueError(f"`{lines}` is not a place: expected top, bottom or a number")
        self._connection.send({"type": "scrollView", "lines": max(-_FAR, min(number, _FAR))})

    def set_style_mode(self, mode: StyleMode) -> None:
        """Makes the text of later snapshots plain or styled."""
        # `ht` always gives styles, for `html`.
        self._watcher.styled = mode == StyleMode.STYLED

    def snapshot(self, timeout: float | None = 5.0, *, settle: float | None = None) -> Snapshot:
        """Gives the screen, with all that came before: keys and output.

        The command is waited for until it sleeps, for at most `timeout` seconds
        (`None`: for ever); with `settle`, also until it has written nothing for
        so many seconds. After the end of `ht` it is the last screen that is
        known. Raises `TimeoutError` where `ht` does not answer, `RuntimeError`
        where it ended before there was any screen.
        """
        return self._watcher.snapshot(timeout, settle, PARTS)

    def wait_idle(self, quiet: float = 0.2, timeout: float | None = 5.0) -> None:
        """Waits until the command has written nothing for `quiet` seconds.

        Raises `TimeoutError` where it still writes after `timeout` seconds.
        """
        if not self._connection.snapshot(timeout, quiet).get("settled", True):
            raise TimeoutError(f"no quiet of {quiet} seconds within {timeout} seconds")

    def wait_for(self, predicate: Callable[[Snapshot], T | None], timeout: float | None = 5.0) -> T:
        """Waits until `predicate` gives something true for the screen, and gives that.

        It is called with a `Snapshot` whenever the command has written something.
        Raises `TimeoutError`, which shows the screen, after `timeout` seconds
        (`None`: never), or as soon as the command has ended.
        """
        name = getattr(predicate, "__name__", repr(predicate))
        name = "the condition" if name == "<lambda>" else f"`{name}`"
        return self._watcher.wait(predicate, timeout, PARTS, f"{name} not met", "within")

    def expect(
        self,
        pattern: Pattern | Iterable[Pattern] | None = None,
        timeout: float | None = 5.0,
        *,
        flags: int = 0,
        style: StyleFilter | None = None,
    ) -> Found:
        """Waits until the screen matches a regular expression, or has what a `Locator`
        describes; gives what it found.

        Of several patterns the first that matches counts; `index` tells which.
        `flags` (`re.IGNORECASE`) are for patterns that are not compiled; with
        `style` the text must look so, and `style` alone waits for anything that
        does. The lines are as wide as the terminal, filled with blanks; one that
        was too long may also be matched as the one line that it is. `^` and `$`
        match at lines, unless a pattern is compiled without `re.MULTILINE`.
        Raises `TimeoutError`, which shows the screen, after `timeout` seconds
        (`None`: never), or as soon as the command has ended without a match.
        """
        find, named = search(pattern, flags, style)
        return self._watcher.wait(find, timeout, SEARCHED, f"{named} not found", "within")

    def expect_absent(
        self,
        pattern: Pattern | Iterable[Pattern] | None = None,
        timeout: float | None = 5.0,
        *,
        flags: int = 0,
        style: StyleFilter | None = None,
    ) -> None:
        """Waits until the screen matches none of the regular expressions.

        Apart from that it is as `expect`.
        """
        find, named = search(pattern, flags, style)
        self._watcher.wait(
            lambda screen: find(screen) is None,
            timeout,
            SEARCHED,
            f"{named} still present",
            "after",
        )

    def record(
        self, path: str | os.PathLike[str] | None = None, *, title: str | None = None
    ) -> Recording:
        """Records from now on, as asciicast v3, beginning with the present screen.

        Without a path the recording is kept until its `save`. To record from the
        start, give `record` to `run` or `terminal_session`.
        """
        recording = Recording(path, title=title)
        recording.start(self.rows, self.cols, *self._description)
        self._connection.snapshot(LAST_TIMEOUT, recording=recording)
        return recording

    def get_output(self) -> list[dict[str, Any]]:
        """Gives the last output events, oldest first."""
        state = self._connection.state
        with state.changed:
            return [event for event in state.events if event.get("type") == "output"]

    # The end

    def exit(self, timeout: float | None = 5.0) -> int:
        """Ends the command and `ht`; gives the exit code of `ht`.

        That is 0 where the command had ended by itself, and -15 (SIGTERM) where
        it had to be ended. What has not ended after `timeout` seconds is ended
        by force. In a process that was forked from the session's this does nothing.
        """
        return self.ht.exit(timeout)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.exit()

    # Inside

    def _send(self, message: dict[str, Any]) -> None:
        code = self._connection.state.exit_code
        if code is not None:
            raise RuntimeError(f"the command has ended with exit code {code}: nothing reads keys")
        self._connection.send(message)

    def _point(
        self, targets: list[Target], timeout: float | None, *, wheel: bool = False
    ) -> list[tuple[int, int]]:
        """Waits until the targets are there, and the command takes mouse events."""
        problem = ""

        def look(screen: Snapshot) -> list[tuple[int, int]] | None:
            nonlocal problem
            try:
                places = [mouse.locate(target, screen) for target in targets]
            except TargetMissing as error:
                problem = str(error)
                return None
            if screen.view.offset:
                problem = "the mouse needs the screen, and the view shows its history"
                return None
            problem = "the command has not asked for mouse events"
            takes = screen.modes.mouse != "off" or (wheel and screen.modes.alternate_screen)
            return places if takes else None

        return self._watcher.wait(look, timeout, PARTS, lambda: problem, "after")


HtWrapper = Session
"""The name of `Session` up to htty 0.2.30."""


def _text(text: str) -> str:
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected text, found {text!r}")
    return text
