"""The process controllers under the names that they had up to htty 0.2.30."""

from htty.process import CommandController as CmdProcess
from htty.process import HtController as HtProcess
from htty.process import ProcessController

__all__ = ["CmdProcess", "HtProcess", "ProcessController"]
