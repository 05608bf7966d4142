"""Compares an environment with the distributions that were installed in it.

Arguments: dist-manifest.json, the directory of the distributions, the environment.
Every distribution must have the manifest's hash, and every file that it installs must
be in the environment with the same bytes.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def wheel_files(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yields the scheme, relative path and content of each file that a wheel installs."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            top, _, rest = name.partition("/")
            if name.endswith("/") or name.endswith(".dist-info/RECORD"):
                continue
            if top.endswith(".data"):
                scheme, _, rest = rest.partition("/")
                yield scheme, rest, archive.read(name)
            else:
                yield "purelib", name, archive.read(name)


def sdist_files(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yields the scheme, relative path and content of each file of a source layout's packages."""
    with tarfile.open(path) as archive:
        for member in archive:
            _, _, rest = member.name.partition("/src/")
            if member.isfile() and rest:
                content = archive.extractfile(member)
                assert content is not None
                yield "purelib", rest, content.read()


def main() -> int:
    manifest, dist, environment = map(Path, sys.argv[1:])
    show = "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))"
    python = [str(environment / "bin" / "python"), "-c", show]
    schemes = json.loads(subprocess.run(python, check=True, capture_output=True).stdout)
    faults: list[str] = []
    compared = 0
    for file in json.loads(manifest.read_text())["files"]:
        path = dist / file["filename"]
        if hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
            faults.append(f"{path.name}: not the file of the manifest")
        for scheme, name, content in (
            wheel_files(path) if path.suffix == ".whl" else sdist_files(path)
        ):
            installed = Path(schemes[scheme]) / name
            compared += 1
            if not installed.is_file():
                faults.append(f"{path.name}: {name} is not installed")
            elif installed.read_bytes() != content:
                faults.append(f"{path.name}: {name} is installed with other content")
    if compared == 0:
        faults.append("there was no file to compare")
    print("\n".join(faults) or f"{compared} installed files equal the manifest's")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
