"""The declared outputs of actions, compared with those of a run under act."""

import json
from pathlib import Path

import yaml


def check_outputs(root: Path, results: Path, action: str, *unset: str) -> None:
    """A run has set each output that the action declares, apart from those of `unset`.

    The workflow wrote them to a file below `results`.
    """
    declared = yaml.safe_load((root / "actions" / action / "action.yml").read_text())["outputs"]
    held = json.loads((results / f"outputs-{action.replace('/', '-')}.json").read_text())
    # act adds outputs of the inner steps.
    assert held.keys() >= declared.keys()
    assert {name for name in declared if held[name] == ""} == set(unset), held
