"""The session under its name of htty 0.2.30."""

from htty.process import ProcessController
from htty.session import HtWrapper
from htty.snapshot import SnapshotResult
from htty.start import run, terminal_session

__all__ = ["HtWrapper", "ProcessController", "SnapshotResult", "run", "terminal_session"]
