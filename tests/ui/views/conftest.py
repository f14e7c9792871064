"""Answers as nodes give them, and the texts of screens kept beside the tests."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from etlmon.client.http import Reply
from etlmon.records.audit import AuditEntry
from etlmon.records.cron import CronFile, CronJob, CronRefreshAnswer
from etlmon.records.disk import Filesystem, FilesystemPoint
from etlmon.records.health import CollectorHealth, DatabaseHealth, Health, StuckWorker
from etlmon.records.kill import KillAnswer
from etlmon.records.log import LogFile
from etlmon.records.path import PathChild, PathExpected, PathPoint, PathStats, ScanTrouble
from etlmon.records.process import ProcessEvent, ProcessSample, ProcessUsage, ProcessWatchStatus
from etlmon.records.top import LargeDirectory, LargeFile, TopJob
from etlmon.records.xferlog import XferlogEntry, XferlogSummary

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GIB = 1 << 30
SNAPSHOTS = Path(__file__).parent / "snapshots"


def mount(mount_point: str, percent: float | None = 50.0, **fields: Any) -> Filesystem:
    """Give a mount of 100 GiB."""
    if percent is not None:
        used = round(percent * GIB)
        fields = {
            "total_bytes": 100 * GIB,
            "used_bytes": used,
            "avail_bytes": 100 * GIB - used,
            "used_percent": percent,
            "inodes_total": 1_000_000,
            "inodes_used": 10_000,
            "inodes_used_percent": 1.0,
        } | fields
    fields = {"device": "/dev/sda1", "fs_type": "ext4", "collected_at": NOW} | fields
    return Filesystem(mount_point=mount_point, **fields)


MOUNTS = [
    mount("/", 23.2),
    mount("/boot", 81.0, level="warning", level_by="space", device="/dev/sda2"),
    mount(
        "/data",
        96.4,
        level="critical",
        level_by="space",
        full_at=NOW + timedelta(hours=5, minutes=20),
        device="/dev/mapper/vg0-data",
        fs_type="xfs",
        reserved_bytes=GIB,
    ),
    mount("/data/한국어-backup", 12.0, device="nfs-01:/export/backup", fs_type="nfs4"),
    mount("/iso", 100.0, read_only=True, device="/dev/loop0", fs_type="iso9660"),
    mount(
        "/mnt/nfs",
        60.0,
        state="stale",
        reason="it does not answer",
        stale_since=NOW - timedelta(minutes=7),
        device="nfs-02:/export/etl",
        fs_type="nfs4",
    ),
    mount(
        "/var/spool",
        40.0,
        level="warning",
        level_by="inodes",
        inodes_used=910_000,
        inodes_used_percent=91.0,
        device="/dev/sdb1",
    ),
]
HIDDEN = [
    mount(
        "/proc",
        None,
        state="hidden",
        reason="a file system of the kernel",
        fs_type="proc",
        device="proc",
    ),
    mount("/mnt/bind", 23.2, state="hidden", reason="the same as /"),
]
HISTORY = [
    FilesystemPoint(
        collected_at=NOW - timedelta(minutes=24 * (60 - n)),
        total_bytes=100 * GIB,
        used_bytes=(60 + n // 2 + (n % 7)) * GIB,
        avail_bytes=30 * GIB,
        used_percent=60.0 + n / 2,
        inodes_used=10_000,
    )
    for n in range(60)
]


COUNTS = [
    PathPoint(
        collected_at=point.collected_at,
        file_count=None if n % 20 == 9 else 120_000 + 60 * n,
        dir_count=None if n % 20 == 9 else 100,
        other_count=None if n % 20 == 9 else 0,
        partial_file_count=80_000 if n % 20 == 9 else None,
        complete=n % 20 != 9,
        status="PARTIAL" if n % 20 == 9 else "OK",
        scan_duration_ms=420,
    )
    for n, point in enumerate(HISTORY)
]


def path(name: str, status: str = "OK", **fields: Any) -> PathStats:
    """Give a path that was scanned five minutes ago."""
    fields = {
        "file_count": 1234,
        "dir_count": 56,
        "other_count": 7,
        "file_count_change": 0,
        "scan_duration_ms": 420,
        "collected_at": NOW - timedelta(minutes=5),
        "complete": True,
        "next_scan_at": NOW + timedelta(seconds=30),
    } | fields
    return PathStats(id=f"id{name}", path=name, status=status, **fields)


NEVER = dict.fromkeys(
    (
        "file_count",
        "dir_count",
        "other_count",
        "file_count_change",
        "scan_duration_ms",
        "collected_at",
    )
)
PATHS = [
    path(
        "/data/in",
        expectation_state="waiting",
        file_count=1_204_311,
        dir_count=10_100,
        file_count_change=+5_120,
    ),
    path(
        "/data/out",
        expectation_state="arrived",
        file_count_change=-17,
        collected_at=NOW - timedelta(days=3),
    ),
    path(
        "/data/한국어",
        "SCANNING",
        next_scan_at=None,
        scan_started_at=NOW - timedelta(seconds=34),
        scan_file_count=1_234_567,
        scan_dir_count=890,
    ),
    path("/data/new", "SCANNING", complete=False, next_scan_at=None, **NEVER),
    path(
        "/gone", "ERROR", error_message="/gone: No such file or directory", complete=False, **NEVER
    ),
    path(
        "/data/part",
        "PARTIAL",
        error_message="timeout after 10m; 90,000 entries counted",
        complete=False,
        file_count=80_000,
        file_count_change=None,
        last_complete_file_count=123_456,
        last_complete_dir_count=100,
        last_complete_other_count=0,
        last_complete_at=NOW - timedelta(hours=1),
        troubles=[ScanTrouble(kind="EACCES", count=3, example="private/keys")],
    ),
    path("/srv/late", expectation_state="late"),
]


def collector(name: str, instance: str = "", **fields: Any) -> CollectorHealth:
    fields = {
        "state": "ok",
        "interval_seconds": 15.0,
        "last_run_at": NOW - timedelta(seconds=8),
        "duration_ms": 12,
        "next_run_at": NOW + timedelta(seconds=7),
        "runs": 1_234,
    } | fields
    return CollectorHealth(name=name, instance=instance, **fields)


def health(state: str = "ok", **fields: Any) -> Health:
    database = DatabaseHealth(
        path="/var/lib/etlmon/etlmon.db",
        size_bytes=52 << 20,
        wal_bytes=4 << 20,
        schema_version=1,
        sqlite_version="3.40.1",
        wal_reset_bug=False,
        commits=99,
        pending_batches=0,
        **{"state": "ok", "last_commit_at": NOW} | fields.pop("database", {}),
    )
    fields = {
        "warnings": [],
        "collectors": [collector("disk"), collector("path", "/data/in")],
        "stuck_workers": [],
    } | fields
    return Health(
        node_name="prod-etl-01",
        version="0.1.0",
        state=state,
        started_at=NOW - timedelta(days=2, hours=3),
        uptime_seconds=183_600.0,
        now=NOW,
        database=database,
        **fields,
    )


DEGRADED = health(
    "degraded",
    database={"state": "degraded", "last_error": "database or disk is full", "last_error_at": NOW},
    warnings=["Commands are open to the network: set auth.tokens_file."],
    collectors=[
        collector("disk", state="running", lag_seconds=12.0),
        collector("path", "/data/in", skipped=3),
        collector(
            "path",
            "/gone",
            state="error",
            last_error="/gone: No such file or directory",
            last_error_at=NOW - timedelta(minutes=5),
            errors=4,
        ),
        collector("path", "/new", state="waiting", last_run_at=None, duration_ms=None, runs=0),
    ],
    stuck_workers=[
        StuckWorker(mount_point="/mnt/nfs", pid=4711, stuck_since=NOW - timedelta(minutes=7))
    ],
)
EXPECTED = [
    PathExpected(
        path_id="x",
        place=place,
        pattern="",
        glob=glob,
        state=state,
        due_at=NOW - timedelta(hours=6),
        since=NOW - timedelta(hours=12),
        min_count=1 + place,
        min_bytes=1,
        checked_at=NOW,
        **fields,
    )
    for place, (glob, state, fields) in enumerate(
        [
            (
                "sales_20261124.csv",
                "arrived",
                {
                    "arrived_count": 1,
                    "newest_path": "sales_20261124.csv",
                    "newest_bytes": 5 << 20,
                    "arrived_at": NOW - timedelta(hours=7),
                },
            ),
            (
                "in/한국어_*.gz",
                "late",
                {
                    "arrived_count": 1,
                    "growing_count": 1,
                    "empty_count": 2,
                    "newest_path": "in/한국어_2.gz",
                    "newest_bytes": 0,
                    "previous_due_at": NOW - timedelta(hours=30),
                    "previous_state": "late",
                },
            ),
        ]
    )
]
CHILDREN = [
    PathChild(
        path_id="x",
        place=place,
        kind=kind,
        name=name,
        directory_count=count,
        file_count=files,
        dir_count=files // 1_000,
        other_count=place,
        collected_at=NOW - timedelta(hours=1),
    )
    for place, (kind, name, count, files) in enumerate(
        [
            ("directory", "2026-11", 1, 100_000),
            ("directory", "한국어", 1, 20_000),
            ("rest", None, 1_200, 3_400),
            ("itself", None, 0, 56),
        ]
    )
]
LARGE = [
    LargeFile(
        path="2026-11/dump.csv",
        allocated_bytes=80 * GIB,
        apparent_bytes=81 * GIB,
        modified_at=NOW - timedelta(days=1),
    ),
    LargeFile(
        path="한국어/데이터.gz", allocated_bytes=5 << 20, apparent_bytes=5 << 20, modified_at=NOW
    ),
]
TOP = TopJob(
    id="x",
    path="/data/part",
    state="done",
    count=20,
    started_at=NOW - timedelta(seconds=90),
    ended_at=NOW - timedelta(seconds=20),
    duration_ms=70_000,
    entries=123_556,
    allocated_bytes=82 * GIB,
    apparent_bytes=93 * GIB,
    files_by_allocated=LARGE,
    files_by_apparent=[
        LARGE[0],
        LargeFile(
            path="sparse.img", allocated_bytes=4096, apparent_bytes=10 * GIB, modified_at=None
        ),
    ],
    directories_by_allocated=[
        LargeDirectory(path="", allocated_bytes=82 * GIB, apparent_bytes=93 * GIB, files=123_456),
        LargeDirectory(
            path="2026-11", allocated_bytes=80 * GIB, apparent_bytes=81 * GIB, files=100_000
        ),
    ],
)


def log_file(name: str, state: str = "following", **fields: Any) -> LogFile:
    """Give a file of a log that is read to its end."""
    fields = {
        "path": f"/var/log/{name}.log",
        "watch_mode": "inotify",
        "offset": 1_000_000,
        "size": 1_000_000,
        "lag_bytes": 0,
        "lines_total": 12_345,
        "last_line_at": NOW - timedelta(seconds=3),
        "source_inode": 4711,
        "updated_at": NOW,
    } | fields
    return LogFile(name=name, state=state, **fields)


LOGS = [
    log_file("app"),
    log_file("batch", "paused", lag_bytes=73_400_320, size=74_400_320),
    log_file("etl", "waiting", error_message="/var/log/etl.log: No such file or directory"),
    log_file("jobs", path="/data/jobs/load-한국.log", gaps=2, last_line_at=None),
    log_file(
        "jobs", "error", path="/data/jobs/merge.log", error_message="Permission denied", gaps=1
    ),
]
BOOT = "6f4f1c1e-0000-4000-8000-000000000000"
LOADED = "python3 -u /opt/etl/load.py --in=/data/in --password=*** --note=a\x1b[31m\nb"


def process(pid: int, name: str, watch: str | None = "loader", **fields: Any) -> ProcessSample:
    """Give a process that has run for two hours."""
    fields = {
        "cmdline": f"/usr/bin/{name} --work",
        "start_time": NOW - timedelta(hours=2, minutes=3),
        "runtime_sec": 7380.0,
        "cpu_percent": 12.4,
        "cpu_share": 0.031,
        "cpu_seconds": 900.0,
        "mem_rss_bytes": 120 << 20,
        "status": "RUNNING",
        "state": "S",
        "threads": 4,
        "user": "etl",
        "parent_pid": 1,
        "exe": f"/usr/bin/{name}",
        "cgroup": "/system.slice/etl.service",
        "open_files": 23,
        "io_read_bytes": 1 << 30,
        "io_written_bytes": 1 << 20,
        "visibility": "full",
        "identity": f"{BOOT}:{pid}:{pid}00",
        "collected_at": NOW,
    } | fields
    return ProcessSample(pid=pid, process_name=name, watch=watch, **fields)


PROCESSES = [
    process(
        4711,
        "python3",
        cmdline=LOADED,
        cpu_percent=163.0,
        cpu_share=0.4075,
        state="R",
        mem_rss_bytes=3 << 29,
        restarts=1,
    ),
    process(4712, "sort", parent_pid=4711, cpu_percent=None, is_child=True, user="root"),
    process(4713, "gzip", parent_pid=4712, state="D", is_child=True, cpu_percent=0.04),
    process(
        4600,
        "python3",
        status="STOPPED",
        state=None,
        exit_reason="exit status 3",
        ended_at=NOW - timedelta(minutes=9),
    ),
    process(901, "sftpd", watch="upload-\uc218\uc2e0", state="Z", cpu_percent=0.0, user="sftp"),
]
EVERYTHING = [
    process(1, "systemd", watch=None, parent_pid=0, user="root", runtime_sec=900_000.0),
    process(2, "[kthreadd]", None, parent_pid=0, is_kernel_thread=True, cmdline="", exe=None),
    process(700, "sshd", None, user="root"),
    *PROCESSES[:3],
]


def watch(name: str, state: str = "ok", **fields: Any) -> ProcessWatchStatus:
    """Give a watch that selects two processes."""
    fields = {
        "since": NOW - timedelta(hours=1),
        "process_count": 2,
        "cpu_percent": 20.0,
        "cpu_share": 0.05,
        "mem_rss_bytes": 240 << 20,
        "threads": 8,
        "visibility": "full",
        "collected_at": NOW,
    } | fields
    return ProcessWatchStatus(watch=name, state=state, **fields)


WATCHES = [
    watch("loader", process_count=3, restarts=1, cpu_percent=175.4, mem_rss_bytes=1800 << 20),
    watch("upload-\uc218\uc2e0", "low", reason="1 of at least 2 runs", process_count=1),
    watch(
        "mailer",
        "down",
        reason="none of at least 1 runs",
        process_count=0,
        cpu_percent=None,
        mem_rss_bytes=0,
        restarts=12,
        flapping=True,
    ),
]
USAGE = [
    ProcessUsage(
        watch="loader",
        pid=4711,
        identity=f"{BOOT}:4711:471100",
        collected_at=point.collected_at,
        process_count=1,
        cpu_percent=None if n == 0 else 100.0 + n % 9 * 7,
        cpu_share=0.3,
        mem_rss_bytes=(1000 + n * 8) << 20,
        threads=4,
    )
    for n, point in enumerate(HISTORY)
]
EVENTS = [
    ProcessEvent(
        id=3,
        watch="loader",
        event="restarted",
        occurred_at=NOW - timedelta(minutes=8),
        pid=4711,
        process_name="python3",
        identity=f"{BOOT}:4711:471100",
        replaces_pid=4600,
    ),
    ProcessEvent(
        id=2,
        watch="loader",
        event="exited",
        occurred_at=NOW - timedelta(minutes=9),
        pid=4600,
        process_name="python3",
        identity=f"{BOOT}:4600:460000",
        runtime_sec=2460.0,
        exit_reason="exit status 3",
        exit_status=3,
    ),
    ProcessEvent(
        id=1,
        watch="mailer",
        event="state_changed",
        occurred_at=NOW - timedelta(hours=30),
        detail="from ok to down: none of at least 1 runs",
    ),
]
AUDIT = [
    AuditEntry(
        id=8,
        requested_at=NOW - timedelta(minutes=1),
        who="night-shift",
        origin="10.0.0.7",
        command="kill_process",
        target="/processes/4600/kill",
        outcome="done",
        status=200,
        reason="hangs since 02:10",
        detail="SIGTERM to pid 4600 (python3): exited 300ms after SIGTERM",
    ),
    AuditEntry(
        id=7,
        requested_at=NOW - timedelta(days=1),
        who="-",
        origin="127.0.0.1",
        command="kill_process",
        target="/processes/1/kill",
        outcome="refused",
        status=403,
        problem="process-protected",
        detail="The process 1 (systemd) is never sent a signal by this node.",
        attempts=3,
    ),
]
KILLED = KillAnswer(
    pid=4711,
    process_name="python3",
    identity=f"{BOOT}:4711:471100",
    signals=["SIGTERM"],
    outcome="exited",
    waited_seconds=0.312,
    message="exited 300ms after SIGTERM: killed by SIGTERM",
)
SURVIVED = structs.replace(
    KILLED,
    outcome="running",
    waited_seconds=5.0,
    state="S",
    message="still running 5s after SIGTERM; SIGKILL ends it without asking it",
)


def job(number: int, command: str, **fields: Any) -> CronJob:
    """Give a job of /etc/cron.d/etl that runs at some minutes past twelve."""
    at = NOW + timedelta(minutes=number)
    fields = {
        "schedule": f"{number} 12 * * *",
        "user": "etl",
        "source": "cron.d",
        "file": "/etc/cron.d/etl",
        "line": number,
        "next_run": at,
        "next_run_local": f"{(at + timedelta(hours=9)).isoformat()[:19]}+09:00",
        "next_run_kind": "exact",
        "next_runs": [at + timedelta(days=day) for day in range(10)],
        "runs_by_hour": [1] + [0] * 23,
        "timezone": "Asia/Seoul",
        "file_status": "active",
        "dialect": "debian",
        "last_checked": NOW,
    } | fields
    return CronJob(job_id=f"{number:012x}", command=command, **fields)


NO_RUN = {"next_run": None, "next_run_local": None, "next_runs": [], "runs_by_hour": [0] * 24}
CRON_JOBS = [
    job(
        3,
        "/srv/etl/load orders",
        last_start=NOW - timedelta(days=1, minutes=-3),
        last_end=NOW - timedelta(days=1, minutes=-8),
        last_exit=0,
        median_runtime_seconds=301.0,
        recent_runtimes_seconds=[290.0, 301.0, 300.0],
    ),
    job(5, "/srv/etl/load 한국어", user="etl", last_start=NOW - timedelta(hours=1)),
    job(
        7,
        "/srv/etl/purge",
        last_start=NOW - timedelta(hours=2),
        last_end=NOW - timedelta(hours=2),
        last_exit=1,
    ),
    job(
        10,
        "/srv/etl/poll",
        schedule="*/10 * * * *",
        runs_by_hour=[6] * 24,
        last_start=NOW - timedelta(minutes=10),
        running_pids=[4711, 4712],
        overlap=True,
        next_run_local="2026-11-24T21:10:00+09:00",
    ),
    job(
        12,
        "/srv/etl/sync",
        running_pids=[4713],
        last_start=NOW - timedelta(minutes=1),
        schedule="* * * * *",
        runs_by_hour=[60] * 24,
    ),
    job(15, "/srv/etl/wait", reason="cron is not running"),
    job(20, "/srv/etl/late", missed_at=NOW - timedelta(hours=3), dst_risk=True),
    job(
        30,
        "run-parts /etc/cron.daily",
        user="root",
        source="anacron",
        file="/etc/anacrontab",
        schedule="1 5",
        next_run_kind="window",
        window_end=NOW + timedelta(hours=2),
    ),
    job(
        40,
        "/srv/etl/boot",
        schedule="@reboot",
        next_run_kind="on_boot",
        history_reason="Debian's cron does not log how jobs end; add -L 15 to EXTRA_OPTS.",
        **NO_RUN,
    ),
    job(
        41,
        "/srv/etl/leap",
        schedule="0 0 30 2 *",
        next_run_kind="never",
        reason="No year has this day.",
        lint=["It can never run."],
        **NO_RUN,
    ),
    job(42, "\x1b[2J/tmp/evil", file="/etc/cron.d/a.b", file_status="ignored", last_exit=137),
]
CRON_FILES = [
    CronFile(path="/etc/crontab", source="crontab", dialect="debian", status="active", jobs=4,
             owner="root", mode="0644", changed_at=NOW - timedelta(days=90), last_checked=NOW),
    CronFile(path="/etc/cron.d/a.b", source="cron.d", dialect="debian", status="ignored", jobs=1,
             reason="its name has a dot", owner="root", mode="0644",
             changed_at=NOW - timedelta(minutes=9), last_checked=NOW),
    CronFile(path="/etc/cron.d/etl", source="cron.d", dialect="debian", status="active", jobs=7,
             owner="root", mode="0644", changed_at=NOW - timedelta(days=2),
             lint=["line 41: it can never run", "line 12: the step wraps"], last_checked=NOW),
    CronFile(path="/var/spool/cron/crontabs/gone", source="user", dialect="debian",
             status="ignored", reason="line 3: no account has this name", line=3, jobs=0,
             owner="1007", mode="0600", last_checked=NOW),
    CronFile(path="/var/spool/cron/crontabs", source="user", dialect="debian", status="unknown",
             reason="Permission denied", visibility="partial", last_checked=NOW),
]  # fmt: skip


def transfer(number: int, name: str | None, **fields: Any) -> XferlogEntry:
    """Give an upload of 10 MiB in 5 s, read as many minutes before noon as 100 has more."""
    at = NOW - timedelta(minutes=100 - number)
    fields = {
        "log_time": at,
        "remote_host": "10.0.0.7",
        "username": "etl",
        "bytes": 10 << 20,
        "transfer_time_sec": 5,
        "direction": "upload",
        "status": "complete",
        "ts_quality": "exact",
        "log_path": "/var/log/xferlog",
        "created_at": at,
    } | fields
    return XferlogEntry(id=number, filename=name, **fields)


TRANSFERS = [
    transfer(99, "/in/orders.csv", landing="pending"),
    transfer(98, "/in/한국어.csv", landing="landed", landed_path="/srv/in/한국어.csv",
             landed_bytes=10 << 20),
    transfer(97, "/in/cut.csv", status="incomplete", landing="partial", bytes=1234,
             landing_reason="the file has 1,234 bytes"),
    transfer(96, "/in/gone.csv", landing="vanished", landing_reason="no such file"),
    transfer(95, "/out/report.pdf", direction="download", username="guest@example.org",
             remote_host="2001:db8::7", transfer_time_sec=1),
    transfer(94, "/in/old.csv", direction="delete", bytes=0, transfer_time_sec=0),
    transfer(93, None, direction=None, status="unparsed", username=None, remote_host=None,
             log_time=None, bytes=None, transfer_time_sec=None, line="\x1b[2Jno transfer",
             reason="no date at its beginning"),
    transfer(10, "/in/night.csv", ts_quality="ambiguous", log_time=NOW - timedelta(days=1),
             rate_bytes_per_second=12_345.6, transfer_time_sec=None),
]  # fmt: skip


def sums(count: int, **fields: Any) -> XferlogSummary:
    """Give transfers added up: each of 1 MiB in 2 s."""
    fields = {"failures": 0, "last_arrival_at": NOW - timedelta(minutes=count)} | fields
    return XferlogSummary(count=count, bytes=count << 20, transfer_time_sec=2 * count, **fields)


HOUR = {"hour": NOW - timedelta(hours=1), "username": "etl", "remote_host": "10.0.0.7"}
SUMS = {
    "hour,user,host,direction": [
        sums(12, **HOUR, direction="upload", failures=2),
        sums(3, **HOUR, direction="download"),
        sums(1, **(HOUR | {"hour": NOW - timedelta(hours=9), "username": "한국어"}),
             direction="delete"),
    ],
    "direction": [
        sums(12, direction="upload", failures=2),
        sums(3, direction="download"),
        sums(1, direction="delete"),
    ],
    "user": [sums(15, username="etl", failures=2), sums(1, username="한국어")],
}  # fmt: skip


def answer_sums(query: Any, _page: str | None) -> Reply:
    return Reply(SUMS.get(query.by, []), b"", None)


ANSWERS = {
    "list_logs": LOGS,
    "list_path_children": CHILDREN,
    "list_path_expectations": EXPECTED,
    "get_top": TOP,
    "list_transfers": TRANSFERS,
    "summarize_transfers": answer_sums,
    "list_cron_jobs": CRON_JOBS,
    "list_cron_files": CRON_FILES,
    "refresh_cron": CronRefreshAnswer(started=True),
    "get_health": health(),
    "list_processes": PROCESSES,
    "list_process_watches": WATCHES,
    "list_process_events": EVENTS,
    "get_process_history": USAGE,
    "list_audit": AUDIT,
    "kill_process": KILLED,
    "list_filesystems": MOUNTS,
    "get_filesystem_history": HISTORY,
    "list_paths": PATHS,
    "get_path_history": COUNTS,
}


@pytest.fixture
def recorded() -> dict[str, Any]:
    """Give the answers of a node that has everything."""
    return dict(ANSWERS)


@pytest.fixture
def everything() -> list[ProcessSample]:
    return EVERYTHING


@pytest.fixture
def survived() -> KillAnswer:
    return SURVIVED


@pytest.fixture
def degraded() -> Health:
    return DEGRADED


@pytest.fixture
def with_hidden() -> list[Filesystem]:
    return MOUNTS + HIDDEN


@pytest.fixture
def is_as_kept() -> Callable[[str, str], None]:
    """Compare a screen with the one that is kept; ETLMON_SNAPSHOTS=write keeps this one."""

    def compare(name: str, text: str) -> None:
        file = SNAPSHOTS / f"{name}.txt"
        if os.environ.get("ETLMON_SNAPSHOTS") == "write":
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        kept = file.read_text() if file.exists() else ""
        if text != kept:
            lines = (kept.splitlines(True), text.splitlines(True))
            sys.stdout.writelines(difflib.unified_diff(*lines, f"kept {file.name}", "now"))
            pytest.fail(f"{file.name} is not what is shown; ETLMON_SNAPSHOTS=write keeps it")

    return compare
