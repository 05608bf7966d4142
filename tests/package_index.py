"""A real package index for tests."""

import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Index:
    """A pypiserver on this machine."""

    url: str
    directory: Path

    def files(self) -> list[str]:
        """The names of its files, in the order of their arrival."""
        files = sorted(self.directory.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        return [file.name for file in files]


@contextmanager
def serve(root: Path, tools: Path, directory: Path, port: int) -> Generator[Index]:
    """An index that stores uploads in `directory`, until the context ends."""
    directory.mkdir()
    script = root / "xtask/scripts/serve_index.py"
    # In addition, the build requirements of source distributions.
    beside = tools / "build-requirements"
    command = [tools / "test/bin/python", script, directory, beside, str(port)]
    output = directory.with_suffix(".log")
    with output.open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(600):
            assert process.poll() is None, output.read_text()
            try:
                urllib.request.urlopen(url + "health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield Index(url, directory)
    finally:
        process.kill()
        process.communicate()
