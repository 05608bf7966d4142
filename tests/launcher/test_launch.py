"""The launcher only starts a binary with the right hash."""

import hashlib
import http.server
import json
import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

BINARY = b'#!/bin/sh\necho "started $*"\n'
DIGEST = hashlib.sha256(BINARY).hexdigest()
MACHINE = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
TARGET = {
    "Linux": f"{MACHINE}-unknown-linux-musl",
    "Darwin": f"{MACHINE}-apple-darwin",
}[platform.system()]


class Server(http.server.BaseHTTPRequestHandler):
    """A release server: /whole serves the binary, /cut stops half-way, and /private
    requires a token and redirects to /whole under another name of this host."""

    requests: ClassVar[list[str]] = []
    tokens: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.tokens.append(self.headers["Authorization"])
        if self.path == "/private" and self.headers["Authorization"] == "Bearer s3cret":
            # GitHub's API answers with a redirect only if this type is accepted.
            assert self.headers["Accept"] == "application/octet-stream"
            self.send_response(302)
            port = self.headers["Host"].rpartition(":")[2]
            self.send_header("Location", f"http://localhost:{port}/whole")
            self.end_headers()
            return
        if self.path not in ("/whole", "/cut"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BINARY)))
        self.end_headers()
        self.wfile.write(BINARY if self.path == "/whole" else BINARY[:5])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.requests.clear()
    Server.tokens.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()


class Checkout:
    """A checkout of the actions with a filled binaries.json, as after a release."""

    def __init__(self, root: Path, directory: Path, env: dict[str, str]) -> None:
        self.actions = directory / "checkout" / "actions"
        self.actions.mkdir(parents=True)
        shutil.copy(root / "actions" / "launch.sh", self.actions)
        (self.actions / "verify-dist").mkdir()
        shutil.copy(root / "actions/verify-dist/action.yml", self.actions / "verify-dist")
        self.cache = directory / "cache"
        self.env = env | {"RUNNER_TOOL_CACHE": str(self.cache)}
        self.fill({})

    def fill(self, binaries: dict[str, dict[str, str]]) -> None:
        lines = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in binaries.items()]
        body = "{\n" + ",\n".join(lines) + "\n  }" if lines else "{}"
        text = f'{{\n  "schema": 1,\n  "version": "1",\n  "binaries": {body}\n}}\n'
        assert json.loads(text)["binaries"] == binaries
        (self.actions / "binaries.json").write_text(text)

    def launch(self, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.actions / "launch.sh"), *(args or ("verify-dist", "--help"))]
        return subprocess.run(command, env=self.env | env, capture_output=True, text=True)


@pytest.fixture
def checkout(root: Path, tmp_path: Path, clean_env: dict[str, str]) -> Checkout:
    return Checkout(root, tmp_path, clean_env)


def entry(url: str, digest: str = DIGEST, **more: str) -> dict[str, str]:
    return {"url": url, "sha256": digest, **more}


def programs(directory: Path, *names: str) -> str:
    """A PATH with only these programs."""
    directory.mkdir()
    for name in names:
        path = shutil.which(name)
        assert path, f"`{name}` is not on this machine"
        os.symlink(path, directory / name)
    return str(directory)


def test_right_hash_is_downloaded_once(checkout: Checkout, server: str) -> None:
    other = {"publish " + TARGET: entry(server + "/other")}
    checkout.fill(other | {f"verify-dist {TARGET}": entry(server + "/whole")})
    for _ in range(2):
        done = checkout.launch("verify-dist", "a b", "c")
        assert (done.returncode, done.stdout) == (0, "started a b c\n"), done.stderr
    assert Server.requests == ["/whole"]


def test_tampered_tool_cache_is_replaced(checkout: Checkout, server: str) -> None:
    checkout.fill({f"verify-dist {TARGET}": entry(server + "/whole")})
    assert checkout.launch().returncode == 0
    (cached,) = checkout.cache.rglob("verify-dist")
    cached.write_bytes(b"#!/bin/sh\necho tampered\n")
    done = checkout.launch()
    assert (done.returncode, done.stdout) == (0, "started --help\n")
    assert Server.requests == ["/whole", "/whole"]


def test_wrong_hash_starts_nothing(checkout: Checkout, server: str) -> None:
    checkout.fill({f"verify-dist {TARGET}": entry(server + "/whole", "0" * 64)})
    done = checkout.launch()
    assert (done.returncode, done.stdout) == (2, "")
    assert DIGEST in done.stderr
    assert "nothing was started" in done.stderr
    assert [path for path in checkout.cache.rglob("*") if path.is_file()] == []


def test_cut_off_download_starts_nothing(checkout: Checkout, server: str) -> None:
    checkout.fill({f"verify-dist {TARGET}": entry(server + "/cut")})
    done = checkout.launch()
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot download" in done.stderr
    assert [path for path in checkout.cache.rglob("*") if path.is_file()] == []


def test_a_private_release_needs_a_token(checkout: Checkout, server: str, tmp_path: Path) -> None:
    """It is sent only to the API, not to redirect targets or to the binary."""
    # curl follows redirects only to https, which this server does not support.
    curl = shutil.which("curl")
    script_dir = tmp_path / "curl"
    script_dir.mkdir()
    script(
        script_dir / "curl",
        f'printf "%s\\n" "$@" > {tmp_path}/arguments; exec {curl} "${{@/=https/=http}}"',
    )
    path = f"{script_dir}:{os.environ['PATH']}"
    checkout.fill({f"verify-dist {TARGET}": entry(server + "/whole-page", api=server + "/private")})
    done = checkout.launch(PATH=path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hint: " in done.stderr
    assert "`binary-token`" in done.stderr
    assert Server.requests == ["/whole-page"]
    done = checkout.launch(PATH=path, LAUNCH_BINARY_TOKEN="s3cret")
    assert (done.returncode, done.stdout) == (0, "started --help\n"), done.stderr
    assert Server.requests[1:] == ["/private", "/whole"]
    assert Server.tokens[1:] == ["Bearer s3cret", None]
    assert "s3cret" not in (tmp_path / "arguments").read_text()
    binary = tmp_path / "given"
    binary.write_text("#!/bin/sh\nenv | grep -c LAUNCH_\n")
    given = {"LAUNCH_BINARY": str(binary), "LAUNCH_BINARY_TOKEN": "s3cret"}
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    done = checkout.launch(**given, LAUNCH_BINARY_SHA256=digest, LAUNCH_BINARY_MIRROR="https://x")
    assert done.stdout == "0\n", "the binary sees the launcher's variables"


def test_a_mirror_is_asked_in_place_of_the_release(checkout: Checkout, server: str) -> None:
    elsewhere = "https://github.invalid/releases/download/src-v1/whole"
    checkout.fill({f"verify-dist {TARGET}": entry(elsewhere, api="https://api.invalid/1")})
    done = checkout.launch(LAUNCH_BINARY_MIRROR=server + "/")
    assert (done.returncode, done.stdout) == (0, "started --help\n"), done.stderr
    assert Server.requests == ["/whole"]


def test_a_mirror_changes_no_hash(checkout: Checkout, server: str) -> None:
    checkout.fill({f"verify-dist {TARGET}": entry("https://github.invalid/whole", "0" * 64)})
    done = checkout.launch(LAUNCH_BINARY_MIRROR=server)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing was started" in done.stderr
    done = checkout.launch(LAUNCH_BINARY_MIRROR="http://mirror.invalid")
    assert "expected https" in done.stderr


def test_without_curl_it_is_named(checkout: Checkout, server: str, tmp_path: Path) -> None:
    """A slim container has no curl; rerunning the job would not help."""
    checkout.fill({f"verify-dist {TARGET}": entry(server + "/whole")})
    tools = ("bash", "sed", "grep", "uname", "dirname", "sha256sum", "cut")
    done = checkout.launch(PATH=programs(tmp_path / "bin", *tools), GITHUB_ACTIONS="true")
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert line.startswith("::error::verify-dist: `curl` is not installed")
    assert "%0Ahint: install it" in line
    assert "run the job again" not in line


def test_missing_platform_is_an_error_and_no_build(checkout: Checkout, server: str) -> None:
    checkout.fill({"verify-dist riscv64-unknown-linux-musl": entry(server + "/whole")})
    done = checkout.launch()
    assert done.returncode == 2
    assert f"no binary for {TARGET}" in done.stderr


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("system", "machine", "target"),
    [
        ("Linux", "x86_64", "x86_64-unknown-linux-musl"),
        ("Linux", "aarch64", "aarch64-unknown-linux-musl"),
        ("Darwin", "x86_64", "x86_64-apple-darwin"),
        ("Darwin", "arm64", "aarch64-apple-darwin"),
        ("MINGW64_NT-10.0-26100", "x86_64", "x86_64-pc-windows-msvc"),
        ("MSYS_NT-10.0-26100", "x86_64", "x86_64-pc-windows-msvc"),
        # Windows on ARM also runs them.
        ("MINGW64_NT-10.0-26100-ARM64", "aarch64", "x86_64-pc-windows-msvc"),
    ],
)
def test_each_platform_gets_its_own(
    checkout: Checkout, server: str, tmp_path: Path, system: str, machine: str, target: str
) -> None:
    """With the name from the platform's `uname`."""
    shims = tmp_path / "programs"
    shims.mkdir()
    script(shims / "uname", f'case "$1" in -s) echo {system} ;; *) echo {machine} ;; esac')
    checkout.fill({f"verify-dist {target}": entry(server + "/whole")})
    done = checkout.launch(PATH=f"{shims}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (0, "started --help\n"), done.stderr
    (cached,) = (path for path in checkout.cache.rglob("*") if path.is_file())
    assert cached.suffix == (".exe" if "windows" in target else "")


def test_setup_nix_says_that_nix_does_not_run_on_windows(
    root: Path, checkout: Checkout, tmp_path: Path
) -> None:
    (checkout.actions / "setup-nix").mkdir()
    shutil.copy(root / "actions/setup-nix/action.yml", checkout.actions / "setup-nix")
    shims = tmp_path / "programs"
    shims.mkdir()
    script(shims / "uname", 'case "$1" in -s) echo MINGW64_NT-10.0 ;; *) echo x86_64 ;; esac')
    done = checkout.launch("setup-nix", PATH=f"{shims}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (2, "")
    message, hint = done.stderr.splitlines()
    assert message == "error: setup-nix: Nix does not run on Windows"
    assert hint.startswith("hint: skip this step there")


def test_windows_paths_are_taken_as_the_shell_takes_them(
    checkout: Checkout, server: str, tmp_path: Path
) -> None:
    shims = tmp_path / "programs"
    shims.mkdir()
    script(shims / "uname", 'case "$1" in -s) echo MINGW64_NT-10.0 ;; *) echo x86_64 ;; esac')
    # As in MSYS: `D:\\a` is a directory of its own tree.
    script(shims / "cygpath", f'p=${{2#D:}}; echo "{tmp_path}/d${{p//\\\\//}}"')
    checkout.fill({"verify-dist x86_64-pc-windows-msvc": entry(server + "/whole")})
    env = {"PATH": f"{shims}:{os.environ['PATH']}", "RUNNER_TOOL_CACHE": r"D:\a\_tool"}
    assert checkout.launch(**env).returncode == 0
    (cached,) = (tmp_path / "d/a/_tool/wheel-actions").rglob("verify-dist.exe")
    given = {"LAUNCH_BINARY": "D:" + str(cached)[len(f"{tmp_path}/d") :].replace("/", "\\")}
    done = checkout.launch(**env, **given, LAUNCH_BINARY_SHA256=DIGEST)
    assert (done.returncode, done.stdout) == (0, "started --help\n"), done.stderr


def test_inputs_reach_a_program_for_windows_unchanged(checkout: Checkout, tmp_path: Path) -> None:
    """MSYS takes `/v` for a path in its own tree, unless it is told not to."""
    shims = tmp_path / "programs"
    shims.mkdir()
    script(shims / "uname", 'case "$1" in -s) echo MINGW64_NT-10.0 ;; *) echo x86_64 ;; esac')
    script(shims / "cygpath", 'case "$1" in -m) p=${2#/d}; echo "D:$p" ;; *) echo "$2" ;; esac')
    binary = tmp_path / "given"
    script(binary, 'env | grep -E "^(INPUT|MSYS|/v)"')
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    inputs = {
        "INPUT_TAG_PREFIX": "/v",
        "INPUT_OUT_DIR": "/d/a/re po/dist",
        "INPUT_PATHS": "/d/a/one:/d/a/two",
        "INPUT_EXCLUDE": "/d/a/*.so\n/v",
    }
    given = {"LAUNCH_BINARY": str(binary), "LAUNCH_BINARY_SHA256": digest}

    def environment(**env: str) -> str:
        done = checkout.launch("verify-dist", **inputs, **given, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    windows = environment(PATH=f"{shims}:{os.environ['PATH']}")
    assert "MSYS2_ENV_CONV_EXCL=INPUT_\n" in windows
    assert "INPUT_TAG_PREFIX=/v\n" in windows
    assert "INPUT_OUT_DIR=D:/a/re po/dist\n" in windows, "a path of the shell"
    assert "INPUT_EXCLUDE=D:/a/*.so\n/v\n" in windows, "line by line"
    own = environment(PATH=f"{shims}:{os.environ['PATH']}", MSYS2_ENV_CONV_EXCL="OWN")
    assert "MSYS2_ENV_CONV_EXCL=INPUT_;OWN\n" in own
    (shims / "uname").unlink()
    linux = environment(PATH=f"{shims}:{os.environ['PATH']}")
    assert "MSYS" not in linux
    assert "INPUT_OUT_DIR=/d/a/re po/dist\n" in linux


def test_without_sha256sum_shasum_checks(checkout: Checkout, tmp_path: Path) -> None:
    """macOS only has `shasum`."""
    tools = ("bash", "sed", "grep", "uname", "dirname", "shasum", "perl", "cut", "chmod")
    binary = tmp_path / "given"
    binary.write_bytes(BINARY)
    given = {"PATH": programs(tmp_path / "bin", *tools), "LAUNCH_BINARY": str(binary)}
    assert checkout.launch(**given, LAUNCH_BINARY_SHA256="0" * 64).returncode == 2
    done = checkout.launch(**given, LAUNCH_BINARY_SHA256=DIGEST)
    assert (done.returncode, done.stdout) == (0, "started --help\n"), done.stderr


def test_plain_http_elsewhere_is_refused(checkout: Checkout) -> None:
    checkout.fill({f"verify-dist {TARGET}": entry("http://example.invalid/whole")})
    done = checkout.launch()
    assert done.returncode == 2
    assert "expected https" in done.stderr


def test_given_binary_needs_its_hash(checkout: Checkout, tmp_path: Path) -> None:
    binary = tmp_path / "given"
    binary.write_bytes(BINARY)  # without the executable bit, as an artifact arrives
    given = {"LAUNCH_BINARY": str(binary)}
    assert checkout.launch(**given).returncode == 2
    assert checkout.launch(**given, LAUNCH_BINARY_SHA256="0" * 64).returncode == 2
    done = checkout.launch(**given, LAUNCH_BINARY_SHA256=DIGEST)
    assert (done.returncode, done.stdout) == (0, "started --help\n")


def test_environment_overrides_nothing(checkout: Checkout, server: str, tmp_path: Path) -> None:
    """A hash without a binary does not override binaries.json."""
    checkout.fill({f"verify-dist {TARGET}": entry(server + "/whole", "0" * 64)})
    assert checkout.launch(LAUNCH_BINARY_SHA256=DIGEST).returncode == 2


def test_no_entry_builds_from_source(root: Path, target: Path, clean_env: dict[str, str]) -> None:
    env = clean_env | {"CARGO_TARGET_DIR": str(target)}
    command = [str(root / "actions" / "launch.sh"), "verify-dist", "--version"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("verify-dist ")


def test_no_entry_and_no_cargo_is_an_error(checkout: Checkout, tmp_path: Path) -> None:
    tools = ("bash", "sed", "grep", "uname", "dirname", "sha256sum", "cut", "env")
    done = checkout.launch(PATH=programs(tmp_path / "bin", *tools))
    assert done.returncode == 2
    assert "`cargo` is not installed" in done.stderr


def test_faults_are_annotations_on_a_runner(checkout: Checkout) -> None:
    done = checkout.launch("no-such-action", GITHUB_ACTIONS="true")
    assert done.returncode == 2
    assert done.stdout.startswith("::error::no action `no-such-action` beside ")
