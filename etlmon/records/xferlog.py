"""Transfers of FTP servers: what their logs say, and what is on the disk."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from etlmon.records.base import Record, about
from etlmon.records.followed import (
    FileBytes,
    Gaps,
    LagBytes,
    LastLineAt,
    LookedAt,
    ReadBytes,
    WatchMode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

XferlogDirection = Literal["upload", "download", "delete"]
XferlogStatus = Literal[
    "complete", "incomplete", "unknown", "broken", "unparsed", "gap", "truncated", "nul_run"
]
TimeQuality = Literal["exact", "ambiguous", "skewed", "unknown"]
Landing = Literal["pending", "landed", "partial", "overwritten", "vanished", "ambiguous", "unknown"]
XferlogFlag = Literal["ambiguous", "cut", "partial"]
XferlogState = Literal["following", "waiting", "error"]


class XferlogEntry(Record, frozen=True, kw_only=True):
    """One line of a transfer log, in the order of the log; what the line does not say is null."""

    id: Annotated[int, about("Its number: entries that are stored later have larger ones.")]
    log_time: Annotated[
        datetime | None, about("When the transfer ended, UTC; null if the line does not tell.")
    ] = None
    remote_host: Annotated[
        str | None, about("The client: an address, or a name if the server writes names.")
    ] = None
    username: Annotated[
        str | None, about("The user; of an anonymous one, the password that he gave.")
    ] = None
    filename: Annotated[
        str | None,
        about("The file as the server wrote it: vsftpd has _ for a blank, ? for other bytes."),
    ] = None
    bytes: Annotated[
        int | None, about("Bytes that this transfer moved: not the size of the file.")
    ] = None
    transfer_time_sec: Annotated[
        int | None, about("How long it took, whole seconds; vsftpd writes at least 1.")
    ] = None
    direction: Annotated[
        str | None, about("upload, download or delete; null if this is no transfer.")
    ] = None
    status: Annotated[
        str,
        about(
            "complete; incomplete; unknown: the server does not say; unparsed: no transfer could "
            "be read from the line; broken: another line was written into it; gap: lines could not "
            "be read; truncated: the file was cut off; nul_run: NUL bytes instead of lines."
        ),
    ]
    landing: Annotated[
        str | None,
        about(
            "What became of an upload on the disk: pending; landed; partial: still written to, or "
            "too small; overwritten; vanished: not there under its name; ambiguous: several files "
            "may be meant, or it may have been overwritten; unknown: could not be looked at. Null "
            "without a directory in roots."
        ),
    ] = None
    landing_reason: Annotated[str | None, about("What was found there, in words.")] = None
    landed_path: Annotated[str | None, about("The file on the disk.")] = None
    landed_bytes: Annotated[int | None, about("Its size when it was looked at.")] = None
    landing_checked_at: Annotated[datetime | None, about("When that was, UTC.")] = None
    transfer_type: Annotated[str | None, about("ascii or binary.")] = None
    action_flags: Annotated[
        str | None, about("C: compressed, U: uncompressed, T: made by tar, _: nothing of these.")
    ] = None
    access_mode: Annotated[str | None, about("anonymous, guest (a virtual user) or real.")] = None
    service: Annotated[str | None, about("The protocol: ftp, ftps, sftp, scp.")] = None
    auth_method: Annotated[str | None, about("none; rfc931: the client's host was asked.")] = None
    auth_user: Annotated[str | None, about("The user as the client's host named him.")] = None
    pid: Annotated[int | None, about("Process of the session, where the server writes it.")] = None
    rate_bytes_per_second: Annotated[
        float | None, about("How fast it was, where the server writes it.")
    ] = None
    log_format: Annotated[
        str | None, about("xferlog, or vsftpd for the format of its own log.")
    ] = None
    time_text: Annotated[str | None, about("The time as it stands in the line.")] = None
    ts_quality: Annotated[
        str,
        about(
            "exact; ambiguous: in the hour that the clocks go through twice; skewed: corrected, "
            "for the session or the whole log has another offset from UTC; unknown: no time, or "
            "one that the line cannot have been written at. The reason is in reason."
        ),
    ] = "unknown"
    flags: Annotated[
        list[str],
        about(
            "ambiguous: the line can be read in more ways than this one; cut: it was too long; "
            "partial: its end had not been written in time."
        ),
    ] = msgspec.field(default_factory=list)
    reason: Annotated[
        str | None, about("What is wrong with the line or with its time, in words.")
    ] = None
    line: Annotated[
        str | None, about("The line itself, if not all of it is in the other fields.")
    ] = None
    log_path: Annotated[str, about("The log by the name that is followed.")]
    source_inode: Annotated[int | None, about("Inode of the file that the line stood in.")] = None
    offset: Annotated[int | None, about("Where in that file it begins, in bytes.")] = None
    created_at: Annotated[datetime, about("When the line was read, UTC.")]


class XferlogLine(NamedTuple):
    """An entry on its way into the store, without what a whole block has in common.

    The fields mean what those of XferlogEntry do. A tuple, for a row is made of it as it is.
    """

    log_time_ms: int | None
    """ms since the epoch."""
    remote_host: str | None
    username: str | None
    filename: str | None
    bytes: int | None
    transfer_time_sec: int | None
    direction: XferlogDirection | None
    status: XferlogStatus
    landing: Landing | None
    transfer_type: str | None
    action_flags: str | None
    access_mode: str | None
    service: str | None
    auth_method: str | None
    auth_user: str | None
    pid: int | None
    rate_bytes_per_second: float | None
    log_format: str | None
    time_text: str | None
    ts_quality: TimeQuality
    flags: str
    """A JSON list."""
    reason: str | None
    line: str | None
    offset: int | None


PLAIN_FIELDS = (
    "log_time_ms",
    "remote_host",
    "username",
    "filename",
    "bytes",
    "transfer_time_sec",
    "direction",
    "status",
    "transfer_type",
    "action_flags",
    "access_mode",
    "service",
    "auth_method",
    "auth_user",
    "time_text",
    "ts_quality",
    "offset",
)
"""What of an XferlogLine differs between ordinary lines of an xferlog, in the order of a run."""
PLAIN_REST = {"log_format": "xferlog", "flags": "[]"}
"""What is the same in all of them; the other fields are null."""


class XferlogRun(msgspec.Struct, frozen=True):
    """Ordinary lines that follow each other: nearly all lines of a large log are in runs.

    A run holds no object for each line, for those would take as long as parsing does.
    """

    values: list[str | int | None] = []
    """``PLAIN_FIELDS`` of the first line, of the second, and so on."""

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self.values) // len(PLAIN_FIELDS)

    def column(self, name: str) -> list[Any]:
        """Give one of ``PLAIN_FIELDS`` of all lines."""
        return self.values[PLAIN_FIELDS.index(name) :: len(PLAIN_FIELDS)]

    def lines(self) -> Iterator[XferlogLine]:
        """Give the lines one by one."""
        rest = dict.fromkeys(XferlogLine._fields) | PLAIN_REST
        for begin in range(0, len(self.values), len(PLAIN_FIELDS)):
            values = self.values[begin : begin + len(PLAIN_FIELDS)]
            fields: dict[str, Any] = rest | dict(zip(PLAIN_FIELDS, values, strict=True))
            yield XferlogLine(**fields)


class XferlogBlock(Record, frozen=True, kw_only=True):
    """Lines of one file that were read together: each becomes an XferlogEntry, in their order."""

    log_path: str
    source_inode: int | None
    created_at: datetime
    lines: list[XferlogLine | XferlogRun]

    @property
    def count(self) -> int:
        """How many lines there are."""
        return sum(one.count if isinstance(one, XferlogRun) else 1 for one in self.lines)


class XferlogStoredBlock(Record, frozen=True, kw_only=True):
    """Entries whose numbers follow each other, and when the first and the last of them ended."""

    first_id: int
    last_id: int
    first_time: datetime | None
    last_time: datetime | None


class XferlogLanding(Record, frozen=True, kw_only=True):
    """What was found on the disk of an upload that is stored: its entry is brought up to date."""

    log_path: str
    source_inode: int | None
    offset: int
    landing: Landing
    landing_reason: str | None = None
    landed_path: str | None = None
    landed_bytes: int | None = None
    landing_checked_at: datetime


class XferlogPending(Record, frozen=True, kw_only=True):
    """A stored upload that may land yet: what a collector goes on with at its start."""

    log_path: str
    source_inode: int | None
    offset: int
    log_time: datetime | None
    ts_quality: str
    username: str | None
    access_mode: str | None
    filename: str | None
    bytes: int | None
    transfer_type: str | None
    status: str
    landing: Landing
    landing_reason: str | None
    created_at: datetime


class XferlogFile(Record, frozen=True, kw_only=True):
    """A transfer log that is followed: how far it has been read, and what was in it."""

    path: Annotated[str, about("The file as configured.")]
    state: Annotated[
        str,
        about(
            "following: its position is saved, what is written from now on will be here; "
            "waiting: for the file; or error."
        ),
    ]
    message: Annotated[
        str | None,
        about(
            "Why it waits or fails, what is read on, or that its times cannot be those of its "
            "time zone, with the one that would fit."
        ),
    ] = None
    watch_mode: WatchMode = None
    offset: ReadBytes = None
    size: FileBytes = None
    lag_bytes: LagBytes = None
    lines_total: Annotated[int, about("Lines read since the log is followed.")] = 0
    transfers_total: Annotated[int, about("Transfers among them.")] = 0
    unparsed_total: Annotated[int, about("Lines from which no transfer could be read.")] = 0
    events_total: Annotated[
        int, about("Lines that tell of no transfer, such as logins; they are not stored.")
    ] = 0
    skipped_total: Annotated[
        int,
        about("Transfers left out as older than parse_start, where these lines were read at all."),
    ] = 0
    gaps: Gaps = 0
    last_line_at: LastLineAt = None
    updated_at: LookedAt


class XferlogFileRow(XferlogFile, frozen=True, kw_only=True):
    """What is stored of a file: besides what is shown, where to go on after a restart."""

    cursor: str | None = None


class XferlogFileRead(Record, frozen=True, kw_only=True):
    """How far a file has been read: in the batch of the lines that were read, after them."""

    path: str
    state: XferlogState
    message: str | None = None
    watch_mode: str | None = None
    offset: int | None = None
    size: int | None = None
    lag_bytes: int | None = None
    lines: int = 0
    """To add to ``lines_total``; likewise the next ones."""
    transfers: int = 0
    unparsed: int = 0
    events: int = 0
    skipped: int = 0
    gaps: int = 0
    last_line_at: datetime | None = None
    """None keeps what is stored."""
    updated_at: datetime
    cursor: str | None
    """In the words of the follower; None where nothing is fixed yet."""


class XferlogsConfigured(Record, frozen=True, kw_only=True):
    """The logs that the configuration names now: the positions in others are forgotten."""

    paths: tuple[str, ...]


class XferlogSummary(Record, frozen=True, kw_only=True):
    """Transfers that have something in common; what they are not grouped by is null."""

    hour: Annotated[datetime | None, about("Hour in which they ended, its beginning, UTC.")] = None
    username: Annotated[str | None, about("The user.")] = None
    remote_host: Annotated[str | None, about("The client.")] = None
    direction: Annotated[str | None, about("upload, download or delete.")] = None
    count: Annotated[int, about("How many there are.")]
    failures: Annotated[int, about("How many of them are incomplete.")]
    bytes: Annotated[int, about("Bytes that they moved together.")]
    transfer_time_sec: Annotated[int, about("Seconds that they took, added up.")]
    last_arrival_at: Annotated[datetime | None, about("When the last one ended, UTC.")] = None
