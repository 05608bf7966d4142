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
"""The largest number of rows, and of columns, of a terminal."""


def check_size(name: str, length: int) -> None:
    """Raises `TypeError` or `ValueError` if this is not a valid number of rows or columns."""
    number = isinstance(length, int)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or isinstance(length, bool):
        raise TypeError(f"`{name}`: expected a number, found {length!r}")
    # A wide character must fit into a line.
    least = 2 if name == "cols" else 1
    if not least <= length <= LARGEST:
        raise ValueError(f"`{name}`: expected {least} to {LARGEST}, found {length}")


class Session:
    """A running session. Its methods are thread-safe.

    It ends with `exit`, with its `with` block, when it is no longer referenced, or
    with this process. A process that is forked from this one cannot use it.
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
        """Wraps an `ht` that has been started; use `run` to start one."""
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
        """The condition that is notified at every event of the command."""
        return self._connection.state.changed

    # Input

    def send_keys(self, keys: KeyInput | Iterable[KeyInput], *, event: KeyEvent = "press") -> None:
        """Types keys and text, in this order.

        Input after an Escape waits until the command has recognised the Escape as a
        separate key. The `event` `"repeat"` holds the keys, `"release"` releases them; a
        command that has not enabled these events (kitty keyboard protocol) gets a
        repeated key as another press. Raises `ValueError` for text that looks like a
        key name but is not one (`Esc`, `Ctrl+C`), and `RuntimeError` if the command has
        ended or has not enabled released keys.
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
        """Runs a line in a shell; returns its output and exit code.

        The shell must mark its prompts and commands (OSC 133), as fish does and other
        shells can be configured to. Raises `TimeoutError`, which shows the screen, if
        there is no prompt or the command has not ended after `timeout` seconds
        (`None`: no limit), or if the shell itself ends.
        """
        end = Deadline(timeout)

        def prompt(screen: Snapshot) -> Shell | None:
            return screen.shell if screen.shell is not None and screen.shell.prompt else None

        before = self._watcher.wait(
            prompt, timeout, PARTS, "the shell has marked no prompt (OSC 133)", "after"
        )
        self._send({"type": "input", "payload": f"{_text(line)}\r"})

        def ended(screen: Snapshot) -> ShellCommand | None:
            shell = screen.shell
            return shell.command if shell and shell.finished > before.finished else None

        return self._watcher.wait(ended, end.left(), PARTS, f"`{line}` has not ended", "within")

    def type(self, text: str) -> None:
        """Types text as it is, even if it equals the name of a key.

        Raises `RuntimeError` if the command has ended.
        """
        self._send({"type": "input", "payload": _text(text)})

    def paste(self, text: str) -> None:
        """Pastes text: as a bracketed paste if the command has enabled it, otherwise
        typed, with Enter at the ends of lines.

        Raises `RuntimeError` if the command has ended.
        """
        self._send({"type": "paste", "text": _text(text)})

    def resize(self, rows: int, cols: int) -> None:
        """Changes the terminal's size: 1 to 1000 rows, 2 to 1000 columns."""
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
        """Clicks on text, on a result of `find`, or on `(row, column)`.

        Waits until text is on the screen exactly once. Raises `TimeoutError` if it is
        not, or if the command has not enabled mouse events, after `timeout` seconds.
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

        Both places are given as for `click`.
        """
        first, last = self._point([start, end], timeout)
        modifiers = {"shift": shift, "alt": alt, "control": control}
        self._send(mouse.event("press", first, button, modifiers))
        if self.snapshot(timeout).modes.mouse != "click":
            for place in mouse.path(first, last):
                self._send(mouse.event("move", place, button, modifiers))
        self._send(mouse.event("release", last, button, modifiers))

    def move(self, target: Target, *, timeout: float | None = 5.0) -> None:
        """Moves the mouse with no button held; the place is given as for `click`.

        Raises `RuntimeError` if the command has not enabled this (mode 1003).
        """
        (place,) = self._point([target], timeout)
        if self.snapshot(timeout).modes.mouse != "motion":
            raise RuntimeError("the command has not asked for the mouse's motion")
        self._send(mouse.event("move", place))

    def scroll(
        self, lines: int, target: Target | None = None, *, timeout: float | None = 5.0
    ) -> None:
        """Turns the mouse's wheel: down for a positive number, up for a negative one.

        The place is given as for `click`; the default is the middle of the screen. If
        the command has not enabled mouse events and shows the alternate screen, the
        wheel sends the cursor keys Up and Down, as in other terminals.
        """
        where = (self.rows // 2, self.cols // 2) if target is None else target
        (place,) = self._point([where], timeout, wheel=True)
        for _ in range(abs(lines)):
            self._send(mouse.event("scrollDown" if lines > 0 else "scrollUp", place))

    # The screen

    def scroll_view(self, lines: int | Literal["top", "bottom"]) -> None:
        """Moves the view of snapshots: down for a positive number, up into the history
        for a negative one, to its `"top"`, or back to the screen at its `"bottom"`.

        All methods that read the screen use this view. It does not move when the
        command writes, and returns to the screen with the next key.
        """
        ends = {"top": -_FAR, "bottom": _FAR}
        number = ends.get(lines) if isinstance(lines, str) else lines
        if number is None:
            raise ValueError(f"`{lines}` is not a place: expected top, bottom or a number")
        self._connection.send({"type": "scrollView", "lines": max(-_FAR, min(number, _FAR))})

    def set_style_mode(self, mode: StyleMode) -> None:
        """Sets whether the text of later snapshots has styles."""
        # `ht` always sends styles, for `html`.
        self._watcher.styled = mode == StyleMode.STYLED

    def snapshot(self, timeout: float | None = 5.0, *, settle: float | None = None) -> Snapshot:
        """Returns the screen after all previous keys and output.

        Waits until the command sleeps, for at most `timeout` seconds (`None`: no
        limit); with `settle`, also until it has written nothing for that many seconds.
        After the end of `ht`, returns the last known screen. Raises `TimeoutError` if
        `ht` does not answer, and `RuntimeError` if it ended before there was a screen.
        """
        return self._watcher.snapshot(timeout, settle, PARTS)

    def wait_idle(self, quiet: float = 0.2, timeout: float | None = 5.0) -> None:
        """Waits until the command has written nothing for `quiet` seconds.

        Raises `TimeoutError` if it still writes after `timeout` seconds.
        """
        if not self._connection.snapshot(timeout, quiet).get("settled", True):
            raise TimeoutError(
                f"the output did not stop for {quiet} seconds within {timeout} seconds"
            )

    def wait_for(self, predicate: Callable[[Snapshot], T | None], timeout: float | None = 5.0) -> T:
        """Waits until `predicate` returns a truthy value for the screen; returns that value.

        It is called with a `Snapshot` whenever the command has written something.
        Raises `TimeoutError`, which shows the screen, after `timeout` seconds
        (`None`: no limit), or as soon as the command has ended.
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
        """Waits until the screen matches a regular expression or a `Locator`; returns
        the match.

        If there are several patterns, the first one that matches is used, and `index`
        is its position. `flags` (`re.IGNORECASE`) apply to patterns that are not
        compiled. With `style`, the text must have that style; `style` alone waits for
        any text that has it. Lines are as wide as the terminal, filled with blanks; a
        wrapped line is also matched as a single line. `^` and `$` match at lines,
        unless a pattern is compiled without `re.MULTILINE`. Raises `TimeoutError`,
        which shows the screen, after `timeout` seconds (`None`: no limit), or as soon
        as the command has ended without a match.
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

        Otherwise, it works as `expect`.
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
        """Starts recording, as asciicast v3, beginning with the current screen.

        Without a path, the recording is kept until its `save`. To record from the
        start, pass `record` to `run` or `terminal_session`.
        """
        recording = Recording(path, title=title)
        recording.start(self.rows, self.cols, *self._description)
        self._connection.snapshot(LAST_TIMEOUT, recording=recording)
        return recording

    def get_output(self) -> list[dict[str, Any]]:
        """Returns the last output events, oldest first."""
        state = self._connection.state
        with state.changed:
            return [event for event in state.events if event.get("type") == "output"]

    # The end

    def exit(self, timeout: float | None = 5.0) -> int:
        """Ends the command and `ht`; returns the exit code of `ht`.

        It is 0 if the command had exited by itself, and -15 (SIGTERM) if it had to be
        ended. Processes that have not exited after `timeout` seconds are killed. In a
        process that was forked from the session's, this does nothing.
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
            raise RuntimeError(f"cannot send keys: the command has ended with exit code {code}")
        self._connection.send(message)

    def _point(
        self, targets: list[Target], timeout: float | None, *, wheel: bool = False
    ) -> list[tuple[int, int]]:
        """Waits until the targets are on the screen and the command accepts mouse events."""
        problem = ""

        def look(screen: Snapshot) -> list[tuple[int, int]] | None:
            nonlocal problem
            try:
                places = [mouse.locate(target, screen) for target in targets]
            except TargetMissing as error:
                problem = str(error)
                return None
            if screen.view.offset:
                problem = "the mouse works only on the screen, but the view shows the history"
                return None
            problem = "the command has not asked for mouse events"
            takes = screen.modes.mouse != "off" or (wheel and screen.modes.alternate_screen)
            return places if takes else None

        return self._watcher.wait(look, timeout, PARTS, lambda: problem, "after")


HtWrapper = Session
"""The name of `Session` in htty 0.2.30."""


def _text(text: str) -> str:
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected text, found {text!r}")
    return text
