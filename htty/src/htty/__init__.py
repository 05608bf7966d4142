"""Drives terminal programs and takes snapshots of their screens.

`terminal_session` runs a command on a headless terminal:

>>> from htty import Press, terminal_session
>>> with terminal_session("cat", rows=4, cols=20) as cat:
...     cat.send_keys(["hello", Press.ENTER])
...     cat.expect(r"hello\\s+hello")
...     print(cat.snapshot().text.splitlines()[0].rstrip())
hello

It ends with the block, and the command with it, whatever happens in between.
`run` gives the same `HtWrapper` without the block; end it with its `exit`.
"""

from htty import keys
from htty.keys import KeyInput, Press
from htty.process import ProcessController
from htty.session import Cursor, HtWrapper, Modes, SnapshotResult, run, terminal_session
from htty_core import HtEvent, StyleMode, __version__

__all__ = [
    "Cursor",
    "HtEvent",
    "HtWrapper",
    "KeyInput",
    "Modes",
    "Press",
    "ProcessController",
    "SnapshotResult",
    "StyleMode",
    "__version__",
    "keys",
    "run",
    "terminal_session",
]
