"""One look at the host's cron after the other. Blocks; runs in a thread."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from etlmon.collectors.cron.assembly import Assembly
from etlmon.collectors.cron.parse import Crontab, parse_crontab
from etlmon.collectors.cron.times import Times
from etlmon.host.crond import find_daemon
from etlmon.host.crontabs import PERIODS, spool
from etlmon.host.zone import read_zone
from etlmon.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etlmon.collectors.cron.found import Look
    from etlmon.collectors.cron.parse import Entry
    from etlmon.collectors.cron.schedule import Dialect
    from etlmon.host.crond import Daemon
    from etlmon.host.crontabs import TabFile
    from etlmon.records.cron import CronEntry, CronHistory


@dataclass
class _Parsed:
    """What was made of a file, and what that depends on."""

    content: bytes
    """A hash of it."""
    file: TabFile
    """Without its content."""
    place: str
    users: dict[bytes, bool]
    tab: Crontab


def uid_of(name: bytes) -> int | None:
    """Give the uid of an account, None where there is none of that name."""
    try:
        return pwd.getpwnam(os.fsdecode(name)).pw_uid
    except (KeyError, ValueError, OSError):
        return None


class Observer:
    """Looks at the host again and again, and remembers what has not changed."""

    def __init__(
        self,
        dialect: Dialect | None,
        timezone: str | None,
        root: Path,
        proc: Path,
        *,
        systemctl: str = "systemctl",
        find_uid: Callable[[bytes], int | None] = uid_of,
        redaction: Redaction | None = None,
    ) -> None:
        """``dialect`` is None where the cron that is installed decides."""
        self.uid_of = find_uid
        self._redaction = redaction or Redaction()
        self._configured = dialect
        self._timezone = timezone
        self._root = root
        self._proc = proc
        self._systemctl = systemctl
        self._parsed: dict[bytes, _Parsed] = {}
        self._times: Times | None = None
        self._timers: tuple[list[CronEntry], list[CronHistory]] = ([], [])

    def look(self, now: float) -> Look:
        """Look at all there is; ``now`` is what the wall clock says."""
        daemon = find_daemon(self._root, self._proc)
        dialect = self._dialect(daemon)
        zone = read_zone(self._root, self._timezone)
        if self._times is None or (self._times.zone, self._times.dialect) != (zone, dialect):
            # Rules of a daemon or of a zone have changed: nothing that is remembered holds.
            self._times, self._parsed = Times(zone, dialect), {}
        work = Assembly(
            self, self._root, daemon, self._times, now, is_configured=self._configured is not None
        )
        paths = {file.path for file in work.files()}
        for gone in self._parsed.keys() - paths:
            del self._parsed[gone]
        self._add_timers(work)
        self._times.forget_others()
        return work.look

    def next_after(self, entry: Entry, minute: int) -> int | None:
        """Give the first minute since the epoch after another at which an entry runs."""
        return None if self._times is None else self._times.next_after(entry, minute)

    def _add_timers(self, work: Assembly) -> None:
        look = work.look
        before = len(look.entries)
        work.timers(self._systemctl)
        if look.trouble is None:
            self._timers = (look.entries[before:], list(look.histories))
        else:  # what is not heard of is not gone
            look.entries.extend(self._timers[0])
            look.histories.extend(self._timers[1])

    def directories(self) -> list[bytes]:
        """Give the directories whose changes matter; blocks."""
        dialect = self._dialect(find_daemon(self._root, self._proc))
        return [
            os.path.join(os.fsencode(self._root), place)
            for place in (
                b"etc",  # crontab, anacrontab, localtime
                b"etc/cron.d",
                spool(self._root, dialect).lstrip(b"/"),
                *(f"etc/cron.{period}".encode() for period in PERIODS),
            )
        ]

    def tab_of(self, file: TabFile, content: bytes, dialect: Dialect, uid: int | None) -> Crontab:
        """Give a crontab taken apart; what has not changed has been so already."""
        digest = blake2b(content, digest_size=16).digest()
        place = f"{file.place} {uid}"
        known = self._parsed.get(file.path)
        if (
            known is not None
            and (known.content, known.place) == (digest, place)
            and all(
                (self.uid_of(name) is not None) == is_there
                for name, is_there in known.users.items()
            )
        ):
            return known.tab
        users: dict[bytes, bool] = {}

        def knows(name: bytes) -> bool:
            if name not in users:
                users[name] = self.uid_of(name) is not None
            return users[name]

        tab = parse_crontab(
            content,
            dialect,
            user_column=file.place != "user",
            knows_user=knows,
            privileged=file.place != "user" or uid == 0,
        )
        tab.entries = [self._without_secrets(entry) for entry in tab.entries]
        bare = replace(file, content=None)
        self._parsed[file.path] = _Parsed(digest, bare, place, users, tab)
        return tab

    def known_tab(self, path: bytes) -> Crontab | None:
        """Give what a crontab held when it was read last: what cannot be read now is not gone."""
        known = self._parsed.get(path)
        return None if known is None else known.tab

    def known_below(self, directory: bytes) -> list[TabFile]:
        """Give the crontabs of a directory that have been read, as far as they are remembered."""
        return [one.file for one in self._parsed.values() if one.file.directory == directory]

    def shown(self, command: str) -> str:
        """Give a command without its secrets, as that of the process that it becomes."""
        return self._redaction.line(("sh", "-c", command)).removeprefix("sh -c ")

    def _without_secrets(self, entry: Entry) -> Entry:
        command = self.shown(entry.command)
        if entry.error is None:
            return entry if command == entry.command else replace(entry, command=command)
        # What is no entry may be an assignment that is written wrong, or lack its user: a secret
        # may stand anywhere in it.
        user = None if entry.user is None else self.shown(entry.user)
        text, error = self.shown(entry.text), self.shown(entry.error)
        return replace(entry, text=text, command=command, user=user, error=error)

    def _dialect(self, daemon: Daemon) -> Dialect:
        if self._configured is not None:
            return self._configured
        if daemon.kind is not None:
            return daemon.kind
        return "debian" if (self._root / "etc/debian_version").exists() else "cronie"
