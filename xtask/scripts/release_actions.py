"""release_actions.py STEP: runs a step of actions-release.yml that has a token.

The tag `src-v1.2.3` marks the source. Its GitHub Release holds the binaries; a
commit that differs from the source only in actions/binaries.json is tagged
`v1.2.3`. Each step first checks the existing state, so rerunning completes an
interrupted run. A published release is immutable: its binaries take precedence
over those of this run.

draft     create the draft release or resume it, and upload the missing binaries;
          if it is published, download its binaries to replace this run's
verify    compare the release's binaries with the build jobs' hashes, and verify
          their attestations
pin       commit actions/binaries.json, and check that nothing else differs
publish   publish the draft
tag       tag the commit
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from github_api import ApiError, GitHub, fail

PINS = "actions/binaries.json"
BOT = {
    "name": "github-actions[bot]",
    "email": "41898282+github-actions[bot]@users.noreply.github.com",
}
Release = dict[str, Any]


def environment(name: str) -> str:
    value = os.environ.get(name)
    return value if value else fail(f"the variable `{name}` is not set")


class Run:
    """The environment of a step."""

    def __init__(self) -> None:
        self.github = GitHub()
        self.source_tag = environment("GITHUB_REF_NAME")
        self.source = environment("GITHUB_SHA")
        self.binaries = Path(environment("BINARIES"))
        if not re.fullmatch(r"src-v\d+\.\d+\.\d+[a-z0-9.-]*", self.source_tag):
            fail(f"the tag `{self.source_tag}` starts this workflow; expected `src-v1.2.3`")
        self.tag = self.source_tag.removeprefix("src-")

    def expected(self) -> dict[str, str]:
        """The SHA-256 of each file, from the outputs of the build jobs."""
        given: dict[str, str] = json.loads(environment("HASHES"))
        hashes: dict[str, str] = {}
        for target, text in given.items():
            if not text:
                fail(f"the build for `{target}` has not output the hashes of its binaries")
            actions: dict[str, str] = json.loads(text)
            extension = ".exe" if "-windows-" in target else ""
            hashes |= {
                f"{action}-{target}{extension}": digest for action, digest in actions.items()
            }
        return hashes

    def release(self) -> Release | None:
        """The tag's release: the published one, otherwise the oldest draft."""
        published = self.github.get(f"releases/tags/{self.source_tag}")
        if published:
            return published
        drafts: list[Release] = []
        page = 1
        while True:
            listed: list[Release] = self.github.get(f"releases?per_page=100&page={page}") or []
            drafts += [one for one in listed if one["tag_name"] == self.source_tag and one["draft"]]
            if len(listed) < 100:
                break
            page += 1
        if len(drafts) > 1:
            print(f"::warning::{len(drafts)} drafts for {self.source_tag}: completing the oldest")
        return min(drafts, key=lambda one: one["id"], default=None)

    def existing(self) -> Release:
        return self.release() or fail(
            f"no release for the tag `{self.source_tag}`",
            "rerun the job: its first step creates it",
        )

    def output(self, name: str, value: str) -> None:
        with Path(environment("GITHUB_OUTPUT")).open("a") as file:
            file.write(f"{name}={value}\n")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def draft(run: Run) -> None:
    release = run.release()
    expected = run.expected()
    if release and not release["draft"]:
        take_published(run, release, expected)
        return
    for name, digest in expected.items():
        file = run.binaries / name
        found = sha256(file.read_bytes()) if file.is_file() else "no file"
        if found != digest:
            fail(f"artifact `{name}`: expected SHA-256 {digest}, found {found}")
    if not release:
        body = {
            "tag_name": run.source_tag,
            "target_commitish": run.source,
            "name": f"Actions {run.tag}",
            "body": f"The binaries of the actions. Pin the commit of the tag `{run.tag}`.",
            "draft": True,
            # `latest` should show a release of the packages.
            "make_latest": "false",
        }
        release = run.github.send("POST", "releases", body)
        assert release
        print(f"created a draft for {run.source_tag}")
    for asset in release["assets"]:
        digest = expected.get(asset["name"])
        # The state `starter` means an interrupted upload.
        complete = asset["state"] == "uploaded" and digest is not None
        if complete and sha256(run.github.download(f"releases/assets/{asset['id']}")) == digest:
            continue
        print(f"removing {asset['name']}: it is not from this run")
        run.github.send("DELETE", f"releases/assets/{asset['id']}")
    have = {asset["name"] for asset in run.existing()["assets"]}
    address = release["upload_url"].partition("{")[0]
    for name in sorted(expected.keys() - have):
        print(f"uploading {name}")
        run.github.upload(f"{address}?name={name}", (run.binaries / name).read_bytes())


def take_published(run: Run, release: Release, expected: dict[str, str]) -> None:
    """Replaces this run's binaries with the assets of a published release."""
    print(f"{run.source_tag} is published: using its binaries")
    assets = {asset["name"]: asset for asset in release["assets"]}
    missing = sorted(expected.keys() - assets.keys())
    if missing:
        fail(
            f"the published release of `{run.source_tag}` lacks {', '.join(missing)}",
            "bump the version and tag again: a published release cannot change",
        )
    run.binaries.mkdir(parents=True, exist_ok=True)
    for name in expected:
        data = run.github.download(f"releases/assets/{assets[name]['id']}")
        if sha256(data) != expected[name]:
            print(f"::warning::the new build of {name} differs; the published file is kept")
        (run.binaries / name).write_bytes(data)


def verify(run: Run) -> None:
    release, expected = run.existing(), run.expected()
    names = {asset["name"] for asset in release["assets"]}
    if names != expected.keys():
        fail(
            f"expected the assets {', '.join(sorted(expected))}, found {', '.join(sorted(names))}",
            "rerun the job: its first step completes the draft",
        )
    for asset in release["assets"]:
        name = asset["name"]
        data = run.github.download(f"releases/assets/{asset['id']}")
        # A published file may be of an earlier run: only its attestation is checked.
        if release["draft"] and sha256(data) != expected[name]:
            fail(f"asset `{name}`: expected SHA-256 {expected[name]}, found {sha256(data)}")
        (run.binaries / name).write_bytes(data)
        attested(run, run.binaries / name)


def attested(run: Run, file: Path) -> None:
    """Checks GitHub's attestation that this workflow built the file from the tag's commit."""
    workflow = f"{run.github.repository}/.github/workflows/actions-release.yml"
    command = ["gh", "attestation", "verify", str(file), "--repo", run.github.repository]
    command += ["--signer-workflow", workflow, "--source-ref", f"refs/tags/{run.source_tag}"]
    command += ["--source-digest", run.source, "--deny-self-hosted-runners"]
    if subprocess.run(command).returncode != 0:
        fail(f"`{file.name}` has no attestation by this workflow for `{run.source_tag}`")


def pin(run: Run) -> None:
    commit = pins_commit(run)
    run.output("commit", commit)
    print(f"{PINS} is filled in the commit {commit}")


def pins_commit(run: Run) -> str:
    """Creates the commit of the pins, which is the same commit for the same release."""
    content = binaries_json(run)
    source = run.github.send("GET", f"git/commits/{run.source}")
    entry = {"path": PINS, "mode": "100644", "type": "blob", "content": content}
    body = {"base_tree": source["tree"]["sha"], "tree": [entry]}
    tree = run.github.send("POST", "git/trees", body)["sha"]
    only_the_pins_differ(run, source["tree"]["sha"], tree, content)
    author = BOT | {"date": source["committer"]["date"]}
    body = {
        "message": f"Pin the binaries of the actions {run.tag}",
        "tree": tree,
        "parents": [run.source],
        "author": author,
        "committer": author,
    }
    return run.github.send("POST", "git/commits", body)["sha"]


def binaries_json(run: Run) -> str:
    """The file that actions/launch.sh reads, with one entry per line."""
    release = run.existing()
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    pages = f"{server}/{run.github.repository}/releases/download/{run.source_tag}"
    lines: list[str] = []
    for asset in sorted(release["assets"], key=lambda asset: asset["name"]):
        action, target = split_name(asset["name"])
        api = f"{run.github.api}/repos/{run.github.repository}/releases/assets/{asset['id']}"
        entry = {
            "url": f"{pages}/{asset['name']}",
            "sha256": sha256((run.binaries / asset["name"]).read_bytes()),
            "api": api,
        }
        lines.append(f'    "{action} {target}": {json.dumps(entry)}')
    head = f'{{\n  "schema": 1,\n  "version": "{run.tag.removeprefix("v")}",\n  "binaries": {{\n'
    return head + ",\n".join(lines) + "\n  }\n}\n"


def split_name(name: str) -> tuple[str, str]:
    """Splits `setup-nix-x86_64-apple-darwin` (with `.exe` for Windows) into action and target."""
    for arch in ("x86_64", "aarch64"):
        action, found, rest = name.removesuffix(".exe").partition(f"-{arch}-")
        if found:
            return action, f"{arch}-{rest}"
    fail(f"the asset `{name}` is not named ACTION-TARGET")


def only_the_pins_differ(run: Run, source: str, commit: str, content: str) -> None:
    old, new = entries(run, source), entries(run, commit)
    changed = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    if changed != [PINS]:
        found = ", ".join(changed) or "nothing"
        fail(f"the commit of the pins changes {found}, expected only {PINS}")
    blob = new[PINS][1]
    answer = run.github.send("GET", f"git/blobs/{blob}")
    if base64.b64decode(answer["content"]).decode() != content:
        fail(f"{PINS} in the commit of the pins differs from the one of this run")


def entries(run: Run, tree: str) -> dict[str, tuple[str, str]]:
    """The files of a tree, with mode and hash."""
    answer = run.github.send("GET", f"git/trees/{tree}?recursive=1")
    if answer["truncated"]:
        fail(f"GitHub does not list the whole tree {tree}")
    return {
        entry["path"]: (entry["mode"], entry["sha"])
        for entry in answer["tree"]
        if entry["type"] != "tree"
    }


def publish(run: Run) -> None:
    release = run.existing()
    if not release["draft"]:
        print(f"{run.source_tag} is already published")
        return
    body = {"draft": False, "make_latest": "false"}
    release = run.github.send("PATCH", f"releases/{release['id']}", body)
    print(f"published {release['html_url']}")


def tag(run: Run) -> None:
    if run.existing()["draft"]:
        fail(f"the release of `{run.source_tag}` is still a draft", "rerun the job from its start")
    commit = pins_commit(run)
    ref = run.github.get(f"git/ref/tags/{run.tag}")
    if not ref:
        try:
            body = {"ref": f"refs/tags/{run.tag}", "sha": commit}
            ref = run.github.send("POST", "git/refs", body)
        except ApiError:
            # The tag may have been created nevertheless.
            ref = run.github.get(f"git/ref/tags/{run.tag}")
            if not ref:
                raise
    found = ref["object"]["sha"]
    if found != commit:
        fail(
            f"the tag `{run.tag}` is at {found}, expected {commit}",
            "bump the version: a tag that users may have pinned is never moved",
        )
    print(f"{run.tag} is at {commit}")


STEPS: dict[str, Callable[[Run], None]] = {
    "draft": draft,
    "verify": verify,
    "pin": pin,
    "publish": publish,
    "tag": tag,
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in STEPS:
        sys.exit(f"usage: release_actions.py {'|'.join(STEPS)}")
    try:
        STEPS[sys.argv[1]](Run())
    except ApiError as error:
        fail(str(error), "rerun the job: it resumes where this run stopped")
