"""The command `htty`: runs actions on a terminal program, in the given order."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from htty.keys import NAMES, suggestion
from htty_core import HtEvent, __version__

if TYPE_CHECKING:
    from htty.session import Session

DELIMITER = "----"
"""The line after each snapshot."""

QUIET = 0.2
"""How many seconds without output `--wait-idle` waits for by default."""

KEY_NAMES = f"""\
keys:
  {" ".join(NAMES[:7])}
  {" ".join(NAMES[7:15])} F1 to F12
  With Ctrl, Alt or Shift: C-c, A-x, S-Tab, C-S-Left. ^c is C-c.
  Anything else is typed as text.

exit status:
  0 done; 1 an expectation failed or the command cannot be run; 2 wrong usage;
  130 interrupted. With --exit-status, the command's own status.
"""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Writes the same help with every Python: `-k, --keys KEYS`."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=80)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        names = ", ".join(action.option_strings)
        arguments = self._format_args(action, action.dest.upper()) if action.nargs != 0 else ""
        return f"{names} {arguments}".rstrip()


class Action(argparse.Action):
    """Keeps actions of different kinds in one list, in the given order."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.actions = [*namespace.actions, (self.dest, values)]


def size(least: int) -> Callable[[str], int]:
    """Returns a parser of a number of rows or columns."""

    def read(text: str) -> int:
        with contextlib.suppress(ValueError):
            number = int(text)
            if least <= number <= 1000:
                return number
        raise argparse.ArgumentTypeError(f"expected {least} to 1000, found `{text}`")

    return read


def seconds(text: str) -> float:
    """Parses a duration."""
    with contextlib.suppress(ValueError):
        number = float(text)
        if 0 <= number < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"expected a number of seconds, found `{text}`")


def pattern(text: str) -> re.Pattern[str]:
    """Parses a regular expression."""
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"invalid regular expression `{text}`: {error}") from error


def delimiter(text: str) -> str:
    """Parses the delimiter of keys."""
    if not text:
        raise argparse.ArgumentTypeError("expected at least one character")
    return text


def variable(text: str) -> tuple[str, str]:
    """Parses an environment variable."""
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found `{text}`")
    return name, value


def parser() -> argparse.ArgumentParser:
    """Returns the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="htty",
        usage="htty [options] [--] COMMAND ...",
        description="Run a command on a headless terminal and print snapshots of its screen.\n"
        "Actions run in the given order; without any -s, one snapshot is printed at\n"
        "the end.",
        epilog=KEY_NAMES,
        formatter_class=HelpFormatter,
    )
    act = parser.add_argument_group("actions").add_argument
    act("-k", "--keys", action=Action, metavar="KEYS", help="send keys, such as 'ihello,Escape'")
    act("--type", action=Action, metavar="TEXT", help="type text as it is")
    act("--paste", action=Action, metavar="TEXT", help="paste text")
    act("--click", action=Action, metavar="TEXT", help="click on text")
    act("-s", "--snapshot", action=Action, nargs=0, help="print a snapshot")
    act("--svg", action=Action, metavar="FILE", help="write a snapshot as an image")
    act("--expect", action=Action, type=pattern, metavar="RE", help="wait until the screen matches")
    act(
        "--expect-absent",
        action=Action,
        type=pattern,
        metavar="RE",
        help="wait until the screen does not match",
    )
    act(
        "--wait-idle",
        action=Action,
        nargs="?",
        const=QUIET,
        type=seconds,
        metavar="SECONDS",
        help=f"wait until output stops for SECONDS (default: {QUIET})",
    )
    add = parser.add_argument
    add("-r", "--rows", type=size(1), default=20, help="terminal height (default: 20)")
    add("-c", "--cols", type=size(2), default=50, help="terminal width (default: 50)")
    add(
        "-d",
        "--delimiter",
        type=delimiter,
        default=",",
        help="text that separates keys (default: ',')",
    )
    add(
        "-t",
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="time limit of each action (default: 5)",
    )
    add("--term", metavar="NAME", help="TERM of the command (default: xterm-256color)")
    add("--cwd", metavar="DIR", help="directory in which the command starts")
    add(
        "--env",
        action="append",
        type=variable,
        default=[],
        metavar="NAME=VALUE",
        help="set a variable for the command",
    )
    add("--record", metavar="FILE", help="record for asciinema (asciicast v3)")
    add("--debug", action="store_true", help="show the events of ht on standard error")
    add("--exit-status", action="store_true", help="wait for the command; exit with its status")
    add("--version", action=Version, nargs=0, help="print the versions of htty and ht")
    add("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(actions=[])
    return parser


class Version(argparse.Action):
    """Prints the version with the Git commit, which `ht` knows."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        import subprocess

        from htty_core import find_ht_binary

        try:
            done = subprocess.run([find_ht_binary(), "--version"], capture_output=True, text=True)
        except OSError as error:
            parser.exit(1, f"htty {__version__}: {error}\n")
        print(f"htty {__version__} ({done.stdout.strip()})")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit status."""
    # The screen may contain characters that the output's encoding lacks.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = run_command_line(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader is gone. Python must not report that again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # For example, a full disk: the rest of the buffer cannot be written either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return fail(f"cannot write to standard output: {error.strerror or error}")
    return status


def run_command_line(arguments: Sequence[str] | None) -> int:
    """Parses the command line and runs its actions."""
    given = parser()
    args = given.parse_args(arguments)
    command: list[str] = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        given.error("no command given; put it at the end: htty [options] -- COMMAND")
    actions = [
        (kind, parse_keys(value, args.delimiter) if kind == "keys" else value)
        for kind, value in args.actions
    ]
    for kind, keys in actions:
        for key in keys if kind == "keys" else ():
            meant = suggestion(key)
            if meant is not None:
                given.error(
                    f"argument -k/--keys: `{key}` is not the name of a key; "
                    f"did you mean `{meant}`? Type it as text with --type"
                )
    try:
        return drive(args, command, actions)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        return fail(str(error))


def fail(message: str) -> int:
    """Prints an error; returns the exit status."""
    with contextlib.suppress(OSError):
        print(f"htty: {message}", file=sys.stderr, flush=True)
    return 1


def drive(args: argparse.Namespace, command: list[str], actions: list[tuple[str, Any]]) -> int:
    """Runs the actions; returns the exit status."""
    from htty.recording import Recording
    from htty.start import terminal_session

    logger = debug_logger() if args.debug else None
    extra = [HtEvent.DEBUG] if args.debug else []
    if not any(kind == "snapshot" for kind, _ in actions):
        actions = [*actions, ("end", None), ("snapshot", None)]
    else:
        actions = [*actions, ("end", None)]
    recording = None
    if args.record is not None:
        try:
            recording = Recording(args.record)
        except OSError as error:
            return fail(f"cannot write to `{args.record}`: {error.strerror}")
    where: dict[str, Any] = {
        "term": args.term,
        "env": dict(args.env),
        "cwd": args.cwd,
        "record": recording,
    }
    with terminal_session(command, args.rows, args.cols, logger, extra, **where) as session:
        status: list[int | None] = [0]

        def end(_: None) -> None:
            if args.exit_status:
                status[0] = session.cmd.wait()

        do: dict[str, Callable[[Any], object]] = {
            "keys": session.send_keys,
            "type": session.type,
            "expect": lambda regex: session.expect(regex, args.timeout),
            "expect_absent": lambda regex: session.expect_absent(regex, args.timeout),
            "wait_idle": lambda quiet: session.wait_idle(quiet, args.timeout),
            "paste": session.paste,
            "click": lambda text: session.click(text, timeout=args.timeout),
            "svg": lambda file: write_svg(session, file, args.timeout),
            "snapshot": lambda _: show(session, args.timeout),
            "end": end,
        }
        for kind, value in actions:
            try:
                do[kind](value)
            except (RuntimeError, TimeoutError) as error:
                status_so_far = fail(str(error))
                typed_too_late = kind in ("keys", "type", "paste") and session.cmd.completed
                # The screen is still printed, as in 0.2.30.
                if not typed_too_late or session.ht.completed:
                    return status_so_far
    if recording is not None and recording.error is not None:
        return fail(f"cannot write to `{args.record}`: {recording.error.strerror}")
    code = status[0]
    if code is None:
        return 1
    # A signal is reported as by a shell.
    return code if code >= 0 else 128 - code


def parse_keys(text: str, delimiter: str = ",") -> list[str]:
    """Returns the keys in `text`, without blanks around them and without empty ones."""
    keys = (key.strip() for key in text.split(delimiter))
    return [key for key in keys if key]


def show(session: Session, timeout: float) -> None:
    """Prints the screen, without the blanks at the ends of its lines."""
    for line in session.snapshot(timeout).text.splitlines():
        print(line.rstrip())
    print(DELIMITER, flush=True)


def write_svg(session: Session, file: str, timeout: float) -> None:
    """Writes the screen as an image; raises `RuntimeError` if that fails."""
    image = session.snapshot(timeout).svg
    try:
        with open(file, "w", encoding="utf-8") as output:
            output.write(image)
    except OSError as error:
        raise RuntimeError(f"cannot write to `{file}`: {error.strerror}") from error


def debug_logger() -> Any:
    """Returns a logger that writes to standard error."""
    import logging

    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(message)s")
    return logging.getLogger("htty")


def htty_sync() -> None:
    """The entry point's name up to htty 0.2.30."""
    sys.exit(main())


if __name__ == "__main__":
    sys.exit(main())
