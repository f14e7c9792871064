"""One look at all processes: which of them are watched, and how those are. Runs in a thread."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from etlmon.collectors.process.facts import (
    Candidate,
    has_ended,
    is_ours,
    stat_of,
)
from etlmon.collectors.process.rules import Rule
from etlmon.collectors.process.sights import Sights
from etlmon.host.pidfds import Exit, has_exited, open_pidfd, read_exit
from etlmon.host.process_table import ProcessTable, may_read_others, opened
from etlmon.host.processes import Identity, own_pid, read_boot_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from etlmon.collectors.process.facts import Sighting
    from etlmon.config.watched import ProcessWatch
    from etlmon.host.processes import ProcessStat
    from etlmon.host.users import Users
    from etlmon.redaction import Redaction

_MOST_PIDFDS = 256
_DETAILS_EVERY_LOOKS = 12
_MOST_ABOVE = 1_000
_MOST_DETAILED = 500
"""Of more processes in one watch, open files and disk bytes are not counted."""


@dataclass
class Selected:
    """What one watch selects, by pid."""

    met: list[int] = field(default_factory=list)
    """Those that meet its criteria."""
    children: list[int] = field(default_factory=list)
    """Those below them, if it asks for these."""
    untold: list[int] = field(default_factory=list)
    """Those of which could not be read whether they meet its criteria."""


@dataclass(frozen=True)
class Look:
    """What one look has found."""

    sightings: Mapping[int, Sighting]
    selected: Mapping[str, Selected]
    """By the watch's label."""
    exits: Mapping[Identity, Exit | None]
    """Those watched before that have ended, and how, where that can be known."""
    hidden: frozenset[Identity]
    """Those watched before that cannot be seen any more, though nothing says that they ended."""
    sees_all: bool
    """Whether no process of the host is hidden."""

    def labels(self) -> dict[int, list[str]]:
        """Give the watches of each process that any of them selects, by pid."""
        found: dict[int, list[str]] = {}
        for label, selected in self.selected.items():
            for pid in (*selected.met, *selected.children):
                found.setdefault(pid, []).append(label)
        return found


class _Judged(NamedTuple):
    """Which rules select a process, by their place, and what that was judged by."""

    start_ticks: int
    comm: bytes
    mark: tuple[bytes, bytes, bytes]
    arguments: int
    rules: tuple[int, ...]
    untold: tuple[int, ...]
    fitting: tuple[int, ...]
    """Of the rules that look at more, those that would select it as far as its arguments go."""
    look: int


class Observer:
    """Looks again and again, and remembers what need not be read anew.

    ``everything`` gives sightings of all processes, watched or not. etlmon's own process and its
    workers are never watched: their command lines hold words that others are looked for by.
    """

    def __init__(
        self,
        proc: Path,
        watches: Sequence[ProcessWatch],
        redaction: Redaction,
        users: Users,
        *,
        everything: bool = False,
        with_pidfds: bool = False,
    ) -> None:
        self._proc = proc
        self._rules = [Rule(watch, users) for watch in watches]
        self._redaction = redaction
        self._everything = everything
        self._with_pidfds = with_pidfds
        self._by_more = [
            place for place, rule in enumerate(self._rules) if rule.by_more_than_arguments
        ]
        self._table = ProcessTable()
        self._judged: dict[int, _Judged] = {}
        self._concerned: set[int] = set()
        """Those that a rule selects, or may select."""
        self._sights = Sights(users)
        self._clocks: dict[int, int | None] = {}
        """What the clocks of processes showed just before their arguments were read."""
        self._has_clocks = False
        self._children: dict[str, set[tuple[int, int]]] = {}
        self._parents: dict[int, int] = {}
        self._below: dict[int, list[int]] = {}
        """The children of each process, as ``_parents`` tell them."""
        self._watched: dict[int, Identity] = {}
        self._looks = 0
        self._boot_id: str | None = None
        self._privileged = False
        self._lock = Lock()
        self._unclaimed: dict[Identity, int] = {}
        self._closed = False

    def look(self, pidfds: Mapping[Identity, int]) -> Look:
        """Look at all processes; ``pidfds`` are the descriptors that were claimed and are open.

        Raises OSError or ValueError if procfs cannot be read.
        """
        with self._lock, opened(self._proc) as proc_fd:
            return self._look(proc_fd, pidfds)

    def watches_of(self, identity: Identity) -> list[str] | None:
        """Give the watches that select a process as it is now; None if it is not there.

        Only it and those above it are looked at. Raises OSError or ValueError if procfs cannot be
        read.
        """
        with self._lock, opened(self._proc) as proc_fd:
            if identity.boot_id != read_boot_id(self._proc):
                return None
            found: set[str] = set()
            itself, pid = own_pid(self._proc), identity.pid
            for _ in range(_MOST_ABOVE):
                stat = stat_of(proc_fd, pid)
                if pid == identity.pid and (
                    stat is None or stat.start_ticks != identity.start_ticks
                ):
                    return None
                if stat is None:
                    break
                one = Candidate(stat, proc_fd, self._redaction)
                if not is_ours(one, itself):
                    found.update(
                        rule.label
                        for rule in self._rules
                        if (rule.with_children or pid == identity.pid) and rule.selects(one)
                    )
                pid = stat.parent_pid
            return [rule.label for rule in self._rules if rule.label in found]

    @property
    def processes(self) -> int:
        """How many processes the last look has seen."""
        return len(self._table.stats)

    def claim(self) -> dict[Identity, int]:
        """Give the descriptors of processes newly watched; the caller closes them."""
        with self._lock:
            claimed, self._unclaimed = self._unclaimed, {}
            return claimed

    def close(self) -> None:
        """Close what nobody has claimed, and open nothing any more. Waits for a look to end."""
        with self._lock:
            self._closed = True
            for descriptor in self._unclaimed.values():
                os.close(descriptor)
            self._unclaimed = {}

    def _look(self, proc_fd: int, pidfds: Mapping[Identity, int]) -> Look:
        self._looks += 1
        if self._boot_id is None:
            self._boot_id = read_boot_id(self._proc)
            self._privileged = may_read_others(self._proc)
        itself = own_pid(self._proc)
        self._has_clocks = itself == os.getpid()
        read = self._table.look(proc_fd, None if self._everything else self._watched)
        stats = self._table.stats
        candidates = self._judge(proc_fd, read, itself)
        self._note_parents(stats, read)
        selected = self._select(stats)
        wanted = (
            stats.keys()
            if self._everything
            else {pid for one in selected.values() for pid in (*one.met, *one.children)}
        )
        plain = {pid for one in selected.values() for pid in one.met[_MOST_DETAILED:]}
        sightings = {
            pid: self._sights.of(
                candidates.get(pid) or self._candidate(proc_fd, stats[pid]),
                self._boot_id,
                proc_fd,
                is_due=self._is_due(pid),
                detailed=pid not in plain,
            )
            for pid in sorted(wanted)
        }
        self._sights.keep(sightings)
        exits, hidden = self._exits(pidfds)
        untold = {pid for one in selected.values() for pid in one.untold}
        self._watched = {
            **{pid: one for pid, one in self._watched.items() if one in hidden or pid in untold},
            **{pid: one.identity for pid, one in sightings.items()},
        }
        self._open(selected, sightings, pidfds)
        return Look(sightings, selected, exits, frozenset(hidden), self._table.sees_all)

    def _judge(
        self, proc_fd: int, read: Collection[int], itself: int | None
    ) -> dict[int, Candidate]:
        """Find the rules for the processes that have been read, where anything has changed."""
        stats, judged = self._table.stats, self._judged
        candidates = {}
        for pid in read:
            stat = stats[pid]
            one = candidates[pid] = self._candidate(proc_fd, stat)
            before = judged.get(pid)
            if stat.has_ended and before is not None and before.start_ticks == stat.start_ticks:
                continue  # a zombie has no arguments any more
            made_of = (stat.start_ticks, stat.comm, stat.program_mark, self._hash(one, before))
            again: Iterable[int] = range(len(self._rules))
            fitting: tuple[int, ...] | None = None
            verdicts: dict[int, bool | None] = {}
            if before is not None and before[:4] == made_of:
                if not self._by_more or self._looks - before.look < _DETAILS_EVERY_LOOKS:
                    continue
                # What the arguments have told they would tell again.
                again = fitting = before.fitting
                verdicts = {**dict.fromkeys(before.rules, True), **dict.fromkeys(before.untold)}
            ours = is_ours(one, itself)
            for place in again:
                verdicts[place] = False if ours else self._rules[place].selects(one)
            if fitting is None:
                fitting = tuple(
                    place for place in self._by_more if self._rules[place].fits(one) is not False
                )
            if None in verdicts.values() and has_ended(proc_fd, pid):
                verdicts = {place: bool(verdict) for place, verdict in verdicts.items()}
            judged[pid] = _Judged(
                *made_of,
                tuple(sorted(place for place, verdict in verdicts.items() if verdict)),
                tuple(sorted(place for place, verdict in verdicts.items() if verdict is None)),
                fitting,
                self._looks,
            )
            if judged[pid].rules or judged[pid].untold:
                self._concerned.add(pid)
            else:
                self._concerned.discard(pid)
        for pid in judged.keys() - stats.keys():
            del judged[pid]
            self._clocks.pop(pid, None)
            self._concerned.discard(pid)
        return candidates

    def _select(self, stats: Mapping[int, ProcessStat]) -> dict[str, Selected]:
        selected = {rule.label: Selected() for rule in self._rules}
        for pid in self._concerned:
            judged = self._judged[pid]
            for place in judged.rules:
                selected[self._rules[place].label].met.append(pid)
            for place in judged.untold:
                selected[self._rules[place].label].untold.append(pid)
        asking = [
            rule.label
            for rule in self._rules
            if rule.with_children and (selected[rule.label].met or self._children.get(rule.label))
        ]
        for label in asking:
            self._add_children(label, selected[label], stats)
        for one in selected.values():
            one.met.sort()
        return selected

    def _note_parents(self, stats: Mapping[int, ProcessStat], read: Collection[int]) -> None:
        """Note which processes are below which, if that has changed: all that are new were read."""
        parents = self._parents
        if len(parents) == len(stats) and all(
            parents.get(pid) == stats[pid].parent_pid for pid in read
        ):
            return
        self._parents = {pid: stat.parent_pid for pid, stat in stats.items()}
        self._below = {}
        for pid, parent_pid in self._parents.items():
            self._below.setdefault(parent_pid, []).append(pid)

    def _add_children(
        self,
        label: str,
        selected: Selected,
        stats: Mapping[int, ProcessStat],
    ) -> None:
        """Add what is below the processes of a watch; what was so once is so until it ends.

        A child whose parent has ended is handed on to another one, and belongs to the work all
        the same.
        """
        met = set(selected.met)
        adopted = self._children.get(label, set())
        still = {pid for pid, start in adopted if pid in stats and stats[pid].start_ticks == start}
        found: set[int] = set()
        pending = [*met, *still]
        while pending:
            pid = pending.pop()
            if pid not in found:
                found.add(pid)
                pending += self._below.get(pid, ())
        selected.children = sorted(found - met)
        self._children[label] = {(pid, stats[pid].start_ticks) for pid in selected.children}

    def _hash(self, one: Candidate, before: _Judged | None) -> int:
        """Give what changes with the arguments; they are read only where it has run since."""
        stat, clocked = one.stat, one.cpu_ns
        if (
            before is not None
            and clocked is not None
            and clocked == self._clocks.get(stat.pid)
            and before[:3] == (stat.start_ticks, stat.comm, stat.program_mark)
            and not self._is_due(stat.pid)
        ):
            one.keeps_arguments(before.arguments)
        else:
            self._clocks[stat.pid] = None if one.raw_arguments is None else clocked
        return one.arguments_hash

    def _candidate(self, proc_fd: int, stat: ProcessStat) -> Candidate:
        return Candidate(stat, proc_fd, self._redaction, has_clock=self._has_clocks)

    def _is_due(self, pid: int) -> bool:
        """Whether all of a process is to be read again now, whatever speaks against it.

        Its group is changed by others. So may be what it says of itself, by a debugger.
        """
        return (self._looks + pid) % _DETAILS_EVERY_LOOKS == 0

    def _exits(
        self, pidfds: Mapping[Identity, int]
    ) -> tuple[dict[Identity, Exit | None], set[Identity]]:
        """Tell how those ended that were watched before and do not run any more.

        And which of them are hidden now: their descriptors know whether they run, where they have
        one; else it is not known.
        """
        exits, hidden = {}, set()
        for pid, identity in self._watched.items():
            now = self._table.stats.get(pid)
            if now is not None and now.start_ticks == identity.start_ticks and not now.has_ended:
                continue
            pidfd = pidfds.get(identity)
            if now is None and (
                pid in self._table.hidden if pidfd is None else not has_exited(pidfd)
            ):
                hidden.add(identity)
                continue
            exits[identity] = read_exit(self._proc, identity, pidfd, privileged=self._privileged)
        return exits, hidden

    def _open(
        self,
        selected: Mapping[str, Selected],
        sightings: Mapping[int, Sighting],
        pidfds: Mapping[Identity, int],
    ) -> None:
        """Open descriptors of the processes that meet criteria and have none yet."""
        if not self._with_pidfds or self._closed:
            return
        room = _MOST_PIDFDS - len(pidfds) - len(self._unclaimed)
        for pid in sorted({pid for one in selected.values() for pid in one.met}):
            seen = sightings[pid]
            if room <= 0 or seen.has_ended or seen.stat.is_kernel_thread:
                continue
            if seen.identity not in pidfds and seen.identity not in self._unclaimed:
                descriptor = open_pidfd(self._proc, seen.identity)
                if descriptor is not None:
                    self._unclaimed[seen.identity] = descriptor
                    room -= 1
