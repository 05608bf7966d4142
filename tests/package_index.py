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
    folder: Path

    def files(self) -> list[str]:
        """The names of its files, in the order of their arrival."""
        files = sorted(self.folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        return [file.name for file in files]


@contextmanager
def serve(root: Path, tools: Path, folder: Path, port: int) -> Generator[Index]:
    """An index that stores uploads in `folder`, until the context ends."""
    folder.mkdir()
    script = root / "xtask/scripts/serve_index.py"
    # In addition, the build requirements of source distributions.
    beside = tools / "build-requirements"
    command = [tools / "test/bin/python", script, folder, beside, str(port)]
    output = folder.with_suffix(".log")
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
        yield Index(url, folder)
    finally:
        process.kill()
        process.communicate()
