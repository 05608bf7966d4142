"""pyright's strict mode finds nothing in a user's code (mypy: htty/tests/test_typing.py)."""

import json
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any


def check(code: str, root: Path, directory: Path) -> list[dict[str, Any]]:
    """The errors of pyright, with both packages as if installed."""
    program = shutil.which("basedpyright")
    assert program, "`basedpyright` is not installed: run `cargo xtask setup-test-tools`"
    (directory / "code.py").write_text(code)
    settings = {
        "typeCheckingMode": "strict",
        "extraPaths": [str(root / "htty/src"), str(root / "htty-core/python")],
        "include": ["code.py"],
    }
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    words = [program, "--outputjson", "--project", str(directory)]
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True)
    return json.loads(done.stdout)["generalDiagnostics"]


def test_a_users_code(root: Path, tmp_path: Path) -> None:
    samples = runpy.run_path(str(root / "htty/tests/test_typing.py"))
    assert check(samples["CODE"], root, tmp_path) == []
    faults = check(samples["WRONG"], root, tmp_path)
    lines = {fault["range"]["start"]["line"] + 1 for fault in faults}
    assert lines == {4, 5, 6}, faults
