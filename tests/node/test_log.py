"""The node's own log: its lines, what is left out, and the file that is reopened."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure

from etlmon.config.node import LogSettings
from etlmon.errors import ConfigError, EtlmonError, StoreError
from etlmon.node.log import NodeLog, last_words, leads_to_journal


class Written:
    """A log and its lines."""

    def __init__(self, settings: LogSettings, **options: Any) -> None:
        self.out = io.BytesIO()
        self.log = NodeLog(settings, self.out, **options)

    def lines(self) -> list[str]:
        return self.out.getvalue().decode().splitlines()

    def say(self, text: str, level: str = "info", **fields: Any) -> str:
        """Let a room of ours say something, and give the line that comes of it."""
        before = len(self.lines())
        room = Logger("etlmon.room", observer=self.log)
        room.emit(LogLevel.levelWithName(level), text, **fields)
        return "".join(self.lines()[before:])


def test_a_line_has_moment_level_room_and_message() -> None:
    written = Written(LogSettings())
    line = written.say("{path} is {state}", path="/srv", state="stale", level="warn")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warn  room: /srv is stale", line)


def test_json_has_the_fields_of_the_event() -> None:
    line = Written(LogSettings(format="json")).say("{path}: {n}", path=Path("/srv"), n=3)
    event = json.loads(line)
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "info",
        "room": "room",
        "message": "/srv: 3",
        "path": "/srv",
        "n": 3,
    }


def test_the_level_decides_and_can_be_changed() -> None:
    written = Written(LogSettings(level="warn"))
    assert written.say("quiet") == ""
    assert written.say("loud", "error").endswith("error room: loud")
    written.log.level = "debug"
    assert written.say("quiet", "debug").endswith("debug room: quiet")


def test_twisted_is_heard_from_warnings_on() -> None:
    written = Written(LogSettings())
    twisted = Logger("twisted.web", observer=written.log)
    twisted.info("Starting factory")
    assert written.lines() == []
    twisted.warn("Something odd")
    assert len(written.lines()) == 1
    written.log.level = "debug"
    twisted.info("Starting factory")
    assert len(written.lines()) == 2


@pytest.mark.parametrize("style", ["text", "json"])
@given(text=st.text())
def test_whatever_is_said_is_one_printable_line(style: Any, text: str) -> None:
    written = Written(LogSettings(format=style))
    written.say("{name}", name=text)
    line = written.out.getvalue()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    if style == "text":
        assert line[:-1].decode().isprintable()
    else:
        assert json.loads(line)["name"] == text


def test_bytes_of_the_host_that_are_no_text_are_written() -> None:
    name = b"\xff".decode("utf-8", "surrogateescape")
    assert Written(LogSettings()).say("{name}", name=name).endswith(r"room: \udcff")
    assert r"\\udcff" in Written(LogSettings(format="json")).say("{name}", name=name)


def test_a_long_message_is_cut() -> None:
    assert len(Written(LogSettings()).say("{name}", name="x" * 1_000_000)) < 5_000
    assert len(Written(LogSettings(format="json")).say("{name}", name="x" * 1_000_000)) < 10_000


class Unspeakable:
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_a_field_that_cannot_be_told_costs_no_line() -> None:
    event = json.loads(Written(LogSettings(format="json")).say("Look.", what=Unspeakable()))
    assert event["what"] == "<Unspeakable>"


def failure() -> Failure:
    try:
        raise StoreError("it is\nfull")
    except StoreError:
        return Failure()


def test_an_error_says_in_its_line_what_and_where() -> None:
    written = Written(LogSettings())
    Logger("etlmon.room", observer=written.log).failure("No luck.", failure())
    [line] = written.lines()
    assert re.search(r"critical room: No luck\. StoreError: it is\\nfull \(\S*test_log", line)


def test_an_error_in_json_has_its_traceback() -> None:
    written = Written(LogSettings(format="json"))
    Logger("etlmon.room", observer=written.log).failure("No luck.", failure())
    event = json.loads(written.lines()[0])
    assert event["error"] == "StoreError: it is\nfull"
    assert "Traceback" in event["traceback"]


def test_an_error_that_nobody_put_words_to() -> None:
    written = Written(LogSettings())
    LogPublisher(written.log)(
        {"log_level": LogLevel.critical, "log_failure": failure(), "log_time": 0.0}
    )
    assert "An error that nobody has taken care of. StoreError" in written.lines()[0]


def test_the_journal_gets_the_level_in_its_own_way_and_no_moment() -> None:
    written = Written(LogSettings(), in_journal=True)
    assert written.say("It is late.", "warn") == "<4>room: It is late."
    in_json = Written(LogSettings(format="json"), in_journal=True).say("x", "error")
    assert in_json.startswith('<3>{"level":"error"')


def test_what_leads_to_the_journal_is_found_by_its_inode(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("wb") as file:
        found = os.fstat(file.fileno())
        stream = f"{found.st_dev}:{found.st_ino}"
        assert leads_to_journal(file.fileno(), {"JOURNAL_STREAM": stream})
        assert not leads_to_journal(file.fileno(), {"JOURNAL_STREAM": f"{stream}1"})
        assert not leads_to_journal(file.fileno(), {})


@pytest.fixture
def in_file(tmp_path: Path) -> Iterator[Callable[[], NodeLog]]:
    made: list[NodeLog] = []

    def make() -> NodeLog:
        made.append(NodeLog(LogSettings(file=str(tmp_path / "log" / "node.log")), io.BytesIO()))
        return made[0]

    (tmp_path / "log").mkdir()
    yield make
    for log in made:
        log.close()


def test_a_file_is_private_and_goes_on_after_it_was_renamed(
    tmp_path: Path, in_file: Callable[[], NodeLog]
) -> None:
    log = in_file()
    room = Logger("etlmon.room", observer=log)
    file, old = tmp_path / "log" / "node.log", tmp_path / "log" / "node.log.1"
    assert file.stat().st_mode & 0o007 == 0
    room.info("one")
    file.rename(old)
    room.info("two")
    log.reopen()
    room.info("three")
    assert [line.split()[-1] for line in old.read_text().splitlines()] == ["one", "two"]
    assert [line.split()[-1] for line in file.read_text().splitlines()] == ["three"]


def test_a_file_that_cannot_be_reopened_keeps_the_log_where_it_was(
    tmp_path: Path, in_file: Callable[[], NodeLog], flush_logged_errors: Callable[..., Any]
) -> None:
    log = in_file()
    (tmp_path / "log").rename(tmp_path / "gone")
    log.reopen()
    assert flush_logged_errors("cannot reopen log.file .*No such file")
    Logger("etlmon.room", observer=log).info("still here")
    assert "still here" in (tmp_path / "gone" / "node.log").read_text()


def test_a_file_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "node.log"
    with pytest.raises(EtlmonError, match=f"cannot open log.file {missing}: No such file"):
        NodeLog(LogSettings(file=str(missing)), io.BytesIO())


class FullDisk(io.RawIOBase):
    """A disk that is full for a while, and then takes three bytes at a time."""

    full = True
    held = b""

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        self.held += bytes(data[:3])
        return min(3, len(data))


def test_lines_that_were_lost_are_told_of() -> None:
    disk = FullDisk()
    room = Logger("etlmon.room", observer=NodeLog(LogSettings(), disk))
    room.info("one")
    room.info("two")
    assert disk.held == b""
    disk.full = False
    room.info("three")
    told, line = disk.held.decode().splitlines()
    assert told.endswith("2 lines of this log were lost: No space left on device")
    assert line.endswith("three")


@pytest.mark.parametrize(("device", "priority"), [("right", "<3>"), ("another", "")])
def test_the_journal_takes_what_a_node_ends_with_for_errors(
    monkeypatch: pytest.MonkeyPatch, device: str, priority: str
) -> None:
    found = os.fstat(2)
    inode = found.st_ino if device == "right" else found.st_ino + 1
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{inode}")
    monkeypatch.setattr("sys.stderr", sys.__stderr__)
    words = last_words(ConfigError(["node.yaml:3: no", "node.yaml:7: \x1b[31m"]))
    assert words.splitlines() == [
        f"{priority}etlmon: node.yaml:3: no",
        f"{priority}etlmon: node.yaml:7: \\x1b[31m",
    ]
