"""Processes, their watches and what happened to them, and a kill."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import structs

from etlmon.records.audit import AuditEntry
from etlmon.records.kill import KillAnswer
from etlmon.records.process import ProcessEvent, ProcessSample, ProcessUsage, ProcessWatchStatus
from tests.ui.views.recorded.base import NOW
from tests.ui.views.recorded.disk import HISTORY

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
    process(
        901,
        "sftpd",
        watch="upload-\uc218\uc2e0",
        status="STOPPED",
        state="Z",
        cpu_percent=None,
        user="sftp",
    ),
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
