"""The database itself: what is in it, how it is kept small and sound, and its copies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from etlmon.records.base import Record, RequestBody, about


class TableContent(Record, frozen=True, kw_only=True):
    """How much is in one table."""

    table: Annotated[str, about("The table.")]
    rows: Annotated[int, about("Rows in it, as in TableFigures.")]
    size_bytes: Annotated[int, about("Bytes of it and its indexes, reckoned from a sample.")]
    bytes_last_day: Annotated[int | None, about("What the last 24 hours added, reckoned.")] = None


class DatabaseContent(Record, frozen=True, kw_only=True):
    """What is in the database, as it was when it was looked at last; /admin/db looks anew."""

    taken_at: Annotated[datetime, about("When that was, UTC; every 10 minutes.")]
    bytes_last_day: Annotated[int, about("What the 24 hours before added, reckoned.")]
    tables: Annotated[list[TableContent], about("Each table, the largest first.")]


class TableFigures(Record, frozen=True, kw_only=True):
    """How large one table is."""

    table: Annotated[str, about("The table.")]
    rows: Annotated[
        int,
        about("Rows in it; of more than 100,000 with holes between them, reckoned from a sample."),
    ]
    size_bytes: Annotated[int, about("Bytes of it and its indexes, reckoned from a sample.")]
    oldest_at: Annotated[datetime | None, about("Moment of its oldest row, UTC.")] = None
    rows_last_day: Annotated[int | None, about("Rows of the last 24 hours, about.")] = None
    bytes_last_day: Annotated[int | None, about("Bytes that those take, reckoned alike.")] = None
    max_rows: Annotated[int | None, about("Rows that are kept at most.")] = None
    max_age_seconds: Annotated[float | None, about("Age at which a row goes.")] = None
    max_bytes: Annotated[int | None, about("Bytes that are kept at most.")] = None


class DatabaseCheck(Record, frozen=True, kw_only=True):
    """What SQLite's integrity check said of the file, table by table."""

    checked_at: Annotated[datetime, about("When it began, UTC.")]
    duration_ms: Annotated[int, about("How long it took, milliseconds.")]
    state: Annotated[str, about("ok; damaged; error: it could not be made.")]
    message: Annotated[str | None, about("What was found.")] = None
    tables: Annotated[int, about("Tables that were checked.")]
    left_out: Annotated[
        list[str], about("Tables too large to check beside the writing; a backup checks them.")
    ]


class BackupState(Record, frozen=True, kw_only=True):
    """The newest copy of the database on the schedule, and the next."""

    directory: Annotated[str, about("Where the copies are.")]
    state: Annotated[
        str,
        about(
            "waiting, running, hanging: its directory has not answered for a minute, "
            "or how the last one ended: ok, error."
        ),
    ]
    last_path: Annotated[str | None, about("The newest good copy.")] = None
    last_at: Annotated[datetime | None, about("When it was made, UTC.")] = None
    last_bytes: Annotated[int | None, about("Its size, bytes.")] = None
    last_error: Annotated[str | None, about("Why the newest attempt failed.")] = None
    last_error_at: Annotated[datetime | None, about("When that was, UTC.")] = None
    next_at: Annotated[datetime | None, about("When the next one is due, UTC.")] = None


class CompactJob(Record, frozen=True, kw_only=True):
    """A compaction: the pages that nothing uses go back to the file system."""

    id: Annotated[int, about("Number of the job since the node began.")]
    full: Annotated[bool, about("Whether the whole file is written anew (VACUUM).")]
    state: Annotated[str, about("running, done, failed.")]
    phase: Annotated[str, about("What it does now: checkpoint, freeing pages, vacuum, done.")]
    started_at: Annotated[datetime, about("When it began, UTC.")]
    ended_at: Annotated[datetime | None, about("When it ended, UTC.")] = None
    pages_to_free: Annotated[int, about("Unused pages found at its beginning.")] = 0
    pages_freed: Annotated[int, about("Of those, given back so far.")] = 0
    size_before_bytes: Annotated[int | None, about("File and log before it, bytes.")] = None
    size_after_bytes: Annotated[int | None, about("File and log after it, bytes.")] = None
    error_message: Annotated[str | None, about("Why it failed.")] = None


class CompactRequest(RequestBody, frozen=True, kw_only=True):
    """The command to compact the database."""

    confirm: Annotated[bool, about("Must be true.")] = False
    full: Annotated[
        bool, about("Write the whole file anew; needs its size of free space twice.")
    ] = False


class DatabaseFigures(Record, frozen=True, kw_only=True):
    """The database in figures."""

    path: Annotated[str, about("Where the file is.")]
    size_bytes: Annotated[int, about("Size of the file.")]
    content_bytes: Annotated[int, about("Of it, pages in use.")]
    free_bytes: Annotated[int, about("Of it, pages that nothing uses now.")]
    wal_bytes: Annotated[int, about("Size of the write-ahead log beside it.")]
    page_bytes: Annotated[int, about("Size of a page.")]
    max_bytes: Annotated[int | None, about("Size that the file never exceeds, if set.")] = None
    bytes_last_day: Annotated[int, about("What the last 24 hours added, reckoned.")]
    schema_version: Annotated[int, about("Number of the newest migration that it holds.")]
    tables: Annotated[list[TableFigures], about("Each table, the largest first.")]
    check: Annotated[DatabaseCheck | None, about("The newest check, null before the first.")] = None
    backup: Annotated[
        BackupState | None, about("Copies on schedule, null where there is none.")
    ] = None
    compaction: Annotated[
        CompactJob | None, about("The newest compaction since the node began.")
    ] = None
