"""Sessions for `asyncio`: the API of `htty`, with methods to await.

>>> import asyncio
>>> from htty import aio
>>> async def main() -> str:
...     async with aio.run("cat") as cat:
...         await cat.send_keys(["hello", "Enter"])
...         found = await cat.expect(r"hello\\s+hello")
...     return found.text.split()[0]
>>> asyncio.run(main())
'hello'

Each method runs the method of `htty.Session` in a thread. When a task is canceled,
its wait ends immediately, and the session continues.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from htty import start
from htty.connection import Interruption
from htty.expectation import Pattern
from htty.grid import Found
from htty.keys import KeyEvent, KeyInput
from htty.mouse import Target
from htty.recording import Recording
from htty.session import Session
from htty.snapshot import ShellCommand, Snapshot
from htty.style import StyleFilter
from htty_core import Cols, Command, Rows, StyleMode

if TYPE_CHECKING:
    import logging

T = TypeVar("T")

THREADS = 64
"""How many calls of one session can wait at the same time."""


class AsyncSession:
    """A running session; `run` creates one."""

    def __init__(self, session: Session) -> None:
        """Wraps a session, which can still be used directly."""
        self.session = session
        """The session that this one drives."""
        self._threads = ThreadPoolExecutor(THREADS, "htty")

    @property
    def rows(self) -> int:
        """The terminal's height."""
        return self.session.rows

    @property
    def cols(self) -> int:
        """The terminal's width."""
        return self.session.cols

    # Input

    async def send_keys(
        self, keys: KeyInput | Iterable[KeyInput], *, event: KeyEvent = "press"
    ) -> None:
        """Types keys and text, as `htty.Session.send_keys`."""
        await self._call(self.session.send_keys, keys, event=event)

    async def submit(self, line: str, timeout: float | None = 5.0) -> ShellCommand:
        """Runs a line in a shell, as `htty.Session.submit`."""
        return await self._call(self.session.submit, line, timeout)

    async def type(self, text: str) -> None:
        """Types text as it is, as `htty.Session.type`."""
        await self._call(self.session.type, text)

    async def paste(self, text: str) -> None:
        """Pastes text, as `htty.Session.paste`."""
        await self._call(self.session.paste, text)

    async def resize(self, rows: int, cols: int) -> None:
        """Changes the terminal's size, as `htty.Session.resize`."""
        await self._call(self.session.resize, rows, cols)

    async def click(
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
        """Clicks, as `htty.Session.click`."""
        click = functools.partial(self.session.click, button=button, count=count)
        await self._call(click, target, shift=shift, alt=alt, control=control, timeout=timeout)

    async def drag(
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
        """Moves the mouse with a button held, as `htty.Session.drag`."""
        drag = functools.partial(self.session.drag, button=button)
        await self._call(drag, start, end, shift=shift, alt=alt, control=control, timeout=timeout)

    async def move(self, target: Target, *, timeout: float | None = 5.0) -> None:
        """Moves the mouse, as `htty.Session.move`."""
        await self._call(self.session.move, target, timeout=timeout)

    async def scroll(
        self, lines: int, target: Target | None = None, *, timeout: float | None = 5.0
    ) -> None:
        """Turns the mouse's wheel, as `htty.Session.scroll`."""
        await self._call(self.session.scroll, lines, target, timeout=timeout)

    # The screen

    async def scroll_view(self, lines: int | Literal["top", "bottom"]) -> None:
        """Moves the view of snapshots, as `htty.Session.scroll_view`."""
        await self._call(self.session.scroll_view, lines)

    def set_style_mode(self, mode: StyleMode) -> None:
        """Sets whether the text of later snapshots has styles."""
        self.session.set_style_mode(mode)

    async def snapshot(
        self, timeout: float | None = 5.0, *, settle: float | None = None
    ) -> Snapshot:
        """Returns the screen, as `htty.Session.snapshot`."""
        return await self._call(self.session.snapshot, timeout, settle=settle)

    async def wait_idle(self, quiet: float = 0.2, timeout: float | None = 5.0) -> None:
        """Waits until the output stops, as `htty.Session.wait_idle`."""
        await self._call(self.session.wait_idle, quiet, timeout)

    async def wait_for(
        self, predicate: Callable[[Snapshot], T | None], timeout: float | None = 5.0
    ) -> T:
        """Waits until `predicate` returns a truthy value, like `htty.Session.wait_for`.

        It is called in a thread.
        """
        return await self._call(self.session.wait_for, predicate, timeout)

    async def expect(
        self,
        pattern: Pattern | Iterable[Pattern] | None = None,
        timeout: float | None = 5.0,
        *,
        flags: int = 0,
        style: StyleFilter | None = None,
    ) -> Found:
        """Waits for a regular expression or a style, as `htty.Session.expect`."""
        return await self._call(self.session.expect, pattern, timeout, flags=flags, style=style)

    async def expect_absent(
        self,
        pattern: Pattern | Iterable[Pattern] | None = None,
        timeout: float | None = 5.0,
        *,
        flags: int = 0,
        style: StyleFilter | None = None,
    ) -> None:
        """Waits until it disappears, as `htty.Session.expect_absent`."""
        await self._call(self.session.expect_absent, pattern, timeout, flags=flags, style=style)

    async def record(
        self, path: str | os.PathLike[str] | None = None, *, title: str | None = None
    ) -> Recording:
        """Records from now on, as `htty.Session.record`."""
        return await self._call(self.session.record, path, title=title)

    def get_output(self) -> list[dict[str, Any]]:
        """Returns the last output events, oldest first."""
        return self.session.get_output()

    # The end

    async def wait(self, timeout: float | None = None) -> int | None:
        """Waits for the command's end, at most `timeout` seconds; returns its exit code."""
        return await self._call(self.session.cmd.wait, timeout)

    async def exit(self, timeout: float | None = 5.0) -> int:
        """Ends the command and `ht`, as `htty.Session.exit`."""
        return await self._call(self.session.exit, timeout)

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Even while the task is being canceled: it does not take long.
        await asyncio.shield(self.exit())
        self._threads.shutdown(wait=False)

    async def _call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        interruption = Interruption()

        def work() -> T:
            with interruption:
                return function(*args, **kwargs)

        future: Future[T] = self._threads.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            interruption.request(self.session.changed)
            raise


class Starting:
    """The result of `run`: await it, or use it as an `async with` block."""

    def __init__(self, make: Callable[[], Session]) -> None:
        self._make = make
        self._session: AsyncSession | None = None

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        return self._start().__await__()

    async def __aenter__(self) -> AsyncSession:
        self._session = await self._start()
        return self._session

    async def __aexit__(self, *exception: object) -> None:
        if self._session is not None:
            await self._session.__aexit__(*exception)

    async def _start(self) -> AsyncSession:
        loop = asyncio.get_running_loop()
        return AsyncSession(await loop.run_in_executor(None, self._make))


def run(
    command: Command,
    rows: Rows = None,
    cols: Cols = None,
    *,
    logger: logging.Logger | None = None,
    style_mode: StyleMode | None = None,
    term: str | None = None,
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    record: str | os.PathLike[str] | Recording | None = None,
) -> Starting:
    """Starts a session; its arguments are those of `htty.run`.

    `session = await run(…)` starts a session that ends with its `exit`; with `async
    with run(…) as session`, it ends with the block.
    """
    return Starting(
        functools.partial(
            start.run,
            command,
            rows,
            cols,
            logger=logger,
            style_mode=style_mode,
            term=term,
            env=env,
            cwd=cwd,
            record=record,
        )
    )
