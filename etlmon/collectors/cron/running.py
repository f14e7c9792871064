"""Which processes of jobs run now. Blocks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from etlmon.host.process_table import ProcessTable, opened, read_arguments, read_owner
from etlmon.host.processes import TICKS_PER_SECOND, read_stat

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path

    from etlmon.collectors.cron.log import Event
    from etlmon.host.processes import ProcessStat

_SLACK_SECONDS = 10.0
"""How far a start in the log and one in the process table may be apart."""
_MOST_ANCESTORS = 50
_CRONS = frozenset((b"cron", b"crond", b"CRON", b"CROND"))


class Running:
    """The processes of one look; the whole table is read only if it is asked for."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._boot_at = _boot_seconds(proc)
        self._table: ProcessTable | None = None

    def began_at(self, pid: int) -> float | None:
        """Give when a process began, seconds since the epoch; None if it does not run."""
        found = self._stat(pid)
        return None if found is None else self._began(found)

    def is_alive(self, pid: int, since: datetime) -> bool:
        """Tell whether the process that began then still runs: a pid is given out again."""
        began = self.began_at(pid)
        return began is not None and abs(began - since.timestamp()) <= _SLACK_SECONDS

    def denies(self, event: Event) -> bool:
        """Tell whether a line of a log that anybody may write cannot be true.

        It is not where the process that it names began then and no cron of root's is above it, or
        where what it says is anacron's is another's. Of what has ended nothing can be told.
        """
        if event.teller == "anacron" and event.parent is not None:
            return self._is_another(event.parent, event.at, frozenset((b"anacron",)))
        if event.what != "start" or event.pid is None or not self.is_alive(event.pid, event.at):
            return False
        return not self._is_below_cron(event.pid)

    def _is_another(self, pid: int, at: datetime, names: Collection[bytes]) -> bool:
        """Tell whether a process was there at a moment, and is none of root's of these names."""
        found = self._stat(pid)
        began = None if found is None else self._began(found)
        if found is None or began is None or began > at.timestamp() + _SLACK_SECONDS:
            return False
        return found.comm not in names or self._uid(pid) not in (0, None)

    def _is_below_cron(self, pid: int) -> bool:
        """Tell whether a cron of root's is above a process, or what is cannot be read."""
        for _ in range(_MOST_ANCESTORS):
            found = self._stat(pid)
            if found is None:
                return True
            if found.comm in _CRONS and self._uid(pid) in (0, None):
                return True
            if pid == 1 or found.parent_pid == 0:
                return False
            pid = found.parent_pid
        return False

    def _stat(self, pid: int) -> ProcessStat | None:
        try:
            found = read_stat(self._proc, pid)
        except (OSError, ValueError):
            return None
        return None if found.has_ended else found

    def _uid(self, pid: int) -> int | None:
        try:
            with opened(self._proc) as proc_fd:
                owner = read_owner(proc_fd, pid)
        except OSError:
            return None
        return None if owner is None else owner[0]

    def child(self, parent: int, since: datetime) -> int | None:
        """Give the child of a process that began then, None if it does not run."""
        near = [
            (abs(began - since.timestamp()), found.pid)
            for found in self._stats().values()
            if found.parent_pid == parent and not found.has_ended
            for began in [self._began(found)]
            if began is not None
        ]
        apart, pid = min(near, default=(_SLACK_SECONDS + 1, 0))
        return pid if apart <= _SLACK_SECONDS else None

    def of_script(self, path: bytes, ancestors: Collection[int]) -> list[int]:
        """Give the processes below ``ancestors`` that were started by the path of a script."""
        stats = self._stats()
        below = [pid for pid in stats if self._is_below(pid, ancestors)]
        found = []
        with opened(self._proc) as proc_fd:
            for pid in below:
                arguments = (read_arguments(proc_fd, pid) or b"").split(b"\0", 4)[:4]
                # The name of the interpreter may stand before it, with an option.
                if path in arguments and not stats[pid].has_ended:
                    found.append(pid)
        # A shell's own copies of itself run by the same words.
        return [pid for pid in found if stats[pid].parent_pid not in found]

    def _is_below(self, pid: int, ancestors: Collection[int]) -> bool:
        stats = self._stats()
        for _ in range(_MOST_ANCESTORS):
            stat = stats.get(pid)
            if stat is None:
                return False
            pid = stat.parent_pid
            if pid in ancestors:
                return True
        return False

    def _stats(self) -> dict[int, ProcessStat]:
        if self._table is None:
            self._table = ProcessTable()
            try:
                with opened(self._proc) as proc_fd:
                    self._table.look(proc_fd)
            except OSError:
                pass  # nothing is seen to run, then
        return self._table.stats

    def _began(self, found: ProcessStat) -> float | None:
        if self._boot_at is None:
            return None
        return self._boot_at + found.start_ticks / TICKS_PER_SECOND


def _boot_seconds(proc: Path) -> float | None:
    """Give when the host was booted, seconds since the epoch."""
    try:
        text = (proc / "stat").read_text("ascii", "replace")
    except OSError:
        return None
    found = re.search(r"^btime ([0-9]+)$", text, re.MULTILINE)
    return float(found[1]) if found else None
