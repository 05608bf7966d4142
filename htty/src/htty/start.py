"""Starting a session."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING

from htty.recording import Recording
from htty.session import Session, check_size
from htty_core import Cols, Command, HtArgs, HtEvent, Rows, StyleMode
from htty_core import run as start_ht

if TYPE_CHECKING:
    import logging

DEFAULT_ROWS = 30
DEFAULT_COLS = 60
"""The terminal's default size."""

SUBSCRIBED = (
    HtEvent.SNAPSHOT,
    HtEvent.OUTPUT,
    HtEvent.RESIZE,
    HtEvent.PID,
    HtEvent.EXIT_CODE,
)
"""The events that a session needs."""


def run(
    command: Command,
    rows: Rows = None,
    cols: Cols = None,
    no_exit: bool = True,
    logger: logging.Logger | None = None,
    extra_subscribes: Iterable[HtEvent | str] | None = None,
    style_mode: StyleMode | None = None,
    *,
    term: str | None = None,
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    record: str | os.PathLike[str] | Recording | None = None,
) -> Session:
    """Starts a session; end it with its `exit`, or use it as a `with` block.

    `command` is a list of words, or a string, which is parsed as by a shell. The
    default size is 30 rows and 60 columns. `extra_subscribes` are additional events
    for the `logger`. `style_mode` sets whether a snapshot's `text` has styles, `term`
    the command's `TERM`. `env` changes the command's environment (`None` removes a
    variable), and `cwd` is its working directory. `record` is a file for a recording,
    or a `Recording`. `no_exit` exists for compatibility and has no effect: the session
    always outlives the command, so that a last snapshot can be taken.
    """
    del no_exit
    rows = DEFAULT_ROWS if rows is None else rows
    cols = DEFAULT_COLS if cols is None else cols
    check_size("rows", rows)
    check_size("cols", cols)
    events = [*SUBSCRIBED]
    events += [event for event in extra_subscribes or () if event not in events]
    args = HtArgs(command, events, rows, cols, StyleMode.STYLED, term, env, cwd)
    # An empty command is an error; check it before the recording's file is created.
    args.get_command()
    recording = record
    if record is not None and not isinstance(record, Recording):
        recording = Recording(record)
    assert recording is None or isinstance(recording, Recording)
    line = command if isinstance(command, str) else shlex.join(command)
    description = (line, args.term_name())
    if recording is not None:
        recording.start(rows, cols, *description)
    process = start_ht(args)
    return Session(
        process, rows, cols, logger, style_mode, recording=recording, description=description
    )


@contextlib.contextmanager
def terminal_session(
    command: Command,
    rows: Rows = None,
    cols: Cols = None,
    logger: logging.Logger | None = None,
    extra_subscribes: Iterable[HtEvent | str] | None = None,
    style_mode: StyleMode | None = None,
    *,
    term: str | None = None,
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    record: str | os.PathLike[str] | Recording | None = None,
) -> Generator[Session, None, None]:
    """Runs a session for a `with` block; its arguments are those of `run`."""
    session = run(
        command,
        rows,
        cols,
        logger=logger,
        extra_subscribes=extra_subscribes,
        style_mode=style_mode,
        term=term,
        env=env,
        cwd=cwd,
        record=record,
    )
    try:
        yield session
    finally:
        session.exit()
