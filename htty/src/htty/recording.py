"""Recordings of sessions, for asciinema's players."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

BUFFER = 8 * 1024
"""How many bytes of a recording are buffered before they are written to its file."""

KEPT_IN_MEMORY = 1024 * 1024
"""The size in bytes from which a recording without a file goes to a temporary file."""


class Recording:
    """A recording as asciicast v3: the command's output, with timestamps.

    It ends with its session, with `close`, or with its `with` block.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, title: str | None = None):
        """Records to a file; with `None`, the recording is kept until `save`."""
        self.path = None if path is None else Path(path)
        """The file, if there is one."""
        self.error: OSError | None = None
        """The error that ended the recording before its session, if any."""
        self._title = title
        self._guard = threading.Lock()
        self._file = _open(self.path)
        self._last = 0.0
        self._started = False
        self._over = False

    def start(self, rows: int, cols: int, command: str, term: str | None) -> None:
        """Writes the header; the recorded session calls this."""
        terminal: dict[str, object] = {"cols": cols, "rows": rows}
        if term is not None:
            terminal["type"] = term
        header: dict[str, object] = {"version": 3, "term": terminal, "timestamp": int(time.time())}
        if command:
            header["command"] = command
        if self._title is not None:
            header["title"] = self._title
        with self._guard:
            if self._started:
                raise RuntimeError("the recording has already been started")
            self._started = True
            try:
                self._file.write(json.dumps(header, ensure_ascii=False) + "\n")
                self._file.flush()
            except OSError as error:
                self._fail(error)
                raise
            self._last = time.monotonic()

    def mark(self, label: str = "") -> None:
        """Adds a marker, which players can jump to."""
        self._write("m", label)

    def begin(self, screen: dict[str, Any]) -> None:
        """Writes the current screen."""
        self._write("o", screen["seq"])

    def take(self, event: dict[str, Any]) -> None:
        """Writes an event of `ht`, if it belongs in a recording."""
        data = event.get("data", {})
        kind = event.get("type")
        if kind == "output":
            self._write("o", data["seq"])
        elif kind == "resize":
            self._write("r", f"{data['cols']}x{data['rows']}")
        elif kind == "exitCode":
            code = data["exitCode"]
            # A signal is reported as by a shell.
            self._write("x", str(code if code >= 0 else 128 - code))

    def close(self) -> None:
        """Ends the recording. `save` still works afterwards."""
        with self._guard:
            if not self._over:
                self._over = True
                try:
                    self._file.flush()
                    if self.path is not None:
                        self._file.close()
                except OSError as error:
                    self._fail(error)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the recording so far to another file."""
        with self._guard:
            if self.path is not None:
                if not self._over:
                    self._file.flush()
                shutil.copyfile(self.path, path)
                return
            place = self._file.tell()
            self._file.seek(0)
            with open(path, "w", encoding="utf-8") as file:
                shutil.copyfileobj(self._file, file)
            self._file.seek(place)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fail(self, error: OSError) -> None:
        self.error = error
        self._over = True
        # The rest of the buffer cannot be written either.
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, kind: str, data: str) -> None:
        with self._guard:
            if self._over:
                return
            now = time.monotonic()
            passed = round(now - self._last, 6)
            self._last = now
            try:
                self._file.write(json.dumps([passed, kind, data], ensure_ascii=False) + "\n")
            except OSError as error:
                # For example, a full disk; the session continues without the recording.
                self._fail(error)


def _open(path: Path | None) -> IO[str]:
    if path is None:
        return tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY, "w+", encoding="utf-8")
    # Python 3.14's default buffer is much larger, and is lost if the process is killed.
    return path.open("w+", BUFFER, encoding="utf-8")
