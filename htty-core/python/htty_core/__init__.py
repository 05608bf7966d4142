"""The headless terminal `ht`: finding its binary and starting it.

`run` starts `ht`, which runs a command on a pseudo-terminal, reads commands as
JSON lines on its standard input and writes events as JSON lines on its standard
output. The package `htty` builds a convenient interface on this.
"""

from htty_core._core import (
    Cols,
    Command,
    HtArgs,
    HtEvent,
    Rows,
    StyleMode,
    __version__,
    find_ht_binary,
    run,
)

__all__ = [
    "Cols",
    "Command",
    "HtArgs",
    "HtEvent",
    "Rows",
    "StyleMode",
    "__version__",
    "find_ht_binary",
    "run",
]
