"""What the collector of cron sees: files, and how their jobs went."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from etlmon.api.metrics.families import gauge, seconds_since_epoch
from etlmon.records.cron import CronEntry, CronFile, CronHistory, CronListing, FileStatus, is_missed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from etlmon.api.metrics.families import Families, Row, Takers


_STATUSES: tuple[str, ...] = get_args(FileStatus)


class Cron:
    """All jobs together: a series for each would be without bound, and new with each edit.

    What a single job did is at ``/cron``.
    """

    def __init__(self) -> None:
        self.kinds: Takers = {
            CronEntry: self._entries,
            CronFile: self._files,
            CronHistory: self._histories,
            CronListing: self._listed,
        }
        self._job: dict[str, CronEntry] = {}
        self._file: dict[str, CronFile] = {}
        self._history: dict[str, CronHistory] = {}
        self._checked_at: float | None = None

    def _entries(self, entries: Sequence[CronEntry]) -> None:
        self._job |= {entry.job_id: entry for entry in entries}

    def _files(self, files: Sequence[CronFile]) -> None:
        self._file |= {file.path: file for file in files}

    def _histories(self, histories: Sequence[CronHistory]) -> None:
        self._history |= {history.job_id: history for history in histories}

    def _listed(self, listings: Sequence[CronListing]) -> None:
        """Forget what is gone; histories of the jobs that there are may come after it."""
        newest = listings[-1]
        jobs, paths = set(newest.job_ids), set(newest.paths)
        self._job = {job: entry for job, entry in self._job.items() if job in jobs}
        self._file = {path: file for path, file in self._file.items() if path in paths}
        self._history = {job: one for job, one in self._history.items() if job in jobs}
        self._checked_at = seconds_since_epoch(newest.last_checked)

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        if self._checked_at is None:
            return lambda: _families([], [], [], None)
        jobs = Counter(entry.file_status for entry in self._job.values())
        files = Counter(file.status for file in self._file.values())
        history = [self._history[job] for job in self._job if job in self._history]
        counts = [
            ("failed", sum(bool(one.last_exit) for one in history)),
            ("late", sum(one.late_since is not None for one in history)),
            ("missed", sum(is_missed(one) for one in history)),
            ("overlapping", sum(bool(one.overlap) for one in history)),
            ("running", sum(bool(one.running_pids) for one in history)),
        ]
        checked_at = self._checked_at
        return lambda: _families(
            [((word,), float(jobs[word])) for word in _STATUSES],
            [((word,), float(files[word])) for word in _STATUSES],
            [((word,), float(count)) for word, count in counts],
            checked_at,
        )

    def left_out(self) -> Row:
        """Say nothing: all are added up, so that none is left out."""
        return ("cron",), None


def _families(
    jobs: Sequence[Row], files: Sequence[Row], ends: Sequence[Row], checked_at: float | None
) -> Iterator[Metric]:
    yield gauge(
        "cron_jobs", "Jobs, by what the daemon makes of their file.", ("file_status",), jobs
    )
    yield gauge(
        "cron_files", "Files of cron, by what the daemon makes of them.", ("status",), files
    )
    yield gauge(
        "cron_jobs_by_history",
        "Jobs whose last run failed, that are late, that missed the last one, that overlap, "
        "that run now.",
        ("what",),
        ends,
    )
    yield gauge(
        "cron_checked_timestamp_seconds",
        "When the files of cron were last looked at.",
        rows=[((), checked_at)],
    )
