"""The documented tags, parsed by the published grammars of Renovate and Dependabot.

Reimplemented from their sources of August 2026: Renovate's `github-actions`
manager (parse.ts, extract.ts) and versioning (index.ts), Dependabot's
git_commit_checker.rb and github_actions/version.rb.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

# Renovate: the version in the comment after a pinned commit …
COMMENT = re.compile(
    r"^\s*(?:renovate\s*:\s*)?(?:pin\s+|tag\s*=\s*)?@?"
    r"(?P<version>(?:[\w-]*[-/])?v?\d+(?:\.\d+(?:\.\d+)?)?(?:-[a-zA-Z0-9.]+)?)"
)
# … and the version that is looked up among the repository's tags.
TAGS_ARE_ASKED = re.compile(r"^v?\d+")
SEMVER = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
USES = re.compile(r"uses: (?:OWNER/REPOSITORY|<owner>/<repo>)/[^@\s]+@\S+ #(?P<comment>.*)$")

# Dependabot: a tag with a version, and the tag of a commit.
VERSION = re.compile(
    r"(?:(?<=^v)[0-9]+(?:-[a-z0-9]+)?"
    r"|[12][0-9]{3}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    r"|[0-9]+\.[0-9]+(?:\.[a-z0-9-]+)*)$",
    re.I,
)
KNOWN = re.compile(r"(?:.*/)?v?(?P<version>[0-9]+(?:\.[0-9a-z]+)*)$", re.I)

# The tags of this repository after some releases.
TAGS = ["src-v0.1.0", "v0.1.0", "src-v0.2.0", "v0.2.0", "htty-v0.3.0", "htty-v9.0.0"]


def renovate_offers(comment: str, tags: list[str]) -> str | None:
    """The newest tag with which Renovate would replace the comment's."""
    found = COMMENT.match(comment)
    if not found or not TAGS_ARE_ASKED.match(found["version"]):
        return None
    return newest([tag for tag in tags if SEMVER.fullmatch(tag)], found["version"])


def dependabot_offers(pinned: str, tags: list[str]) -> str | None:
    """The newest tag for a commit that has the tag `pinned`."""
    if not KNOWN.match(pinned):
        return None

    def prefix(tag: str) -> str:
        rest = VERSION.sub("", tag)
        return re.sub(r"v$" if len(rest) > 1 else r"^v$", "", rest, flags=re.I)

    same = [tag for tag in tags if VERSION.search(tag) and prefix(tag) == prefix(pinned)]
    return newest(same, pinned)


def newest(tags: list[str], current: str) -> str | None:
    def numbers(tag: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", tag.rpartition("/")[2])]

    later = [tag for tag in tags if numbers(tag) > numbers(current)]
    return max(later, key=numbers, default=None)


def test_the_old_tags_were_offered_by_neither() -> None:
    """The grammars accept the documented examples."""
    tags = ["actions-v0.1.0", "actions-v0.2.0"]
    assert renovate_offers(" actions-v0.1.0", tags) is None
    assert dependabot_offers("actions-v0.1.0", tags) is None
    assert renovate_offers(" v6.0.2", ["v6.0.2", "v6.1.0"]) == "v6.1.0"
    assert dependabot_offers("path/v1.0.0", ["path/v1.0.0", "path/v1.1.0"]) == "path/v1.1.0"


def test_the_actions_tags_are_offered_by_both() -> None:
    assert renovate_offers(" v0.1.0", TAGS) == "v0.2.0"
    assert dependabot_offers("v0.1.0", TAGS) == "v0.2.0"
    # Not the tags of the packages, whose versions are higher.
    assert renovate_offers(" v0.2.0", TAGS) is None
    assert dependabot_offers("v0.2.0", TAGS) is None


def test_what_is_documented_is_what_bots_read(root: Path) -> None:
    """The comment after the pin, in each document and template."""
    files = [*root.glob("*.md"), *root.glob("actions/**/*.md"), *root.glob("docs/*.md")]
    files += root.glob("tests/consumers/*/.github/workflows/*.yml")
    comments = [
        (path, match["comment"].replace("<version>", "0.1.0"))
        for path in files
        for match in map(USES.search, path.read_text().splitlines())
        if match
    ]
    assert len({path for path, _ in comments}) > 5
    for path, comment in comments:
        assert renovate_offers(comment, ["v99.0.0"]) == "v99.0.0", f"{path}: #{comment}"


@pytest.mark.parametrize(
    ("workflow", "tag"),
    [("actions-release.yml", "src-v1.2.3"), ("release.yml", "htty-v0.3.0"), (None, "v1.2.3")],
)
def test_a_tag_starts_its_own_workflow_alone(root: Path, workflow: str | None, tag: str) -> None:
    started: list[str] = []
    for path in (root / ".github/workflows").iterdir():
        # YAML 1.1 reads the key `on` as true.
        events: dict[str, Any] = yaml.safe_load(path.read_text())[True]
        push: dict[str, list[str]] = events.get("push") or {}
        patterns = push.get("tags", [])
        if any(re.fullmatch(pattern.replace("*", ".*"), tag) for pattern in patterns):
            started.append(path.name)
    assert started == ([workflow] if workflow else [])
