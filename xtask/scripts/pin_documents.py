"""pin_documents.py REPOSITORY TAG COMMIT: writes the pins of a release of the actions.

In each Markdown file, it writes the repository's name, the commit and the version to
`uses: …/actions/NAME@…` of this repository, also to pins of an earlier release. It removes
the text between `<!-- until the first release -->` and `<!-- end -->`. It writes the
repository's URL, from which `cargo binstall` downloads, to Cargo.toml.
"""

import re
import subprocess
import sys
from pathlib import Path

ACTIONS = "setup-nix/save|setup-nix|build-wheel|verify-dist|publish"


def pinned(text: str, repository: str, tag: str, commit: str) -> str:
    """A document with the pins of a release."""
    ours = rf"<owner>/<repo>|{re.escape(repository)}"
    pin = (
        rf"(uses: (?:https://github\.com/)?)(?:{ours})/actions/({ACTIONS})@(?:<sha>|[0-9a-f]{{40}})"
    )
    text = re.sub(rf"{pin}( # v\S+)?", rf"\1{repository}/actions/\2@{commit} # {tag}", text)
    until = r"<!-- until the first release -->.*?<!-- end -->\n*"
    return re.sub(until, "", text, flags=re.DOTALL)


def main() -> None:
    if len(sys.argv) != 4 or not re.fullmatch(r"[0-9a-f]{40}", sys.argv[3]):
        sys.exit("usage: pin_documents.py REPOSITORY TAG COMMIT")
    repository, tag, commit = sys.argv[1:]
    manifest = Path("Cargo.toml")
    if manifest.is_file() and "<owner>/<repo>" in (old := manifest.read_text()):
        new = old.replace("# The first release writes it.\n", "")
        manifest.write_text(new.replace("<owner>/<repo>", repository))
        print(manifest)
    names = subprocess.run(["git", "ls-files", "*.md"], capture_output=True, text=True, check=True)
    for path in map(Path, names.stdout.splitlines()):
        old = path.read_text()
        if (new := pinned(old, repository, tag, commit)) != old:
            path.write_text(new)
            print(path)


if __name__ == "__main__":
    main()
