"""Cron: what runs when, by the rules of the daemon that runs it, and what it ignores."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Literal

import msgspec

from etlmon.records.base import Record, RequestBody, about

NextRunKind = Literal["exact", "window", "on_boot", "never", "unknown"]
FileStatus = Literal["active", "ignored", "unknown"]


@lru_cache(maxsize=16_384)
def job_id(source: str, file: str, user: str | None, command: str, ordinal: int) -> str:
    """Give the stable id of a job: 12 hexadecimal digits of a BLAKE2b hash.

    The lines above it and its own times may change; ``ordinal`` tells equal jobs of a file apart.
    """
    named = msgspec.json.encode((source, file, user, command, ordinal))
    return blake2b(named, digest_size=6).hexdigest()


def is_missed(job: CronJob | CronHistory) -> bool:
    """Whether a run of a job was missed, and none has begun since."""
    missed, began = job.missed_at, job.last_start
    return missed is not None and (began is None or began < missed)


class CronEntry(Record, frozen=True, kw_only=True):
    """A job as it is written, and when it comes next."""

    job_id: Annotated[
        str, about("A stable id: it stays while file, user and command stay, whatever the times.")
    ]
    schedule: Annotated[str, about("The times as written, or @daily and the like.")]
    command: Annotated[str, about("What is run; of a timer, the unit that it starts.")]
    user: Annotated[str | None, about("Whom it runs as; null if the line names nobody.")] = None
    source: Annotated[
        str, about("crontab, cron.d, user (a user's crontab), run-parts, anacron or timer.")
    ]
    file: Annotated[str, about("The file that it stands in.")]
    line: Annotated[int | None, about("Its line there; null for scripts and timers.")] = None
    next_run: Annotated[
        datetime | None, about("When it runs next, or the earliest moment of its window, UTC.")
    ] = None
    next_run_local: Annotated[
        str | None, about("The same in the node's time zone, RFC 3339 with the offset.")
    ] = None
    next_run_kind: Annotated[
        str,
        about("exact; window: some time from next_run to window_end; on_boot; never; unknown."),
    ]
    window_end: Annotated[
        datetime | None, about("The latest moment that a window's run begins, UTC, if known.")
    ] = None
    reason: Annotated[
        str | None, about("Why it never runs, why that is unknown, or what stands in its way.")
    ] = None
    next_runs: Annotated[list[datetime], about("The coming runs, at most 10, UTC.")] = (
        msgspec.field(default_factory=list)
    )
    runs_by_hour: Annotated[
        list[int],
        about(
            "Runs in each of 24 hours, the first being that of last_checked; of a window, those "
            "that may begin in it. Fewer hours, or none, if the rest is not known."
        ),
    ] = msgspec.field(default_factory=list)
    timezone: Annotated[str, about("The zone that the times are meant in.")]
    dst_risk: Annotated[
        bool, about("Whether a change of the clock within a year moves, drops or repeats a run.")
    ] = False
    lint: Annotated[list[str], about("What is odd about the line, one sentence each.")] = (
        msgspec.field(default_factory=list)
    )
    file_status: Annotated[
        str, about("active; ignored: the daemon takes nothing from the file; or unknown.")
    ]
    dialect: Annotated[
        str | None, about("Whose rules it is judged by: debian, cronie; null for timers.")
    ] = None
    last_checked: Annotated[datetime, about("When its file was last looked at, UTC.")]


class CronJob(CronEntry, frozen=True, kw_only=True):
    """A job, when it comes next, and how it went; null where that cannot be known."""

    last_start: Annotated[datetime | None, about("When it last began, UTC.")] = None
    last_end: Annotated[
        datetime | None, about("When that run ended, UTC; null while it runs, or if not logged.")
    ] = None
    last_exit: Annotated[
        int | None, about("Exit status of the last run that ended; 128 and more for a signal.")
    ] = None
    running_pids: Annotated[list[int] | None, about("Its processes that run now.")] = None
    overlap: Annotated[
        bool | None, about("Whether a run began while the one before was still going.")
    ] = None
    median_runtime_seconds: Annotated[
        float | None, about("The median of its runs that are known from beginning to end.")
    ] = None
    missed_at: Annotated[
        datetime | None, about("The newest run that was due and did not begin, UTC.")
    ] = None
    history_reason: Annotated[
        str | None, about("Why how it went is not known, or not all of it.")
    ] = None
    recent_runtimes_seconds: Annotated[
        list[float], about("The newest runs that the median is of, at most 20, the newest last.")
    ] = msgspec.field(default_factory=list)
    late_since: Annotated[
        datetime | None,
        about("When a run was due that has not begun and still may: more than 2 minutes ago, UTC."),
    ] = None


class CronHistory(Record, frozen=True, kw_only=True):
    """How a job went, as far as it is known now."""

    job_id: str
    last_start: datetime | None = None
    last_end: datetime | None = None
    last_exit: int | None = None
    running_pids: list[int] | None = None
    overlap: bool | None = None
    median_runtime_seconds: float | None = None
    missed_at: datetime | None = None
    history_reason: str | None = None
    recent_runtimes_seconds: list[float] = msgspec.field(default_factory=list)
    late_since: datetime | None = None


class CronLogRead(Record, frozen=True, kw_only=True):
    """How far the log of cron has been read."""

    path: str
    cursor: str


class CronFile(Record, frozen=True, kw_only=True):
    """A file of cron, and what the daemon makes of it; or a directory that may not be read."""

    path: Annotated[str, about("The file.")]
    source: Annotated[str, about("crontab, cron.d, user, run-parts or anacron.")]
    dialect: Annotated[str, about("Whose rules it is judged by: debian or cronie.")]
    status: Annotated[str, about("active; ignored: the daemon takes nothing from it; or unknown.")]
    reason: Annotated[str | None, about("Why it is ignored, or why that is unknown.")] = None
    line: Annotated[int | None, about("The line at fault, if it is one.")] = None
    jobs: Annotated[int, about("Jobs in it, whether they run or not.")] = 0
    owner: Annotated[str | None, about("Its owner: the account, or the uid if it has none.")] = None
    mode: Annotated[str | None, about("Its permissions, four octal digits.")] = None
    changed_at: Annotated[datetime | None, about("When its content last changed, UTC.")] = None
    lint: Annotated[list[str], about("What is odd in it, one sentence each, with the line.")] = (
        msgspec.field(default_factory=list)
    )
    visibility: Annotated[
        str, about("full; partial: this node may not read it, or not all of it.")
    ] = "full"
    last_checked: Annotated[datetime, about("When it was last looked at, UTC.")]


class CronListing(Record, frozen=True, kw_only=True):
    """All that one look has found: what is not among it is gone."""

    job_ids: tuple[str, ...]
    paths: tuple[str, ...]
    last_checked: datetime


class CronRefreshRequest(RequestBody, frozen=True, kw_only=True):
    """The body of a refresh."""

    confirm: Annotated[bool, about("Must be true.")] = False


class CronRefreshAnswer(Record, frozen=True, kw_only=True):
    """What a refresh began."""

    started: Annotated[bool, about("Whether a look at the crontabs has been begun.")]
    reason: Annotated[str | None, about("Why not: one is under way already.")] = None
