"""Links, rules, options, exit codes and messages in the documentation exist."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from documents import ROOT, Document, by_name, documents
from released import ACTIONS

ALL = pytest.mark.parametrize("document", documents(), ids=by_name)
OF_ACTIONS = pytest.mark.parametrize(
    "document",
    [d for d in documents() if re.fullmatch(r"actions/[\w-]+/README.md", d.name)],
    ids=by_name,
)
TROUBLESHOOTING = pytest.mark.parametrize(
    "document",
    [d for d in documents() if re.fullmatch(r"actions(/[\w-]+)?/README.md", d.name)],
    ids=by_name,
)
# Options of other programs in the prose.
FOREIGN_OPTIONS = {
    *(
        "--disable-fallback",
        "--dump-db",
        "--find-interpreter",
        "--eventpath",
        "--job",
        "--matrix",
        "--pedantic",
    ),
    *("--remap-path-prefix", "--remove-rpath", "--require-hashes", "--secret", "--strip"),
}


@cache
def inputs(binaries: Path, action: str) -> dict[str, list[str]]:
    """The inputs of an action, each with its accepted words; an empty list accepts any."""
    command = [binaries / action, "--describe"]
    declared = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    found: dict[str, list[str]] = {}
    for declaration in declared["inputs"]:
        kind = json.dumps(declaration["kind"])
        words = re.findall(r'"([^"]+)"', kind.partition(":")[2])
        found[declaration["name"]] = ["true", "false"] if kind == '"flag"' else words
    return found


@cache
def help_of(program: Path, *args: str) -> str:
    """The output of `--help`."""
    command = [program, *args, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("action", ACTIONS)
def test_a_declaration_is_the_same_on_a_runner(
    binaries: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = subprocess.run([binaries / action, "--describe"], capture_output=True, check=True)
    assert json.loads(done.stdout)["name"] == action


@ALL
def test_links_lead_somewhere(document: Document) -> None:
    anchors = {other.path: other.anchors for other in documents()}
    for link in document.links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (document.path.parent / name).resolve() if name else document.path
        assert target.exists(), f"{document.name}: {link} leads to nothing"
        if anchor:
            assert anchor in anchors.get(target, set[str]()), f"{document.name}: no heading {link}"


@ALL
def test_exit_codes_exist(document: Document, binaries: Path) -> None:
    text = help_of(binaries / "publish")
    known = set(re.findall(r"(\d+) ", text.partition("Exit codes: ")[2])) | {"130"}
    assert known >= {"0", "1", "2", "3", "4"}
    named = set(re.findall(r"\b(?:exit(?: code)?|ends with) (\d+)\b", document.prose))
    for heading, row in document.rows:
        if heading == "Exit codes" and row[0] not in ("", "code"):
            named.add(row[0])
    assert named <= known, f"{document.name}: no action ends with {named - known}"


@ALL
def test_rules_exist(document: Document, binaries: Path) -> None:
    listed = subprocess.run([binaries / "verify-dist", "rules"], capture_output=True, text=True)
    known = set(re.findall(r"\b[A-Z]{3}\d{3}\b", listed.stdout))
    assert len(known) > 50
    named = set(re.findall(r"\b(?!SHA)[A-Z]{3}\d{3}\b", document.prose))
    assert named <= known, f"{document.name}: verify-dist has no {named - known}"
    if document.name == "actions/verify-dist/README.md":
        told = {code for heading, code in document.code if heading == "Families"}
        families = {rule[:3] for rule in known}
        assert told >= families, f"the README does not tell of {families - told}"


@ALL
def test_options_exist(document: Document, binaries: Path, xtask: Path, ht: Path) -> None:
    known = set(FOREIGN_OPTIONS) | {"--help", "--version"}
    for action in ACTIONS:
        known |= {f"--{name}" for name in [*inputs(binaries, action), "generate"]}
    for action, command in (("verify-dist", "installs"), ("build-wheel", "init")):
        text = help_of(binaries / action, command)
        known |= set(re.findall(r"(?<!\S)(--[a-z][\w-]*)", text))
    sources = (ROOT / "htty/src/htty" / name for name in ("cli.py", "pytest_plugin.py"))
    commands = "".join(source.read_text() for source in sources)
    known |= set(re.findall(r'\b(?:add|act|addoption)\(\s*(?:"-\w",\s*)?"(--[\w-]+)"', commands))
    for program in (xtask, ht):
        commands = re.findall(r"^  ([a-z][\w-]*)  ", help_of(program), re.MULTILINE)
        own = [help_of(program, name) for name in commands if name != "help"]
        for text in [help_of(program), *own]:
            known |= set(re.findall(r"(?<!\S)(--[a-z][\w-]*)", text))
    for _, code in document.code:
        if re.fullmatch(r"--[\w-]+", code):
            assert code in known, f"{document.name}: nothing has an option {code}"


@OF_ACTIONS
def test_inputs_take_their_values(document: Document, binaries: Path) -> None:
    """`smoke: required` names an input and one of its accepted words."""
    own = inputs(binaries, document.path.parent.name)
    others = {name for action in ACTIONS for name in inputs(binaries, action)}
    others |= {"permissions", "id-token", "contents", "if"}
    for heading, code in document.code:
        match = re.fullmatch(r"([a-z][a-z0-9-]*): (\S+)", code)
        if not match or heading == "Troubleshooting":
            continue
        name, value = match.groups()
        assert name in own or name in others, f"{document.name}: there is no input {code}"
        words = own.get(name)
        assert not words or value in words, f"{document.name}: {name} does not take {value}"


@cache
def printed(binaries: Path, directory: Path) -> bytes:
    """The files that contain an action's messages: its program, launcher and steps."""
    files = [ROOT / "actions/launch.sh", *sorted(directory.rglob("*.yml"))]
    program = binaries / directory.name
    files += [program] if directory.name in ACTIONS else []
    return b"\n".join(file.read_bytes() for file in files)


def messages(document: Document) -> list[str]:
    """The messages of a document's troubleshooting tables."""
    found: list[str] = []
    for heading, row in document.rows:
        if heading.startswith("Troubleshooting") and row[0].startswith("`"):
            ticks = re.match(r"`+", row[0])
            assert ticks
            end = row[0].index(ticks.group(), ticks.end())
            found.append(row[0][ticks.end() : end].strip())
    return found


@TROUBLESHOOTING
def test_messages_are_real(document: Document, binaries: Path) -> None:
    """The program contains each message's text between the placeholders."""
    found = messages(document)
    assert found, f"{document.name} has no troubleshooting table"
    text = printed(binaries, document.path.parent)
    for message in found:
        pieces = [piece.strip(" `:,;") for piece in re.split("…|: ", message)]
        pieces = [piece for piece in pieces if len(piece) > 3]
        assert pieces, f"{document.name}: `{message}` has no words between its values"
        for piece in pieces:
            assert piece.encode() in text, f"{document.name}: no program prints `{piece}`"


def test_the_threat_model_names_tests_that_exist(
    root: Path, target: Path, clean_env: dict[str, str]
) -> None:
    text = (ROOT / "docs/threat-model.md").read_text()
    section = text.partition("\n## setup-nix\n")[2].partition("\n## ")[0]
    # The same command as in `cargo xtask test`, so that nothing is built again.
    command = ["cargo", "test", "--profile", "local", "--manifest-path", "Cargo.toml"]
    command += ["--workspace", "--locked"]
    env = clean_env | {"CARGO_TARGET_DIR": str(target)}
    listing = subprocess.run(
        [*command, "--quiet", "--", "--list"],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line for line in listing.splitlines() if line.endswith(": test")]
    tests = {line.removesuffix(": test").rpartition("::")[2] for line in lines}
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(\w+)`", row[-1])
        assert len(row) == 4, row[0]
        assert named, row[0]
        assert set(named) <= tests, (row[0], set(named) - tests)


def test_a_false_message_is_seen(binaries: Path) -> None:
    text = printed(binaries, ROOT / "actions/publish")
    assert b"cannot determine the upload order" in text
    assert b"this is said nowhere at all" not in text


def test_each_action_tells_the_same_chapters() -> None:
    for action in ACTIONS:
        readme = next(d for d in documents() if d.name == f"actions/{action}/README.md")
        wanted = {"inputs", "outputs", "exit-codes", "troubleshooting"}
        assert readme.anchors >= wanted, f"{action}: no chapter {wanted - readme.anchors}"
        assert any(fence.language == "yaml" for fence in readme.fences)


CONFIGURATIONS = [
    pytest.param(fence.text, id=f"{document.name}:{fence.line}")
    for document in documents()
    for fence in document.fences
    if fence.language == "toml" and "tool.verify-dist" in fence.text
]


def complaint(text: str, binaries: Path, directory: Path) -> str:
    """The error of verify-dist for a configuration, in a directory without distributions."""
    (directory / "pyproject.toml").write_text(text)
    command = [binaries / "verify-dist", "."]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True).stderr


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_configurations_are_taken(text: str, binaries: Path, tmp_path: Path) -> None:
    assert "no distribution" in complaint(text, binaries, tmp_path)
    table = "[tool.verify-dist]\n"
    wrong = f"{table}nonsense = 1\n{text.replace(table, '')}"
    assert "nonsense" in complaint(wrong, binaries, tmp_path)
