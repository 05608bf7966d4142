"""The command `htty`: actions on a terminal program, in the order given."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from htty_core import HtEvent, __version__

if TYPE_CHECKING:
    from htty.session import HtWrapper

DELIMITER = "----"
"""The line after each snapshot."""


class Action(argparse.Action):
    """Keeps actions of different kinds in one list, in the order given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.actions = [*namespace.actions, (self.dest, values)]


def positive(text: str) -> int:
    """Reads a size of at least one character."""
    number = int(text)
    if not 1 <= number <= 0xFFFF:
        raise ValueError
    return number


def parser() -> argparse.ArgumentParser:
    """Makes the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="htty",
        description="Run a command on a headless terminal and print snapshots of its screen.",
        epilog="Actions (-k, -s, --expect, --expect-absent) are done in the order given. "
        "Without any -s, one snapshot is printed at the end.",
    )
    add = parser.add_argument
    add("-r", "--rows", type=positive, default=20, help="terminal height (default: 20)")
    add("-c", "--cols", type=positive, default=50, help="terminal width (default: 50)")
    add("-k", "--keys", action=Action, metavar="KEYS", help="send keys, such as 'ihello,Escape'")
    add("-s", "--snapshot", action=Action, nargs=0, help="print a snapshot")
    add("-d", "--delimiter", default=",", help="what separates keys (default: ',')")
    add("--expect", action=Action, metavar="RE", help="wait until the screen matches")
    add("--expect-absent", action=Action, metavar="RE", help="wait until it does not match")
    add("--debug", action="store_true", help="show the events of ht on standard error")
    add("--exit-status", action="store_true", help="wait for the command, end with its status")
    add("--version", action=Version, nargs=0, help="print the versions of htty and ht")
    add("command", nargs=argparse.REMAINDER, metavar="[--] COMMAND …", help="what to run")
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

        told = subprocess.run([find_ht_binary(), "--version"], capture_output=True, text=True)
        print(f"htty {__version__} ({told.stdout.strip()})")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives its exit status."""
    given = parser()
    args = given.parse_args(arguments)
    command: list[str] = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        given.error("no command given; put it at the end: htty [options] -- COMMAND")
    try:
        return drive(args, command)
    except FileNotFoundError as error:
        print(f"htty: {error}", file=sys.stderr)
        return 1


def drive(args: argparse.Namespace, command: list[str]) -> int:
    """Does the actions; gives the exit status."""
    from htty.session import terminal_session

    logger = debug_logger() if args.debug else None
    extra = [HtEvent.DEBUG] if args.debug else []
    with terminal_session(command, args.rows, args.cols, logger, extra) as session:
        try:
            for kind, value in args.actions:
                if kind == "keys":
                    session.send_keys(parse_keys(value, args.delimiter))
                elif kind == "snapshot":
                    show(session)
                elif kind == "expect":
                    session.expect(value)
                else:
                    session.expect_absent(value)
            status = session.cmd.wait() if args.exit_status else 0
            if not any(kind == "snapshot" for kind, _ in args.actions):
                show(session)
        except (RuntimeError, TimeoutError) as error:
            print(f"htty: {error}", file=sys.stderr)
            return 1
    if status is None:
        return 1
    # As a shell tells of a signal.
    return status if status >= 0 else 128 - status


def parse_keys(text: str, delimiter: str = ",") -> list[str]:
    """Gives the keys in `text`, without blanks around them and without empty ones."""
    keys = (key.strip() for key in text.split(delimiter))
    return [key for key in keys if key]


def show(session: HtWrapper) -> None:
    """Prints the screen, without the blanks at the ends of its lines."""
    for line in session.snapshot().text.splitlines():
        print(line.rstrip())
    print(DELIMITER, flush=True)


def debug_logger() -> Any:
    """Makes a logger to standard error."""
    import logging

    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(message)s")
    return logging.getLogger("htty")


if __name__ == "__main__":
    sys.exit(main())
