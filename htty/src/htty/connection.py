"""The connection to `ht`: its process, its events, and waiting for them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

    from htty.recording import Recording

EVENTS_KEPT = 10_000
"""How many events `get_output` can return."""

GRACE = 2.0
"""How many seconds after the timeout `ht` may answer."""

LAST_WAIT = 2.0
"""How many seconds `ht` has to exit before it is killed, when a session is collected."""


class Deadline:
    """A point in time some seconds from now; never for `None`."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Returns the remaining seconds, as `threading` accepts them."""
        if self._end is None:
            return None
        return min(max(0.0, self._end - time.monotonic()), threading.TIMEOUT_MAX)

    def is_over(self) -> bool:
        """Returns whether it has passed."""
        return self._end is not None and time.monotonic() >= self._end


class Interruption:
    """Ends the waits of one thread from another, for `asyncio`."""

    current = threading.local()

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> None:
        self.current.value = self

    def __exit__(self, *_: object) -> None:
        self.current.value = None

    def request(self, changed: threading.Condition) -> None:
        """Ends the wait of the thread that has entered this, or its next wait."""
        self.requested = True
        with changed:
            changed.notify_all()

    @classmethod
    def check(cls) -> None:
        """Raises `InterruptedError` if this thread must end its wait."""
        value: Interruption | None = getattr(cls.current, "value", None)
        if value is not None and value.requested:
            raise InterruptedError("the wait was canceled")


class State:
    """The state of a session. The threads that read from `ht` hold a reference only to
    this, so that a session that is no longer referenced is collected."""

    def __init__(self, logger: logging.Logger | None) -> None:
        self.logger = logger
        # Guards the following attributes; notified at every event.
        self.changed = threading.Condition()
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self.outputs = 0
        self.asked = 0
        self.answers: dict[int, dict[str, Any]] = {}
        self.answered = 0
        self.abandoned: set[int] = set()
        self.last: dict[str, Any] | None = None
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.closed = False
        self.complaints: deque[str] = deque(maxlen=100)
        self.recordings: list[Recording] = []
        # Recordings that begin with the answer of this number.
        self.beginning: dict[int, Recording] = {}

    @property
    def ended(self) -> bool:
        """Whether the command has ended."""
        return self.exit_code is not None or self.closed

    def wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Waits for a condition; `changed` must be held. Returns whether it is met."""
        end = Deadline(timeout)
        while not condition():
            Interruption.check()
            if end.is_over():
                return False
            self.changed.wait(end.left())
        return True

    def take(self, event: dict[str, Any]) -> None:
        """Records an event; `changed` must be held."""
        self.events.append(event)
        data = event.get("data", {})
        kind = event.get("type")
        if kind == "snapshot":
            self._take_answer(data)
        elif kind == "output":
            self.outputs += 1
        elif kind == "pid":
            self.pid = data["pid"]
        elif kind == "exitCode":
            self.exit_code = data["exitCode"]
        for recording in self.recordings:
            recording.take(event)

    def _take_answer(self, data: dict[str, Any]) -> None:
        self.answered += 1
        # A complete answer is not replaced by a partial one of the same screen.
        if self.last is None or "svg" in data or data["seq"] != self.last["seq"]:
            self.last = data
        recording = self.beginning.pop(self.answered, None)
        if recording is not None:
            recording.begin(data)
            self.recordings.append(recording)
        if self.answered in self.abandoned:
            self.abandoned.remove(self.answered)
        else:
            self.answers[self.answered] = data


class Connection:
    """A running `ht`. It ends when this is collected, and when the interpreter exits."""

    def __init__(
        self,
        process: subprocess.Popen[str],
        logger: logging.Logger | None,
        recording: Recording | None = None,
    ) -> None:
        self.process = process
        self.state = State(logger)
        if recording is not None:
            self.state.recordings.append(recording)
        self._owner = os.getpid()
        self._writing = threading.Lock()
        self._readers = [
            threading.Thread(target=read, args=(process, self.state), name=name, daemon=True)
            for read, name in ((_read_events, "ht events"), (_read_complaints, "ht errors"))
        ]
        for reader in self._readers:
            reader.start()
        self._finalizer = weakref.finalize(self, _end, process, self._owner, self._readers)
        _connections.add(self)

    def check(self) -> None:
        """Raises `RuntimeError` in a process that was forked from the session's."""
        if os.getpid() != self._owner:
            raise RuntimeError(
                f"this session belongs to process {self._owner}, from which this one was forked; "
                "start a new session in this process"
            )

    def send(self, message: dict[str, object]) -> None:
        """Sends a command to `ht`."""
        self.check()
        line = json.dumps(message) + "\n"
        with self._writing:
            stdin = self.process.stdin
            if stdin is None or stdin.closed:
                raise RuntimeError("the session has ended")
            # The reader notices the end and reports it.
            with contextlib.suppress(BrokenPipeError):
                stdin.write(line)
                stdin.flush()

    def snapshot(
        self,
        timeout: float | None,
        settle: float | None = None,
        include: tuple[str, ...] = (),
        recording: Recording | None = None,
    ) -> dict[str, Any]:
        """Returns the data of a snapshot, or of the last one after the end of `ht`.

        A `recording` begins with this snapshot.
        """
        self.check()
        state = self.state
        request: dict[str, object] = {"type": "takeSnapshot", "include": include}
        if timeout is not None:
            # After the timeout, `ht` sends the screen as it is.
            request["timeout"] = min(max(0.0, timeout), threading.TIMEOUT_MAX)
        if settle is not None:
            request["settle"] = max(0.0, settle)
        end = Deadline(None if timeout is None else max(0.0, timeout) + GRACE)
        with state.changed:
            if state.closed:
                return self._last()
            state.asked += 1
            number = state.asked
            if recording is not None:
                state.beginning[number] = recording
            self.send(request)
            try:
                answered = state.wait(lambda: number in state.answers or state.closed, end.left())
            except InterruptedError:
                state.abandoned.add(number)
                raise
            if number in state.answers:
                return state.answers.pop(number)
            if answered:
                return self._last()
            state.abandoned.add(number)
            raise TimeoutError(f"no snapshot within {timeout} seconds")

    def _last(self) -> dict[str, Any]:
        if self.state.last is None:
            # Its last messages may not have been read yet.
            self._readers[1].join(1.0)
            complaints = "\n".join(self.state.complaints)
            raise RuntimeError(f"ht has ended and there is no snapshot\n{complaints}".rstrip())
        return self.state.last

    def exit(self, timeout: float | None) -> int:
        """Ends `ht` and the command, by force after `timeout` seconds; returns the exit code."""
        with self.state.changed:
            running = not self.state.ended
        if running:
            # `ht` also ends the command.
            self.process.terminate()
        with self._writing, contextlib.suppress(BrokenPipeError):
            if self.process.stdin is not None:
                # `ht` exits when its standard input is closed.
                self.process.stdin.close()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for reader in self._readers:
            # They close the streams that they read.
            reader.join(timeout)
        self._finalizer.detach()
        for recording in self.state.recordings:
            recording.close()
        return code

    def is_foreign(self) -> bool:
        """Returns whether this process was forked from the session's."""
        return os.getpid() != self._owner

    def disown(self) -> None:
        """Releases `ht` in a forked process, which would otherwise keep it alive."""
        self._finalizer.detach()
        self.state.changed = threading.Condition()
        self.state.closed = True
        empty = os.open(os.devnull, os.O_RDWR)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            # The descriptor stays open, so that its number is not reused.
            with contextlib.suppress(ValueError, OSError):
                if stream is not None:
                    os.dup2(empty, stream.fileno(), inheritable=False)
        os.close(empty)
        # It is not a child of this process, so this process must not wait for it.
        self.process.returncode = self.process.returncode or 0


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _disown_all() -> None:
    for connection in list(_connections):
        connection.disown()


os.register_at_fork(after_in_child=_disown_all)


def _end(process: subprocess.Popen[str], owner: int, readers: list[threading.Thread]) -> None:
    """Ends a session that is no longer referenced."""
    if os.getpid() != owner:
        return
    process.terminate()
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(LAST_WAIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for reader in readers:
        # The garbage collector may run in one of them.
        if reader is not threading.current_thread():
            reader.join(LAST_WAIT)


def _read_events(process: subprocess.Popen[str], state: State) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            if state.logger is not None:
                state.logger.debug("ht: %s", line.rstrip())
            try:
                event: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                continue
            with state.changed:
                state.take(event)
                state.changed.notify_all()
    with state.changed:
        state.closed = True
        state.changed.notify_all()


def _read_complaints(process: subprocess.Popen[str], state: State) -> None:
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            state.complaints.append(line.rstrip())
            if state.logger is not None:
                state.logger.warning("ht: %s", line.rstrip())
