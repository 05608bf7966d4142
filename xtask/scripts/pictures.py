"""pictures.py PROGRAMS CORPUS INTO [--svg]: renders the output of the programs.

problem.svg        a broken wheel that other tools accept, in a terminal of htty
installs.svg       who can install htty-core's newest release, by `verify-dist installs`
summary-*.png      the job summary of each action, in Chromium; not with --svg. Each must also
                   fit on a phone.

PROGRAMS is the directory of the actions' binaries, CORPUS that of the wheels that `cargo
xtask corpus` downloads. HTTY_HT_BIN starts the terminal.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

# The modules are in the directories that are added to the path here.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / place) for place in ("tests", "htty/src", "htty-core/python")]

from browser import Page, browser  # noqa: E402
from package_index import serve  # noqa: E402

from htty import Press, Snapshot, terminal_session  # noqa: E402

BROKEN = "htty-0.1.18-py3-none-manylinux_2_17_x86_64.whl"
RELEASED = "htty_core-0.2.30-*.whl"
COMMANDS = [
    "twine check --strict htty-*.whl",
    "auditwheel show htty-*.whl | grep -A 1 consistent",
    "verify-dist htty-*.whl --manifest none | grep -B 1 PT_INTERP",
    "build-wheel htty-*.whl 2>&1 | grep 'the interpreter'",
]
COLUMNS = 72
# An approximation of GitHub's job summaries.
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ font: 14px/1.5 "Liberation Sans", sans-serif; margin: 24px; color: #1f2328; }}
body {{ overflow-wrap: break-word; }}
h2, h3 {{ border-bottom: 1px solid #d1d9e0; padding-bottom: 4px; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; margin-bottom: 16px; }}
td, th {{ border: 1px solid #d1d9e0; padding: 5px 12px; text-align: left; }}
tr:nth-child(2n) {{ background: #f6f8fa; }}
code, pre {{ font: 12px "DejaVu Sans Mono", monospace; background: #eff1f3; border-radius: 6px; }}
code {{ padding: 2px 5px; white-space: break-spaces; }} pre {{ padding: 12px; overflow-x: auto; }}
pre code {{ padding: 0; white-space: pre; }}
</style>{}"""
WIDTH, HEIGHT, PHONE = 900, 760, 390


class Run:
    """A directory in which to run the programs, as in a step on a runner."""

    def __init__(self, place: Path, programs: Path) -> None:
        self.place = place
        hidden = ("GITHUB_", "RUNNER_", "INPUT_", "ACTIONS_")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        self.env["PATH"] = f"{programs}:{self.env['PATH']}"

    def command(self, *command: str | Path, **variables: str) -> str:
        done = subprocess.run(
            command, cwd=self.place, env=self.env | variables, capture_output=True, text=True
        )
        if done.returncode not in (0, 1):
            sys.exit(f"{command} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def summary(self, *command: str | Path, **variables: str) -> str:
        """The job summary of an action."""
        step = self.place / "step"
        shutil.rmtree(step, ignore_errors=True)
        step.mkdir()
        files = {
            f"GITHUB_{name}": str(step / name.lower())
            for name in ("STEP_SUMMARY", "OUTPUT", "ENV", "PATH", "STATE")
        }
        for file in files.values():
            Path(file).touch()
        runner = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "OWNER/PROJECT",
            # The path of a pinned action on a runner.
            "GITHUB_ACTION_PATH": "/home/runner/work/_actions/OWNER/REPOSITORY/v0.1.0/actions",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_WORKSPACE": str(self.place),
            "RUNNER_TEMP": str(step),
        }
        self.command(*command, **files, **runner, **variables)
        text = (step / "step_summary").read_text()
        return text or sys.exit(f"{command} wrote no summary")


def problem(run: Run) -> str:
    """The terminal as an SVG."""
    os.environ.update(PATH=run.env["PATH"], PS1="$ ", HOME=str(run.place))
    os.chdir(run.place)
    # The second time, without the empty lines at the bottom.
    rows = len(terminal(40).text.rstrip().splitlines())
    return terminal(rows).svg


def terminal(rows: int) -> Snapshot:
    """The screen after all commands."""
    with terminal_session(["sh", "-i"], rows=rows, cols=COLUMNS) as shell:
        for count, command in enumerate(COMMANDS, 1):
            shell.send_keys([command, Press.ENTER])
            shell.expect(rf"(?s)(\$ [a-z].*){{{count}}}\n\$ *(\n|\Z)", timeout=120)
        return shell.snapshot()


def summaries(run: Run) -> dict[str, str]:
    """The summary of each action, as Markdown."""
    found = {
        "build-wheel": run.summary("build-wheel", BROKEN, "--out-dir", "repaired"),
        "verify-dist": run.summary("verify-dist", BROKEN, "--manifest", "none"),
    }
    run.command("verify-dist", "dist", "--manifest", "dist-manifest.json")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tools = Path(sys.executable).parent.parent.parent
    with serve(ROOT, tools, run.place / "index", port) as index:
        found["publish"] = run.summary(
            *("publish", "dist", "--manifest", "dist-manifest.json", "--index", index.url),
            "--allow-insecure-loopback",
            INPUT_PASSWORD="none-needed",
        )
    found["setup-nix"] = setup_nix(run)
    return found


def setup_nix(run: Run) -> str:
    """A job that restores the cache of an earlier job into this machine's store."""
    options = ("--kvm", "false", "--cache-directory", run.place / "cache")
    run.command("setup-nix", "install", *options)
    paths: list[str] = []
    for count in range(12):
        path = run.place / f"picture-{count}"
        path.write_text(f"{count} " * 50_000)
        paths.append(run.command("nix-store", "--add", path).strip())
    run.command("setup-nix", "save", *options)
    run.command("nix-store", "--delete", *paths)
    summary = run.summary("setup-nix", "install", *options)
    run.command("nix-store", "--delete", *paths)
    return summary


def render(page: Page, run: Run, name: str, summary: str, into: Path) -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(summary)
    file = run.place / f"{name}.html"
    file.write_text(PAGE.format(html))
    page.resize(WIDTH, 100)
    page.open(file.as_uri())
    page.resize(WIDTH, min(HEIGHT, page.evaluate("document.documentElement.scrollHeight")))
    page.screenshot(into / f"summary-{name}.png", whole=False)
    page.resize(PHONE, HEIGHT)
    # Tables and code may scroll sideways, but not the page.
    if (width := page.evaluate("document.documentElement.scrollWidth")) > PHONE:
        sys.exit(f"on a phone of {PHONE} pixels the summary of {name} is {width} wide")
    page.screenshot(run.place.parent / f"phone-{name}.png", whole=False)


def main() -> None:
    programs, corpus, into = (Path(argument).resolve() for argument in sys.argv[1:4])
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        run = Run(Path(place), programs)
        shutil.copy(corpus / BROKEN, place)
        (run.place / "dist").mkdir()
        for wheel in corpus.glob(RELEASED):
            shutil.copy(wheel, run.place / "dist")
        if "--svg" not in sys.argv:
            found = summaries(run)
            with browser(run.place / "profile") as page:
                for name, summary in found.items():
                    render(page, run, name, summary, into)
        run.command("verify-dist", "installs", "dist", "--svg-path", into / "installs.svg")
        (into / "problem.svg").write_text(problem(run))


if __name__ == "__main__":
    main()
