"""What `htty_core` offers."""

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
"""A command: a list of words, or a string, which is read as a shell does."""

# Quoted or escaped text, which is not looked into, or what only a shell
# understands. A word that only assigns is for the shell too.
_SYNTAX = re.compile(
    r"""'[^']*'|\\.|"(?:[^"\\`$]|\\.)*"|(?P<shell>[|&;<>()$`*?\[#~\n{}"]|^\s*\w+=)""",
    re.DOTALL,
)


def command_words(command: Command) -> list[str]:
    """Gives the words that a command consists of.

    A string is split as a shell does; one that uses more of a shell than quotes
    (variables, pipes, patterns, assignments …) becomes a command line for
    `/bin/sh`. Raises `ValueError` where there is no word at all.
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
    """The events that `ht` can be asked to write."""

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
    """Whether a snapshot's text carries the terminal's styles."""

    PLAIN = "plain"
    STYLED = "styled"

    def __str__(self) -> str:
        return self.value


@dataclass
class HtArgs:
    """The command line of one `ht` process."""

    command: Command
    """What `ht` runs."""
    subscribes: Iterable[HtEvent | str] | None = None
    """The events that it writes."""
    rows: Rows = None
    """The terminal's height; 40 where there is none."""
    cols: Cols = None
    """The terminal's width; 120 where there is none."""
    style_mode: StyleMode | None = None
    """How snapshots look; plain where there is none."""
    term: str | None = None
    """What the command finds as `TERM`; that of `env`, or `xterm-256color`, where there is none."""

    env: Mapping[str, str | None] | None = None
    """Changes of the environment; `None` takes a variable away."""
    cwd: str | os.PathLike[str] | None = None
    """Where the command starts; here where there is none."""

    def term_name(self) -> str | None:
        """Gives what the command finds as `TERM`, where that is not the default."""
        return self.term or (self.env or {}).get("TERM")

    def environment(self) -> dict[str, str] | None:
        """Gives the environment of `ht`; `None` where it is this process's own."""
        if self.env is None:
            return None
        merged: dict[str, str | None] = {**os.environ, **self.env}
        return {name: value for name, value in merged.items() if value is not None}

    def get_command(self, ht_binary: str | None = None) -> list[str]:
        """Gives the words of the command line; `ht_binary` is found where it is `None`."""
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
"""Two threads that ask `sysconfig` first, together, get an `AttributeError`."""


def find_ht_binary() -> str:
    """Finds `ht`: `HTTY_HT_BIN`, else this environment's own script, else PATH.

    Raises `FileNotFoundError` where there is none.
    """
    given = os.environ.get("HTTY_HT_BIN")
    if given:
        if not os.path.isfile(given):
            raise FileNotFoundError(f"HTTY_HT_BIN names {given}, which is not there")
        return os.path.abspath(given)
    with _SYSCONFIG:
        own = sysconfig.get_path("scripts")
        # Installed with `pip install --user`.
        users = sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    for folder in (own, os.path.dirname(sys.executable), users):
        path = os.path.join(folder, "ht")
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

    `ht` ends when its standard input is closed or this process ends.
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
