"""Checks of every session of a test."""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from htty.connection import Connection, State

sys.path.append(str(Path(__file__).parents[2] / "htty-core/tests"))

from protocol_schema import check


@pytest.fixture(autouse=True)
def protocol(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After the test, checks all messages of its sessions against the protocol's schema."""
    messages: list[tuple[str, dict[str, Any]]] = []
    send, take = Connection.send, State.take

    def sent(self: Connection, message: dict[str, object]) -> None:
        messages.append(("Command", json.loads(json.dumps(message))))
        send(self, message)

    def taken(self: State, event: dict[str, Any]) -> None:
        messages.append(("Event", event))
        take(self, event)

    monkeypatch.setattr(Connection, "send", sent)
    monkeypatch.setattr(State, "take", taken)
    yield
    # Tests wait for many screens, but of few shapes.
    for kind, message in {shape(message): (kind, message) for kind, message in messages}.values():
        check(kind, message)


def shape(value: Any) -> Any:
    """The structure of a message, without short texts and numbers."""
    if isinstance(value, dict):
        return tuple((key, shape(part)) for key, part in value.items())
    if isinstance(value, list):
        return tuple(dict.fromkeys(map(shape, value)))
    return value if isinstance(value, bool) else type(value)
