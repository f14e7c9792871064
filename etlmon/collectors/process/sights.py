"""What watched processes are like, read again only where it may have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from etlmon.collectors.process.facts import Sighting, counters, shown
from etlmon.host.processes import Identity

if TYPE_CHECKING:
    from collections.abc import Collection

    from etlmon.collectors.process.facts import Candidate
    from etlmon.host.users import Users


class _Details(NamedTuple):
    """What of a watched process seldom changes."""

    start_ticks: int
    mark: tuple[bytes, bytes, bytes]
    comm: bytes
    owner: tuple[int, int | None] | None
    exe: str | None
    cgroup: str | None


class _Counted(NamedTuple):
    """What a process had open and had made disks do when its clock of CPU showed so much."""

    start_ticks: int
    cpu_ns: int
    open_files: int
    disk_bytes: tuple[int, int]


class _Said(NamedTuple):
    """What a process is called, and what that was made of: to redact a line takes long."""

    start_ticks: int
    comm: bytes
    arguments: int
    name: str
    line: str | None


class Sights:
    """Makes sightings, and remembers of each process what need not be read anew."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._details: dict[int, _Details] = {}
        self._counted: dict[int, _Counted] = {}
        self._said: dict[int, _Said] = {}

    def of(
        self, one: Candidate, boot_id: str, proc_fd: int, *, is_due: bool, detailed: bool
    ) -> Sighting:
        """Give the sighting of a process; with ``is_due`` all is read, whatever speaks against it.

        Open files and the bytes of disks are None if it is not to be ``detailed``.
        """
        stat, pid = one.stat, one.stat.pid
        details = self._details.get(pid)
        if (
            details is None
            or is_due
            or details[:3] != (stat.start_ticks, stat.program_mark, stat.comm)
        ):
            details = self._details[pid] = _Details(
                *(stat.start_ticks, stat.program_mark, stat.comm),
                *(one.owner, one.exe, one.cgroup),
            )
        said = self._said.get(pid)
        made_of = (stat.start_ticks, stat.comm, one.arguments_hash)
        if said is None or said[:3] != made_of:
            line = None if one.line is None else shown(one.line)
            said = self._said[pid] = _Said(*made_of, one.name, line)
        open_files, disk_bytes = (
            self._counters(one, proc_fd, is_due=is_due) if detailed else (None, None)
        )
        uid, container_pid = details.owner or (None, None)
        return Sighting(
            identity=Identity(boot_id, pid, stat.start_ticks),
            name=said.name,
            line=said.line,
            stat=stat,
            uid=uid,
            container_pid=container_pid,
            exe=details.exe,
            cgroup=details.cgroup,
            open_files=open_files,
            disk_bytes=disk_bytes,
            user=None if uid is None else self._users.name(uid),
        )

    def _counters(
        self, one: Candidate, proc_fd: int, *, is_due: bool
    ) -> tuple[int | None, tuple[int, int] | None]:
        """Give the open files and the bytes of disks; they are read only where it has run since."""
        start_ticks, pid, clocked = one.stat.start_ticks, one.stat.pid, one.cpu_ns
        counted = self._counted.get(pid)
        if counted is not None and not is_due and counted[:2] == (start_ticks, clocked):
            return counted.open_files, counted.disk_bytes
        open_files, disk_bytes = counters(proc_fd, pid)
        if clocked is not None and open_files is not None and disk_bytes is not None:
            self._counted[pid] = _Counted(start_ticks, clocked, open_files, disk_bytes)
        return open_files, disk_bytes

    def keep(self, pids: Collection[int]) -> None:
        """Forget all others."""
        for kept in (self._details, self._counted, self._said):
            for pid in kept.keys() - pids:
                del kept[pid]
