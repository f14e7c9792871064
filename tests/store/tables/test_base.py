"""Records and rows: the columns are the fields, and what goes in comes out."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from etlmon.config.node import RETENTION_DEFAULTS
from etlmon.records.audit import AuditEntry, AuditEvent
from etlmon.records.base import Record
from etlmon.records.cron import CronEntry, CronFile, CronHistory, CronJob, CronLogRead
from etlmon.records.disk import FilesystemPoint, FilesystemUsage
from etlmon.records.health import CollectorRun
from etlmon.records.log import LogFileStored, LogLine, LogSwitched, StoredBlock
from etlmon.records.path import (
    EndedScan,
    PathChild,
    PathExpected,
    PathPoint,
    PathScanCancelled,
    PathScanned,
    PathScanProgress,
    PathScanStarted,
    PathStats,
    ScanTrouble,
)
from etlmon.records.process import (
    NewProcessEvent,
    ProcessDetail,
    ProcessEvent,
    ProcessSample,
    ProcessUsage,
    ProcessWatchStatus,
)
from etlmon.records.xferlog import (
    XferlogEntry,
    XferlogFile,
    XferlogFileRow,
    XferlogPending,
    XferlogStoredBlock,
)
from etlmon.store.migrate import load_migrations
from etlmon.store.tables.all import TABLES
from etlmon.store.tables.base import columns, insert_sql, records, row
from etlmon.units import utc

ROWS: dict[str, type[Record]] = {
    "filesystem_usage": FilesystemUsage,
    "path_stats": PathStats,
    "path_history": EndedScan,
    "path_children": PathChild,
    "path_expected": PathExpected,
    "process_stats": ProcessSample,
    "process_watches": ProcessWatchStatus,
    "process_history": ProcessUsage,
    "process_events": ProcessEvent,
    "log_lines": LogLine,
    "log_blocks": StoredBlock,
    "log_files": LogFileStored,
    "log_switches": LogSwitched,
    "cron_jobs": CronJob,
    "cron_files": CronFile,
    "cron_log": CronLogRead,
    "collector_run": CollectorRun,
    "audit_log": AuditEntry,
    "xferlog_entries": XferlogEntry,
    "xferlog_blocks": XferlogStoredBlock,
    "xferlog_files": XferlogFileRow,
}
"""The record that is the whole of a row of each table."""


def test_every_table_is_looked_at(cursor: sqlite3.Cursor) -> None:
    present = {
        name
        for (name,) in cursor.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }
    assert {table.name for table in TABLES} == ROWS.keys() == present - {"meta", "migrations"}


def stored_as(hint: Any) -> tuple[str, bool]:
    """Give the type of column that a field asks for, and whether it may be null."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    (kind,) = (one for one in kinds if one is not NoneType)
    if get_origin(kind) in (Literal, list):
        kind = str
    types = {str: "TEXT", int: "INTEGER", bool: "INTEGER", datetime: "INTEGER", float: "REAL"}
    return types[kind], NoneType in kinds


@pytest.mark.parametrize("table", ROWS)
def test_columns_are_the_fields(cursor: sqlite3.Cursor, table: str) -> None:
    """In name, in type, and in whether they may be null."""
    info = cursor.execute(f"PRAGMA table_info({table})").fetchall()
    hints = get_type_hints(ROWS[table])
    assert [name for _, name, *_ in info] == list(columns(ROWS[table]))
    for _, name, kind, not_null, _, primary_key in info:
        assert (kind, not (not_null or primary_key)) == stored_as(hints[name]), name


@pytest.mark.parametrize("table", ROWS)
def test_tables_are_strict(cursor: sqlite3.Cursor, table: str) -> None:
    assert cursor.execute(
        "SELECT strict FROM pragma_table_list WHERE name = ?", (table,)
    ).fetchone() == (1,)


def test_points_are_a_part_of_usages() -> None:
    assert set(columns(FilesystemPoint)) <= set(columns(FilesystemUsage))


def test_scans_are_a_part_of_stats() -> None:
    for part in (PathScanned, PathScanStarted, PathScanProgress, PathScanCancelled):
        assert set(columns(part)) <= set(columns(PathStats))
    assert set(columns(EndedScan)) - {"path_id"} <= set(columns(PathScanned))
    assert set(columns(PathPoint)) - {"partial_file_count"} <= set(columns(EndedScan))


def test_an_event_and_a_detail_hold_what_they_are_made_of() -> None:
    assert set(columns(NewProcessEvent)) == set(columns(ProcessEvent)) - {"id"}
    assert set(columns(ProcessDetail)) - set(columns(ProcessSample)) == {"watches", "events"}


def test_what_is_asked_back_is_a_part_of_what_is_stored() -> None:
    assert set(columns(XferlogPending)) <= set(columns(XferlogEntry))
    assert columns(XferlogFileRow) == (*columns(XferlogFile), "cursor")


def test_an_event_is_an_entry_without_its_id() -> None:
    assert columns(AuditEvent) == columns(AuditEntry)[:-1]
    assert columns(AuditEntry)[-1] == "id"


def test_entries_and_how_they_went_make_a_job() -> None:
    assert columns(CronJob) == (*columns(CronEntry), *columns(CronHistory)[1:])


def test_histories_have_limits_and_an_index_by_time(cursor: sqlite3.Cursor) -> None:
    for table in TABLES:
        if table.time_column is None:
            continue
        assert table.name in RETENTION_DEFAULTS
        if table.ages_by_id:
            continue
        first = [
            cursor.execute(f"PRAGMA index_info({name})").fetchone()[2]
            for _, name, _, _, partial in cursor.execute(
                f"PRAGMA index_list({table.name})"
            ).fetchall()
            if not partial
        ]
        assert table.time_column in first


def test_units_of_moments_are_written_down() -> None:
    """A column whose name ends with _at or _since says in the migration that it is ms."""
    script = "".join(step.sql for step in load_migrations())
    lines = re.findall(r"^ +(\w+(?:_at|_since) INTEGER.*)$", script, re.MULTILINE)
    assert len(lines) >= 8
    assert all(re.search(r"-- ms\b", line) for line in lines), lines


# --- there and back -------------------------------------------------------------------------------

AT = datetime(2027, 1, 15, 8, 0, 0, 123_000, tzinfo=UTC)
EARLY = datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
TROUBLES = [
    ScanTrouble(kind="EACCES", count=3, example='비밀/"x"\n\\xff'),
    ScanTrouble(kind="EIO", count=1, example=""),
]

RECORDS: list[Record] = [
    PathExpected(
        path_id="0123456789ab",
        place=0,
        pattern="in_%Y.csv",
        glob="in_2026.csv",
        state="late",
        due_at=EARLY,
        since=EARLY,
        min_count=1,
        min_bytes=2,
        arrived_count=3,
        growing_count=4,
        small_count=5,
        empty_count=6,
        total_bytes=(1 << 63) - 1,
        newest_path="데이터",
        newest_bytes=7,
        newest_at=EARLY,
        arrived_at=EARLY,
        checked_at=EARLY,
        error_message="it is so",
        previous_due_at=EARLY,
        previous_state="arrived",
        link_count=8,
    ),
    PathChild(
        path_id="0123456789ab",
        place=0,
        kind="directory",
        name="데이터 \\xff",
        directory_count=1,
        file_count=(1 << 63) - 1,
        dir_count=2,
        other_count=3,
        collected_at=EARLY,
    ),
    FilesystemUsage(mount_point="/", device="", fs_type="ext4", collected_at=EARLY),
    FilesystemUsage(
        mount_point="/데이터 é \\xff",
        device="server:/실",
        fs_type="nfs4",
        total_bytes=(1 << 63) - 1,
        used_bytes=0,
        avail_bytes=1,
        used_percent=100.0,
        reserved_bytes=5,
        inodes_total=6,
        inodes_used=7,
        inodes_used_percent=0.1 + 0.2,
        read_only=True,
        level="critical",
        level_by="space",
        state="stale",
        reason="no answer; it's gone 😀",
        stale_since=EARLY,
        collected_at=AT,
    ),
    PathStats(id="a", path="/a", status="SCANNING"),
    PathStats(
        id="b",
        path="/데이터/\u0000\n",
        file_count=1,
        dir_count=2,
        other_count=3,
        file_count_change=-1,
        scan_duration_ms=4,
        status="PARTIAL",
        error_message="é",
        collected_at=AT,
        complete=True,
        last_complete_file_count=5,
        last_complete_dir_count=6,
        last_complete_other_count=7,
        last_complete_at=EARLY,
        newest_change_at=AT,
        scanned_dirs=8,
        reused_dirs=7,
        skipped_mounts=9,
        troubles=TROUBLES,
        scan_started_at=AT,
        next_scan_at=AT,
        scan_file_count=5,
        scan_dir_count=1,
        expectation_state="late",
        scan_waits_for="a free worker",
    ),
    EndedScan(
        path_id="a",
        collected_at=AT,
        file_count=None,
        dir_count=None,
        other_count=None,
        complete=False,
        status="ERROR",
        scan_duration_ms=0,
    ),
    EndedScan(
        path_id="b",
        collected_at=EARLY,
        file_count=1,
        dir_count=2,
        other_count=3,
        complete=True,
        status="OK",
        scan_duration_ms=4,
    ),
    ProcessSample(
        watch="데이터",
        pid=1 << 22,
        process_name="(x)\n",
        cmdline="",
        start_time=AT,
        runtime_sec=0.01,
        cpu_percent=0.1 + 0.2,
        cpu_share=1.0,
        cpu_seconds=0.0,
        mem_rss_bytes=(1 << 63) - 1,
        status="STOPPED",
        state="Z",
        threads=1,
        user="etl",
        parent_pid=0,
        container_pid=7,
        exe="/é",
        cgroup="/",
        open_files=0,
        io_read_bytes=0,
        io_written_bytes=1,
        visibility="partial",
        is_kernel_thread=True,
        is_child=True,
        restarts=2,
        ended_at=EARLY,
        exit_reason="exit status 3",
        identity="b:1:2",
        collected_at=AT,
        signals=["SIGTERM"],
    ),
    ProcessWatchStatus(
        watch="a",
        state="low",
        reason="1 runs",
        since=EARLY,
        process_count=1,
        cpu_percent=0.0,
        cpu_share=0.0,
        mem_rss_bytes=1,
        threads=1,
        open_files=3,
        restarts=4,
        flapping=True,
        visibility="full",
        collected_at=AT,
    ),
    ProcessUsage(
        watch="a",
        pid=1,
        identity="b:1:2",
        collected_at=AT,
        process_count=1,
        cpu_percent=1.5,
        cpu_share=0.5,
        mem_rss_bytes=1,
        threads=2,
        open_files=3,
    ),
    ProcessEvent(
        watch="a",
        event="exited",
        occurred_at=AT,
        pid=1,
        process_name="x",
        identity="b:1:2",
        runtime_sec=2.5,
        exit_reason="killed by SIGKILL",
        exit_status=0,
        exit_signal="SIGKILL",
        replaces_pid=9,
        detail="é",
        id=5,
    ),
    LogLine(id=1, log_name="app", log_path="/a", created_at=EARLY),
    LogLine(
        id=(1 << 63) - 1,
        log_name="app",
        log_path="/데이터 \\xff",
        line="\x1b[31m둘\x00\n\tlines\u2028 😀",
        created_at=AT,
        source_inode=7,
        flags=["partial", "cut"],
        logged_at=EARLY,
        length_bytes=9,
        detail="é",
    ),
    StoredBlock(first_id=1, last_id=2, log_name="app", log_path="/a", first_at=EARLY, last_at=AT),
    LogFileStored(log_name="app", log_path="/*", state="waiting", updated_at=AT, cursor=None),
    LogFileStored(
        log_name="app",
        log_path="/a",
        state="error",
        error_message="é",
        watch_mode="poll (nfs)",
        offset=1,
        size=2,
        lag_bytes=3,
        source_inode=4,
        updated_at=AT,
        cursor='{"a": 1}',
        lines_total=5,
        gaps=6,
        last_line_at=EARLY,
        configured=False,
    ),
    LogSwitched(log_name="app", paused=True, switched_at=AT),
    XferlogEntry(id=1, status="unparsed", log_path="/l", created_at=AT),
    XferlogEntry(
        id=(1 << 53),
        log_time=EARLY,
        remote_host="::1",
        username="me@x é",
        filename="/up/데이터 \\xff\u0000",
        bytes=(1 << 63) - 1,
        transfer_time_sec=3,
        direction="upload",
        status="complete",
        landing="partial",
        landing_reason="still open for writing",
        landed_path="/srv/up/데이터",
        landed_bytes=5,
        landing_checked_at=AT,
        transfer_type="binary",
        action_flags="CT",
        access_mode="real",
        service="ftp",
        auth_method="rfc931",
        auth_user="x",
        pid=7,
        rate_bytes_per_second=0.1 + 0.2,
        log_format="vsftpd",
        time_text="Tue Nov 24 09:03:06 2026",
        ts_quality="skewed",
        flags=["ambiguous", "cut"],
        reason="no date",
        line="x",
        log_path="/var/log/xferlog",
        source_inode=(1 << 62),
        offset=90,
        created_at=EARLY,
    ),
    XferlogStoredBlock(first_id=1, last_id=2, first_time=EARLY, last_time=AT),
    XferlogStoredBlock(first_id=1, last_id=2, first_time=None, last_time=None),
    XferlogFileRow(
        path="/var/log/xferlog",
        state="following",
        message="one rotated file is read on",
        watch_mode="inotify",
        offset=1,
        size=2,
        lag_bytes=3,
        lines_total=4,
        transfers_total=5,
        unparsed_total=6,
        events_total=7,
        skipped_total=8,
        gaps=9,
        last_line_at=AT,
        updated_at=EARLY,
        cursor="{}",
    ),
    CronJob(
        job_id="0123456789ab",
        schedule="*/5 * * * *",
        command="/opt/적재 %",
        user="etl",
        source="cron.d",
        file="/etc/cron.d/\\xff",
        line=7,
        next_run=AT,
        next_run_local="2027-01-15T09:00:00+01:00",
        next_run_kind="window",
        window_end=AT,
        reason="cron picks it",
        next_runs=[EARLY, AT],
        runs_by_hour=[0] * 23 + [60],
        timezone="Europe/Berlin",
        dst_risk=True,
        lint=["a", "둘"],
        file_status="active",
        dialect="cronie",
        last_checked=AT,
        last_start=EARLY,
        last_end=AT,
        last_exit=137,
        running_pids=[1, 4_194_304],
        overlap=True,
        median_runtime_seconds=0.1 + 0.2,
        missed_at=AT,
        history_reason="not logged",
        recent_runtimes_seconds=[0.5, 7.0],
        late_since=AT,
    ),
    CronLogRead(path="/var/log/syslog", cursor="x"),
    CronFile(
        path="/etc/cron.d/\\xff",
        source="cron.d",
        dialect="debian",
        status="ignored",
        reason="mode",
        line=3,
        jobs=2,
        owner="root",
        mode="0664",
        changed_at=EARLY,
        lint=["line 3: x"],
        visibility="partial",
        last_checked=AT,
    ),
    CollectorRun(
        collector="disk", instance="", started_at=AT, duration_ms=0, state="ok", records=0
    ),
    CollectorRun(
        collector="path",
        instance="/데이터",
        started_at=EARLY,
        duration_ms=1,
        state="error",
        error_message="둘\nlines",
        records=2,
    ),
    AuditEntry(
        id=1,
        requested_at=AT,
        who="-",
        origin="127.0.0.1",
        command="scan_paths",
        target="/paths/scan",
        outcome="begun",
    ),
    AuditEntry(
        id=(1 << 53) - 1,
        requested_at=EARLY,
        who="alice",
        origin="::1",
        command="scan_paths",
        target="/paths/\u0000é",
        arguments='{"paths":["/데이터"]}',
        reason="둘\nlines",
        outcome="refused",
        status=409,
        problem="identity-changed",
        detail="no",
        duration_ms=3,
        attempts=7,
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_round_trip(cursor: sqlite3.Cursor, record: Record) -> None:
    (table,) = (name for name, kind in ROWS.items() if kind is type(record))
    cursor.execute(insert_sql(table, type(record)), row(record))
    names = ", ".join(columns(type(record)))
    (found,) = records(type(record), cursor.execute(f"SELECT {names} FROM {table}"))
    assert found == record
    for name in columns(type(record)):
        assert type(getattr(found, name)) is type(getattr(record, name)), name


def test_every_field_is_filled_in_one_of_them() -> None:
    for kind in ROWS.values():
        for name in columns(kind):
            values = [getattr(one, name) for one in RECORDS if type(one) is kind]
            assert any(value not in (None, []) for value in values), (kind, name)


class Lists(Record, frozen=True, kw_only=True):
    always: list[int]
    perhaps: list[str] | None
    when: datetime | None


@pytest.mark.parametrize("perhaps", [None, [], ["a", "데"]])
def test_lists_that_may_be_null(cursor: sqlite3.Cursor, perhaps: list[str] | None) -> None:
    record = Lists(always=[1], perhaps=perhaps, when=None)
    cursor.execute('CREATE TABLE lists (always TEXT, perhaps TEXT, "when" INTEGER)')
    cursor.execute("INSERT INTO lists VALUES (?, ?, ?)", row(record))
    assert records(Lists, cursor.execute("SELECT * FROM lists")) == [record]


def test_moments_are_cut_to_milliseconds() -> None:
    (run, *_) = (one for one in RECORDS if isinstance(one, CollectorRun))
    later = msgspec.structs.replace(run, started_at=AT.replace(microsecond=123_999))
    assert row(later)[2] == row(run)[2]
    assert utc(0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_rows_of_another_shape_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="shorter"):
        records(CollectorRun, iter([("disk", "")]))
