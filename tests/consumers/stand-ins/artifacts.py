"""Artifacts of a workflow run as folders of $ARTIFACTS, by the rules of the real actions."""

import fnmatch
import os
import shutil
import sys
from pathlib import Path

STORE = Path(os.environ["ARTIFACTS"])


def upload() -> None:
    """What lies below the nearest common folder of all paths keeps its place in it."""
    place = STORE / os.environ["NAME"]
    if place.exists():
        sys.exit(f"::error::there is an artifact {place.name} already")
    lines = filter(None, map(str.strip, os.environ["PATHS"].splitlines()))
    roots = [Path(line).absolute() for line in lines]
    files = [file for root in roots for file in ([root] if root.is_file() else root.rglob("*"))]
    files = [file for file in files if file.is_file()]
    if not files:
        word = "error" if os.environ["IF_NO_FILES_FOUND"] == "error" else "warning"
        print(f"::{word}::no files were found at {os.environ['PATHS']}")
        sys.exit(word == "error")
    only = roots[0] if roots[0].is_dir() else roots[0].parent
    base = only if len(roots) == 1 else Path(os.path.commonpath(roots))
    for file in files:
        target = place / file.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)  # without the executable bit, as there


def download() -> None:
    """One by name, or all that match, each in a folder of its own unless merged."""
    into, name = Path(os.environ["PATHS"]), os.environ["NAME"]
    if name and not (STORE / name).is_dir():
        sys.exit(f"::error::there is no artifact {name}")
    pattern = name or os.environ["PATTERN"]
    found = [path for path in sorted(STORE.iterdir()) if fnmatch.fnmatch(path.name, pattern)]
    flat = bool(name) or os.environ["MERGE_MULTIPLE"] == "true"
    for artifact in found:
        shutil.copytree(artifact, into if flat else into / artifact.name, dirs_exist_ok=True)
    print(f"{len(found)} artifacts downloaded")


if __name__ == "__main__":
    {"upload": upload, "download": download}[sys.argv[1]]()
