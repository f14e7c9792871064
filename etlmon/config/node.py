"""The whole of node.yaml. Durations are seconds, sizes are bytes, None is "not given"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from msgspec import Meta, field

from etlmon.config.addresses import ListenAddress, UnixAddress, is_loopback, parse_listen
from etlmon.config.kinds import (
    AbsolutePath,
    Duration,
    Interval,
    SignalName,
    Size,
    TimeZoneName,
)
from etlmon.config.mistakes import visible
from etlmon.config.section import Problem, Section
from etlmon.config.watched import (
    Count,
    CronSection,
    DiskSection,
    Logs,
    LogSection,
    MountThresholds,
    MultilineSection,
    PathExpectation,
    Paths,
    PathSection,
    ProcessExpectation,
    ProcessWatch,
    RedactSection,
    Rescan,
    Watches,
    Xferlogs,
    XferlogSection,
)
from etlmon.records.base import about

__all__ = [
    "RETENTION_DEFAULTS",
    "AuthSection",
    "BackupSection",
    "ControlSection",
    "CronSection",
    "DiskSection",
    "LogSection",
    "LogSettings",
    "ManholeSection",
    "MountThresholds",
    "MultilineSection",
    "NodeConfig",
    "NodeSection",
    "PathExpectation",
    "PathSection",
    "ProcessExpectation",
    "ProcessWatch",
    "RedactSection",
    "RefreshSection",
    "RetentionSection",
    "Rescan",
    "Table",
    "WorkersSection",
    "XferlogSection",
]

Table = Literal[
    "filesystem_usage",
    "collector_run",
    "path_history",
    "log_lines",
    "process_history",
    "process_events",
    "xferlog_entries",
    "audit_log",
]


_LEAST_DATABASE_BYTES = 8 << 20


class NodeSection(Section, frozen=True, kw_only=True):
    """The node itself."""

    listen: Annotated[
        ListenAddress,
        about("Where the API answers: host:port, [::1]:port or unix:/path; port 0 is any free."),
    ] = "127.0.0.1:8080"
    node_name: Annotated[str | None, about("Its name on the screen; else the host's.")] = None
    db_path: Annotated[
        AbsolutePath | None, about("The database; else etlmon.db in the state directory.")
    ] = None
    allowed_hosts: Annotated[
        tuple[str, ...], about("Further names by which clients may call this node.")
    ] = ()
    timezone: Annotated[
        TimeZoneName | None, about("Zone of cron and transfer logs; else the host's.")
    ] = None
    db_on_network_filesystem: Annotated[
        bool, about("Allow the database on a network file system, which can destroy it.")
    ] = False
    db_max_bytes: Annotated[
        Size | None,
        about("Size that the database never exceeds: the oldest rows go before their time."),
    ] = None

    def problems(self) -> Iterator[Problem]:
        """A database needs room for its tables, and for some rows."""
        if self.db_max_bytes is not None and self.db_max_bytes < _LEAST_DATABASE_BYTES:
            yield Problem("db_max_bytes", "too little to work in; write 8MiB or more", ())


class RefreshSection(Section, frozen=True, kw_only=True):
    """How often the host is looked at."""

    disk: Annotated[Interval, about("Time from one look at the mounts to the next.")] = 15.0
    default_path_scan: Annotated[
        Interval, about("Time from one scan of a path to the next, unless the path says so.")
    ] = 300.0
    process: Annotated[Interval, about("Time from one sample of processes to the next.")] = 5.0


class RetentionSection(Section, frozen=True, kw_only=True):
    """How much of a table is kept: what exceeds any limit goes, the oldest rows first."""

    max_age: Annotated[Duration | None, about("Older rows go.")] = None
    max_rows: Annotated[Count | None, about("Rows beyond this number go.")] = None
    max_bytes: Annotated[Size | None, about("Rows go while all together take more.")] = None


_MOST_HISTORY_BYTES = 500 << 20
"""So many rows of an ordinary length take much less: it is for lines and names that are long."""


def _keep(days: int | None, max_rows: int) -> RetentionSection:
    max_age = None if days is None else days * 86400.0
    return RetentionSection(max_age=max_age, max_rows=max_rows, max_bytes=_MOST_HISTORY_BYTES)


RETENTION_DEFAULTS: Mapping[Table, RetentionSection] = MappingProxyType(
    {
        "filesystem_usage": _keep(7, 1_000_000),
        "collector_run": _keep(7, 100_000),
        "path_history": _keep(30, 1_000_000),
        "log_lines": _keep(7, 100_000),
        "process_history": _keep(7, 1_000_000),
        "process_events": _keep(30, 100_000),
        "xferlog_entries": _keep(7, 100_000),
        # Not by age: a clock that is wrong would take evidence for old.
        "audit_log": _keep(None, 100_000),
    }
)
"""What holds for each table where ``retention`` says nothing else."""


_LEAST_MEMORY_BYTES = 128 << 20


class WorkersSection(Section, frozen=True, kw_only=True):
    """Child processes for calls that may hang or burn CPU."""

    processes: Annotated[Count, about("How many there are at most.")] = 2
    nice: Annotated[Annotated[int, Meta(ge=0, le=19)], about("How much they yield to others.")] = 10
    idle_io: Annotated[
        bool, about("Let their disk accesses wait for all others, where the disk's scheduler can.")
    ] = True
    memory_limit: Annotated[
        Size, about("Address space of one (RLIMIT_AS), of which it uses a small part.")
    ] = 512 << 20
    descriptor_limit: Annotated[
        Annotated[int, Meta(ge=64)], about("Open files of one (RLIMIT_NOFILE).")
    ] = 256

    def problems(self) -> Iterator[Problem]:
        """What Python needs to start at all must be allowed."""
        if self.memory_limit < _LEAST_MEMORY_BYTES:
            yield Problem("memory_limit", "too little to work in; write 128MiB or more", ())

    @property
    def limits(self) -> dict[str, object]:
        """Give the limits of one that scans, as worker.py wants them."""
        return {
            "nice": self.nice,
            "idle_io": self.idle_io,
            "memory_bytes": self.memory_limit,
            "descriptors": self.descriptor_limit,
        }


class BackupSection(Section, frozen=True, kw_only=True):
    """Copies of the database on a schedule."""

    directory: Annotated[AbsolutePath, about("Where the copies go; on another disk, best.")]
    every: Annotated[Interval, about("Time from one copy to the next.")] = 86400.0
    keep: Annotated[Count, about("How many of the newest stay.")] = 7


class ControlSection(Section, frozen=True, kw_only=True):
    """Commands: scan now, refresh, pause, kill."""

    enabled: Annotated[bool, about("Accept commands; false answers each with 403.")] = True
    scans_per_minute: Annotated[
        Annotated[int, Meta(ge=0)], about("Scans that may be asked for in a minute.")
    ] = 30
    kills_per_minute: Annotated[
        Annotated[int, Meta(ge=0)], about("Kills that may be asked for in a minute.")
    ] = 10
    confirmation_token: Annotated[
        bool, about("Ask for a token, given for the very process, before a kill.")
    ] = False
    unwatched_signals: Annotated[
        tuple[SignalName, ...],
        about("Signals that processes may be sent that no watch selects; [] for none."),
    ] = ()


class AuthSection(Section, frozen=True, kw_only=True):
    """Who may use the API: whoever sends one of the tokens."""

    tokens_file: Annotated[
        AbsolutePath, about("File with the tokens, hashed; `etlmon token add` makes it.")
    ]


class LogSettings(Section, frozen=True, kw_only=True):
    """The node's own log."""

    level: Annotated[
        Literal["debug", "info", "warn", "error"], about("The least that is written.")
    ] = "info"
    file: Annotated[
        AbsolutePath | None, about("Where it goes, reopened on SIGUSR1; else standard error.")
    ] = None
    format: Annotated[
        Literal["text", "json"], about("Lines for people, or JSON objects for programs.")
    ] = "text"


class ManholeSection(Section, frozen=True, kw_only=True):
    """A Python console in the running node, for debugging."""

    socket: Annotated[AbsolutePath | None, about("Unix socket of the console.")] = None
    ssh: Annotated[ListenAddress | None, about("Where SSH reaches the console; loopback only.")] = (
        None
    )
    authorized_keys: Annotated[AbsolutePath | None, about("Public keys that SSH lets in.")] = None

    def problems(self) -> Iterator[Problem]:
        """A console needs a way in, and one over SSH needs keys."""
        if self.socket is None and self.ssh is None:
            yield Problem("", "no way in; give socket or ssh, or remove manhole", ("",))
        if self.ssh is not None and self.authorized_keys is None:
            yield Problem("ssh", "needs authorized_keys, the public keys that it lets in", ("",))
        if self.ssh is not None and (
            isinstance(parse_listen(self.ssh), UnixAddress) or not is_loopback(self.ssh)
        ):
            text = f'"{visible(self.ssh)}" is not of this host alone; write 127.0.0.1:8022'
            yield Problem("ssh", f"{text}, and reach it with ssh -J HOST", ("ssh",))


class NodeConfig(Section, frozen=True, kw_only=True):
    """Configuration of an etlmon node."""

    node: Annotated[NodeSection, about("The node itself.")] = field(default_factory=NodeSection)
    refresh: Annotated[RefreshSection, about("How often the host is looked at.")] = field(
        default_factory=RefreshSection
    )
    disk: Annotated[DiskSection, about("File systems.")] = field(default_factory=DiskSection)
    paths: Paths = ()
    rescan: Annotated[
        Rescan,
        about("How paths are scanned again: incremental looks only into changed directories."),
    ] = "incremental"
    logs: Logs = ()
    process_watch: Watches = ()
    redact: Annotated[RedactSection, about("Secrets in command lines.")] = field(
        default_factory=RedactSection
    )
    cron: Annotated[CronSection, about("Cron jobs.")] = field(default_factory=CronSection)
    xferlog: Xferlogs = ()
    retention: Annotated[
        dict[Table, RetentionSection], about("How much of each table is kept, by table.")
    ] = field(default_factory=dict)
    backup: Annotated[
        BackupSection | None, about("Copies of the database; else only `etlmon backup` makes any.")
    ] = None
    workers: Annotated[WorkersSection, about("Child processes of the node.")] = field(
        default_factory=WorkersSection
    )
    control: Annotated[ControlSection, about("Commands.")] = field(default_factory=ControlSection)
    auth: Annotated[AuthSection | None, about("Who may use the API; else everyone.")] = None
    log: Annotated[LogSettings, about("The node's own log.")] = field(default_factory=LogSettings)
    manhole: Annotated[ManholeSection | None, about("A console in the node; else none.")] = None

    def problems(self) -> Iterator[Problem]:
        """Watches are told apart by what they are called."""
        first: dict[str, int] = {}
        for place, watch in enumerate(self.process_watch):
            twin = first.setdefault(watch.label, place)
            if watch.label and twin != place:
                text = f'"{visible(watch.label)}" is process_watch[{twin}] too; give it another'
                at = f"process_watch[{place}]"
                yield Problem(f"{at}.name" if watch.name else at, f"{text} name", (at,))

    def scan_interval(self, path: PathSection) -> float:
        """Give the seconds from one scan of a path to the next."""
        return self.refresh.default_path_scan if path.scan_interval is None else path.scan_interval

    def rescan_of(self, path: PathSection) -> Rescan:
        """Give how a path is scanned again."""
        return path.rescan or self.rescan

    def retention_of(self, table: Table) -> RetentionSection:
        """Give the limits of a table: the default ones, and field by field those configured."""
        default = RETENTION_DEFAULTS[table]
        given = self.retention.get(table, default)
        return RetentionSection(
            max_age=default.max_age if given.max_age is None else given.max_age,
            max_rows=default.max_rows if given.max_rows is None else given.max_rows,
            max_bytes=default.max_bytes if given.max_bytes is None else given.max_bytes,
        )
