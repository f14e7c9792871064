"""What collectors see: file systems, paths, watches of processes.

Each takes the records that its collector gives and keeps the newest value of each series.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

from etlmon.api.metrics.families import (
    Each,
    Named,
    counter,
    first,
    gauge,
    label,
    only,
    ratio,
    seconds,
    seconds_since_epoch,
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

    from etlmon.api.metrics.families import Takers

_LEVELS: tuple[str, ...] = get_args(Level)
_SCAN_ENDS = tuple(word for word in get_args(PathStatus) if word != "SCANNING")


class Filesystems(Named[FilesystemUsage]):
    """The mounts that df shows, by mount point."""

    kind = "filesystem"

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Takers = {FilesystemUsage: self._measured}

    def _measured(self, usages: Sequence[FilesystemUsage]) -> None:
        """Take the mounts of one run, which are all that there are."""
        self._now = {label(usage.mount_point): usage for usage in usages if usage.state != "hidden"}

    def _families(self, now: dict[str, FilesystemUsage]) -> Iterator[Metric]:
        found = first(now)
        each = Each("filesystem", ("mount_point",), [((mount,), one) for mount, one in found])
        yield gauge(
            "filesystem_info",
            "What is mounted where; always 1.",
            ("mount_point", "device", "fs_type"),
            (((mount, label(usage.device), label(usage.fs_type)), 1.0) for mount, usage in found),
        )
        yield each.gauge("size_bytes", "Size of the file system.", lambda one: one.total_bytes)
        yield each.gauge("used_bytes", "Bytes in use.", lambda one: one.used_bytes)
        yield each.gauge(
            "avail_bytes",
            "Bytes that an ordinary user can still write.",
            lambda one: one.avail_bytes,
        )
        yield each.gauge(
            "used_ratio",
            "used / (used + avail), df's rule, 0 to 1.",
            lambda one: ratio(one.used_percent),
        )
        yield each.gauge(
            "inodes",
            "Inodes; absent where the file system makes them.",
            lambda one: one.inodes_total,
        )
        yield each.gauge("inodes_used", "Inodes in use.", lambda one: one.inodes_used)
        yield each.gauge("read_only", "1 if it is mounted read-only.", lambda one: one.read_only)
        yield each.gauge(
            "level",
            "The node's judgement by its thresholds: 0 ok, 1 warning, 2 critical.",
            lambda one: _LEVELS.index(one.level) if one.level in _LEVELS else None,
        )
        yield each.gauge(
            "stale",
            "1 if it does not answer: its other values are the last known.",
            lambda one: one.state == "stale",
        )


@dataclass(frozen=True)
class _Path:
    is_scanning: bool = False
    last: PathScanned | None = None
    complete: PathScanned | None = None
    ends: Counter[str] = field(default_factory=Counter)


class Paths(Named[_Path]):
    """The configured paths, by path. Counts come from complete scans alone."""

    kind = "path"

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Takers = {
            PathScanStarted: self._started,
            PathScanned: self._scanned,
            PathScanCancelled: self._cancelled,
            PathsConfigured: self._configured,
        }

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

    def _families(self, now: dict[str, _Path]) -> Iterator[Metric]:
        found = [((label(path),), one) for path, one in first(now)]
        each = Each("path", ("path",), found)
        complete = Each(
            "path", ("path",), [(path, one.complete) for path, one in found if one.complete]
        )
        ended = Each("path", ("path",), [(path, one.last) for path, one in found if one.last])
        yield complete.gauge(
            "files",
            "Regular files below the path in the newest complete scan.",
            lambda scan: scan.file_count,
        )
        yield complete.gauge(
            "directories",
            "Directories below the path in the newest complete scan.",
            lambda scan: scan.dir_count,
        )
        yield complete.gauge(
            "others",
            "Links, sockets, fifos and devices below the path in the newest complete scan.",
            lambda scan: scan.other_count,
        )
        yield complete.gauge(
            "newest_change_timestamp_seconds",
            "Newest modification time of the directories in the newest complete scan.",
            lambda scan: seconds_since_epoch(scan.newest_change_at),
        )
        yield complete.gauge(
            "last_complete_scan_timestamp_seconds",
            "When the newest complete scan ended.",
            lambda scan: seconds_since_epoch(scan.collected_at),
        )
        yield ended.gauge(
            "last_scan_timestamp_seconds",
            "When the newest scan ended, however it did.",
            lambda scan: seconds_since_epoch(scan.collected_at),
        )
        yield ended.gauge(
            "scan_duration_seconds",
            "How long the newest scan took.",
            lambda scan: seconds(scan.scan_duration_ms),
        )
        yield ended.gauge(
            "scan_complete",
            "1 if the newest scan counted everything, 0 if it is partial or failed.",
            lambda scan: scan.complete,
        )
        yield each.gauge("scanning", "1 while a scan is running.", lambda one: one.is_scanning)
        yield counter(
            "path_scans",
            "Scans that have ended, by how they did.",
            ("path", "status"),
            (((*path, end), float(one.ends[end])) for path, one in found for end in _SCAN_ENDS),
        )


class Watches(Named[ProcessWatchStatus]):
    """The watches of processes, by name; never a series for one process."""

    kind = "process_watch"

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Takers = {ProcessWatchStatus: self._seen, WatchesConfigured: self._configured}

    def _seen(self, watches: Sequence[ProcessWatchStatus]) -> None:
        self._now |= {one.watch: one for one in watches}

    def _configured(self, configured: Sequence[WatchesConfigured]) -> None:
        self._now = only(self._now, configured[-1].watches)

    def _families(self, now: dict[str, ProcessWatchStatus]) -> Iterator[Metric]:
        found = [((label(name),), one) for name, one in first(now)]
        each = Each("process_watch", ("watch",), found)
        yield each.gauge("processes", "Processes that run.", lambda one: one.process_count)
        yield each.states(
            "1 for the state that the watch is in: ok, or what is not as expected.",
            get_args(WatchState),
            lambda one: one.state,
        )
        yield each.gauge(
            "cpu_ratio",
            "CPU of its processes together since the sample before; 1 is one core.",
            lambda one: ratio(one.cpu_percent),
        )
        yield each.gauge(
            "resident_memory_bytes",
            "Resident memory of its processes together; shared pages count for each.",
            lambda one: one.mem_rss_bytes,
        )
        yield each.gauge("threads", "Threads of its processes together.", lambda one: one.threads)
        yield each.gauge(
            "open_files",
            "Open files together; absent if not all can be seen.",
            lambda one: one.open_files,
        )
        yield each.gauge(
            "flapping", "1 if they end and are replaced again and again.", lambda one: one.flapping
        )
        yield each.counter(
            "restarts", "Processes that ended and were replaced.", lambda one: one.restarts
        )
