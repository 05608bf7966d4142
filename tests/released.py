"""The actions' binaries as in a release: downloads with known hashes."""

import hashlib
import http.server
import json
import platform
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

ACTIONS = ("setup-nix", "build-wheel", "verify-dist", "publish")


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def binaries_json(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The content of actions/binaries.json after a release, with URLs on this machine."""
    downloads = tmp_path_factory.mktemp("downloads")
    serve = partial(Silent, directory=str(downloads))
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        lines: list[str] = []
        for action in ACTIONS:
            shutil.copy(binaries / action, downloads)
            digest = hashlib.sha256((downloads / action).read_bytes()).hexdigest()
            entry = {"url": f"{url}/{action}", "sha256": digest}
            lines.append(f'    "{action} {machine}-unknown-linux-musl": {json.dumps(entry)}')
        text = '{\n  "schema": 1,\n  "version": "0.1.0",\n  "binaries": {\n'
        yield text + ",\n".join(lines) + "\n  }\n}\n"
        server.shutdown()
