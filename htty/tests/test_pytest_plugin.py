"""pytest-htty: its fixtures, its files, and the artifacts of a failed test."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

TEST = """\
def test_menu(terminal, terminal_snapshot):
    app = terminal(["printf", r"{text}\\033[0m\\nsecond\\n"], rows=4, cols=20)
    terminal_snapshot(app{arguments})
"""


def installed() -> bool:
    """Returns whether pytest finds the plugin by itself."""
    return any(
        point.value == "htty.pytest_plugin"
        for point in importlib.metadata.entry_points(group="pytest11")
    )


def pytest_command(*args: str) -> tuple[list[str], dict[str, str]]:
    """The command line and environment with which a user runs pytest."""
    plugin = () if installed() else ("-p", "htty.pytest_plugin")
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin, *args]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return words, {**env, "PYTHONDONTWRITEBYTECODE": "1"}


class Project:
    """A user's tests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "pytest.ini").write_text("[pytest]\n")

    def write(self, text: str, name: str = "test_it.py") -> None:
        (self.directory / name).write_text(text)

    def pytest(self, *args: str) -> subprocess.CompletedProcess[str]:
        words, env = pytest_command(*args)
        return subprocess.run(words, cwd=self.directory, env=env, capture_output=True, text=True)

    def snapshots(self) -> dict[str, str]:
        files = sorted((self.directory / "__snapshots__").rglob("*.txt"))
        return {
            str(file.relative_to(self.directory / "__snapshots__")): file.read_text()
            for file in files
        }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_plain_snapshots(project: Project) -> None:
    project.write(TEST.format(text="first", arguments=""))
    missing = project.pytest()
    assert missing.returncode == 1
    assert re.search(r"`\S+test_menu.txt` does not exist; the screen:\n.*first", missing.stdout)
    assert "hint: run pytest with --snapshot-update" in missing.stdout
    assert project.pytest("--snapshot-update").returncode == 0
    assert project.snapshots() == {"test_it/test_menu.txt": "first\nsecond\n"}
    assert project.pytest().returncode == 0
    # Colors are not compared.
    project.write(TEST.format(text=r"\033[31mfirst", arguments=""))
    assert project.pytest().returncode == 0
    project.write(TEST.format(text="other", arguments=", timeout=0.1"))
    differs = project.pytest()
    assert differs.returncode == 1
    assert "-first\n" in differs.stdout
    assert "+other\n" in differs.stdout
    assert project.snapshots() == {"test_it/test_menu.txt": "first\nsecond\n"}


def test_styled_snapshots(project: Project) -> None:
    arguments = ', "colors", styled=True, timeout=0.1'
    project.write(TEST.format(text=r"a \033[1;31mred", arguments=arguments))
    assert project.pytest("--snapshot-update").returncode == 0
    styles = "--- styles (row:columns)\n0:2-5 foreground=red bold\n"
    assert project.snapshots() == {"test_it/test_menu.colors.txt": f"a red\nsecond\n{styles}"}
    assert project.pytest().returncode == 0
    project.write(TEST.format(text=r"a \033[1;32mred", arguments=arguments))
    differs = project.pytest()
    assert differs.returncode == 1
    assert "-0:2-5 foreground=red bold\n" in differs.stdout
    assert "+0:2-5 foreground=green bold\n" in differs.stdout


def test_a_snapshot_is_waited_for(project: Project) -> None:
    late = "terminal(['sh', '-c', 'printf a; sleep 1; printf b; exec cat'], rows=2, cols=9)"
    project.write(f"def test_late(terminal, terminal_snapshot):\n    terminal_snapshot({late})\n")
    (project.directory / "__snapshots__/test_it").mkdir(parents=True)
    (project.directory / "__snapshots__/test_it/test_late.txt").write_text("ab\n")
    done = project.pytest()
    assert done.returncode == 0, done.stdout


def test_names_of_files(project: Project) -> None:
    project.write("""\
import pytest

class TestIt:
    @pytest.mark.parametrize("text", ["a/b", "a_b"])
    def test_both(self, terminal, terminal_snapshot, text):
        app = terminal(["echo", text])
        app.expect(text)
        screen = app.snapshot()
        terminal_snapshot(screen)
        with pytest.raises(ValueError, match="compared twice"):
            terminal_snapshot(screen)
""")
    done = project.pytest("--snapshot-update")
    assert done.returncode == 0, done.stdout
    assert sorted(project.snapshots().values()) == ["a/b\n", "a_b\n"]
    assert all(name.startswith("test_it/TestIt.test_both_a_b") for name in project.snapshots())


FAILS = """\
def test_fails(terminal):
    app = terminal(["sh", "-c", r"printf 'shown <here>'; exec cat"], rows=3, cols=30)
    app.expect("shown")
    app.type("typed")
    app.expect("typed")
    assert False

def test_passes(terminal):
    terminal("echo fine").expect("fine")
"""


def test_what_a_failed_test_leaves(project: Project) -> None:
    project.write(FAILS)
    done = project.pytest("--junit-xml=report.xml")
    assert done.returncode == 1
    (screen,) = re.findall(r"^screen: (.*)$", done.stdout, re.MULTILINE)
    (recording,) = re.findall(r"^recording: (.*)$", done.stdout, re.MULTILINE)
    assert "terminal 1: sh -c" in done.stdout
    assert "\nshown <here>typed\n" in done.stdout
    assert Path(screen).is_relative_to(project.directory / "htty-artifacts")
    assert "shown <here>typed" in "".join(ET.parse(screen).getroot().itertext())
    header, *events = map(json.loads, Path(recording).read_text().splitlines())
    assert (header["version"], header["term"]) == (3, {"cols": 30, "rows": 3})
    assert "".join(data for _, kind, data in events if kind == "o") == "shown <here>typed"
    (directory,) = [
        path for path in (project.directory / "htty-artifacts").iterdir() if path.is_dir()
    ]
    assert len(list(directory.iterdir())) == 2, "only the failed test leaves something"
    assert (project.directory / "htty-artifacts/.gitignore").read_text() == "*\n"


def test_where_artifacts_go(project: Project) -> None:
    project.write(FAILS)
    assert "/elsewhere/" in project.pytest("--htty-artifacts", "elsewhere").stdout
    (project.directory / "pytest.ini").write_text("[pytest]\nhtty_artifacts = configured\n")
    assert "/configured/" in project.pytest().stdout
    (project.directory / "configured-file").write_text("")
    done = project.pytest("--htty-artifacts", "configured-file")
    assert "cannot write to" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_another_plugin_with_the_same_option(project: Project) -> None:
    option = "parser.addoption('--snapshot-update', action='store_true')"
    project.write(f"def pytest_addoption(parser):\n    {option}\n", "syrupy.py")
    project.write(TEST.format(text="first", arguments=""))
    done = project.pytest("-p", "syrupy", "--snapshot-update")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.snapshots() == {"test_it/test_menu.txt": "first\nsecond\n"}


def test_sessions_end_with_the_test(project: Project) -> None:
    project.write("""\
sessions = []

def test_first(terminal):
    sessions.append(terminal("sleep 1000"))
    sessions.append(terminal("sleep 1000"))

def test_second():
    assert len(sessions) == 2
    assert all(session.ht.completed for session in sessions)
""")
    assert project.pytest().returncode == 0
