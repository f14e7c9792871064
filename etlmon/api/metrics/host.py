"""What collectors see: file systems, paths, watches of processes.

Each takes the records that its collector gives and keeps the newest value of each series.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

from etlmon.api.metrics.families import (
    counter,
    first,
    gauge,
    label,
    left_out,
    only,
    ratio,
    seconds,
    seconds_since_epoch,
    states,
)
from etlmon.records.disk import FilesystemUsage, Level
from etlmon.records.path import (
    PathScanCancelled,
    PathScanned,
    PathScanStarted,
    PathsConfigured,
    PathStatus,
)
from etlmon.records.process import ProcessWatchStatus, WatchesConfigured, WatchState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from etlmon.api.metrics.families import Families, Row, Takers

_LEVELS: tuple[str, ...] = get_args(Level)
_SCAN_ENDS = tuple(word for word in get_args(PathStatus) if word != "SCANNING")


class Filesystems:
    """The mounts that df shows, by mount point."""

    def __init__(self) -> None:
        self.kinds: Takers = {FilesystemUsage: self._measured}
        self._now: dict[str, FilesystemUsage] = {}

    def _measured(self, usages: Sequence[FilesystemUsage]) -> None:
        """Take the mounts of one run, which are all that there are."""
        self._now = {label(usage.mount_point): usage for usage in usages if usage.state != "hidden"}

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        now = self._now  # it is replaced as a whole
        return lambda: self._families(now)

    @staticmethod
    def _families(now: dict[str, FilesystemUsage]) -> Iterator[Metric]:
        found = first(now)
        by_mount = ("mount_point",)

        def each(name: str, about: str, field: str) -> Metric:
            return gauge(
                f"filesystem_{name}",
                about,
                by_mount,
                (((mount,), getattr(usage, field)) for mount, usage in found),
            )

        yield gauge(
            "filesystem_info",
            "What is mounted where; always 1.",
            ("mount_point", "device", "fs_type"),
            (((mount, label(usage.device), label(usage.fs_type)), 1.0) for mount, usage in found),
        )
        yield each("size_bytes", "Size of the file system.", "total_bytes")
        yield each("used_bytes", "Bytes in use.", "used_bytes")
        yield each("avail_bytes", "Bytes that an ordinary user can still write.", "avail_bytes")
        yield gauge(
            "filesystem_used_ratio",
            "used / (used + avail), df's rule, 0 to 1.",
            by_mount,
            (((mount,), ratio(usage.used_percent)) for mount, usage in found),
        )
        yield each("inodes", "Inodes; absent where the file system makes them.", "inodes_total")
        yield each("inodes_used", "Inodes in use.", "inodes_used")
        yield each("read_only", "1 if it is mounted read-only.", "read_only")
        yield gauge(
            "filesystem_level",
            "The node's judgement by its thresholds: 0 ok, 1 warning, 2 critical.",
            by_mount,
            (
                ((mount,), float(_LEVELS.index(usage.level)) if usage.level in _LEVELS else None)
                for mount, usage in found
            ),
        )
        yield gauge(
            "filesystem_stale",
            "1 if it does not answer: its other values are the last known.",
            by_mount,
            (((mount,), float(usage.state == "stale")) for mount, usage in found),
        )

    def left_out(self) -> Row:
        """Give how many have no series."""
        return left_out("filesystem", self._now)


@dataclass(frozen=True)
class _Path:
    is_scanning: bool = False
    last: PathScanned | None = None
    complete: PathScanned | None = None
    ends: Counter[str] = field(default_factory=Counter)


class Paths:
    """The configured paths, by path. Counts come from complete scans alone."""

    def __init__(self) -> None:
        self.kinds: Takers = {
            PathScanStarted: self._started,
            PathScanned: self._scanned,
            PathScanCancelled: self._cancelled,
            PathsConfigured: self._configured,
        }
        self._now: dict[str, _Path] = {}

    def _change(self, path: str, **changes: Any) -> None:
        self._now[path] = replace(self._now.get(path, _Path()), **changes)

    def _started(self, scans: Sequence[PathScanStarted]) -> None:
        for scan in scans:
            self._change(scan.path, is_scanning=True)

    def _scanned(self, scans: Sequence[PathScanned]) -> None:
        for scan in scans:
            before = self._now.get(scan.path, _Path())
            self._change(
                scan.path,
                is_scanning=False,
                last=scan,
                complete=scan if scan.complete else before.complete,
                ends=before.ends + Counter([scan.status]),
            )

    def _cancelled(self, scans: Sequence[PathScanCancelled]) -> None:
        for scan in scans:
            self._change(scan.path, is_scanning=False)

    def _configured(self, configured: Sequence[PathsConfigured]) -> None:
        self._now = only(self._now, configured[-1].paths)

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        now = dict(self._now)
        return lambda: self._families(now)

    @staticmethod
    def _families(now: dict[str, _Path]) -> Iterator[Metric]:
        found = first(now)
        complete = [((label(path),), one.complete) for path, one in found if one.complete]
        ended = [((label(path),), one.last) for path, one in found if one.last]
        by_path = ("path",)

        def count(name: str, about: str, field: str) -> Metric:
            rows = ((path, getattr(scan, field)) for path, scan in complete)
            return gauge(f"path_{name}", f"{about} in the newest complete scan.", by_path, rows)

        yield count("files", "Regular files below the path", "file_count")
        yield count("directories", "Directories below the path", "dir_count")
        yield count("others", "Links, sockets, fifos and devices below the path", "other_count")
        yield gauge(
            "path_newest_change_timestamp_seconds",
            "Newest modification time of the directories in the newest complete scan.",
            by_path,
            ((path, seconds_since_epoch(scan.newest_change_at)) for path, scan in complete),
        )
        yield gauge(
            "path_last_complete_scan_timestamp_seconds",
            "When the newest complete scan ended.",
            by_path,
            ((path, seconds_since_epoch(scan.collected_at)) for path, scan in complete),
        )
        yield gauge(
            "path_last_scan_timestamp_seconds",
            "When the newest scan ended, however it did.",
            by_path,
            ((path, seconds_since_epoch(scan.collected_at)) for path, scan in ended),
        )
        yield gauge(
            "path_scan_duration_seconds",
            "How long the newest scan took.",
            by_path,
            ((path, seconds(scan.scan_duration_ms)) for path, scan in ended),
        )
        yield gauge(
            "path_scan_complete",
            "1 if the newest scan counted everything, 0 if it is partial or failed.",
            by_path,
            ((path, float(scan.complete)) for path, scan in ended),
        )
        yield gauge(
            "path_scanning",
            "1 while a scan is running.",
            by_path,
            (((label(path),), float(one.is_scanning)) for path, one in found),
        )
        yield counter(
            "path_scans",
            "Scans that have ended, by how they did.",
            ("path", "status"),
            (
                ((label(path), end), float(one.ends[end]))
                for path, one in found
                for end in _SCAN_ENDS
            ),
        )

    def left_out(self) -> Row:
        """Give how many have no series."""
        return left_out("path", self._now)


class Watches:
    """The watches of processes, by name; never a series for one process."""

    def __init__(self) -> None:
        self.kinds: Takers = {ProcessWatchStatus: self._seen, WatchesConfigured: self._configured}
        self._now: dict[str, ProcessWatchStatus] = {}

    def _seen(self, watches: Sequence[ProcessWatchStatus]) -> None:
        self._now |= {one.watch: one for one in watches}

    def _configured(self, configured: Sequence[WatchesConfigured]) -> None:
        self._now = only(self._now, configured[-1].watches)

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        now = dict(self._now)
        return lambda: self._families(now)

    @staticmethod
    def _families(now: dict[str, ProcessWatchStatus]) -> Iterator[Metric]:
        found = [((label(name),), one) for name, one in first(now)]
        by_watch = ("watch",)

        def each(name: str, about: str, field: str) -> Metric:
            rows = ((watch, getattr(one, field)) for watch, one in found)
            return gauge(f"process_watch_{name}", about, by_watch, rows)

        yield each("processes", "Processes that run.", "process_count")
        yield gauge(
            "process_watch_state",
            "1 for the state that the watch is in: ok, or what is not as expected.",
            ("watch", "state"),
            (row for watch, one in found for row in states(get_args(WatchState), watch, one.state)),
        )
        yield gauge(
            "process_watch_cpu_ratio",
            "CPU of its processes together since the sample before; 1 is one core.",
            by_watch,
            ((watch, ratio(one.cpu_percent)) for watch, one in found),
        )
        yield each(
            "resident_memory_bytes",
            "Resident memory of its processes together; shared pages count for each.",
            "mem_rss_bytes",
        )
        yield each("threads", "Threads of its processes together.", "threads")
        yield each(
            "open_files", "Open files together; absent if not all can be seen.", "open_files"
        )
        yield each("flapping", "1 if they end and are replaced again and again.", "flapping")
        yield counter(
            "process_watch_restarts",
            "Processes that ended and were replaced.",
            by_watch,
            ((watch, one.restarts) for watch, one in found),
        )

    def left_out(self) -> Row:
        """Give how many have no series."""
        return left_out("process_watch", self._now)
