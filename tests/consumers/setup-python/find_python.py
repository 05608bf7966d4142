"""Prints the path of the machine's Python of the version in the argument."""

import os
import shutil
import sys
from pathlib import Path

version = sys.argv[1]
root = Path(os.environ.get("PYENV_ROOT", "/nowhere"))
folders = sorted(map(str, root.glob(f"versions/{version}.*/bin")))
path = os.pathsep.join([*folders, os.environ["PATH"]])
# pyenv's own programs on PATH start only those that are switched on.
path = os.pathsep.join(part for part in path.split(os.pathsep) if not part.endswith("/shims"))
found = shutil.which(f"python{version}", path=path)
if not found:
    sys.exit(f"::error::Python {version} is not on this machine")
print(found)
