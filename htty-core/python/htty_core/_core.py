"""The API of `htty_core`."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

# [[[cog cog.outl(f'__version__ = "{version}"') ]]]
__version__ = "0.3.0"
# [[[end]]]

Rows = Annotated[int | None, "the height of a terminal, in characters"]
"""The height of a terminal, in characters."""

Cols = Annotated[int | None, "the width of a terminal, in characters"]
"""The width of a terminal, in characters."""

Command = str | Sequence[str]
"""A command: a list of words, or a string, which is parsed as by a shell."""

# Quoted or escaped text, which is skipped, or syntax that only a shell understands,
# including assignments.
_SYNTAX = re.compile(
    r"""'[^']*'|\\.|"(?:[^"\\`$]|\\.)*"|(?P<shell>[|&;<>()$`*?\[#~\n{}"]|^\s*\w+=)""",
    re.DOTALL,
)


def command_words(command: Command) -> list[str]:
    """Returns the words of a command.

    A string is split as by a shell. If it uses more shell syntax than quotes (variables,
    pipes, patterns, assignments …), it becomes a command line for `/bin/sh`. Raises
    `ValueError` for an empty command.
    """
    if not isinstance(command, str):
        words = list(command)
        wrong = [word for word in words if not isinstance(word, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
        if wrong:
            raise TypeError(
                f"a command is a list of words or a string, and {wrong[0]!r} is neither"
            )
        if not words:
            raise ValueError("no command: the list of its words is empty")
        return words
    if not command.strip():
        raise ValueError("no command: the string is empty")
    if any(match["shell"] for match in _SYNTAX.finditer(command)):
        return ["/bin/sh", "-c", command]
    return shlex.split(command)


class HtEvent(str, Enum):
    """The events of `ht` that can be subscribed to."""

    INIT = "init"
    OUTPUT = "output"
    RESIZE = "resize"
    SNAPSHOT = "snapshot"
    PID = "pid"
    EXIT_CODE = "exitCode"
    COMMAND_COMPLETED = "commandCompleted"
    DEBUG = "debug"

    def __str__(self) -> str:
        return self.value


class StyleMode(str, Enum):
    """Whether a snapshot's text has the terminal's styles."""

    PLAIN = "plain"
    STYLED = "styled"

    def __str__(self) -> str:
        return self.value


@dataclass
class HtArgs:
    """The command line of one `ht` process."""

    command: Command
    """The command to run."""
    subscribes: Iterable[HtEvent | str] | None = None
    """The events to write."""
    rows: Rows = None
    """The terminal's height; 40 by default."""
    cols: Cols = None
    """The terminal's width; 120 by default."""
    style_mode: StyleMode | None = None
    """Whether the text of snapshots has styles; plain by default."""
    term: str | None = None
    """The command's `TERM`; by default that of `env`, or `xterm-256color`."""

    env: Mapping[str, str | None] | None = None
    """Changes to the environment; `None` removes a variable."""
    cwd: str | os.PathLike[str] | None = None
    """The command's working directory; the current one by default."""

    def term_name(self) -> str | None:
        """Returns the command's `TERM`, if it is not the default."""
        return self.term or (self.env or {}).get("TERM")

    def environment(self) -> dict[str, str] | None:
        """Returns the environment of `ht`; `None` if it is this process's own."""
        if self.env is None:
            return None
        merged: dict[str, str | None] = {**os.environ, **self.env}
        return {name: value for name, value in merged.items() if value is not None}

    def get_command(self, ht_binary: str | None = None) -> list[str]:
        """Returns the words of the command line; `ht_binary` is searched for if it is `None`."""
        words = [ht_binary or find_ht_binary()]
        events = [str(event) for event in self.subscribes or ()]
        if events:
            words += ["--subscribe", ",".join(events)]
        if self.rows is not None or self.cols is not None:
            words += ["--size", f"{self.cols or 120}x{self.rows or 40}"]
        if self.style_mode is not None:
            words += ["--style-mode", str(self.style_mode)]
        term = self.term_name()
        if term is not None:
            words += ["--term", term]
        return [*words, "--", *command_words(self.command)]


_SYSCONFIG = threading.Lock()
"""If two threads call `sysconfig` for the first time at once, it raises `AttributeError`."""


def find_ht_binary() -> str:
    """Finds `ht`: `HTTY_HT_BIN`, otherwise this environment's own script, otherwise PATH.

    Raises `FileNotFoundError` if there is none.
    """
    given = os.environ.get("HTTY_HT_BIN")
    if given:
        if not os.path.isfile(given):
            raise FileNotFoundError(f"HTTY_HT_BIN names `{given}`, which does not exist")
        return os.path.abspath(given)
    with _SYSCONFIG:
        own = sysconfig.get_path("scripts")
        # Installed with `pip install --user`.
        users = sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    for directory in (own, os.path.dirname(sys.executable), users):
        path = os.path.join(directory, "ht")
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("ht")
    if found is None:
        raise FileNotFoundError(
            f"the program ht of htty-core is not in {own} and not on PATH; "
            "reinstall htty-core, or set HTTY_HT_BIN to its path"
        )
    return found


def run(args: HtArgs) -> subprocess.Popen[str]:
    """Starts `ht`; its three standard streams are pipes in text mode.

    `ht` exits when its standard input is closed or this process exits.
    """
    return subprocess.Popen(
        args.get_command(),
        env=args.environment(),
        cwd=args.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
