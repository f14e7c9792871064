"""Logs and transfers in numbers: added up by log, never by file or line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from etlmon.api.metrics.logs import Logs, Xferlogs
from etlmon.records.log import (
    LineMark,
    LogBlock,
    LogFileGone,
    LogFileRead,
    LogsConfigured,
    LogUnseen,
)
from etlmon.records.xferlog import (
    PLAIN_FIELDS,
    XferlogBlock,
    XferlogFileRead,
    XferlogLine,
    XferlogRun,
    XferlogsConfigured,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BLOCK = LogBlock(
    log_name="app",
    log_path="/var/log/a.log",
    created_at=NOW,
    lines=["one", None, "three"],
    marks={1: LineMark(flags=("gap",)), 2: LineMark(flags=("cut",))},
)
READ = LogFileRead(
    log_name="app",
    log_path="/var/log/a.log",
    state="following",
    lag_bytes=5,
    updated_at=NOW,
    cursor=None,
)


def transfer(direction: str | None, status: str, moved: int | None) -> XferlogLine:
    given = {"direction": direction, "status": status, "bytes": moved, "flags": "[]"}
    return XferlogLine(**{name: given.get(name) for name in XferlogLine._fields})


def run_values(direction: str, status: str, moved: int) -> list[str | int | None]:
    line = transfer(direction, status, moved)
    return [getattr(line, name) for name in PLAIN_FIELDS]


TRANSFERS = XferlogBlock(
    log_path="/var/log/xferlog",
    source_inode=1,
    created_at=NOW,
    lines=[
        transfer("upload", "complete", 100),
        XferlogRun(run_values("upload", "incomplete", 7) + run_values("download", "complete", 0)),
        transfer(None, "unparsed", None),
    ],
)
TRANSFERS_READ = XferlogFileRead(
    path="/var/log/xferlog",
    state="following",
    lag_bytes=9,
    lines=4,
    unparsed=1,
    gaps=1,
    last_line_at=NOW,
    updated_at=NOW,
    cursor=None,
)


def test_lines_and_gaps_are_counted(taken: Any, value: Any) -> None:
    seen = taken(Logs(), [BLOCK, READ], [BLOCK, READ])
    assert value(seen, "log_lines_total", log="app") == 4
    assert value(seen, "log_gaps_total", log="app") == 2
    assert value(seen, "log_last_line_timestamp_seconds", log="app") == NOW.timestamp()
    assert value(seen, "log_lag_bytes", log="app") == 5
    assert value(seen, "log_state", log="app", state="following") == 1
    assert value(seen, "log_state", log="app", state="error") == 0


def test_the_files_of_a_pattern_are_one_log_in_its_worst_state(taken: Any, value: Any) -> None:
    other = replace(READ, log_path="/var/log/b.log", state="error", lag_bytes=10)
    seen = taken(Logs(), [READ, other])
    assert value(seen, "log_files", log="app") == 2
    assert value(seen, "log_lag_bytes", log="app") == 15
    assert value(seen, "log_state", log="app", state="error") == 1
    assert value(seen, "log_state", log="app", state="following") == 0
    taken(seen, [LogFileGone(log_name="app", log_path="/var/log/b.log")])
    assert value(seen, "log_files", log="app") == 1
    assert value(seen, "log_state", log="app", state="following") == 1


def test_a_log_whose_files_cannot_be_looked_at(taken: Any, value: Any) -> None:
    unseen = LogUnseen(
        log_name="app", log_path="/*", state="error", error_message="no answer", updated_at=NOW
    )
    for before in ([], [READ, replace(READ, log_path="/var/log/b.log")]):
        seen = taken(Logs(), [*before, unseen])
        assert value(seen, "log_state", log="app", state="error") == 1
        assert value(seen, "log_state", log="app", state="following") == 0
        assert value(seen, "log_files", log="app") == max(1, len(before))


def test_a_log_of_which_nothing_was_read_has_no_moment(taken: Any, value: Any) -> None:
    seen = taken(Logs(), [replace(READ, lag_bytes=None)])
    assert value(seen, "log_last_line_timestamp_seconds", log="app") is None
    assert value(seen, "log_lag_bytes", log="app") is None
    assert value(seen, "log_lines_total", log="app") == 0


def test_what_is_not_configured_any_more_has_no_series(taken: Any, value: Any) -> None:
    seen = taken(Logs(), [BLOCK, READ], [LogsConfigured(names=())])
    assert value(seen, "log_lines_total", log="app") is None
    seen = taken(Xferlogs(), [TRANSFERS], [XferlogsConfigured(paths=())])
    assert value(seen, "xferlog_lines_total", xferlog="/var/log/xferlog") is None


def test_transfers_by_direction_and_end(taken: Any, value: Any) -> None:
    seen = taken(Xferlogs(), [TRANSFERS, TRANSFERS_READ])
    of = {"xferlog": "/var/log/xferlog"}

    def count(direction: str, status: str) -> float | None:
        return value(seen, "xferlog_transfers_total", **of, direction=direction, status=status)

    assert (count("upload", "complete"), count("upload", "incomplete")) == (1, 1)
    assert (count("download", "complete"), count("delete", "complete")) == (1, 0)
    assert value(seen, "xferlog_transferred_bytes_total", **of, direction="upload") == 107
    assert value(seen, "xferlog_unparsed_lines_total", **of) == 1
    assert value(seen, "xferlog_lines_total", **of) == 4
    assert value(seen, "xferlog_gaps_total", **of) == 1
    assert value(seen, "xferlog_lag_bytes", **of) == 9
    assert value(seen, "xferlog_state", **of, state="following") == 1


def test_a_snapshot_does_not_change_any_more(taken: Any) -> None:
    for reading, batch, name in (
        (Logs(), [BLOCK], "etlmon_log_lines_total"),
        (Xferlogs(), [TRANSFERS, TRANSFERS_READ], "etlmon_xferlog_transferred_bytes_total"),
    ):
        families = taken(reading, batch).snapshot()

        def found(families: Any = families, name: str = name) -> list[float]:
            return [s.value for metric in families() for s in metric.samples if s.name == name]

        before = found()
        taken(reading, batch)
        assert found() == before
        assert before
