"""Updates the ranges of Nix versions with security advisories.

gh api --paginate repos/NixOS/nix/security-advisories | nix_advisories.py FILE
"""

import datetime
import json
import sys
from pathlib import Path
from typing import Any


def ranges(advisory: dict[str, Any]) -> list[str]:
    """The affected ranges of Nix itself, as GitHub writes them."""
    found: list[str] = []
    for vulnerability in advisory["vulnerabilities"]:
        text = vulnerability["vulnerable_version_range"] or ""
        found += [part.strip() for part in text.split("||") if part.strip()]
    return found


def main() -> None:
    """Writes the file; an answer without ranges is an error, not an empty file."""
    published = [one for one in json.load(sys.stdin) if one["state"] == "published"]
    advisories = [
        {"id": one["cve_id"] or one["ghsa_id"], "affected": ranges(one)} for one in published
    ]
    advisories = [one for one in advisories if one["affected"]]
    advisories.sort(key=lambda one: str(one["id"]))
    if not advisories:
        sys.exit("error: the answer holds no advisory with a version range")
    content = {
        "updated": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "source": "https://github.com/NixOS/nix/security/advisories",
        "advisories": advisories,
    }
    Path(sys.argv[1]).write_text(json.dumps(content, indent=2) + "\n")


main()
