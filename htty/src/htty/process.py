"""Control over the two processes of a session."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import subprocess

    from htty.session import HtWrapper


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

    def exit(self, timeout: float = 5.0) -> int:
        """Ends it, by force where `timeout` seconds do not do; gives `exit_code`."""
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

    def exit(self, timeout: float = 5.0) -> int:
        self.terminate()
        if not self._session.wait_for_command(timeout):
            self.kill()
            self._session.wait_for_command(timeout)
        code = self.exit_code
        if code is None:
            raise TimeoutError(f"the command did not end within {timeout} seconds")
        return code

    def _signal(self, number: signal.Signals) -> None:
        self._session.wait_for_pid()
        # Once its end is known, the process ID may be another's.
        if self.pid is not None and not self.completed:
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

    def exit(self, timeout: float = 5.0) -> int:
        return self._session.exit(timeout)
