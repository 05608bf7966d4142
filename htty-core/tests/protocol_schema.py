"""Checks the messages to and from `ht` against the schema of its protocol."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schema/ht-protocol.json").read_text())


def strict(part: Any) -> Any:
    """The schema without additional fields."""
    if isinstance(part, list):
        return [strict(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {key: strict(value) for key, value in part.items()}
    if closed.get("type") == "object":
        closed["additionalProperties"] = False
    return closed


DEFINITIONS = strict(SCHEMA["$defs"])


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DEFINITIONS})


VALIDATORS = {
    name: validator(name)
    for name in DEFINITIONS
    if name.endswith(("Command", "Event")) and name != "shellCommand"
}


def check(kind: str, message: dict[str, Any]) -> None:
    """Raises an error if a `Command` or an `Event` does not match the schema."""
    VALIDATORS[f"{message['type']}{kind}"].validate(message)
