"""The sections of node.yaml that say what is watched: disks, paths, logs, processes, cron, FTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, field

from etlmon.config.kinds import (
    AbsolutePath,
    ClockTime,
    Duration,
    EncodingName,
    Interval,
    LineSize,
    Moment,
    PatternText,
    SignalName,
    Size,
    TimeFormat,
    TimeZoneName,
    UrlName,
)
from etlmon.config.mistakes import keyed, visible
from etlmon.config.section import Problem, Section, list_of
from etlmon.globs import expand, glob_parts
from etlmon.records.base import about

Rescan = Literal["incremental", "full"]
Percent = Annotated[float, Meta(ge=0, le=100)]
Count = Annotated[int, Meta(ge=1)]
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)


class MountThresholds(Section, frozen=True, kw_only=True):
    """Thresholds of one mount; what is not given is as for the others."""

    warn_percent: Annotated[Percent | None, about("Used percent from which it is a warning.")] = (
        None
    )
    critical_percent: Annotated[
        Percent | None, about("Used percent from which it is critical.")
    ] = None


class DiskSection(Section, frozen=True, kw_only=True):
    """File systems."""

    warn_percent: Annotated[Percent, about("Used percent from which a mount is a warning.")] = 80.0
    critical_percent: Annotated[Percent, about("Used percent from which it is critical.")] = 90.0
    mounts: Annotated[
        dict[AbsolutePath, MountThresholds], about("Other thresholds, by mount point.")
    ] = field(default_factory=dict)
    probe_timeout: Annotated[
        Duration, about("How long a mount may take to answer before it is called stale.")
    ] = 2.0

    def thresholds(self, mount_point: str) -> tuple[float, float]:
        """Give the warning and the critical percentage of a mount."""
        own = self.mounts.get(mount_point, MountThresholds())
        return (
            self.warn_percent if own.warn_percent is None else own.warn_percent,
            self.critical_percent if own.critical_percent is None else own.critical_percent,
        )

    def problems(self) -> Iterator[Problem]:
        """No mount may be critical before it is a warning."""
        both = ("warn_percent", "critical_percent")
        if self.warn_percent > self.critical_percent:
            text = f"{self.warn_percent:g} is above critical_percent {self.critical_percent:g}"
            yield Problem("warn_percent", f"{text}; write at most that", both)
            return
        for mount_point, own in self.mounts.items():
            warn, critical = self.thresholds(mount_point)
            if warn > critical:
                at = f"mounts{keyed(mount_point)}"
                key = "warn_percent" if own.warn_percent is not None else "critical_percent"
                text = f"here warn_percent is {warn:g} and critical_percent {critical:g}"
                yield Problem(f"{at}.{key}", f"{text}; write warn below critical", (*both, at))


class PathExpectation(Section, frozen=True, kw_only=True):
    """Files that must have arrived by a time of day."""

    pattern: Annotated[
        str, about("Which files, as a glob below the path, dates as in strftime: in_%Y%m%d_*.csv")
    ]
    by: Annotated[ClockTime, about("Time of day by which they must be there: 06:30")]
    timezone: Annotated[TimeZoneName | None, about("Zone of `by`; node.timezone if not given.")] = (
        None
    )
    min_count: Annotated[Count, about("How many there must be.")] = 1
    min_bytes: Annotated[Size, about("How large each of them must be at the least.")] = 1
    within: Annotated[
        Duration | None, about("How old they may be then; since midnight if not given.")
    ] = None
    days_before: Annotated[
        Annotated[int, Meta(ge=0, le=366)],
        about("How many days before that of `by` the dates in the pattern are."),
    ] = 0

    def problems(self) -> Iterator[Problem]:
        """The pattern must be a glob, and mean something as a date."""
        try:
            glob_parts(expand(self.pattern, _ANY_DAY))
        except ValueError as error:
            text = str(error).replace(self.pattern, visible(self.pattern))
            yield Problem("pattern", text, ("pattern",))


class PathSection(Section, frozen=True, kw_only=True):
    """A directory whose files are counted."""

    path: Annotated[AbsolutePath, about("The directory.")]
    scan_interval: Annotated[
        Interval | None,
        about("Time from one scan to the next; refresh.default_path_scan if not given."),
    ] = None
    max_depth: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        about("Levels below the path that are counted, 1 is only its own entries; else all."),
    ] = None
    exclude: Annotated[
        tuple[str, ...],
        about("Patterns of names (*.tmp) or paths (old/**) that are not counted, nor entered."),
    ] = ()
    max_files_per_scan: Annotated[
        Count | None, about("Files after which a scan ends as PARTIAL; else unlimited.")
    ] = None
    timeout: Annotated[Duration, about("Time after which a scan is ended as ERROR.")] = 600.0
    rescan: Annotated[
        Rescan | None, about("How to scan again; the global `rescan` if not given.")
    ] = None
    full_every: Annotated[
        Duration, about("At most this long between two full scans, for incremental rescans.")
    ] = 86400.0
    max_ops_per_second: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about("Limit of file system calls a second, to spare an NFS server; else none."),
    ] = None
    parallelism: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None,
        about("Calls at a time on NFS, CIFS and FUSE, which answer slowly; 4 if not given."),
    ] = None
    expect: Annotated[tuple[PathExpectation, ...], about("Files that must have arrived.")] = ()


class MultilineSection(Section, frozen=True, kw_only=True):
    """How lines belong together, for stack traces and the like."""

    start: Annotated[
        PatternText | None,
        about("Regular expression (RE2) of an entry's first line; else unindented lines."),
    ] = None
    continues_on_blank: Annotated[bool, about("An empty line belongs to the entry before it.")] = (
        True
    )


class LogSection(Section, frozen=True, kw_only=True):
    """A log that is followed."""

    name: Annotated[UrlName, about("Its name in the API and on the screen.")]
    path: Annotated[AbsolutePath, about("The file; globs are allowed: /var/log/etl/*.log")]
    follow: Annotated[
        bool, about("Follow it; false: only read to its end at the start and at each resume.")
    ] = True
    buffer_lines: Annotated[Count, about("Lines that one batch takes from the file at most.")] = (
        5_000
    )
    start: Annotated[
        Literal["end", "beginning", "saved"],
        about("Where to begin a file never seen; saved: only where an earlier node stopped."),
    ] = "end"
    encoding: Annotated[EncodingName, about("Encoding of the file.")] = "utf-8"
    strip_cr: Annotated[bool, about("Drop the CR of lines that end in CR LF.")] = False
    max_line_bytes: Annotated[
        LineSize, about("A longer line is cut, and marked so; 1MiB at most.")
    ] = 64 << 10
    partial_timeout: Annotated[
        Duration, about("How long to wait for the end of a last line before it is taken as it is.")
    ] = 5.0
    rotated_hold: Annotated[
        Duration, about("How long a renamed file is read on while a process has it open.")
    ] = 86400.0
    multiline: Annotated[
        MultilineSection | None, about("How lines belong together; else each is one entry.")
    ] = None
    time_format: Annotated[
        TimeFormat | None,
        about("strptime format of the time that begins a line; else none is read."),
    ] = None
    max_open_files: Annotated[Count, about("Files of a glob that are followed at once.")] = 64


class ProcessExpectation(Section, frozen=True, kw_only=True):
    """How many of these processes there must be."""

    min: Annotated[Annotated[int, Meta(ge=0)] | None, about("At least this many; else any.")] = None
    max: Annotated[Annotated[int, Meta(ge=0)] | None, about("At most this many; else any.")] = None
    up_at_least: Annotated[
        Duration | None, about("A younger one does not count: it may be restarting in a loop.")
    ] = None

    def problems(self) -> Iterator[Problem]:
        """The range must hold something."""
        if self.min is not None and self.max is not None and self.min > self.max:
            text = f"{self.min} is above max {self.max}; write at most that"
            yield Problem("min", text, ("min", "max"))


class ProcessWatch(Section, frozen=True, kw_only=True):
    """Processes that are watched: those that meet every criterion given here."""

    name: Annotated[str | None, about("Label of the watch; else its first criterion.")] = None
    match: Annotated[
        PatternText | None,
        about("Criterion: regular expression (RE2) on the name and the command line."),
    ] = None
    comm: Annotated[str | None, about("Criterion: the kernel's name of it, 15 bytes.")] = None
    exe: Annotated[AbsolutePath | None, about("Criterion: the program's file.")] = None
    user: Annotated[str | None, about("Criterion: the user that it runs as.")] = None
    cgroup: Annotated[
        str | None,
        about("Criterion: its control group or one above it, from /; or its systemd unit."),
    ] = None
    pid: Annotated[Count | None, about("Criterion: its number.")] = None
    with_children: Annotated[bool, about("Watch the processes below it too.")] = False
    allow_signals: Annotated[
        tuple[SignalName, ...], about("Signals that may be sent to it; [] for none.")
    ] = ("SIGTERM", "SIGKILL")
    expect: Annotated[ProcessExpectation | None, about("How many there must be; else any.")] = None

    @property
    def label(self) -> str:
        """What the watch is called: its name, else its first criterion; empty without any."""
        criteria = (self.name, self.match, self.comm, self.exe, self.user, self.cgroup, self.pid)
        return next((str(one) for one in criteria if one is not None), "")

    def problems(self) -> Iterator[Problem]:
        """A watch without a criterion would mean every process of the host."""
        criteria = (self.match, self.comm, self.exe, self.user, self.cgroup, self.pid)
        if all(criterion is None for criterion in criteria):
            text = "no criterion; give one of match, comm, exe, user, cgroup, pid"
            yield Problem("", text, ("",))
        if self.match == "":
            text = "empty, which every process meets; leave it out, or say which are meant"
            yield Problem("match", text, ("match",))


class RedactSection(Section, frozen=True, kw_only=True):
    """Secrets in command lines: they are taken out before anything is stored or shown."""

    defaults: Annotated[
        bool, about("Take out what is usually a secret: passwords, tokens, users in URLs.")
    ] = True
    patterns: Annotated[
        tuple[PatternText, ...],
        about("Regular expressions (RE2) of further secrets; only their groups, if they have any."),
    ] = ()


class CronSection(Section, frozen=True, kw_only=True):
    """Cron jobs."""

    enabled: Annotated[bool, about("Read the crontabs.")] = True
    dialect: Annotated[
        Literal["auto", "debian", "cronie"],
        about("Which cron's rules hold; auto: those of the cron that is installed."),
    ] = "auto"
    log: Annotated[
        Literal["auto", "journal"],
        about(
            "Where what cron says is read; auto: a file of the system log if one is written, else "
            "the journal. Anybody can write such a file in cron's name, and not the journal."
        ),
    ] = "auto"
    interval: Annotated[
        Interval, about("Crontabs are read again this often, besides when they change.")
    ] = 60.0


class XferlogSection(Section, frozen=True, kw_only=True):
    """A transfer log of an FTP server."""

    path: Annotated[AbsolutePath, about("The file.")]
    parse_start: Annotated[Moment | None, about("Older transfers are left out; else none are.")] = (
        None
    )
    timezone: Annotated[
        TimeZoneName | None, about("Zone of its times; node.timezone if not given.")
    ] = None
    roots: Annotated[
        dict[str, AbsolutePath],
        about(
            "Real directory of each user whose uploads are looked for on the disk, by user name; "
            "anonymous: all anonymous users, *: all who are not named."
        ),
    ] = field(default_factory=dict)


Paths = Annotated[tuple[PathSection, ...], list_of("Directories to count.", unique="path")]
Logs = Annotated[tuple[LogSection, ...], list_of("Logs to follow.", unique="name")]
Watches = Annotated[tuple[ProcessWatch, ...], list_of("Processes to watch.")]
Xferlogs = Annotated[
    tuple[XferlogSection, ...],
    list_of("Transfer logs of FTP servers: one, or a list.", unique="path", one_or_many=True),
]
