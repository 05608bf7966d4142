"""The types of the fixtures in the tests of projects elsewhere."""

from collections.abc import Callable
from pathlib import Path

# Runs a project's release workflow with act, arguments and variables; returns the log.
Act = Callable[..., str]
# Changes a project before it is committed.
Prepare = Callable[[Path], None]
# Creates a project from a template: its name, `edit` of its workflow, `prepare`.
Make = Callable[..., Act]
# Installs only from the index; returns the directory of the environment's programs.
Install = Callable[..., Path]
