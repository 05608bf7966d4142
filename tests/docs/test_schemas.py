"""The JSON Schemas describe the files that the binaries write."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT
from host_nixpkgs import nix_variables
from jsonschema import Draft7Validator, Draft202012Validator
from package_index import Index

# The schema of the lines that `ht` reads and writes, which its own tests use.
PROTOCOL = ROOT / "docs/schema/ht-protocol.json"
SCHEMAS = sorted(set((ROOT / "docs/schema").glob("*.json")) - {PROTOCOL})
# The reports that a release writes, and their schemas.
REPORTS = {
    "install.json": "setup-nix-report",
    "save.json": "setup-nix-report",
    "build.json": "build-report",
    "verify.json": "verify-report",
    "installs.json": "installs-report",
    "dist-manifest.json": "dist-manifest",
    "publish.json": "publish-report",
}


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_schema_is_a_schema(path: Path) -> None:
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    for kind in kinds(schema):
        assert kind["properties"]["schema"] == {"const": 1}
        assert "schema" in kind["required"]


def test_protocol_is_a_schema() -> None:
    Draft202012Validator.check_schema(json.loads(PROTOCOL.read_text()))


def kinds(schema: Any) -> list[Any]:
    """The schemas of the described reports: itself, or several."""
    several = [kind["$ref"].rsplit("/", 1)[1] for kind in schema.get("oneOf", [])]
    return [schema["$defs"][name] for name in several] or [schema]


def test_the_entries_for_editors_name_what_is_there() -> None:
    """Each schema in the guide is in the book; the configuration's meets SchemaStore's rules."""
    guide = (ROOT / "docs/guides/editors.md").read_text()
    named = set(re.findall(r"<site>/([\w/.-]+\.json)", guide))
    assert len(named) == 5
    assert [name for name in named if not (ROOT / name).is_file()] == []
    schema = json.loads((ROOT / "docs/reference/verify-dist-config.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert f'"$ref": "{schema["$id"]}"' in guide
    file = json.loads((ROOT / "docs/reference/verify-dist-file.schema.json").read_text())
    table = file["properties"]["tool"]["properties"]["verify-dist"]
    assert table == {"$ref": "verify-dist-config.schema.json"}


def test_each_schema_has_a_report() -> None:
    assert sorted(set(REPORTS.values())) == [path.stem for path in SCHEMAS]


def faults(name: str, report: Any) -> list[str]:
    """The schema's errors in a report."""
    schema = json.loads((ROOT / "docs/schema" / f"{name}.json").read_text())
    found = Draft202012Validator(schema).iter_errors(report)  # pyright: ignore[reportUnknownMemberType]
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in found]


@pytest.fixture(scope="module")
def reports(
    tools: Path,
    target: Path,
    binaries: Path,
    clean_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Path, Index], dict[str, Any]]:
    """Builds, verifies and publishes a wheel; returns each report by its schema's name."""
    env = clean_env | {"CARGO_TARGET_DIR": str(target / "consumers")}
    env["PATH"] = f"{tools / 'test/bin'}:{env['PATH']}"
    built = tmp_path_factory.mktemp("reports")

    def run(name: str, *args: str | Path) -> None:
        command = [binaries / name, *args]
        more = {"INPUT_PASSWORD": "none-needed"} if name == "publish" else {}
        done = subprocess.run(command, cwd=built, env=env | more, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    hello = ROOT / "tests/act/hello"
    run("build-wheel", hello, "--report-path", "build.json")
    run("verify-dist", "dist", "--report-path", "verify.json")
    run("verify-dist", "installs", "dist", "--report-path", "installs.json")
    # With an installed Nix and a separate store: nothing is installed.
    env |= nix_variables(built / "nix")
    setup = ("--kvm", "false", "--cache-directory", built / "cache")
    run("setup-nix", "install", *setup, "--report-path", "install.json")
    run("setup-nix", "save", *setup, "--report-path", "save.json")

    def publish(directory: Path, index: Index) -> dict[str, Any]:
        for name in ("dist", "dist-manifest.json", *REPORTS):
            if (built / name).is_dir():
                shutil.copytree(built / name, directory / name)
            elif (built / name).is_file():
                shutil.copy(built / name, directory / name)
        run(
            *("publish", directory / "dist", "--manifest", directory / "dist-manifest.json"),
            *("--index", index.url, "--allow-insecure-loopback"),
            *("--report-path", directory / "publish.json"),
        )
        return {file: json.loads((directory / file).read_text()) for file in REPORTS}

    return publish


def test_reports_keep_to_their_schemas(
    reports: Callable[[Path, Index], dict[str, Any]], index: Index, tmp_path: Path
) -> None:
    found = reports(tmp_path, index)
    for file, report in found.items():
        name = REPORTS[file]
        assert faults(name, report) == [], name
        # A schema that accepts everything would be useless.
        assert faults(name, report | {"schema": 2}) != [], name
        schema = json.loads((ROOT / f"docs/schema/{name}.json").read_text())
        required = {key for kind in kinds(schema) for key in kind["required"]}
        for key in required & report.keys():
            without = {k: v for k, v in report.items() if k != key}
            assert faults(name, without) != [], f"{name} does not ask for {key}"


def test_an_unknown_major_is_refused(
    reports: Callable[[Path, Index], dict[str, Any]],
    index: Index,
    binaries: Path,
    clean_env: dict[str, str],
    tmp_path: Path,
) -> None:
    """publish rejects a manifest whose fields may have another meaning."""
    manifest = reports(tmp_path, index)["dist-manifest.json"] | {"schema": 2}
    path = tmp_path / "dist-manifest.json"
    path.write_text(json.dumps(manifest))
    command = [binaries / "publish", tmp_path / "dist", "--manifest", path, "--dry-run", "offline"]
    done = subprocess.run(command, cwd=tmp_path, env=clean_env, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "dist-manifest.json" in done.stderr
    assert "schema" in done.stderr
