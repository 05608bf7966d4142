"""Holds what `ht` is told and what it tells to the schema of its protocol."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schema/ht-protocol.json").read_text())


def strict(part: Any) -> Any:
    """Without room for fields that the schema does not name."""
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
    """Raises where a `Command` or an `Event` is not as the schema says."""
    VALIDATORS[f"{message['type']}{kind}"].validate(message)
