"""Sessions for `asyncio`."""

import asyncio
import gc
import inspect
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from htty import Press, Session, aio


def test_a_session_is_driven() -> None:
    async def main() -> None:
        async with aio.run("cat", rows=4, cols=20) as cat:
            await cat.send_keys(["hello", Press.ENTER])
            found = await cat.expect(r"hello\s+(hello)")
            assert found.match is not None
            assert found.match[1] == "hello"
            await cat.expect_absent("other")
            assert (await cat.snapshot()).lines[:2] == ["hello", "hello"]
            assert await cat.wait_for(lambda screen: screen.cursor.row) == 2
            await cat.wait_idle(0.1)
            await cat.resize(5, 30)
            assert (cat.rows, cat.cols) == (5, 30)
            await cat.paste("pasted")
            await cat.type("typed")
            await cat.expect("pastedtyped")
            with pytest.raises(TimeoutError, match=r"not found within 0\.1 seconds"):
                await cat.expect("never", 0.1)
            with pytest.raises(TimeoutError, match="has not asked for mouse events"):
                await cat.click((0, 0), timeout=0.1)
            await cat.send_keys([Press.CTRL_C])
            assert await cat.wait(10) == -2
        assert cat.session.ht.completed

    asyncio.run(main())


def test_it_can_be_awaited() -> None:
    async def main() -> None:
        session = await aio.run("sleep 1000")
        assert await session.exit() == -15

    asyncio.run(main())


def test_sessions_run_at_the_same_time() -> None:
    async def one(number: int) -> str:
        async with aio.run(["sh", "-c", f"sleep 0.3; echo done {number}"]) as session:
            return (await session.expect(r"done \d+")).text

    async def main() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(8)))

    assert asyncio.run(main()) == [f"done {number}" for number in range(8)]


def test_a_canceled_wait_ends_at_once() -> None:
    async def main() -> None:
        async with aio.run("cat", rows=4, cols=20) as cat:
            waits: list[asyncio.Task[Any]] = [
                asyncio.create_task(cat.expect("never", None)),
                asyncio.create_task(cat.wait(None)),
                asyncio.create_task(cat.wait_for(lambda _: False, None)),
            ]
            await cat.snapshot()
            for wait in waits:
                wait.cancel()
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            # The threads are free again, and the session still works.
            await cat.send_keys(["after", Press.ENTER])
            await cat.expect(r"after\s+after")

    asyncio.run(main())
    end = time.monotonic() + 10
    while any(thread.name.startswith("htty") for thread in threading.enumerate()):
        assert time.monotonic() < end, threading.enumerate()
        time.sleep(0.01)


def test_a_canceled_block_ends_its_session() -> None:
    sessions: list[Session] = []

    async def work() -> None:
        async with aio.run("sleep 1000") as session:
            sessions.append(session.session)
            await session.wait(None)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(work(), 1)

    asyncio.run(main())
    assert sessions[0].ht.completed


def test_a_session_that_nobody_holds_ends() -> None:
    async def main() -> int:
        session = await aio.run("sleep 1000")
        await session.snapshot()
        assert session.session.ht.pid
        return session.session.ht.pid

    pid = asyncio.run(main())
    gc.collect()
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_both_have_the_same_methods() -> None:
    """With the same parameters and defaults."""
    ours = {
        name: inspect.signature(value)
        for name, value in vars(aio.AsyncSession).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    theirs = {
        name: inspect.signature(value)
        for name, value in vars(Session).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert ours.keys() - theirs.keys() == {"wait"}
    assert theirs.keys() - ours.keys() == set()
    for name, signature in theirs.items():
        assert str(ours[name]) == str(signature), name
