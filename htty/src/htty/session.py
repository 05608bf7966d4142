"""A session: one command on one headless terminal."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from htty.html import plain, to_html
from htty.keys import KeyInput, key_names
from htty.process import CommandController, HtController, ProcessController
from htty_core import Cols, Command, HtArgs, HtEvent, Rows, StyleMode
from htty_core import run as start_ht

if TYPE_CHECKING:
    import logging

DEFAULT_ROWS = 30
DEFAULT_COLS = 60
"""The terminal's size where none is given."""

SUBSCRIBED = (HtEvent.SNAPSHOT, HtEvent.OUTPUT, HtEvent.PID, HtEvent.EXIT_CODE)
"""The events that a session needs."""

LAST_TIMEOUT = 0.5
"""How many seconds `exit` waits for the last screen."""

GRACE = 2.0
"""How many seconds later than asked for `ht` may answer."""

LARGEST = 1000
"""A terminal has at most so many rows, and so many columns."""

EVENTS_KEPT = 10_000
"""How many events `get_output` looks back on."""


@dataclass(frozen=True)
class Cursor:
    """The cursor; rows and columns count from 0."""

    row: int = 0
    col: int = 0
    visible: bool = True
    shape: str = "block"
    """`block`, `underline` or `beam`."""


@dataclass(frozen=True)
class Modes:
    """What a program has asked its terminal for."""

    alternate_screen: bool = False
    application_cursor: bool = False
    bracketed_paste: bool = False
    focus_events: bool = False
    mouse: str = "off"
    """`off`, `click`, `drag` or `motion`."""
    sgr_mouse: bool = False
    """Whether mouse events come as SGR sequences."""


@dataclass(frozen=True)
class SnapshotResult:
    """The screen at one moment."""

    text: str
    """Its lines, each padded to the terminal's width; with styles in a styled session."""
    html: str
    """The screen as a page of HTML, with its styles."""
    raw_seq: str
    """The escape sequences that make a terminal of this size look like it."""
    cursor: Cursor = field(default_factory=lambda: Cursor())
    """Where the cursor is, and how it looks."""
    title: str | None = None
    """What the command has named its window; `None` where it has not."""
    modes: Modes = field(default_factory=lambda: Modes())
    """What the command has asked the terminal for."""
    scrollback: str = ""
    """The lines above the screen, at most the last 1000, as `text`."""
    bells: int = 0
    """How often the bell has rung since the start."""


@dataclass(frozen=True)
class Screen:
    """The screen as `ht` tells it."""

    styled: str
    seq: str
    data: dict[str, Any]
    """The event's data."""

    @property
    def text(self) -> str:
        """The lines without styles."""
        return plain(self.styled)


class Deadline:
    """A moment some seconds from now; never for `None`."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Gives the seconds until then, as `threading` takes them."""
        if self._end is None:
            return None
        return min(max(0.0, self._end - time.monotonic()), threading.TIMEOUT_MAX)

    def is_over(self) -> bool:
        """Tells whether it has come."""
        return self._end is not None and time.monotonic() >= self._end


def snake(name: str) -> str:
    """Gives a name of JSON as Python spells it."""
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def check_size(name: str, length: int) -> None:
    """Raises `TypeError` or `ValueError` where no terminal has so many rows or columns."""
    number = isinstance(length, int)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or isinstance(length, bool):
        raise TypeError(f"`{name}`: expected a number, found {length!r}")
    # A wide character must fit into a line.
    least = 2 if name == "cols" else 1
    if not least <= length <= LARGEST:
        raise ValueError(f"`{name}`: expected {least} to {LARGEST}, found {length}")


class HtWrapper:
    """A running session. Its methods may be called from several threads."""

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
    ) -> None:
        self.rows = rows
        self.cols = cols
        self._style_mode = style_mode or StyleMode.PLAIN
        self.cmd = CommandController(self)
        self.ht = HtController(self, process)
        self._process = process
        self._logger = logger
        # Guards what follows; notified at every event.
        self._changed = threading.Condition()
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._outputs = 0
        self._asked = 0
        self._answers: dict[int, Screen] = {}
        self._answered = 0
        self._abandoned: set[int] = set()
        self._last: Screen | None = None
        self._pid: int | None = None
        self._exit_code: int | None = None
        self._closed = False
        self._complaints: deque[str] = deque(maxlen=100)
        self._writing = threading.Lock()
        self._readers = [
            threading.Thread(target=self._read_events, name="ht events", daemon=True),
            threading.Thread(target=self._read_complaints, name="ht errors", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    # Input and output

    def send_keys(self, keys: KeyInput | Iterable[KeyInput]) -> None:
        """Types keys and text, in this order.

        What follows an Escape waits until the command has understood it as one.
        Raises `ValueError` for text that looks like a key's name and is none
        (`Esc`, `Ctrl+C`), and `RuntimeError` where the command has ended.
        """
        names = key_names(keys)
        self._check_running()
        self._send({"type": "sendKeys", "keys": names})

    def type(self, text: str) -> None:
        """Types text as it is, also where it equals the name of a key.

        Raises `RuntimeError` where the command has ended.
        """
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"expected text, found {text!r}")
        self._check_running()
        self._send({"type": "input", "payload": text})

    def resize(self, rows: int, cols: int) -> None:
        """Gives the terminal a new size: 1 to 1000 rows, 2 to 1000 columns."""
        check_size("rows", rows)
        check_size("cols", cols)
        self._send({"type": "resize", "rows": rows, "cols": cols})
        self.rows, self.cols = rows, cols

    def set_style_mode(self, mode: StyleMode) -> None:
        """Makes later snapshots plain or styled."""
        # `ht` always gives styles, for `html`.
        self._style_mode = mode

    def snapshot(
        self, timeout: float | None = 5.0, *, settle: float | None = None
    ) -> SnapshotResult:
        """Gives the screen, with all that came before: keys and output.

        The command is waited for until it sleeps, for at most `timeout` seconds
        (`None`: for ever); with `settle`, also until it has written nothing for
        so many seconds. After the end of `ht` it is the last screen that is
        known. Raises `TimeoutError` where `ht` does not answer, `RuntimeError`
        where it ended before there was any screen.
        """
        screen = self._screen(timeout, settle, details=True)
        styled = self._style_mode == StyleMode.STYLED
        text = screen.styled if styled else screen.text
        above = "\n".join(screen.data.get("scrollback", ()))
        modes = {snake(name): value for name, value in screen.data.get("modes", {}).items()}
        return SnapshotResult(
            text,
            to_html(screen.styled),
            screen.seq,
            Cursor(**screen.data.get("cursor", {})),
            screen.data.get("title"),
            Modes(**modes),
            above if styled else plain(above),
            screen.data.get("bells", 0),
        )

    def wait_idle(self, quiet: float = 0.2, timeout: float | None = 5.0) -> None:
        """Waits until the command has written nothing for `quiet` seconds.

        Raises `TimeoutError` where it still writes after `timeout` seconds.
        """
        if not self._screen(timeout, quiet).data.get("settled", True):
            raise TimeoutError(f"no quiet of {quiet} seconds within {timeout} seconds")

    def expect(self, pattern: str | re.Pattern[str], timeout: float | None = 5.0) -> None:
        """Waits until the screen matches the regular expression `pattern`.

        Its lines are as wide as the terminal, filled with blanks. `^` and `$`
        match at lines, unless the pattern is compiled without `re.MULTILINE`.
        Raises `TimeoutError`, which shows the screen, after `timeout` seconds
        (`None`: never), or as soon as the command has ended without a match.
        """
        self._expect(pattern, True, timeout)

    def expect_absent(self, pattern: str | re.Pattern[str], timeout: float | None = 5.0) -> None:
        """Waits until the screen does not match the regular expression `pattern`.

        Apart from that it is as `expect`.
        """
        self._expect(pattern, False, timeout)

    def get_output(self) -> list[dict[str, Any]]:
        """Gives the last output events, oldest first."""
        with self._changed:
            return [event for event in self._events if event.get("type") == "output"]

    # The end

    def exit(self, timeout: float | None = 5.0) -> int:
        """Ends the command and `ht`; gives the exit code of `ht`.

        That is 0 where the command had ended by itself, and -15 (SIGTERM) where
        it had to be ended. What has not ended after `timeout` seconds is ended
        by force.
        """
        # Once more the screen, which is kept; keys sent before may have led to
        # the command's end.
        with contextlib.suppress(RuntimeError, TimeoutError):
            self._screen(LAST_TIMEOUT)
        with self._changed:
            running = self._exit_code is None and not self._closed
        if running:
            # `ht` takes the command along.
            self._process.terminate()
        with self._writing, contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                # `ht` ends when its standard input does.
                self._process.stdin.close()
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for reader in self._readers:
            reader.join(timeout)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        return code

    # What the controllers ask for

    def command_pid(self) -> int | None:
        """Gives the command's process ID, once it is known."""
        with self._changed:
            return self._pid

    def command_exit_code(self) -> int | None:
        """Gives the command's exit code, once it has ended."""
        with self._changed:
            return self._exit_code

    def command_completed(self) -> bool:
        """Tells whether the command has ended."""
        with self._changed:
            return self._exit_code is not None or self._closed

    def wait_for_pid(self, timeout: float) -> None:
        """Waits until the command has been started, at most `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._pid is not None or self._closed, timeout)

    def wait_for_command(self, timeout: float | None) -> bool:
        """Waits until the command has ended; tells whether it has."""
        with self._changed:
            ended = self._changed.wait_for(
                lambda: self._exit_code is not None or self._closed, timeout
            )
            return ended

    # Inside

    def _check_running(self) -> None:
        with self._changed:
            code = self._exit_code
        if code is not None:
            raise RuntimeError(f"the command has ended with exit code {code}: nothing reads keys")

    def _screen(
        self, timeout: float | None, settle: float | None = None, *, details: bool = False
    ) -> Screen:
        request: dict[str, object] = {"type": "takeSnapshot"}
        if details:
            request["details"] = True
        if timeout is not None:
            # Then it is given as it is, and not lost.
            request["timeout"] = min(max(0.0, timeout), threading.TIMEOUT_MAX)
        if settle is not None:
            request["settle"] = max(0.0, settle)
        end = Deadline(None if timeout is None else max(0.0, timeout) + GRACE)
        with self._changed:
            if self._closed:
                return self._last_screen()
            self._asked += 1
            number = self._asked
            self._send(request)
            while number not in self._answers:
                if self._closed:
                    return self._last_screen()
                if not self._changed.wait(end.left()) and end.is_over():
                    self._abandoned.add(number)
                    raise TimeoutError(f"no snapshot within {timeout} seconds")
            return self._answers.pop(number)

    def _expect(self, pattern: str | re.Pattern[str], present: bool, timeout: float | None) -> None:
        try:
            regex = re.compile(pattern, re.MULTILINE) if isinstance(pattern, str) else pattern
        except re.error as error:
            raise ValueError(f"Invalid regex pattern '{pattern}': {error}") from error
        end = Deadline(timeout)
        while True:
            with self._changed:
                seen, over = self._outputs, self._exit_code is not None or self._closed
            screen = self._screen(end.left())
            if (regex.search(screen.text) is not None) == present:
                return
            if over:
                # Nothing more comes after the end.
                raise self._unmet(regex.pattern, present, "the command has ended", screen)
            with self._changed:
                self._changed.wait_for(
                    lambda seen=seen: (
                        self._outputs != seen or self._exit_code is not None or self._closed
                    ),
                    end.left(),
                )
            if end.is_over():
                raise self._unmet(regex.pattern, present, f"{timeout} seconds", screen)

    def _unmet(self, pattern: str, present: bool, when: str, screen: Screen) -> TimeoutError:
        if when == "the command has ended":
            code = self.command_exit_code()
            what = "not found" if present else "still present"
            text = f"Pattern '{pattern}' {what}: {when} with exit code {code}"
        elif present:
            text = f"Pattern '{pattern}' not found within {when}"
        else:
            text = f"Pattern '{pattern}' still present after {when}"
        lines = (line.rstrip() for line in screen.text.splitlines())
        return TimeoutError(f"{text}; the screen:\n" + "\n".join(lines).rstrip())

    def _last_screen(self) -> Screen:
        if self._last is None:
            # What it said last may not have been read yet.
            self._readers[1].join(1.0)
            complaints = "\n".join(self._complaints)
            raise RuntimeError(f"ht has ended and there is no snapshot\n{complaints}".rstrip())
        return self._last

    def _send(self, message: dict[str, object]) -> None:
        line = json.dumps(message) + "\n"
        with self._writing:
            stdin = self._process.stdin
            if stdin is None or stdin.closed:
                raise RuntimeError("the session has ended")
            try:
                stdin.write(line)
                stdin.flush()
            except BrokenPipeError:
                # The reader will see the end, and say so.
                pass

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if self._logger is not None:
                self._logger.debug("ht: %s", line.rstrip())
            try:
                event: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                continue
            with self._changed:
                self._take(event)
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        data = event.get("data", {})
        kind = event.get("type")
        if kind == "output":
            self._outputs += 1
        elif kind == "snapshot":
            self._answered += 1
            self._last = Screen(data["text"], data["seq"], data)
            if self._answered in self._abandoned:
                self._abandoned.remove(self._answered)
            else:
                self._answers[self._answered] = self._last
        elif kind == "pid":
            self._pid = data["pid"]
        elif kind == "exitCode":
            self._exit_code = data["exitCode"]

    def _read_complaints(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._complaints.append(line.rstrip())
            if self._logger is not None:
                self._logger.warning("ht: %s", line.rstrip())


def run(
    command: Command,
    rows: Rows = None,
    cols: Cols = None,
    no_exit: bool = True,
    logger: logging.Logger | None = None,
    extra_subscribes: Iterable[HtEvent | str] | None = None,
    style_mode: StyleMode | None = None,
    *,
    term: str | None = None,
) -> HtWrapper:
    """Starts a session; end it with its `exit`.

    `command` is a list of words, or a string, which is read as a shell does.
    Without a size it is 30 rows and 60 columns. `extra_subscribes` are events
    that the `logger` shall see too. `style_mode` tells whether a snapshot's
    `text` has styles, `term` what the command finds as `TERM`. `no_exit` is there
    for compatibility: the session always outlives the command, so that a last
    snapshot can be taken.
    """
    del no_exit
    rows = DEFAULT_ROWS if rows is None else rows
    cols = DEFAULT_COLS if cols is None else cols
    check_size("rows", rows)
    check_size("cols", cols)
    events = [*SUBSCRIBED]
    events += [event for event in extra_subscribes or () if event not in events]
    process = start_ht(HtArgs(command, events, rows, cols, StyleMode.STYLED, term))
    return HtWrapper(process, rows, cols, logger, style_mode)


@contextlib.contextmanager
def terminal_session(
    command: Command,
    rows: Rows = None,
    cols: Cols = None,
    logger: logging.Logger | None = None,
    extra_subscribes: Iterable[HtEvent | str] | None = None,
    style_mode: StyleMode | None = None,
    *,
    term: str | None = None,
) -> Generator[HtWrapper, None, None]:
    """Gives a session for the length of a `with` block."""
    session = run(
        command,
        rows,
        cols,
        logger=logger,
        extra_subscribes=extra_subscribes,
        style_mode=style_mode,
        term=term,
    )
    try:
        yield session
    finally:
        session.exit()
