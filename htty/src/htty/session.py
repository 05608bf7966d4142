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
from dataclasses import dataclass
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

EVENTS_KEPT = 10_000
"""How many events `get_output` looks back on."""


@dataclass(frozen=True)
class SnapshotResult:
    """The screen at one moment."""

    text: str
    """Its lines, each padded to the terminal's width; with styles in a styled session."""
    html: str
    """The screen as a page of HTML, with its styles."""
    raw_seq: str
    """The escape sequences that make a terminal of this size look like it."""


@dataclass(frozen=True)
class Screen:
    """The screen as `ht` tells it."""

    styled: str
    seq: str

    @property
    def text(self) -> str:
        """The lines without styles."""
        return plain(self.styled)


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
        """Types keys and text, in this order."""
        self._send({"type": "sendKeys", "keys": key_names(keys)})

    def resize(self, rows: int, cols: int) -> None:
        """Gives the terminal a new size."""
        self._send({"type": "resize", "rows": rows, "cols": cols})
        self.rows, self.cols = rows, cols

    def set_style_mode(self, mode: StyleMode) -> None:
        """Makes later snapshots plain or styled."""
        # `ht` always gives styles, for `html`.
        self._style_mode = mode

    def snapshot(self, timeout: float = 5.0) -> SnapshotResult:
        """Gives the screen, with all that came before: keys and output.

        After the end of `ht` it is the last screen that is known. Raises
        `TimeoutError` after `timeout` seconds, `RuntimeError` where `ht` ended
        before there was any screen.
        """
        screen = self._screen(timeout)
        text = screen.styled if self._style_mode == StyleMode.STYLED else screen.text
        return SnapshotResult(text, to_html(screen.styled), screen.seq)

    def expect(self, pattern: str, timeout: float = 5.0) -> None:
        """Waits until the screen matches the regular expression `pattern`.

        Its lines are as wide as the terminal, filled with blanks. `^` and `$`
        match at lines. Raises `TimeoutError` after `timeout` seconds.
        """
        if not self._wait_for_screen(pattern, True, timeout):
            raise TimeoutError(f"Pattern '{pattern}' not found within {timeout} seconds")

    def expect_absent(self, pattern: str, timeout: float = 5.0) -> None:
        """Waits until the screen does not match the regular expression `pattern`.

        `^` and `$` match at lines. Raises `TimeoutError` after `timeout` seconds.
        """
        if not self._wait_for_screen(pattern, False, timeout):
            raise TimeoutError(f"Pattern '{pattern}' still present after {timeout} seconds")

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

    def _screen(self, timeout: float) -> Screen:
        end = time.monotonic() + timeout
        with self._changed:
            if self._closed:
                return self._last_screen()
            self._asked += 1
            number = self._asked
            self._send({"type": "takeSnapshot"})
            while number not in self._answers:
                if self._closed:
                    return self._last_screen()
                if not self._changed.wait(end - time.monotonic()) and time.monotonic() >= end:
                    self._abandoned.add(number)
                    raise TimeoutError(f"no snapshot within {timeout} seconds")
            return self._answers.pop(number)

    def _wait_for_screen(self, pattern: str, present: bool, timeout: float) -> bool:
        try:
            regex = re.compile(pattern, re.MULTILINE)
        except re.error as error:
            raise ValueError(f"Invalid regex pattern '{pattern}': {error}") from error
        end = time.monotonic() + timeout
        while True:
            with self._changed:
                seen = self._outputs
                over = self._exit_code is not None or self._closed
            try:
                screen = self._screen(max(0.0, end - time.monotonic()))
            except TimeoutError:
                return False
            if (regex.search(screen.text) is not None) == present:
                return True
            with self._changed:
                # Nothing more comes after the end, but for what somebody else
                # on the terminal writes.
                changed = self._changed.wait_for(
                    lambda seen=seen, over=over: (
                        self._outputs != seen
                        or (not over and (self._exit_code is not None or self._closed))
                    ),
                    end - time.monotonic(),
                )
            if not changed:
                return False

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
            self._last = Screen(data["text"], data["seq"])
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
) -> HtWrapper:
    """Starts a session; end it with its `exit`.

    `command` is a list of words, or a string, which is read as a shell does.
    Without a size it is 30 rows and 60 columns. `extra_subscribes` are events
    that the `logger` shall see too. `style_mode` tells whether a snapshot's
    `text` has styles. `no_exit` is there for compatibility: the session always
    outlives the command, so that a last snapshot can be taken.
    """
    del no_exit
    rows = DEFAULT_ROWS if rows is None else rows
    cols = DEFAULT_COLS if cols is None else cols
    events = [*SUBSCRIBED]
    events += [event for event in extra_subscribes or () if event not in events]
    process = start_ht(HtArgs(command, events, rows, cols, StyleMode.STYLED))
    return HtWrapper(process, rows, cols, logger, style_mode)


@contextlib.contextmanager
def terminal_session(
    command: Command,
    rows: Rows = None,
    cols: Cols = None,
    logger: logging.Logger | None = None,
    extra_subscribes: Iterable[HtEvent | str] | None = None,
    style_mode: StyleMode | None = None,
) -> Generator[HtWrapper, None, None]:
    """Gives a session for the length of a `with` block."""
    session = run(
        command,
        rows,
        cols,
        logger=logger,
        extra_subscribes=extra_subscribes,
        style_mode=style_mode,
    )
    try:
        yield session
    finally:
        session.exit()
