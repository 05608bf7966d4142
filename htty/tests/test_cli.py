"""The command `htty`."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from htty import __version__

HTTY = str(Path(sys.executable).with_name("htty"))


def htty(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([HTTY, *args], capture_output=True, text=True, timeout=30)


def test_hello_world() -> None:
    args = ("-r", "4", "-c", "20", "--expect", "world", "-s", "--", "echo", "hello", "world")
    done = htty(*args)
    assert (done.returncode, done.stdout) == (0, "hello world\n\n\n\n----\n"), done.stderr


def test_actions_in_order() -> None:
    actions = ["-k", "one,Enter", "--expect", "one\\s+one", "-s", "-k", "two", "--expect", "two"]
    done = htty("-r", "3", "-c", "8", *actions, "-s", "cat")
    assert done.stdout == "one\none\n\n----\none\none\ntwo\n----\n", done.stderr


def test_delimiter() -> None:
    done = htty("-r", "3", "-c", "8", "-d", ";", "-k", "a,b;Enter", "--expect", "b\\s+a", "cat")
    assert done.stdout == "a,b\na,b\n\n----\n", done.stderr


def test_failed_expectation() -> None:
    done = htty("-r", "2", "-c", "9", "-k", "seen", "-t", "0.3", "--expect", "never", "--", "cat")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "htty: Pattern 'never' not found within 0.3 seconds; the screen:\nseen\n"


def test_expectation_after_the_end() -> None:
    done = htty("--expect", "never", "--", "sh", "-c", "echo said; exit 3")
    assert done.returncode == 1
    expected = (
        "htty: Pattern 'never' not found: the command has ended with exit code 3; the screen:\n"
    )
    assert done.stderr == expected + "said\n"


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -15 $$", 143)])
def test_exit_status(script: str, status: int) -> None:
    assert htty("-s", "--", "sh", "-c", script).returncode == 0
    assert htty("--exit-status", "-s", "--", "sh", "-c", script).returncode == status


def test_version() -> None:
    done = htty("--version")
    assert done.returncode == 0
    pattern = rf"htty {re.escape(__version__)} \(ht {re.escape(__version__)} \([0-9a-z]+\)\)\n"
    assert re.fullmatch(pattern, done.stdout)


def test_help() -> None:
    assert htty("--help").stdout == HELP


HELP = """\
usage: htty [options] [--] COMMAND ...

Run a command on a headless terminal and print snapshots of its screen.
Actions run in the given order; without any -s, one snapshot is printed at
the end.

options:
  -h, --help              show this help message and exit
  -r, --rows ROWS         terminal height (default: 20)
  -c, --cols COLS         terminal width (default: 50)
  -d, --delimiter DELIMITER
                          text that separates keys (default: ',')
  -t, --timeout SECONDS   time limit of each action (default: 5)
  --term NAME             TERM of the command (default: xterm-256color)
  --cwd DIR               directory in which the command starts
  --env NAME=VALUE        set a variable for the command
  --record FILE           record for asciinema (asciicast v3)
  --debug                 show the events of ht on standard error
  --exit-status           wait for the command; exit with its status
  --version               print the versions of htty and ht

actions:
  -k, --keys KEYS         send keys, such as 'ihello,Escape'
  --type TEXT             type text as it is
  --paste TEXT            paste text
  --click TEXT            click on text
  -s, --snapshot          print a snapshot
  --svg FILE              write a snapshot as an image
  --expect RE             wait until the screen matches
  --expect-absent RE      wait until the screen does not match
  --wait-idle [SECONDS]   wait until output stops for SECONDS (default: 0.2)

keys:
  Enter Tab Space Escape Backspace Insert Delete
  Up Down Left Right Home End PageUp PageDown F1 to F12
  With Ctrl, Alt or Shift: C-c, A-x, S-Tab, C-S-Left. ^c is C-c.
  Anything else is typed as text.

exit status:
  0 done; 1 an expectation failed or the command cannot be run; 2 wrong usage;
  130 interrupted. With --exit-status, the command's own status.
"""


def test_long_options_and_no_dashes() -> None:
    options = ["--rows", "3", "--cols", "8", "--delimiter", ";", "--keys", "a;Enter"]
    actions = ["--expect", "a\\s+a", "--expect-absent", "b", "--snapshot", "cat"]
    done = htty(*options, *actions)
    assert (done.returncode, done.stdout) == (0, "a\na\n\n----\n"), done.stderr


def test_options_after_the_command_are_its_own() -> None:
    done = htty("-r", "2", "-c", "8", "echo", "-s", "-k")
    assert done.stdout == "-s -k\n\n----\n", done.stderr


def test_debug_shows_events() -> None:
    done = htty("--debug", "-r", "2", "-c", "8", "-k", "ab", "--expect", "ab", "--", "cat")
    assert "typing 2 bytes" in done.stderr
    assert done.stdout == "ab\n\n----\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-s"], "no command given; put it at the end: htty [options] -- COMMAND"),
        (["-r", "0", "cat"], "argument -r/--rows: expected 1 to 1000, found `0`"),
        (["-c", "wide", "cat"], "argument -c/--cols: expected 2 to 1000, found `wide`"),
        (["-t", "-1", "cat"], "argument -t/--timeout: expected a number of seconds, found `-1`"),
        (["-d", "", "cat"], "argument -d/--delimiter: expected at least one character"),
        (
            ["--expect", "(", "cat"],
            "argument --expect: invalid regular expression `(`: missing ), "
            "unterminated subpattern at position 0",
        ),
        *(
            (
                ["-k", f"a,{word}", "cat"],
                f"argument -k/--keys: `{word}` is not the name of a key; did you mean `{key}`? "
                "Type it as text with --type",
            )
            for word, key in {
                **{"Esc": "Escape", "Return": "Enter", "Ctrl+C": "C-c", "<C-w>": "C-w"},
                **{"PgUp": "PageUp", "C-Esc": "C-Escape", "F13": "F12", "Alt+Enter": "A-Enter"},
            }.items()
        ),
    ],
)
def test_usage_errors(args: list[str], message: str) -> None:
    done = htty(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"usage: htty [options] [--] COMMAND ...\nhtty: error: {message}\n"


def test_text_that_equals_keys() -> None:
    done = htty("-r", "3", "-c", "20", "--type", "Enter, Esc", "-k", "Enter", "-s", "--", "cat")
    assert done.stdout == "Enter, Esc\nEnter, Esc\n\n----\n", done.stderr


def test_waiting_for_quiet() -> None:
    script = "for i in 1 2 3; do printf $i; sleep 0.15; done; exec cat"
    done = htty("-r", "1", "-c", "8", "--wait-idle", "0.5", "-s", "--", "sh", "-c", script)
    assert done.stdout == "123\n----\n", done.stderr
    busy = ("-t", "0.5", "--wait-idle", "1", "--", "sh", "-c", "while :; do echo; sleep 0.1; done")
    done = htty(*busy)
    assert done.returncode == 1
    expected = "htty: the output did not stop for 1.0 seconds within 0.5 seconds\n"
    assert done.stderr == expected


def test_term_of_the_command() -> None:
    done = htty("-r", "2", "-c", "20", "--term", "xterm-direct", "--", "sh", "-c", "echo $TERM")
    assert done.stdout == "xterm-direct\n\n----\n", done.stderr


def test_keys_after_the_end_are_not_lost_in_silence() -> None:
    command = ("--", "sh", "-c", "echo x; exit 4")
    done = htty("-r", "1", "-c", "5", "--wait-idle", "0.5", "-k", "a", *command)
    assert (done.returncode, done.stdout) == (0, "\n----\n"), "the screen is shown all the same"
    assert done.stderr == "htty: cannot send keys: the command has ended with exit code 4\n"


def test_output_that_cannot_be_written() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [HTTY, "--", "echo", "x"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "htty: cannot write to standard output: No space left on device\n"


def test_reader_that_goes() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [HTTY, "--", "echo", "x"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_ascii_output() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [HTTY, "-r", "1", "-c", "5", "--", "printf", "\u00e9x"], env=env, capture_output=True
    )
    assert done.stdout == b"?x\n----\n", done.stderr


def test_interruption() -> None:
    with subprocess.Popen(
        [HTTY, "-t", "60", "--expect", "never", "--debug", "--", "cat"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr
        # The session has started.
        assert running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Traceback" not in errors


def test_missing_command_is_reported() -> None:
    done = htty("--", "no-such-command-here")
    assert done.returncode == 1
    assert "no-such-command-here" in done.stderr


def test_the_screen_as_an_image_and_a_recording(tmp_path: Path) -> None:
    image, cast = tmp_path / "screen.svg", tmp_path / "session.cast"
    args = ["--expect", "hello", "--svg", str(image), "--record", str(cast), "--", "echo", "hello"]
    done = htty(*args)
    assert (done.returncode, done.stderr) == (0, "")
    assert ">hello</text>" in image.read_text()
    header, *events = cast.read_text().splitlines()
    assert '"version": 3' in header
    assert "hello" in events[0]
    assert events[-1].endswith('"x", "0"]')


@pytest.mark.parametrize("option", ["--svg", "--record"])
def test_files_that_cannot_be_written(option: str, tmp_path: Path) -> None:
    done = htty(option, f"{tmp_path}/missing/file", "--", "echo", "hello")
    message = f"htty: cannot write to `{tmp_path}/missing/file`: No such file or directory\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_paste_and_click() -> None:
    done = htty("-r", "2", "-c", "9", "--paste", "text", "--expect", "text", "--", "cat")
    assert (done.returncode, done.stdout) == (0, "text\n\n----\n")
    script = r"stty raw -echo; printf '\033[?1000h\033[?1006hOpen\n\r'; exec cat -v"
    done = htty("-c", "30", "--click", "Open", "--expect", r"0;2;1m", "--", "sh", "-c", script)
    assert done.stdout.startswith("Open\n^[[<0;2;1M^[[<0;2;1m\n"), done.stdout


def test_where_the_command_runs(tmp_path: Path) -> None:
    args = ["-c", "200", "--cwd", str(tmp_path), "--env", "ADDED=a=b"]
    done = htty(*args, "--", "sh", "-c", "pwd -P; echo $ADDED")
    assert done.stdout.splitlines()[:2] == [str(tmp_path.resolve()), "a=b"]
    assert "expected NAME=VALUE, found `ADDED`" in htty("--env", "ADDED", "--", "cat").stderr
    file = tmp_path / "file"
    file.write_text("")
    missing = htty("--cwd", str(file), "--", "cat")
    assert missing.returncode == 1
    assert str(file) in missing.stderr
