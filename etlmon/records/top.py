"""The largest files and directories below a path: the command to look for them, and the job."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from etlmon.records.base import Record, RequestBody, about
from etlmon.records.path import ScanTrouble

TopState = Literal["none", "running", "done", "partial", "failed", "cancelled"]
MOST_LARGEST = 100


class TopRequest(RequestBody, frozen=True, kw_only=True):
    """The command to look for the largest files and directories of a path."""

    confirm: Annotated[bool, about("Must be true.")] = False
    count: Annotated[
        int, about("How many of each to give, at most 100.", ge=1, le=MOST_LARGEST)
    ] = 20


class LargeFile(Record, frozen=True, kw_only=True):
    """A large file."""

    path: Annotated[str, about("Relative to the path; the end of it if it is longer than 1,000.")]
    allocated_bytes: Annotated[int, about("What it takes on the disk, bytes.")]
    apparent_bytes: Annotated[int, about("Its length, bytes.")]
    modified_at: Annotated[datetime | None, about("When it was last changed, UTC.")]


class LargeDirectory(Record, frozen=True, kw_only=True):
    """A large directory, with all that is below it."""

    path: Annotated[str, about("Relative to the path, empty for the path itself.")]
    allocated_bytes: Annotated[int, about("What all of it takes on the disk, bytes.")]
    apparent_bytes: Annotated[int, about("The lengths of its files together, bytes.")]
    files: Annotated[int, about("Regular files in it.")]


class TopJob(Record, frozen=True, kw_only=True):
    """A search for the largest files and directories of a path; kept until the node ends.

    Allocated bytes are what ``du`` counts, apparent ones the lengths of files. A file with several
    names counts once.
    """

    id: Annotated[str, about("The path's id.")]
    path: Annotated[str, about("The path as configured.")]
    state: Annotated[
        str,
        about(
            "none: nothing was looked for since the node began; running; done; partial: "
            "error_message says what is missing; failed; cancelled."
        ),
    ]
    count: Annotated[int, about("How many of each were asked for.")] = 0
    started_at: Annotated[datetime | None, about("When it was asked for, UTC.")] = None
    ended_at: Annotated[datetime | None, about("When it ended, UTC.")] = None
    duration_ms: Annotated[int, about("How long it has taken so far, or in all; milliseconds.")] = 0
    error_message: Annotated[str | None, about("Why it is partial or failed.")] = None
    entries: Annotated[int, about("Entries measured, so far or in all.")] = 0
    allocated_bytes: Annotated[int, about("What they take on the disk, bytes.")] = 0
    apparent_bytes: Annotated[
        int | None, about("Lengths of the files, bytes; null before it has ended.")
    ] = None
    directory: Annotated[
        str | None, about("Where a running search is, relative to the path; null before it is.")
    ] = None
    links_exact: Annotated[
        bool, about("False if there were too many files with several names to tell all apart.")
    ] = True
    skipped_mounts: Annotated[
        int | None, about("Other file systems mounted below the path; they are not measured.")
    ] = None
    files_by_allocated: Annotated[
        list[LargeFile], about("Those that take the most, the largest first.")
    ] = msgspec.field(default_factory=list)
    files_by_apparent: Annotated[list[LargeFile], about("The longest, the longest first.")] = (
        msgspec.field(default_factory=list)
    )
    directories_by_allocated: Annotated[
        list[LargeDirectory], about("Those that take the most, the largest first.")
    ] = msgspec.field(default_factory=list)
    directories_by_apparent: Annotated[
        list[LargeDirectory], about("Those with the longest files together, first the longest.")
    ] = msgspec.field(default_factory=list)
    troubles: Annotated[
        list[ScanTrouble], about("What could not be read, by kind, with an example.")
    ] = msgspec.field(default_factory=list)
