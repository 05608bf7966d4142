"""The file that an installer itself takes of each release, in given environments.

Usage: choices.py INDEX-DIRECTORY < request.json
The request: {"files": [[name, requires-python or null, yanked]], "runs": [{"pip":
["python", "-m", "pip"], "platforms": [...], "python": "3.12", "impl": "cp",
"abis": [...], "sdists": true, "dry_run": true,
"pins": {"project": "project==1.0"}}]}, or {"uv": "uv", "platform": ...,
"python": "3.12"} for a run of uv. Each run gives {project: name of the file, or null}.

An index of files with these names is written, with a version 0 of every project
that fits everywhere: what gets it has found nothing of the release.
"""

import html
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def split(file):
    if file.endswith(".whl"):
        return file.split("-")[:2]
    return file[: -len(".tar.gz")].rsplit("-", 1)


def write(directory, file):
    name, version = split(file)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    path = os.path.join(directory, file)
    with open(path + ".metadata", "w") as f:
        f.write(metadata)
    if file.endswith(".whl"):
        info = f"{name}-{version}.dist-info/"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info + "METADATA", metadata)
            archive.writestr(
                info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n"
            )
            archive.writestr(info + "RECORD", "")
        return
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        entry.size = len(metadata)
        archive.addfile(entry, BytesIO(metadata.encode()))


def make(root, files):
    pages = {}
    store = os.path.join(root, "files")
    os.makedirs(store)
    names = {split(file)[0] for file, _, _ in files}
    none = [[f"{name}-0-py3-none-any.whl", None, False] for name in sorted(names)]
    for file, requires, yanked in files + none:
        write(store, file)
        link = "../../files/" + file
        extra = " data-core-metadata='true'"
        if requires:
            extra += f' data-requires-python="{html.escape(requires)}"'
        if yanked:
            extra += " data-yanked=''"
        line = f"<a href='{link}'{extra}>{file}</a><br>"
        pages.setdefault(normalized(split(file)[0]), []).append(line)
    for project, lines in pages.items():
        page = os.path.join(root, "simple", project)
        os.makedirs(page)
        with open(os.path.join(page, "index.html"), "w") as f:
            f.write("<!DOCTYPE html><html><body>{}</body></html>".format("\n".join(lines)))
    return sorted(pages)


def clean():
    """Without the user's settings of an installer."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    return dict(keep, PIP_CONFIG_FILE=os.devnull)


def started(cmd):
    done = subprocess.run(cmd, capture_output=True, text=True, env=clean())
    if done.returncode:
        sys.exit("{}\n{}{}".format(" ".join(cmd), done.stdout, done.stderr))
    return done.stderr


def by_pip(root, projects, request):
    with tempfile.TemporaryDirectory() as out:
        report = os.path.join(out, "report.json")
        kind = ["download", "-d", out]
        if request["dry_run"]:
            kind = [
                "install",
                "--dry-run",
                "--ignore-installed",
                "--target",
                out,
                "--report",
                report,
            ]
        cmd = request["pip"] + ["--disable-pip-version-check", "--no-cache-dir"] + kind
        cmd += ["--no-deps", "--quiet", "--index-url", f"file://{root}/simple"]
        cmd += ["--python-version", request["python"], "--implementation", request["impl"]]
        cmd += [] if request["sdists"] else ["--only-binary=:all:"]
        for platform in request["platforms"]:
            cmd += ["--platform", platform]
        for abi in request["abis"]:
            cmd += ["--abi", abi]
        started(cmd + [request.get("pins", {}).get(project, project) for project in projects])
        if not request["dry_run"]:
            return os.listdir(out)
        with open(report) as f:
            items = json.load(f)["install"]
        return [item["download_info"]["url"].rsplit("/", 1)[-1] for item in items]


def by_uv(root, projects, request):
    with tempfile.TemporaryDirectory() as out:
        wanted = os.path.join(out, "wanted.in")
        with open(wanted, "w") as f:
            f.write("\n".join(projects))
        cmd = [
            request["uv"],
            "pip",
            "compile",
            "--no-config",
            "--no-cache",
            "--no-deps",
            "--verbose",
        ]
        cmd += ["--no-python-downloads", "--python-platform", request["platform"]]
        cmd += [
            "--python-version",
            request["python"],
            "--index-url",
            f"file://{root}/simple",
            wanted,
        ]
        said = started(cmd)
    return re.findall(r"Selecting: \S+ \[\w+\] \((\S+)\)", said)


def run(root, projects, request):
    files = by_uv(root, projects, request) if "uv" in request else by_pip(root, projects, request)
    found = {normalized(split(file)[0]): file for file in files}
    return {
        project: None if split(found[project])[1] == "0" else found[project] for project in projects
    }


def main():
    root = sys.argv[1]
    request = json.load(sys.stdin)
    projects = make(root, request["files"])
    with ThreadPoolExecutor(2) as pool:
        json.dump(
            list(pool.map(lambda item: run(root, projects, item), request["runs"])), sys.stdout
        )


main()
