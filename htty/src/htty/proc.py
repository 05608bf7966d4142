"""The process controllers under their names of htty 0.2.30."""

from htty.process import CommandController as CmdProcess
from htty.process import HtController as HtProcess
from htty.process import ProcessController

__all__ = ["CmdProcess", "HtProcess", "ProcessController"]
