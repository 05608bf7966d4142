"""Fixtures that start `ht` for a test, and end it."""

from collections.abc import Iterator
from typing import Any

import pytest
from running import Ht, Start

from htty_core import HtArgs, HtEvent


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Ht] = []

    def start(command: list[str], *, rows: int = 4, cols: int = 20, **kwargs: Any) -> Ht:
        events = [event for event in HtEvent if event is not HtEvent.DEBUG]
        running.append(Ht(HtArgs(command, events, rows, cols, **kwargs)))
        return running[-1]

    yield start
    for ht in running:
        ht.process.kill()
        ht.end()
