"""Recordings: asciicast v3 (docs.asciinema.org, "asciicast v3")."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from htty import Press, Recording, terminal_session


def events(path: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    header, *lines = map(json.loads, path.read_text().splitlines())
    assert all(0 <= passed < 60 for passed, _, _ in lines)
    return header, [(kind, data) for _, kind, data in lines]


def output(lines: list[tuple[str, str]]) -> str:
    return "".join(data for kind, data in lines if kind == "o")


def test_from_the_start_to_the_end(tmp_path: Path) -> None:
    cast = tmp_path / "session.cast"
    with terminal_session("sh -c 'echo héllo; read x; exit 3'", 4, 20, record=cast) as session:
        session.expect("héllo")
        session.resize(5, 30)
        session.send_keys(Press.ENTER)
        session.cmd.wait(10)
    header, lines = events(cast)
    assert header.pop("timestamp") > 1_700_000_000
    assert header == {
        "version": 3,
        "term": {"cols": 20, "rows": 4},
        "command": "sh -c 'echo héllo; read x; exit 3'",
    }
    assert output(lines).startswith("héllo\r\n")
    assert ("r", "30x5") in lines
    assert lines[-1] == ("x", "3")


def test_from_the_middle(tmp_path: Path) -> None:
    with terminal_session(["cat"], 4, 20, term="vt100") as session:
        session.send_keys(["before", Press.ENTER])
        session.expect(r"before\s+before")
        with session.record(title="my title") as recording:
            recording.mark("here")
            session.send_keys(["after", Press.ENTER])
            session.expect(r"after\s+after")
        session.send_keys(["later", Press.ENTER])
        session.expect(r"later\s+later")
        recording.save(tmp_path / "part.cast")
    header, lines = events(tmp_path / "part.cast")
    assert (header["title"], header["term"]["type"]) == ("my title", "vt100")
    # The previous screen, without later output.
    assert lines[0] == ("o", "\x1b[1;1Hbefore\x1b[2;1Hbefore\x1b[3;1H")
    assert lines[1] == ("m", "here")
    assert output(lines[2:]) == "after\r\nafter\r\n"


def test_a_recording_is_of_one_session(tmp_path: Path) -> None:
    recording = Recording()
    with terminal_session("echo one", record=recording) as session:
        session.expect("one")
        recording.save(tmp_path / "early.cast")
        assert "one" in output(events(tmp_path / "early.cast")[1])
    recording.save(tmp_path / "late.cast")
    assert events(tmp_path / "late.cast")[1][-1] == ("x", "0")
    with pytest.raises(RuntimeError, match="has already been started"):
        terminal_session("echo two", record=recording).__enter__()


def test_a_full_disk_ends_the_recording_alone(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), terminal_session("cat", record="/dev/full"):
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recording = Recording(tmp_path / "large.cast")
    with terminal_session("sh", record=recording) as session:
        session.send_keys(["echo ready", Press.ENTER])
        session.expect("^ready")
        # Python ignores the resulting signal.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            session.send_keys(["seq 10000", Press.ENTER])
            session.expect("^10000")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert recording.error is not None
    assert (tmp_path / "large.cast").stat().st_size == 20_000
