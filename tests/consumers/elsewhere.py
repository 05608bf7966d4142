"""What the tests of projects elsewhere name their fixtures' values by."""

from collections.abc import Callable
from pathlib import Path

# Runs a project's release workflow by act, with further arguments and variables; gives the log.
Act = Callable[..., str]
# Changes a project before it is committed.
Prepare = Callable[[Path], None]
# Makes a project of a template: its name, `edit` of its workflow, `prepare`.
Make = Callable[..., Act]
# Installs from the index alone; gives the folder of the environment's programs.
Install = Callable[..., Path]
