"""Measures every mount: local ones in a thread, those that may hang in an fsworker child."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from etlmon.collectors.base import Batch
from etlmon.collectors.disk.select import hidden_by_usage, hidden_unasked
from etlmon.collectors.disk.usage import figures, judge
from etlmon.errors import CollectError
from etlmon.fsworker.failures import WorkerFailed
from etlmon.host.mounts import Usage, measure, read_mounts, unmounted_when_idle, waits_for
from etlmon.records.disk import FilesystemUsage
from etlmon.text import host_path, host_text
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
    from datetime import datetime

    from etlmon.collectors.base import CollectorContext
    from etlmon.config.node import DiskSection
    from etlmon.host.mounts import Mount

# Not a trouble of the file system: it is not this node's to look at, or it is gone again.
_NOT_OURS = {
    "EACCES": "this node may not look at it: permission denied",
    "EPERM": "this node may not look at it: permission denied",
    "ENOENT": "not reachable from where this node runs",
}
_MOST_NAMED = 5
_AUTOMOUNTED = "measured when it was mounted: asking again would keep it from being unmounted"


class _Probe:
    """A mount that is being asked: its answer, as soon as there is one."""

    done: Deferred[None]

    def __init__(self) -> None:
        self.answer: Usage | CollectError | None = None


class DiskCollector:
    """The usage of every mount, one batch a run.

    A mount that does not answer within ``probe_timeout`` is given as ``stale`` with its last
    known figures. What was last known is remembered by the whole line of mountinfo (the kernel
    gives out mount ids again), so that a new mount on the same place begins with nothing.
    """

    name = "disk"
    instance = ""

    def __init__(
        self, settings: DiskSection, interval_seconds: float, context: CollectorContext
    ) -> None:
        self.interval_seconds = interval_seconds
        self.settings = settings
        self._context = context
        self._last: dict[Mount, FilesystemUsage] = {}
        self._probes: dict[Mount, _Probe] = {}
        self._silent: set[Mount] = set()

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Give one batch with a FilesystemUsage for each mount, hidden ones too.

        Raises CollectError if the list of mounts cannot be read, and, after the batch has been
        given, if a mount does not answer.
        """
        now = utc(self._context.wall_clock())
        try:
            mounts = await self._context.in_thread(lambda: read_mounts(self._context.proc))
        except OSError as error:
            raise CollectError(f"cannot read the list of mounts: {error}") from error
        unasked = hidden_unasked(mounts)
        known = self._automounted_and_known(mounts)
        usages, failures = await self._measure(
            [m for m in mounts if m.mount_id not in unasked and m.mount_id not in known],
            waits_for(mounts),
        )
        hidden = (
            unasked
            | hidden_by_usage(mounts, usages)
            | {
                mount_id: _NOT_OURS[failure.errno_name]
                for mount_id, failure in failures.items()
                if isinstance(failure, WorkerFailed) and failure.errno_name in _NOT_OURS
            }
        )
        records = [
            _hidden(mount, hidden[mount.mount_id], now)
            if mount.mount_id in hidden
            else self._fresh(mount, usages[mount.mount_id], now)
            if mount.mount_id in usages
            else self._as_before(mount, str(failures.get(mount.mount_id, _AUTOMOUNTED)), now)
            for mount in mounts
        ]
        self._last = {
            mount: record
            for mount, record in zip(mounts, records, strict=True)
            if mount.mount_id not in unasked
        }
        self._silent = {
            mount
            for mount, record in zip(mounts, records, strict=True)
            if record.state == "stale" and mount.mount_id in failures
        }
        yield Batch(records)
        if self._silent:
            raise CollectError(_silence(self._silent))

    def _automounted_and_known(self, mounts: Iterable[Mount]) -> set[int]:
        """Give the ids of automounts that have answered once: they are left in peace."""
        automounted = unmounted_when_idle(mounts)
        return {
            mount.mount_id
            for mount in mounts
            if mount.mount_id in automounted
            and (last := self._last.get(mount)) is not None
            and (last.state == "hidden" or last.total_bytes is not None)
        }

    async def _measure(
        self, mounts: list[Mount], waits: Mapping[int, Mount]
    ) -> tuple[dict[int, Usage], dict[int, CollectError]]:
        """Give what was measured and what failed, by mount id.

        A mount that was silent the last time holds nobody up again: it is asked all the same, and
        its answer is taken by the first run after it has come.
        """
        local = [mount for mount in mounts if mount.mount_id not in waits]
        remote = [mount for mount in mounts if mount.mount_id in waits]
        self._begin_probes(remote, waits)
        awaited = [self._probes[mount].done for mount in remote if mount not in self._silent]
        measuring: list[Deferred[Any]] = [Deferred.fromCoroutine(self._measure_local(local))]
        measured, *_ = await gatherResults([*measuring, *awaited], consumeErrors=True)
        answers: dict[Mount, Usage | CollectError] = dict(zip(local, measured, strict=True))
        for mount in remote:
            answer = self._probes[mount].answer
            if answer is not None:
                del self._probes[mount]
            answers[mount] = answer or CollectError(str(self._last[mount].reason))
        usages: dict[int, Usage] = {}
        failures: dict[int, CollectError] = {}
        for mount, answer in answers.items():
            if isinstance(answer, Usage):
                usages[mount.mount_id] = answer
            else:
                failures[mount.mount_id] = answer
        return usages, failures

    def _begin_probes(self, remote: list[Mount], waits: Mapping[int, Mount]) -> None:
        """Ask the mounts that are not being asked; forget those that are gone."""
        for mount in self._probes.keys() - set(remote):
            self._probes.pop(mount).done.cancel()
        for mount in remote:
            if mount not in self._probes:
                probe = self._probes[mount] = _Probe()
                probe.done = Deferred.fromCoroutine(
                    self._probe(probe, mount, waits[mount.mount_id])
                )
                probe.done.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def _measure_local(self, mounts: list[Mount]) -> list[Usage | CollectError]:
        return await self._context.in_thread(lambda: [_measure_local(mount) for mount in mounts])

    async def _probe(self, probe: _Probe, mount: Mount, hangs_on: Mount) -> None:
        """Ask a mount that may hang, or lies behind one, through a child that may be killed."""
        try:
            probe.answer = await self._context.workers.statvfs(
                mount.mount_point,
                mount_point=host_path(hangs_on.mount_point),
                deadline_seconds=self.settings.probe_timeout,
            )
        except CollectError as error:
            probe.answer = error

    def _fresh(self, mount: Mount, usage: Usage, now: datetime) -> FilesystemUsage:
        measured = figures(usage)
        mount_point = host_path(mount.mount_point)
        level, level_by = (
            ("ok", None)
            if mount.read_only
            else judge(
                mount_point,
                measured["used_percent"],
                measured["inodes_used_percent"],
                self.settings,
            )
        )
        return FilesystemUsage(
            mount_point=mount_point,
            device=host_text(mount.device),
            fs_type=mount.fs_type,
            read_only=mount.read_only,
            level=level,
            level_by=level_by,
            collected_at=now,
            **measured,
        )

    def _as_before(self, mount: Mount, reason: str, now: datetime) -> FilesystemUsage:
        """Give what is known of a mount that was not measured this time.

        One that was hidden stays so: a second mount of a server that hangs is no second trouble.
        """
        last = self._last.get(mount)
        if last is not None and last.state == "hidden":
            return replace(last, collected_at=now)
        if last is None:
            return FilesystemUsage(
                mount_point=host_path(mount.mount_point),
                device=host_text(mount.device),
                fs_type=mount.fs_type,
                read_only=mount.read_only,
                state="stale",
                reason=reason,
                stale_since=now,
                collected_at=now,
            )
        since = last.stale_since if last.state == "stale" else last.collected_at
        return replace(last, state="stale", reason=reason, stale_since=since, collected_at=now)


def _silence(mounts: Collection[Mount]) -> str:
    names = sorted(host_path(mount.mount_point) for mount in mounts)
    shown = ", ".join(names[:_MOST_NAMED]) + (" ..." if len(names) > _MOST_NAMED else "")
    return f"{len(names)} mount{'' if len(names) == 1 else 's'} without an answer: {shown}"


def _hidden(mount: Mount, reason: str, now: datetime) -> FilesystemUsage:
    return FilesystemUsage(
        mount_point=host_path(mount.mount_point),
        device=host_text(mount.device),
        fs_type=mount.fs_type,
        read_only=mount.read_only,
        state="hidden",
        reason=reason,
        collected_at=now,
    )


def _measure_local(mount: Mount) -> Usage | CollectError:
    try:
        return measure(mount.mount_point)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "EIO")
        return WorkerFailed(name, f"{host_path(mount.mount_point)}: {error.strerror}")
