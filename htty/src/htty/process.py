"""Control over the two processes of a session."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import subprocess

    from htty.session import HtWrapper


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
        """Its exit code once it has ended; -N after signal N."""
        ...

    @property
    def completed(self) -> bool:
        """Whether it has ended."""
        ...

    def poll(self) -> int | None:
        """Gives `exit_code` as it is now."""
        ...

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for its end, at most `timeout` seconds; gives `exit_code`."""
        ...

    def terminate(self) -> None:
        """Sends SIGTERM."""
        ...

    def kill(self) -> None:
        """Sends SIGKILL."""
        ...

    def exit(self, timeout: float | None = 5.0) -> int:
        """Sees to its end, by force where `timeout` seconds do not do; gives `exit_code`.

        The command may end by itself meanwhile, and is terminated where it does
        not; `ht` ends at once, and with it what is left of the command.
        """
        ...


class CommandController:
    """The command that runs on the terminal."""

    def __init__(self, session: HtWrapper) -> None:
        self._session = session

    @property
    def pid(self) -> int | None:
        return self._session.command_pid()

    @property
    def exit_code(self) -> int | None:
        return self._session.command_exit_code()

    @property
    def completed(self) -> bool:
        return self._session.command_completed()

    def poll(self) -> int | None:
        return self.exit_code

    def wait(self, timeout: float | None = None) -> int | None:
        self._session.wait_for_command(timeout)
        return self.exit_code

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def exit(self, timeout: float | None = 5.0) -> int:
        for end in (lambda: None, self.terminate, self.kill):
            end()
            if self._session.wait_for_command(timeout):
                break
        code = self.exit_code
        if code is None:
            raise RuntimeError("ht ended before the command's exit code was known")
        return code

    def _signal(self, number: signal.Signals) -> None:
        self._session.wait_for_pid(PID_TIMEOUT)
        if self.pid is None:
            raise RuntimeError("the command has not been started")
        # Once its end is known, the process ID may be another's.
        if not self.completed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class HtController:
    """The `ht` process itself."""

    def __init__(self, session: HtWrapper, process: subprocess.Popen[str]) -> None:
        self._session = session
        self._process = process

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
        import subprocess

        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def exit(self, timeout: float | None = 5.0) -> int:
        return self._session.exit(timeout)
