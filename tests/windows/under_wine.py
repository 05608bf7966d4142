"""Runs the programs for Windows."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

TARGET = "x86_64-pc-windows-gnu"
PROGRAMS = ("build-wheel", "publish", "verify-dist")
Done = subprocess.CompletedProcess[str]


@dataclass
class Wine:
    """Runs the programs for Windows."""

    program: Path
    binaries: Path
    env: dict[str, str]

    def __call__(self, name: str, *args: str | Path, cwd: Path, **env: str) -> Done:
        command = [self.program, self.binaries / f"{name}.exe", *args]
        return subprocess.run(command, cwd=cwd, env=self.env | env, capture_output=True, text=True)

    @staticmethod
    def path(path: Path) -> str:
        """A path in Windows' form."""
        return "Z:" + str(path).replace("/", "\\")
