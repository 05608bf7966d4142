"""Each workflow in the documentation is valid."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from documents import ROOT, Document, documents
from released import ACTIONS

Yaml = dict[Any, Any]
OURS = re.compile(r"OWNER/REPOSITORY/actions/([\w/-]+)@")

SNIPPETS = [
    pytest.param(document, fence.text, id=f"{document.name}:{fence.line}")
    for document in documents()
    for fence in document.fences
    if fence.language == "yaml" and not fence.text.startswith("# before")
]


def filled(text: str) -> str:
    """A snippet with its placeholders replaced."""
    # After a release, the documents contain the repository's name.
    ours = rf"(?:<owner>/<repo>|[\w.-]+/[\w.-]+)(?=/actions/(?:{'|'.join(ACTIONS)})\b)"
    text = re.sub(ours, "OWNER/REPOSITORY", text)
    text = re.sub(r"@<[^>]*>", f"@{'0' * 40}", text)
    return re.sub(r"<[^>\n]*>", "value", text)


def whole(snippet: object) -> Yaml:
    """A workflow that contains steps, or a part of a job."""
    if isinstance(snippet, dict):
        given = cast(Yaml, snippet)
        # YAML 1.1 reads the key `on` as true.
        given = {("on" if key is True else key): value for key, value in given.items()}
        if "jobs" in given:
            return {"name": "snippet", "on": "push", **given}
        return {
            "name": "snippet",
            "on": "push",
            "jobs": {"job": {"runs-on": "ubuntu-latest", **given}},
        }
    assert isinstance(snippet, list), f"neither a workflow nor steps: {snippet}"
    steps: list[Yaml] = cast(list[Yaml], snippet)
    return {
        "name": "snippet",
        "on": "push",
        "jobs": {"job": {"runs-on": "ubuntu-latest", "steps": steps}},
    }


def action(name: str) -> Yaml:
    path = ROOT / "actions" / name / "action.yml"
    assert path.is_file(), f"there is no action {name}"
    return yaml.safe_load(path.read_text())


def faults(workflow: Yaml, complete: bool) -> list[str]:
    """Unknown or missing inputs and outputs of our actions."""
    found: list[str] = []
    for job in workflow["jobs"].values():
        ids: dict[str, Yaml] = {}
        for step in job.get("steps", []):
            match = OURS.match(step.get("uses", ""))
            if not match:
                continue
            declared = action(match.group(1))
            given = step.get("with", {})
            inputs = declared.get("inputs", {})
            found += [
                f"{match.group(1)} has no input {name}" for name in given if name not in inputs
            ]
            required = [name for name, value in inputs.items() if value.get("required")]
            found += [
                f"{match.group(1)} needs {name}"
                for name in required
                if complete and name not in given
            ]
            if "id" in step:
                ids[step["id"]] = declared.get("outputs", {})
        for step, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", yaml.safe_dump(job)):
            if step in ids and output not in ids[step]:
                found.append(f"the step {step} has no output {output}")
    return found


def lint(workflow: str, tools: Path, directory: Path) -> str:
    """The output of actionlint."""
    path = directory / "workflow.yml"
    path.write_text(workflow)
    shellcheck = f"-shellcheck={tools / 'test/bin/shellcheck'}"
    command = [tools / "bin/actionlint", shellcheck, "-no-color", path]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True).stdout


@pytest.mark.parametrize(("document", "text"), SNIPPETS)
def test_snippet(document: Document, text: str, tools: Path, tmp_path: Path) -> None:
    snippet = yaml.safe_load(filled(text))
    workflow = whole(snippet)
    assert faults(workflow, complete=True) == [], document.name
    said = lint(yaml.safe_dump(workflow, sort_keys=False), tools, tmp_path)
    # A part of a job may refer to another job that is not shown.
    part = "jobs" not in snippet
    said = [line for line in said.splitlines() if line.startswith("workflow.yml:")]
    said = [line for line in said if not (part and 'property "' in line and "[expression]" in line)]
    assert said == [], document.name


# Workflows of other forges, marked `yml`: actionlint does not support them.
ELSEWHERE = [
    pytest.param(document, fence.text, id=f"{document.name}:{fence.line}")
    for document in documents()
    for fence in document.fences
    if fence.language == "yml" and "repos:" not in fence.text
]


def test_hooks_of_the_guide_exist(binaries: Path) -> None:
    """The hooks in the guide, and the entry of the local one."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (guide,) = [d for d in documents() if d.name == "docs/guides/pre-commit.md"]
    configurations = [
        yaml.safe_load(fence.text) for fence in guide.fences if fence.language == "yml"
    ]
    used = [hook for text in configurations for repo in text["repos"] for hook in repo["hooks"]]
    assert {hook["id"] for hook in used} == {hook["id"] for hook in hooks}
    for hook in [*hooks, *used]:
        words = [*shlex.split(hook.get("entry", "verify-dist")), *hook.get("args", [])]
        command = [binaries / words[0], *words[1:], "--help"]
        assert subprocess.run(command, capture_output=True).returncode == 0, words


@pytest.mark.parametrize(("document", "text"), ELSEWHERE)
def test_snippet_of_another_forge(document: Document, text: str, binaries: Path) -> None:
    """The actions, inputs and commands in its steps and scripts exist."""
    text = filled(text.replace("uses: https://github.com/", "uses: "))
    snippet = cast(Yaml, yaml.safe_load(text))
    jobs = snippet.get("jobs", {job: value for job, value in snippet.items() if "script" in value})
    assert jobs, document.name
    assert faults({"jobs": jobs}, complete=True) == [], document.name
    lines = [line for job in jobs.values() for line in job.get("script", [])]
    assert lines or any("steps" in job for job in jobs.values()), document.name
    for line in lines:
        words = shlex.split(line)
        if words[0] in ACTIONS:
            command = [binaries / words[0], *words[1:], "--help"]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, f"{document.name}: `{line}`: {done.stderr}"


def test_the_front_page_has_a_short_workflow() -> None:
    (text,) = [
        fence.text
        for document in documents()
        if document.name == "README.md"
        for fence in document.fences
        if fence.language == "yaml"
    ]
    assert len(text.splitlines()) <= 25
    assert {"on", "permissions", "jobs"} <= whole(yaml.safe_load(filled(text))).keys()


TEMPLATES = sorted(ROOT.glob("tests/consumers/*/.github/workflows/*.yml"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.parts[-4])
def test_template_uses_what_is_there(path: Path) -> None:
    assert faults(yaml.safe_load(path.read_text()), complete=True) == []


def test_faults_are_seen(tools: Path, tmp_path: Path) -> None:
    text = """
    - id: x
      uses: OWNER/REPOSITORY/actions/publish@0
      with: {nonsense: 1}
    - run: echo ${{ steps.x.outputs.nonsense }}
    """
    workflow = whole(yaml.safe_load(text))
    assert faults(workflow, complete=True) == [
        *("publish has no input nonsense", "publish needs manifest"),
        "the step x has no output nonsense",
    ]
    workflow["jobs"]["job"]["needs"] = "nobody"
    assert "nobody" in lint(yaml.safe_dump(workflow), tools, tmp_path)
