"""Logs: the lines that were read, and how far each file has been read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from etlmon.records.base import Record, RequestBody, about
from etlmon.records.followed import (
    FileBytes,
    Gaps,
    LagBytes,
    LastLineAt,
    LookedAt,
    ReadBytes,
    WatchMode,
)

LogState = Literal["following", "waiting", "paused", "error"]
LineFlag = Literal["gap", "truncated", "nul_run", "partial", "cut"]


class LogLine(Record, frozen=True, kw_only=True):
    """One line of a log, or, where ``line`` is null, what happened between two lines."""

    id: Annotated[int, about("Its number: one more than the line stored before it.")]
    log_name: Annotated[str, about("The log's name in the configuration.")]
    log_path: Annotated[str, about("The file by the name that is followed, also after it rotates.")]
    line: Annotated[
        str | None,
        about("The line without its end; null in a row that tells what happened instead."),
    ] = None
    created_at: Annotated[datetime, about("When it was read, UTC.")]
    source_inode: Annotated[int | None, about("Inode of the file that it stood in.")] = None
    flags: Annotated[
        list[str],
        about(
            "gap: something here could not be read; truncated: the file was cut off here; "
            "nul_run: here stood nothing but NUL bytes; partial: the line's end had not been "
            "written in time; cut: it was too long."
        ),
    ] = msgspec.field(default_factory=list)
    logged_at: Annotated[
        datetime | None, about("The time that the line itself tells, where time_format finds one.")
    ] = None
    length_bytes: Annotated[
        int | None,
        about("Length of a line before it was cut; bytes of a gap or a run of NULs, if known."),
    ] = None
    detail: Annotated[str | None, about("What happened, in words, in a row without a line.")] = None


class LineMark(Record, frozen=True, kw_only=True):
    """What is special about one line of a LogBlock."""

    flags: tuple[LineFlag, ...]
    length_bytes: int | None = None
    detail: str | None = None


class LogBlock(Record, frozen=True, kw_only=True):
    """Lines of one file that were read together: each becomes a LogLine, in their order.

    They are one record so that a burst costs no work for each line on its way into the store.
    """

    log_name: str
    log_path: str
    source_inode: int | None = None
    created_at: datetime
    lines: list[str | None]
    """None in a row that tells of a gap, a truncation or a run of NULs; it must have a mark."""
    marks: dict[int, LineMark] = msgspec.field(default_factory=dict)
    """By place in ``lines``; ordinary lines have none."""
    logged_at_ms: list[int | None] | None = None
    """The times that the lines tell, ms since the epoch, if any are looked for."""


class LogFileRead(Record, frozen=True, kw_only=True):
    """How far a file has been read: in the batch of the lines that were read, after them."""

    log_name: str
    log_path: str
    state: LogState
    error_message: str | None = None
    watch_mode: str | None = None
    offset: int | None = None
    size: int | None = None
    lag_bytes: int | None = None
    source_inode: int | None = None
    updated_at: datetime
    cursor: str | None
    """Where to go on after a restart, in the words of the collector; None where nothing is fixed
    yet."""


class LogFileStored(LogFileRead, frozen=True, kw_only=True):
    """What the store keeps of a file: how far it has been read, and what it has counted itself."""

    lines_total: int = 0
    gaps: int = 0
    last_line_at: datetime | None = None
    configured: bool = True


class StoredBlock(Record, frozen=True, kw_only=True):
    """Where lines of one file stand whose numbers follow each other."""

    first_id: int
    last_id: int
    log_name: str
    log_path: str
    first_at: datetime
    last_at: datetime


class LogFileGone(Record, frozen=True, kw_only=True):
    """A file of a log with a pattern is there no more, and has been read to its end: forget it."""

    log_name: str
    log_path: str


class LogUnseen(Record, frozen=True, kw_only=True):
    """The files of a log cannot be looked at: so it is with each of which something is known.

    Where that is none, with the one of ``log_path``. What was known of them before stays.
    """

    log_name: str
    log_path: str
    state: LogState
    error_message: str
    updated_at: datetime


class LogsConfigured(Record, frozen=True, kw_only=True):
    """The logs that the configuration names now: others are not listed any more."""

    names: tuple[str, ...]


class LogSwitched(Record, frozen=True, kw_only=True):
    """A log was paused or resumed by a command; this holds until the next one, restarts or not."""

    log_name: str
    paused: bool
    switched_at: datetime


class LogSaved(Record, frozen=True, kw_only=True):
    """What the store knows of a log when its collector begins."""

    paused: bool | None = None
    """What the last command said; None where there was none, and the configuration decides."""
    cursors: dict[str, str] = msgspec.field(default_factory=dict)
    """The cursor of each file that has one, by log_path."""
    missed: str | None = None
    """Why a file that has none may have had one; None where there is no reason to think so."""


class LogFile(Record, frozen=True, kw_only=True):
    """One file of a log: how far it has been read. A log with a pattern has several."""

    name: Annotated[str, about("The log's name in the configuration.")]
    path: Annotated[str, about("The file; the configured path while there is none.")]
    state: Annotated[
        str,
        about(
            "following: its position is saved, what is written from now on will be here; "
            "waiting: for the file, or to be looked at after it was resumed; paused; or error."
        ),
    ]
    error_message: Annotated[str | None, about("Why it waits or fails.")] = None
    watch_mode: WatchMode = None
    offset: ReadBytes = None
    size: FileBytes = None
    lag_bytes: LagBytes = None
    lines_total: Annotated[int, about("Lines stored since the log is followed.")] = 0
    gaps: Gaps = 0
    last_line_at: LastLineAt = None
    source_inode: Annotated[int | None, about("Inode of the file that is read.")] = None
    updated_at: LookedAt


class LogSwitchRequest(RequestBody, frozen=True, kw_only=True):
    """The body of a command that pauses or resumes a log."""

    confirm: Annotated[bool, about("Must be true.")] = False


class LogSwitchAnswer(Record, frozen=True, kw_only=True):
    """What a log does after a command."""

    name: Annotated[str, about("The log.")]
    paused: Annotated[bool, about("Whether it is paused now.")]
