"""Drive terminal programs and take snapshots of their screens.

`terminal_session` runs a command on a headless terminal:

>>> from htty import Press, terminal_session
>>> with terminal_session("cat", rows=4, cols=20) as cat:
...     cat.send_keys(["hello", Press.ENTER])
...     cat.expect(r"hello\\s+hello")
...     print(cat.snapshot().text.splitlines()[0].rstrip())
hello

The session and its command always end with the block, even after an exception.
`run` returns the same `Session` without a block; end it with its `exit`.
"""

from htty import keys
from htty.grid import Cell, Found
from htty.keys import KeyEvent, KeyInput, Press
from htty.locator import Locator
from htty.process import ProcessController
from htty.recording import Recording
from htty.session import HtWrapper, Session
from htty.snapshot import (
    Cursor,
    Modes,
    Shell,
    ShellCommand,
    Snapshot,
    SnapshotResult,
    View,
)
from htty.start import run, terminal_session
from htty.style import Style, StyleFilter
from htty_core import HtEvent, StyleMode, __version__

__all__ = [
    "Cell",
    "Cursor",
    "Found",
    "HtEvent",
    "HtWrapper",
    "KeyEvent",
    "KeyInput",
    "Locator",
    "Modes",
    "Press",
    "ProcessController",
    "Recording",
    "Session",
    "Shell",
    "ShellCommand",
    "Snapshot",
    "SnapshotResult",
    "Style",
    "StyleFilter",
    "StyleMode",
    "View",
    "__version__",
    "keys",
    "run",
    "terminal_session",
]
