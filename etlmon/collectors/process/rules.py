"""Which processes a watch selects: its criteria, the cheap ones first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from etlmon.host.processes import COMM_BYTES
from etlmon.patterns import Pattern

if TYPE_CHECKING:
    from etlmon.collectors.process.facts import Candidate
    from etlmon.config.watched import ProcessWatch
    from etlmon.host.users import Users


class Rule:
    """The criteria of one watch, ready for use."""

    def __init__(self, watch: ProcessWatch, users: Users) -> None:
        self.label = watch.label
        self.with_children = watch.with_children
        self.by_more_than_arguments = any(
            one is not None for one in (watch.exe, watch.user, watch.cgroup)
        )
        """Whether it looks at what may change without a change of the arguments."""
        self._watch = watch
        self._users = users
        self._match = None if watch.match is None else Pattern(watch.match)
        self._comm = None if watch.comm is None else watch.comm.encode()[:COMM_BYTES]
        self._exes: frozenset[str] | None = None

    def fits(self, one: Candidate) -> bool | None:
        """Whether it meets those criteria that change with program and arguments alone.

        None if that may not be read.
        """
        if self._watch.pid is not None and one.stat.pid != self._watch.pid:
            return False
        if self._comm is not None and one.stat.comm != self._comm:
            return False
        return True if self._match is None else self._by_pattern(one)

    def selects(self, one: Candidate) -> bool | None:
        """Whether a process meets all criteria; None if that may not be read.

        Where a process could be one of several rules' at once it is the reading that costs; what
        one rule has read the next one has for nothing.
        """
        watch, fits = self._watch, self.fits(one)
        if fits is False:
            return False
        told = fits is not None
        for given, look in (
            (watch.user, self._by_owner),
            (watch.exe, self._by_exe),
            (watch.cgroup, self._by_cgroup),
        ):
            verdict = True if given is None else look(one)
            if verdict is False:
                return False
            told = told and verdict is not None
        return True if told else None

    def _by_pattern(self, one: Candidate) -> bool | None:
        assert self._match is not None
        if self._match.finds(one.name.encode()):
            return True
        return None if one.line is None else self._match.finds(one.line.encode())

    def _by_owner(self, one: Candidate) -> bool | None:
        assert self._watch.user is not None
        return None if one.owner is None else one.owner[0] == self._users.uid(self._watch.user)

    def _by_exe(self, one: Candidate) -> bool | None:
        if one.stat.is_kernel_thread or one.stat.has_ended:
            return False
        if self._exes is None:
            # A link such as /usr/bin/python3 stands for what it leads to. Files move rarely.
            assert self._watch.exe is not None
            self._exes = frozenset((self._watch.exe, os.path.realpath(self._watch.exe)))
        return None if one.exe is None else one.exe in self._exes

    def _by_cgroup(self, one: Candidate) -> bool | None:
        assert self._watch.cgroup is not None
        if one.cgroup is None:
            return None
        wanted = self._watch.cgroup.rstrip("/")
        if not wanted.startswith("/"):
            return wanted in one.cgroup.split("/")
        return one.cgroup == wanted or one.cgroup.startswith(f"{wanted}/")
