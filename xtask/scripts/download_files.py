"""Download files of projects from pip's index, and compare each with its SHA-256.

Lines on standard input: `PROJECT==VERSION FILE SHA256`. pip itself is not used: it
would select by platform, and run the build backend of each source distribution.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

from pip._internal.models.index import PyPI

INDEX = os.environ.get("PIP_INDEX_URL", PyPI.simple_url).rstrip("/")
TIMEOUT = 60
ATTEMPTS = 3


@lru_cache
def urls(project: str) -> dict[str, str]:
    """The URL of each file of the project, from the Simple API (PEP 691)."""
    page = f"{INDEX}/{project}/"
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with urllib.request.urlopen(
        urllib.request.Request(page, headers=accept), timeout=TIMEOUT
    ) as answer:
        files = json.load(answer)["files"]
    return {file["filename"]: urllib.parse.urljoin(page, file["url"]) for file in files}


def download_with_retry(directory: Path, line: str) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return download(directory, line)
        except OSError as error:
            if attempt == ATTEMPTS:
                raise SystemExit(f"error: cannot download `{line.split()[1]}`: {error}") from error
            time.sleep(attempt)


def download(directory: Path, line: str) -> None:
    requirement, name, sha256 = line.split()
    project = requirement.partition("==")[0]
    url = urls(project).get(name)
    if url is None:
        raise SystemExit(f"error: the index does not list `{name}` for `{project}`")
    part = directory / f"{name}.part"
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, part.open("wb") as file:
        while chunk := answer.read(1 << 20):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        part.unlink()
        raise SystemExit(f"error: `{name}` has the SHA-256 {digest.hexdigest()}, expected {sha256}")
    part.rename(directory / name)
    print(f"downloaded {name}", file=sys.stderr, flush=True)


def main(directory: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(partial(download_with_retry, Path(directory)), sys.stdin):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
