"""Where a directory is: on which mount, behind which server, and how a walk of it must behave."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from etlmon.errors import CollectError
from etlmon.host.mounts import covering, foreign_below, read_own_mounts, resolve, waits_for
from etlmon.text import host_path, host_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from etlmon.fsworker.pool import WorkerPool
    from etlmon.host.mounts import Mount

NFS = frozenset({"nfs", "nfs4"})

_ANSWER_SECONDS = 5.0
"""How long a file system that may hang has to answer before a walk of it begins."""
# How long a walk may make no progress. A local disk may be slow when it is busy: for it, as long as
# the kernel itself waits before it tells of a task that hangs.
_SILENCE_SECONDS = 30.0
_LOCAL_SILENCE_SECONDS = 120.0


class Surroundings(Protocol):
    """What it takes to look where a directory is; a CollectorContext has it."""

    @property
    def in_thread(self) -> Callable[[Callable[[], Any]], Awaitable[Any]]:
        """Runs a blocking function in a thread."""

    @property
    def workers(self) -> WorkerPool:
        """The children that ask what may hang."""

    @property
    def proc(self) -> Path:
        """Where procfs is."""


@dataclass(frozen=True)
class Place:
    """A directory and its mount; ``hangs_on`` is the mount that a call there may wait for."""

    path: bytes
    own: Mount | None
    hangs_on: Mount | None
    skip: list[bytes]

    @property
    def mount_point(self) -> str:
        """The name of the mount that a walk waits for, or else is on."""
        named = self.hangs_on or self.own
        return host_path(named.mount_point) if named else "/"

    @property
    def is_nfs(self) -> bool:
        """Whether its mount is one of NFS."""
        return self.own is not None and self.own.fs_type in NFS

    @property
    def server(self) -> str | None:
        """The server behind a mount of NFS (host:/export) or CIFS (//host/share)."""
        mount = self.hangs_on
        if mount is None:
            return None
        if mount.fs_type in NFS:
            return host_text(mount.device.partition(b":/")[0])
        if mount.device.startswith(b"//"):
            return host_text(mount.device[2:].partition(b"/")[0])
        return None

    def walk(self, max_ops_per_second: float | None) -> dict[str, Any]:
        """Give what an Order of any walk says of the place."""
        return {
            "path": self.path,
            "mount_point": self.mount_point,
            "silence_seconds": _SILENCE_SECONDS if self.hangs_on else _LOCAL_SILENCE_SECONDS,
            "skip": self.skip,
            "one_at_a_time": self.hangs_on is not None,
            "server": self.server,
            "max_ops_per_second": max_ops_per_second,
        }


def locate(proc: Path, configured: str) -> Place:
    """Find out where a configured path is; in a thread, for mounts may be many. Raises OSError."""
    path = os.fsencode(configured).rstrip(b"/") or b"/"
    mounts = read_own_mounts(proc)
    resolved = resolve(mounts, path)
    own = covering(mounts, resolved)
    return Place(
        path=path,
        own=own,
        hangs_on=waits_for(mounts).get(own.mount_id) if own else None,
        skip=foreign_below(mounts, resolved, own),
    )


async def reach(around: Surroundings, configured: str) -> Place:
    """Find out where a configured path is, and that its file system answers; else CollectError."""
    try:
        place: Place = await around.in_thread(lambda: locate(around.proc, configured))
    except OSError as error:
        raise CollectError(f"cannot read the list of mounts: {error}") from error
    if place.hangs_on is not None:
        # A walk of a mount that hangs would hold a child that others wait for.
        await around.workers.statvfs(
            place.path, mount_point=place.mount_point, deadline_seconds=_ANSWER_SECONDS
        )
    return place
