"""The API of `htty_core`, under its name of 0.2.30."""

from htty_core._core import Cols, Command, HtArgs, HtEvent, Rows, find_ht_binary, run

__all__ = ["Cols", "Command", "HtArgs", "HtEvent", "Rows", "find_ht_binary", "run"]
