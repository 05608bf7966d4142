"""Programs accept the command lines in the documentation."""

import re
import shlex
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from documents import ROOT, Document, documents
from released import ACTIONS

# Programs of other projects, whose arguments are not checked.
FOREIGN = {
    *(
        "act",
        "codesign",
        "cog",
        "docker",
        "dyld_info",
        "echo",
        "export",
        "gh",
        "git",
        "hatchling",
        "ht",
        "htty",
    ),
    *(
        "nix-store",
        "pip",
        "pipx",
        "pre-commit",
        "pypi-server",
        "pytest",
        "python",
        "python3",
        "rustup",
        "sed",
        "uv",
        "uvx",
    ),
}


def lines(document: Document) -> list[str]:
    """The commands of a document: those after a prompt, and inline ones of our programs."""
    found: list[str] = []
    for fence in document.fences:
        if fence.language == "console":
            found += [line[2:] for line in fence.text.splitlines() if line.startswith("$ ")]
    ours = re.compile(rf"(?:cargo xtask|nix (?:run|build|flake)|\./steps\.sh|{'|'.join(ACTIONS)}) ")
    # Inline code may span two lines.
    found += [" ".join(code.split()) for _, code in document.code if ours.match(code)]
    return found


COMMANDS = sorted({(document.name, line) for document in documents() for line in lines(document)})


@cache
def packages() -> set[str]:
    """The names of the workspace's Cargo packages."""
    manifests = [*ROOT.glob("*/Cargo.toml"), *ROOT.glob("*/*/Cargo.toml")]
    names = [re.search(r'^name = "(.*)"', path.read_text(), re.MULTILINE) for path in manifests]
    return {name.group(1) for name in names if name}


def asks(command: list[str | Path]) -> str:
    """The program's error for a command line; empty if it is valid."""
    # The option is read last: everything before it must be valid.
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def fault(line: str, binaries: Path, xtask: Path) -> str:
    """The error in a command, if any."""
    line = re.sub(r"\s#.*", "", line)
    # In the clone: `(cd ../wheel-actions && …)`.
    line = re.sub(r"^\(cd \S+ && (.*)\)$", r"\1", line.strip())
    words = shlex.split(re.sub(r"<[^>]*>|…", "X", line))
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    program = Path(words[0]).name
    if words[:2] == ["cargo", "xtask"]:
        return asks([xtask, *words[2:]])
    if program == "cargo":
        named = [after for word, after in pairwise(words) if word in ("-p", "--package")]
        unknown = [name for name in named if name not in packages()]
        return f"there is no package {unknown}" if unknown else ""
    if program in ACTIONS:
        return asks([binaries / program, *words[1:]])
    if program == "nix" and words[1] in ("run", "build"):
        nix = (
            "".join(path.read_text() for path in ROOT.glob("nix/*/*.nix"))
            + (ROOT / "nix/apps.nix").read_text()
        )
        for name in (word.removeprefix(".#") for word in words if word.startswith(".#")):
            if not re.search(rf"\b{re.escape(name)}\b", nix):
                return f"the flake has no {name}"
        return ""
    if program == "steps.sh":
        known = (ROOT / "steps.sh").read_text()
        return "".join(f"no step {word}" for word in words[1:] if word not in known)
    # A clone of this repository, as in docs/other-runners.md.
    if (ROOT / words[0].removeprefix("../wheel-actions/")).is_file() or program == "nix":
        return ""
    return "" if program in FOREIGN else f"what is {program}?"


@pytest.mark.parametrize(("name", "line"), COMMANDS)
def test_command_is_understood(name: str, line: str, binaries: Path, xtask: Path) -> None:
    assert fault(line, binaries, xtask) == "", f"{name}: `{line}`"


@pytest.mark.parametrize(
    "line",
    [
        *("cargo xtask nonsense", "cargo xtask bench nonsense", "verify-dist dist --nonsense"),
        *(
            "publish dist --dry-run nonsense X Y --nonsense",
            "nix run .#nonsense",
            "nonsense --help",
        ),
        "cargo test -p nonsense",
    ],
)
def test_wrong_command_is_seen(line: str, binaries: Path, xtask: Path) -> None:
    assert fault(line, binaries, xtask) != ""


def test_the_front_page_starts_with_the_two_commands() -> None:
    # After the sentence, the picture and the workflow.
    top = (ROOT / "README.md").read_text().partition("## Compared with")[0].splitlines()
    assert any(line.startswith("$ cargo xtask release --local") for line in top)
    assert any(line.startswith("$ cargo xtask test") for line in top)


def test_each_command_of_xtask_is_told(xtask: Path) -> None:
    """The documentation mentions every command."""
    done = subprocess.run([xtask, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = re.findall(r"^  ([a-z][\w-]*)  ", done.stdout, re.MULTILINE)
    told = "\n".join(document.prose for document in documents())
    untold = [name for name in names if name != "help" and f"cargo xtask {name}" not in told]
    assert untold == []
