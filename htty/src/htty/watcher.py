"""Reads a session's screen, and waits for changes on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from htty.connection import Connection, Deadline
from htty.snapshot import Snapshot

T = TypeVar("T")


class Watcher:
    """Reads the screen of a session."""

    def __init__(self, connection: Connection, *, styled: bool) -> None:
        self._connection = connection
        self.styled = styled
        """Whether the text of snapshots has styles."""

    def snapshot(
        self, timeout: float | None, settle: float | None, include: tuple[str, ...]
    ) -> Snapshot:
        """Returns the screen, with these parts in addition to its text."""
        data = self._connection.snapshot(timeout, settle, include)
        return Snapshot(data, styled=self.styled)

    def wait(
        self,
        look: Callable[[Snapshot], T | None],
        timeout: float | None,
        include: tuple[str, ...],
        failure: str | Callable[[], str],
        preposition: str,
    ) -> T:
        """Calls `look` with the screen after every change, until it returns a truthy value.

        Raises `TimeoutError`, whose message begins with `failure` and shows the screen.
        """
        end = Deadline(timeout)
        state = self._connection.state
        while True:
            with state.changed:
                seen, over = state.outputs, state.ended
            screen = self.snapshot(end.left(), None, include)
            found = look(screen)
            if found:
                return found
            when = f" {preposition} {timeout} seconds"
            if over:
                # There is no more output after the command's end.
                when = f": the command has ended with exit code {state.exit_code}"
            else:
                with state.changed:
                    changed = state.wait(
                        lambda seen=seen: state.outputs != seen or state.ended, end.left()
                    )
                if changed and not end.is_over():
                    continue
            what = failure if isinstance(failure, str) else failure()
            shown = "\n".join(screen.lines).rstrip()
            raise TimeoutError(f"{what}{when}; the screen:\n{shown}")
