"""What one look at cron makes of files and timers: records. Blocks; runs in a thread."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from stat import S_IMODE
from typing import TYPE_CHECKING, Protocol

from etlmon.collectors.cron import anacron, timers
from etlmon.collectors.cron.found import Look, Script
from etlmon.collectors.cron.judge import Verdict, judge_file
from etlmon.collectors.cron.parse import Mistake
from etlmon.collectors.cron.starters import Starter, leaves_to_anacron, started_by
from etlmon.errors import CollectError
from etlmon.host.crontabs import (
    CLUSTER_FILE,
    find_files,
    read_cluster_host,
    read_stamp,
)
from etlmon.host.systemctl import ask, runs_systemd
from etlmon.host.users import name_of
from etlmon.records.cron import CronEntry, CronFile, job_id
from etlmon.text import host_path, host_text, one_line
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from etlmon.collectors.cron.parse import Crontab, Entry
    from etlmon.collectors.cron.schedule import Dialect
    from etlmon.collectors.cron.times import Coming, Times
    from etlmon.host.crond import Daemon
    from etlmon.host.crontabs import Stamp, TabFile

_NO_BUS = "Failed to connect to bus: No such file"
_SYSTEMCTL_SECONDS = 5.0
_MOST_LINT = 20
MOST_JOBS = 50_000
"""When there are so many, no further crontab is looked at."""
_ANACRON = "usr/sbin/anacron"
_NOT_RUNNING = "cron is not running"
_AS_READ_LAST = "its jobs are told as they stood in it when it was read last"
_NO_CRON = "no cron is installed"


class Readings(Protocol):
    """What remembers files between one look and the next."""

    def uid_of(self, name: bytes) -> int | None:
        """Give the uid of an account, None where there is none of that name."""

    def tab_of(self, file: TabFile, content: bytes, dialect: Dialect, uid: int | None) -> Crontab:
        """Give a crontab taken apart; ``uid`` is that of the account it is named after."""

    def known_tab(self, path: bytes) -> Crontab | None:
        """Give what a crontab held when it was read last."""

    def known_below(self, directory: bytes) -> list[TabFile]:
        """Give the crontabs of a directory that have been read, as far as they are remembered."""

    def shown(self, command: str) -> str:
        """Give a command without its secrets."""


class Assembly:
    """One look under way. ``is_configured`` says that the rules hold whatever is installed."""

    def __init__(
        self,
        readings: Readings,
        root: Path,
        daemon: Daemon,
        times: Times,
        now: float,
        *,
        is_configured: bool,
    ) -> None:
        self.readings = readings
        self.root = root
        self.daemon = daemon
        self.times = times
        self.dialect = times.dialect
        self.minute = int(now // 60)
        self.now = utc(now)
        self.look = Look(times.dialect, daemon, times.zone.rules)
        self._ordinals: Counter[tuple[str, str | None, str]] = Counter()
        self._starters: dict[bytes, Starter] = {}
        self._has_anacron = (self.root / _ANACRON).exists()
        self._no_cron = daemon.kind is None and not is_configured
        self._is_stopped = daemon.running is False and not self._no_cron
        self._runs_elsewhere = self._elsewhere() if daemon.is_clustered else None

    def files(self) -> Sequence[TabFile]:
        """Read all files of cron, and give them."""
        found = find_files(self.root, self.dialect)
        files = found.files
        for directory, why in found.unreadable:
            self._directory(directory, why)
            there = {file.path for file in files}
            known = self.readings.known_below(directory)
            files += [replace(file, error=why) for file in known if file.path not in there]
        for file in files:
            if file.place != "run-parts":
                self._tab(file)
        for file in files:
            if file.place == "run-parts":
                self._script(file)
        return files

    def _tab(self, file: TabFile) -> None:
        uid = self.readings.uid_of(file.name) if file.place == "user" else None
        verdict = judge_file(
            file,
            self.dialect,
            uid,
            lsb_names=self.daemon.lsb_names,
            permits_any=self.daemon.permits_any,
        )
        if file.place == "user" and self._runs_elsewhere is not None:
            verdict = Verdict("ignored", self._runs_elsewhere)
        if self._no_cron and file.place != "anacron":
            verdict = Verdict("ignored", _NO_CRON)
        known = self.readings.known_tab(file.path) if verdict.status == "unknown" else None
        if known is not None:
            verdict = Verdict("unknown", f"{verdict.reason}; {_AS_READ_LAST}")
        if len(self.look.entries) >= MOST_JOBS:
            verdict = Verdict("unknown", f"not looked at: there are {MOST_JOBS:,} jobs already")
            self._file(file, verdict, 0, [])
        elif (file.content is None and known is None) or self._is_no_crontab(file):
            self._file(file, verdict, 0, [])
        elif file.place == "anacron" and file.content is not None:
            self._anacrontab(file, file.content, verdict)
        else:
            tab = known or self.readings.tab_of(file, file.content or b"", self.dialect, uid)
            if tab.refused is not None and verdict.status == "active":
                verdict = Verdict(
                    "ignored",
                    f"line {tab.refused.line}: {tab.refused.text}; cron drops the whole file",
                    tab.refused.line,
                )
            for entry in tab.entries:
                self._entry(file, entry, verdict)
            lint = list(tab.lint)
            if verdict.status == "active":
                lint.extend(_refused_lines(tab))
            self._file(file, verdict, len(tab.entries), lint)

    def _elsewhere(self) -> str | None:
        """Say where the users' crontabs are run, if cron was told that it is not here (-c)."""
        host = read_cluster_host(self.root, self.dialect)
        if host == os.uname().nodename:
            return None
        named = "names no host" if host is None else f"names {one_line(host)}"
        return f"cron runs with -c: {CLUSTER_FILE} {named}, which alone runs users' crontabs"

    def _is_no_crontab(self, file: TabFile) -> bool:
        """Whether its name says that it is none (.placeholder, notes), so that nobody reads it."""
        return file.name.startswith(b".")

    def _entry(self, file: TabFile, entry: Entry, verdict: Verdict) -> None:
        owner = host_text(file.name) if file.place == "user" else None
        user = owner if entry.user is None else entry.user
        job = self._id(file, user, entry.command)
        if entry.error is not None and verdict.status == "active":
            why = f"{entry.error}: cron does not take the line"
            coming = self.times.coming("never", reason=why)
        else:
            coming = self._judged(verdict) or self.times.of(entry, self.minute)
        if coming.kind != "never":
            self._note_starter(job, entry, user, coming)
            logged = (os.fsencode(user or ""), entry.logged)
            self.look.commands.setdefault(logged, []).append((job, entry))
        if entry.is_silent:
            self.look.silent.add(job)
        self._add(
            job,
            file,
            verdict,
            coming,
            schedule=entry.text,
            command=entry.command,
            user=user,
            line=entry.line,
            lint=list(entry.lint),
            timezone=entry.zone or self.times.zone.name,
        )

    def _judged(self, verdict: Verdict) -> Coming | None:
        """Give when the jobs of a file come that the daemon does not take, or may not."""
        if verdict.status == "ignored":
            return self.times.coming("never", reason=f"the file is ignored: {verdict.reason}")
        if verdict.status == "unknown":
            return self.times.coming("unknown", reason=verdict.reason)
        return None

    def _note_starter(self, job: str, entry: Entry, user: str | None, coming: Coming) -> None:
        directory = started_by(entry.raw_command)
        if directory is None:
            return
        if self._has_anacron and leaves_to_anacron(entry.raw_command):
            return
        self._starters.setdefault(directory, Starter(job, entry.text, user, coming))

    def _anacrontab(self, file: TabFile, content: bytes, verdict: Verdict) -> None:
        if not self._has_anacron:
            verdict = Verdict("ignored", "anacron is not installed")
        tab = anacron.parse_anacrontab(content)
        zone = self.times.zone
        for one in tab.jobs:
            command = self.readings.shown(one.command)
            job = self._id(file, "root", command)
            stamp = read_stamp(self.root, one.identifier)
            coming = self._judged(verdict) or self._of_anacron(one, stamp)
            if coming.kind != "never":
                self.look.anacron[one.identifier] = job
                if stamp is not None:
                    self.look.stamps[job] = stamp
                directory = started_by(one.raw_command)
                if directory is not None:
                    # Before what crontab says: with anacron there, cron leaves these to it.
                    self._starters[directory] = Starter(job, one.text, "root", coming)
            self._add(
                job,
                file,
                verdict,
                coming,
                schedule=one.text,
                command=command,
                user="root",
                line=one.line,
                lint=[],
                timezone=zone.name,
            )
        self._file(file, verdict, len(tab.jobs), tab.lint)

    def _of_anacron(self, job: anacron.AnacronJob, stamp: Stamp | None) -> Coming:
        if job.error is not None:
            return self.times.coming("never", reason=f"{job.error}: anacron passes over the line")
        day = None if stamp is None else stamp.day
        found = anacron.window(job, day, self.now, self.times.zone.rules)
        if found is None:
            return self.times.coming("never", reason="START_HOURS_RANGE leaves no hour")
        return self.times.coming(
            "window",
            (-int(-found[0].timestamp() // 60),),
            int(found[1].timestamp() // 60),
            anacron.may_by_hour(job, day, self.now, self.times.zone.rules),
            reason="anacron runs it when the host is up",
        )

    def _script(self, file: TabFile) -> None:
        verdict = judge_file(file, self.dialect, None)
        directory = file.directory
        starter = self._starters.get(directory)
        path = host_path(file.path)
        if verdict.status == "active" and starter is None:
            verdict = Verdict("ignored", f"no job that runs starts {host_text(directory)}")
        schedule = f"@{host_text(directory).rpartition('.')[2]}"
        coming = self._judged(verdict)
        user = None
        if coming is None:
            assert starter is not None
            schedule, user, coming = starter.schedule, starter.user, starter.coming
        if file.name.startswith(b"."):  # .placeholder and the like: nobody meant to run it
            self._file(file, verdict, 0, [])
            return
        job = self._id(file, None, path)
        if starter is not None and verdict.status == "active":
            self.look.scripts[file.path] = Script(job, starter.job_id, directory, _changed_at(file))
        self._add(
            job,
            file,
            verdict,
            coming,
            schedule=schedule,
            command=path,
            user=user,
            line=None,
            lint=[],
            timezone=self.times.zone.name,
        )
        self._file(file, verdict, 1, [])

    def _id(self, file: TabFile, user: str | None, command: str) -> str:
        path = host_path(file.path)
        named = (path, user, command)
        self._ordinals[named] += 1
        return job_id(file.place, path, user, command, self._ordinals[named])

    def _add(
        self,
        job: str,
        file: TabFile,
        verdict: Verdict,
        coming: Coming,
        *,
        schedule: str,
        command: str,
        user: str | None,
        line: int | None,
        lint: list[str],
        timezone: str,
    ) -> None:
        self.look.entries.append(
            CronEntry(
                job_id=job,
                schedule=schedule,
                command=command,
                user=user,
                source=file.place,
                file=host_path(file.path),
                line=line,
                next_run=coming.runs[0] if coming.runs else None,
                next_run_local=coming.local,
                next_run_kind=coming.kind,
                window_end=coming.window_end,
                reason=coming.reason or (_NOT_RUNNING if self._is_stopped else None),
                next_runs=coming.runs,
                runs_by_hour=coming.by_hour,
                dst_risk=coming.dst_risk,
                timezone=timezone,
                lint=lint,
                file_status=verdict.status,
                dialect=self.dialect,
                last_checked=self.now,
            )
        )

    def _file(self, file: TabFile, verdict: Verdict, jobs: int, lint: list[Mistake]) -> None:
        status = file.status
        if verdict.status == "active" and self._is_stopped and file.place != "anacron":
            verdict = Verdict("active", _NOT_RUNNING)
        self.look.files.append(
            CronFile(
                path=host_path(file.path),
                source=file.place,
                dialect=self.dialect,
                status=verdict.status,
                reason=verdict.reason,
                line=verdict.line,
                jobs=jobs,
                owner=None if status is None else name_of(status.st_uid),
                mode=None if status is None else f"{S_IMODE(status.st_mode):04o}",
                changed_at=None if status is None else utc(max(0.0, status.st_mtime)),
                lint=[f"line {one.line}: {one.text}" for one in lint[:_MOST_LINT]],
                visibility="partial" if verdict.status == "unknown" else "full",
                last_checked=self.now,
            )
        )

    def _directory(self, path: bytes, why: str) -> None:
        reason = (
            "this node may not look into it: it needs root, or CAP_DAC_READ_SEARCH"
            if why in {"EACCES", "EPERM"}
            else why
        )
        place = "user" if path.startswith(b"/var/spool") else path.rpartition(b"/")[2].decode()
        self.look.files.append(
            CronFile(
                path=host_path(path),
                source="run-parts" if place.startswith("cron.") and place != "cron.d" else place,
                dialect=self.dialect,
                status="unknown",
                reason=reason,
                visibility="partial",
                last_checked=self.now,
            )
        )

    def timers(self, systemctl: str) -> None:
        """Ask systemd for its timers, where it runs."""
        if not runs_systemd(self.root):
            return
        try:
            found = timers.parse_list(ask(systemctl, timers.LIST, _SYSTEMCTL_SECONDS))
            units = sorted({unit for one in found for unit in (one.unit, one.activates) if unit})
            if units:
                shown = ask(systemctl, (*timers.SHOW, *units), _SYSTEMCTL_SECONDS)
                timers.add_details(found, shown.decode("utf-8", "replace"))
        except CollectError as error:
            # Without a bus, as on a small Debian, nobody can ask systemd: no trouble of ours.
            if _NO_BUS not in str(error):
                self.look.trouble = str(error)
            return
        for timer in found:
            entry, history = timers.records_of(timer, self.times, self.now)
            self.look.entries.append(entry)
            self.look.histories.append(history)


def _refused_lines(tab: Crontab) -> list[Mistake]:
    return [
        Mistake(entry.line, f"{entry.error}: cron does not take the line")
        for entry in tab.entries
        if entry.error is not None
    ]


def _changed_at(file: TabFile) -> float:
    return 0.0 if file.status is None else file.status.st_ctime
