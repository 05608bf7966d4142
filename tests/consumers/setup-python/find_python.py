"""Prints the path of the machine's Python of the given version."""

import os
import shutil
import sys
from pathlib import Path

version = sys.argv[1]
root = Path(os.environ.get("PYENV_ROOT", "/nowhere"))
directories = sorted(map(str, root.glob(f"versions/{version}.*/bin")))
path = os.pathsep.join([*directories, os.environ["PATH"]])
# pyenv's shims on PATH start only the enabled versions.
path = os.pathsep.join(part for part in path.split(os.pathsep) if not part.endswith("/shims"))
found = shutil.which(f"python{version}", path=path)
if not found:
    sys.exit(f"::error::Python {version} is not on this machine")
print(found)
