"""Control over the two processes of a session."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Protocol

from htty.snapshot import PARTS

if TYPE_CHECKING:
    from htty.connection import Connection


LAST_TIMEOUT = 0.5
"""How many seconds `exit` waits for the last screen."""

PID_TIMEOUT = 5.0
"""How many seconds `ht` has to start the command."""


class ProcessController(Protocol):
    """A process of a session: the command, or `ht` itself."""

    @property
    def pid(self) -> int | None:
        """Its process ID, once it is known."""
        ...

    @property
    def exit_code(self) -> int | None:
        """Its exit code once it has exited; -N after signal N."""
        ...

    @property
    def completed(self) -> bool:
        """Whether it has exited."""
        ...

    def poll(self) -> int | None:
        """Returns the current `exit_code`."""
        ...

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits until it exits, at most `timeout` seconds; returns `exit_code`."""
        ...

    def terminate(self) -> None:
        """Sends SIGTERM."""
        ...

    def kill(self) -> None:
        """Sends SIGKILL."""
        ...

    def exit(self, timeout: float | None = 5.0) -> int:
        """Ends it, by force after `timeout` seconds; returns `exit_code`.

        The command has `timeout` seconds to exit by itself before it is terminated.
        `ht` ends immediately, and with it the remaining processes of the command.
        """
        ...


class CommandController:
    """The command that runs on the terminal."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._state = connection.state

    @property
    def pid(self) -> int | None:
        with self._state.changed:
            return self._state.pid

    @property
    def exit_code(self) -> int | None:
        with self._state.changed:
            return self._state.exit_code

    @property
    def completed(self) -> bool:
        with self._state.changed:
            return self._state.ended

    def poll(self) -> int | None:
        return self.exit_code

    def wait(self, timeout: float | None = None) -> int | None:
        self._has_ended(timeout)
        return self.exit_code

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def exit(self, timeout: float | None = 5.0) -> int:
        for end in (lambda: None, self.terminate, self.kill):
            end()
            if self._has_ended(timeout):
                break
        code = self.exit_code
        if code is None:
            raise RuntimeError("ht ended before the command's exit code was known")
        return code

    def _has_ended(self, timeout: float | None) -> bool:
        self._connection.check()
        with self._state.changed:
            return self._state.wait(lambda: self._state.ended, timeout)

    def _signal(self, number: signal.Signals) -> None:
        self._connection.check()
        with self._state.changed:
            self._state.wait(lambda: self._state.pid is not None or self._state.closed, PID_TIMEOUT)
        if self.pid is None:
            raise RuntimeError("the command has not been started")
        # After its exit is known, the process ID may belong to another process.
        if not self.completed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class HtController:
    """The `ht` process itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._process = connection.process

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def completed(self) -> bool:
        return self.exit_code is not None

    def poll(self) -> int | None:
        return self.exit_code

    def wait(self, timeout: float | None = None) -> int | None:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def exit(self, timeout: float | None = 5.0) -> int:
        if self._connection.is_foreign():
            return 0
        # Keep a last screen; keys sent before may have made the command exit.
        with contextlib.suppress(RuntimeError, TimeoutError):
            self._connection.snapshot(LAST_TIMEOUT, include=PARTS)
        return self._connection.exit(timeout)
