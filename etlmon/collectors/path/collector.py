"""Counts what is below one configured path, in an fsworker child."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError

from etlmon.collectors.base import Batch
from etlmon.collectors.path.children import counted_children
from etlmon.collectors.path.exclude import compile_exclude
from etlmon.collectors.path.underway import UnderWay
from etlmon.errors import CollectError, EtlmonError
from etlmon.fsworker.failures import WorkerDied, WorkerStopped, WorkerTimeout
from etlmon.fsworker.places import NFS, locate, reach
from etlmon.fsworker.scan import ScanOrder, ScanOutcome
from etlmon.records.path import (
    PathScanCancelled,
    PathScanned,
    PathScanProgress,
    PathScanStarted,
    PathStatus,
)
from etlmon.units import format_duration, utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from etlmon.collectors.base import CollectorContext
    from etlmon.config.node import PathSection
    from etlmon.fsworker.scan import ScanProgress
    from etlmon.host.mounts import Mount


# File systems that give a directory new times with each change of its entries. Others may not (a
# FUSE server does as it likes, /proc and /sys do not), so their directories are always listed.
_RELIABLE_TIMES = frozenset(
    "bcachefs btrfs exfat ext2 ext3 ext4 f2fs jfs nilfs2 overlay tmpfs vfat xfs zfs".split()
)
# How old a change must be to be told from the next one: the coarsest times are those of FAT, 2 s.
# On NFS the clock is the server's, and what it says of a directory may be a minute old (acdirmax).
_SETTLE_SECONDS = 2.0
_NFS_SETTLE_SECONDS = 120.0
# Calls at a time where each takes long to answer. A local disk gains nothing by threads.
_PARALLELISM = 4
# How far the schedules of paths on a server are spread.
_SPREAD_SHARE = 0.1
_MAX_SPREAD_SECONDS = 60.0


class PathCollector:
    """One configured path: a batch when its scan begins, and one when it has ended.

    A scan that fails is a result too (status ERROR, with the reason): it is stored, and the next
    one comes at its time.
    """

    name = "path"

    def __init__(
        self, settings: PathSection, interval_seconds: float, context: CollectorContext
    ) -> None:
        self.instance = settings.path
        self.interval_seconds = interval_seconds
        self.settings = settings
        self._context = context
        self._exclude = compile_exclude(settings.exclude)
        self._generation = 0
        self._generation_began: float | None = None
        self._scan: UnderWay | None = None

    async def spread_seconds(self) -> float:
        """Give a part of the interval that host and path determine, on a mount with a server.

        Nodes that are started together would else scan one server at the same moments for ever.
        """
        try:
            share = await self._context.in_thread(self._share)
        except OSError:
            return 0.0  # The scan will tell.
        return share * min(self.interval_seconds * _SPREAD_SHARE, _MAX_SPREAD_SECONDS)

    def _share(self) -> float:
        """Give 0 to 1 for this path on this host; 0 where there is no server to spare."""
        if locate(self._context.proc, self.settings.path).server is None:
            return 0.0
        host = (self._context.proc / "sys/kernel/hostname").read_bytes().strip()
        text = host + b"\0" + os.fsencode(self.settings.path)
        return int.from_bytes(blake2b(text, digest_size=4).digest()) / 2**32

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Give a PathScanStarted, now and then a PathScanProgress, at last the PathScanned.

        Raises what made the status ERROR, after the result has been given.
        """
        path = self.settings.path
        started_at = utc(self._context.wall_clock())
        started = self._context.monotonic_clock()
        yield Batch(
            [PathScanStarted(path=path, scan_started_at=started_at, next_scan_at=next_run_at)]
        )
        failure: Exception | None = None
        outcome: ScanOutcome | None = None
        began = self._generation_began
        if began is None or started - began >= self.settings.full_every:
            # All is listed from now on: by those that follow where this scan is cut short.
            self._generation += 1
            self._generation_began = started
        scan = self._scan = None
        try:
            order = await self._order()
            around = self._context
            scan = self._scan = UnderWay(
                around.workers, order, around.reactor, around.monotonic_clock, started
            )
            while await scan.has_news():
                heard = scan.heard
                yield Batch(
                    [
                        PathScanProgress(
                            path=path,
                            scan_file_count=heard.files if heard else None,
                            scan_dir_count=heard.dirs if heard else None,
                            scan_waits_for=scan.waits_for,
                        )
                    ]
                )
            outcome = scan.outcome()
        except (WorkerStopped, CancelledError):
            raise
        except (WorkerTimeout, WorkerDied) as error:
            failure, outcome = error, error.partial
        except Exception as error:
            failure = error  # whatever it is: the path must not show SCANNING for ever
        finally:
            if scan is not None:
                scan.cancel()  # where the run has been cancelled while a batch was stored
        if failure is None and outcome is not None and outcome.stopped == "timeout":
            limit = format_duration(self.settings.timeout)
            failure = CollectError(f"stopped at the timeout of {limit}")
        duration_ms = round((self._context.monotonic_clock() - started) * 1000)
        status, message = self._verdict(outcome, failure)
        scanned = PathScanned(
            path=path,
            file_count=outcome.files if outcome else None,
            dir_count=outcome.dirs if outcome else None,
            other_count=outcome.others if outcome else None,
            scan_duration_ms=duration_ms,
            status=status,
            error_message=message,
            collected_at=utc(self._context.wall_clock()),
            complete=status == "OK",
            newest_change_at=outcome.newest_change_at if outcome else None,
            scanned_dirs=outcome.listed_dirs if outcome else None,
            reused_dirs=outcome.reused_dirs if outcome else None,
            skipped_mounts=outcome.skipped_mounts if outcome else None,
            troubles=outcome.troubles if outcome else [],
            next_scan_at=next_run_at,
        )
        if scanned.complete and outcome is not None:
            yield Batch([scanned, counted_children(path, outcome, scanned.collected_at)])
        else:
            yield Batch([scanned])
        if failure is not None:
            raise failure

    def cancelled(self, seconds: float) -> PathScanCancelled:
        """Give what is known of a scan that has just been cancelled, ``seconds`` after it began."""
        heard = self._scan.heard if self._scan is not None else None
        return PathScanCancelled(
            path=self.settings.path,
            file_count=heard.files if heard else None,
            dir_count=heard.dirs if heard else None,
            other_count=heard.others if heard else None,
            scanned_dirs=heard.listed if heard else None,
            reused_dirs=heard.reused if heard else None,
            scan_duration_ms=round(seconds * 1000),
            error_message=f"cancelled, {_counted(heard)}" if heard else "cancelled",
            collected_at=utc(self._context.wall_clock()),
        )

    async def _order(self) -> ScanOrder:
        """Give what to scan; raises CollectError if its file system does not answer."""
        place = await reach(self._context, self.settings.path)
        return ScanOrder(
            **place.walk(self.settings.max_ops_per_second),
            parallelism=(self.settings.parallelism or _PARALLELISM) if place.hangs_on else 1,
            max_depth=self.settings.max_depth,
            exclude=self._exclude,
            max_files=self.settings.max_files_per_scan,
            timeout_seconds=self.settings.timeout,
            remember=self._may_reuse(place.own, place.hangs_on),
            generation=self._generation,
            settle_seconds=_NFS_SETTLE_SECONDS if place.is_nfs else _SETTLE_SECONDS,
        )

    def _may_reuse(self, own: Mount | None, hangs_on: Mount | None) -> bool:
        """Tell whether the times of directories say if they have changed."""
        if own is None or self.settings.rescan == "full":
            return False
        if own.fs_type in NFS:
            return self.settings.rescan == "incremental"
        return hangs_on is None and own.fs_type in _RELIABLE_TIMES

    def _verdict(
        self, outcome: ScanOutcome | None, failure: Exception | None
    ) -> tuple[PathStatus, str | None]:
        """Give the status of a scan and the message that goes with it."""
        counted = _counted(outcome) if outcome else ""
        if failure is not None or outcome is None:
            said = str(failure) if isinstance(failure, EtlmonError) else repr(failure)
            return "ERROR", f"{said}, {counted}" if counted else said
        if outcome.stopped == "max_files":
            limit = f"{self.settings.max_files_per_scan:,}"
            return "PARTIAL", f"stopped at max_files_per_scan, {limit} files; {counted}"
        if outcome.troubles:
            number = sum(trouble.count for trouble in outcome.troubles)
            first = outcome.troubles[0]
            places = "directory" if number == 1 else "directories"
            return (
                "PARTIAL",
                f"{number:,} {places} could not be read: {first.kind}, for example {first.example}",
            )
        return "OK", None


def _counted(found: ScanOutcome | ScanProgress) -> str:
    return f"{found.files + found.dirs + found.others:,} entries counted"
