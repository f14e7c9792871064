"""File systems, paths and watches in numbers: the newest records, and never more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from etlmon.api.metrics.host import Filesystems, Paths, Watches
from etlmon.records.disk import FilesystemUsage
from etlmon.records.path import (
    PathScanCancelled,
    PathScanStarted,
    PathsConfigured,
)
from etlmon.records.process import ProcessWatchStatus, WatchesConfigured
from tests.scanned import scanned

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROOT = FilesystemUsage(
    mount_point="/",
    device="/dev/sda1",
    fs_type="ext4",
    total_bytes=100,
    used_bytes=40,
    avail_bytes=50,
    used_percent=44.5,
    inodes_total=10,
    inodes_used=3,
    level="warning",
    collected_at=NOW,
)
SCAN = scanned(NOW, "/in", file_count=7, scan_duration_ms=1_500)
LATER = NOW + timedelta(minutes=5)
PARTIAL = replace(SCAN, file_count=3, status="PARTIAL", complete=False, collected_at=LATER)
LOAD = ProcessWatchStatus(
    watch="load",
    state="down",
    since=NOW,
    process_count=0,
    cpu_percent=150.0,
    mem_rss_bytes=4096,
    threads=0,
    restarts=2,
    visibility="full",
    collected_at=NOW,
)


def test_a_file_system_in_base_units(taken: Any, value: Any) -> None:
    seen = taken(Filesystems(), [ROOT])
    assert value(seen, "filesystem_info", mount_point="/", device="/dev/sda1", fs_type="ext4") == 1
    expected = {
        "size_bytes": 100,
        "used_bytes": 40,
        "avail_bytes": 50,
        "used_ratio": 0.445,
        "inodes": 10,
        "inodes_used": 3,
        "read_only": 0,
        "level": 1,
        "stale": 0,
    }
    for name, wanted in expected.items():
        assert value(seen, f"filesystem_{name}", mount_point="/") == wanted, name


def test_a_mount_that_is_gone_or_hidden_has_no_series(taken: Any, value: Any) -> None:
    data = replace(ROOT, mount_point="/data")
    seen = taken(Filesystems(), [ROOT, data], [ROOT, replace(data, state="hidden")])
    assert value(seen, "filesystem_size_bytes", mount_point="/data") is None
    seen = taken(Filesystems(), [ROOT, data], [data])
    assert value(seen, "filesystem_size_bytes", mount_point="/") is None


def test_a_stale_mount_keeps_its_last_values_and_says_so(taken: Any, value: Any) -> None:
    seen = taken(Filesystems(), [replace(ROOT, state="stale", stale_since=NOW)])
    assert value(seen, "filesystem_stale", mount_point="/") == 1
    assert value(seen, "filesystem_used_bytes", mount_point="/") == 40


def test_a_level_of_tomorrow_has_no_number(taken: Any, value: Any) -> None:
    seen = taken(Filesystems(), [replace(ROOT, level="dire")])
    assert value(seen, "filesystem_level", mount_point="/") is None


def test_counts_are_those_of_complete_scans_alone(taken: Any, value: Any) -> None:
    """A scan that stopped half way must not look like files that are gone."""
    seen = taken(Paths(), [SCAN], [PARTIAL])
    assert value(seen, "path_files", path="/in") == 7
    assert value(seen, "path_directories", path="/in") == 2
    assert value(seen, "path_others", path="/in") == 1
    assert value(seen, "path_scan_complete", path="/in") == 0
    assert value(seen, "path_scan_duration_seconds", path="/in") == 1.5
    assert value(seen, "path_last_scan_timestamp_seconds", path="/in") == LATER.timestamp()
    complete_at = value(seen, "path_last_complete_scan_timestamp_seconds", path="/in")
    assert complete_at == NOW.timestamp()
    ends = [
        value(seen, "path_scans_total", path="/in", status=end)
        for end in ("OK", "PARTIAL", "ERROR")
    ]
    assert ends == [1, 1, 0]


def test_a_path_without_a_complete_scan_has_no_counts(taken: Any, value: Any) -> None:
    seen = taken(Paths(), [PARTIAL])
    assert value(seen, "path_files", path="/in") is None
    assert value(seen, "path_scan_complete", path="/in") == 0


def test_a_scan_under_way_shows_until_it_ends(taken: Any, value: Any) -> None:
    began = PathScanStarted(path="/in", scan_started_at=NOW, next_scan_at=NOW)
    nothing: dict[str, None] = dict.fromkeys(
        ("file_count", "dir_count", "other_count", "scanned_dirs", "reused_dirs")
    )
    cancelled = PathScanCancelled(
        path="/in", scan_duration_ms=3, error_message="cancelled", collected_at=NOW, **nothing
    )
    assert value(taken(Paths(), [began]), "path_scanning", path="/in") == 1
    assert value(taken(Paths(), [began], [SCAN]), "path_scanning", path="/in") == 0
    assert value(taken(Paths(), [began], [cancelled]), "path_scanning", path="/in") == 0


def test_what_is_not_configured_any_more_has_no_series(taken: Any, value: Any) -> None:
    seen = taken(Paths(), [SCAN], [PathsConfigured(paths=("/out",))])
    assert value(seen, "path_files", path="/in") is None
    seen = taken(Watches(), [LOAD], [WatchesConfigured(watches=("other",))])
    assert value(seen, "process_watch_processes", watch="load") is None


def test_a_watch_and_its_state(taken: Any, value: Any) -> None:
    seen = taken(Watches(), [LOAD])
    assert value(seen, "process_watch_processes", watch="load") == 0
    assert value(seen, "process_watch_state", watch="load", state="down") == 1
    assert value(seen, "process_watch_state", watch="load", state="ok") == 0
    assert value(seen, "process_watch_cpu_ratio", watch="load") == 1.5
    assert value(seen, "process_watch_resident_memory_bytes", watch="load") == 4096
    assert value(seen, "process_watch_restarts_total", watch="load") == 2
    assert value(seen, "process_watch_open_files", watch="load") is None


def test_a_snapshot_does_not_change_any_more(taken: Any, value: Any) -> None:
    """It is written out in a thread, while the reactor takes the next records."""
    for reading, old, new, name, labels in (
        (Paths(), SCAN, replace(SCAN, file_count=9), "path_files", {"path": "/in"}),
        (
            Filesystems(),
            ROOT,
            replace(ROOT, used_bytes=9),
            "filesystem_used_bytes",
            {"mount_point": "/"},
        ),
        (Watches(), LOAD, replace(LOAD, threads=9), "process_watch_threads", {"watch": "load"}),
    ):
        families = taken(reading, [old]).snapshot()
        taken(reading, [new])
        was = [
            sample.value
            for metric in families()
            for sample in metric.samples
            if sample.name == f"etlmon_{name}"
        ]
        assert was != [9]
        assert value(reading, name, **labels) == 9
