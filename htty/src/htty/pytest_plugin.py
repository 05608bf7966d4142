"""pytest-htty: terminal programs in tests.

The fixture `terminal` starts sessions, which end with the test. The fixture
`terminal_snapshot` compares screens with files. If a test fails, an image of the screen
and a recording of each session are written; the report contains their paths.

>>> def test_greeting(terminal, terminal_snapshot):
...     app = terminal("my-app", rows=10, cols=40)
...     app.expect("Ready")
...     terminal_snapshot(app)
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from htty import Recording, Session, Snapshot, StyleMode
    from htty_core import Cols, Command, Rows

OTHERS = ("syrupy", "pytest_snapshot")
"""Plugins that have their own option `--snapshot-update`."""

ARTIFACTS = "htty-artifacts"
"""Where failed tests leave screens and recordings, beside pytest's configuration."""

QUIET = 0.2
"""How many seconds without output precede a screen that is written to a file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("htty", "terminal programs (pytest-htty)")
    # Two plugins cannot add the same option; theirs is used in the same way.
    if not any(importlib.util.find_spec(plugin) for plugin in OTHERS):
        group.addoption(
            "--snapshot-update",
            action="store_true",
            default=False,
            help="write the expected screens of terminal_snapshot",
        )
    group.addoption(
        "--htty-artifacts",
        metavar="DIR",
        help=f"directory for screens and recordings of failed tests (default: {ARTIFACTS})",
    )
    parser.addini("htty_artifacts", "the default of --htty-artifacts", default=ARTIFACTS)


class Terminals:
    """The fixture `terminal`: call it to start a command on a terminal."""

    def __init__(self) -> None:
        self.sessions: list[tuple[Session, Recording]] = []
        """The sessions of the test, with their recordings."""

    def __call__(
        self,
        command: Command,
        rows: Rows = None,
        cols: Cols = None,
        *,
        style_mode: StyleMode | None = None,
        term: str | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> Session:
        """Starts a session, which ends with the test; its arguments are those of `htty.run`."""
        from htty import Recording, run

        recording = Recording()
        session = run(
            command,
            rows,
            cols,
            style_mode=style_mode,
            term=term,
            env=env,
            cwd=cwd,
            record=recording,
        )
        self.sessions.append((session, recording))
        return session

    def end(self) -> None:
        """Ends the sessions, the last one first."""
        with contextlib.ExitStack() as stack:
            for session, _ in self.sessions:
                stack.callback(session.exit)


class SnapshotAssertion:
    """The fixture `terminal_snapshot`: call it to compare a screen with a file."""

    def __init__(self, directory: Path, test: str, update: bool) -> None:
        self._directory = directory
        self._test = test
        self._update = update
        self._used: set[Path] = set()

    def __call__(
        self,
        screen: Session | Snapshot,
        name: str = "",
        *,
        styled: bool = False,
        timeout: float = 5.0,
    ) -> None:
        """Fails if the screen differs from the file.

        A session has `timeout` seconds to show it. `name` distinguishes the snapshots of
        a test; with `styled`, colors and attributes are compared too. The file is
        `__snapshots__/MODULE/TEST.NAME.txt`; `--snapshot-update` writes it.
        """
        from htty import snapshot_files as files

        __tracebackhide__ = True
        test = f"{self._test}.{name}" if name else self._test
        path = self._directory / (files.file_name(test) + ".txt")
        if path in self._used:
            raise ValueError(
                f"`{path.name}` is compared twice in this test; give it another `name`"
            )
        self._used.add(path)
        render = files.styled_text if styled else files.plain_text
        if self._update:
            text = render(_screen(screen, timeout))
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            shown = render(_screen(screen, timeout))
            pytest.fail(
                f"`{path}` does not exist; the screen:\n{shown}\n"
                "hint: run pytest with --snapshot-update, and review the file",
                pytrace=False,
            )
        expected = path.read_text(encoding="utf-8")
        found = _rendered(screen, render, expected, timeout)
        if found != expected:
            pytest.fail(
                f"the screen differs from `{path}`:\n"
                f"{files.difference(expected, found, path)}\n"
                "hint: if the change is intended, run pytest with --snapshot-update",
                pytrace=False,
            )


def _screen(screen: Session | Snapshot, timeout: float) -> Snapshot:
    from htty import Snapshot

    return screen if isinstance(screen, Snapshot) else screen.snapshot(timeout, settle=QUIET)


def _rendered(screen: Session | Snapshot, render: Any, expected: str, timeout: float) -> str:
    """Returns the screen's text; waits for a session to show the expected text."""
    from htty import Snapshot

    if isinstance(screen, Snapshot):
        return render(screen)
    with contextlib.suppress(TimeoutError):
        screen.wait_for(lambda now: render(now) == expected, timeout)
        return expected
    return render(screen.snapshot(timeout))


_terminals = pytest.StashKey[Terminals]()


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminals]:
    """Starts commands on headless terminals; they end with the test."""
    terminals = Terminals()
    request.node.stash[_terminals] = terminals
    yield terminals
    terminals.end()


@pytest.fixture
def terminal_snapshot(request: pytest.FixtureRequest) -> SnapshotAssertion:
    """Compares screens with files in `__snapshots__`; --snapshot-update writes them."""
    node = request.node
    test = node.name if node.cls is None else f"{node.cls.__name__}.{node.name}"
    directory = node.path.parent / "__snapshots__" / node.path.stem
    update = bool(request.config.getoption("--snapshot-update", False))
    return SnapshotAssertion(directory, test, update)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Adds the screens of a failed test's terminals."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    terminals = item.stash.get(_terminals, None)
    if terminals is None or not report.failed or report.when == "teardown":
        return
    directory = _artifacts(item)
    for number, (session, recording) in enumerate(terminals.sessions, 1):
        title = f"terminal {number}: {session.description}"
        report.sections.append((title, _save(session, recording, directory, number)))


def _artifacts(item: pytest.Item) -> Path:
    from htty.snapshot_files import file_name

    given = item.config.getoption("--htty-artifacts") or item.config.getini("htty_artifacts")
    root = item.config.rootpath / str(given)
    directory = root / file_name(item.nodeid)
    shutil.rmtree(directory, ignore_errors=True)
    return directory


def _save(session: Session, recording: Recording, directory: Path, number: int) -> str:
    """Writes the image and the recording; returns the section of the report."""
    lines: list[str] = []
    try:
        screen = session.snapshot(timeout=1.0)
    except (RuntimeError, TimeoutError) as error:
        screen = None
        lines.append(f"no screen: {error}")
    else:
        lines += ["\n".join(screen.lines).rstrip()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        ignore = directory.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        if screen is not None:
            image = directory / f"terminal-{number}.svg"
            image.write_text(screen.svg, encoding="utf-8")
            lines.append(f"screen: {image}")
        cast = directory / f"terminal-{number}.cast"
        recording.save(cast)
        lines.append(f"recording: {cast}")
    except OSError as error:
        lines.append(f"cannot write to {directory}: {error}")
    return "\n".join(lines)
