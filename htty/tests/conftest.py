"""Checks of every session that a test has."""

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
    """Holds all that sessions say and hear to the protocol's schema, after the test."""
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
    # The screens that tests wait for are many, and of few shapes.
    for kind, message in {shape(message): (kind, message) for kind, message in messages}.values():
        check(kind, message)


def shape(value: Any) -> Any:
    """What a message is made of, with short texts and numbers left out."""
    if isinstance(value, dict):
        return tuple((key, shape(part)) for key, part in value.items())
    if isinstance(value, list):
        return tuple(dict.fromkeys(map(shape, value)))
    return value if isinstance(value, bool) else type(value)
