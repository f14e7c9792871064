"""Paths: how many files and directories are below each configured directory."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Literal

import msgspec

from etlmon.records.base import Record, RequestBody, about

PathStatus = Literal["OK", "SCANNING", "ERROR", "PARTIAL"]
ExpectedState = Literal["late", "empty", "small", "unknown", "waiting", "arrived"]


def path_id(path: str) -> str:
    """Give the stable id of a configured path: 12 hexadecimal digits of its BLAKE2b hash."""
    return blake2b(path.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


class ScanTrouble(Record, frozen=True, kw_only=True):
    """What a scan could not read, by kind; such directories are never taken for empty ones."""

    kind: Annotated[str, about("The error's name, for example EACCES.")]
    count: Annotated[int, about("How many directories or entries met it.")]
    example: Annotated[str, about("One of them, relative to the configured path.")]


class PathStats(Record, frozen=True, kw_only=True):
    """The newest counts of a configured path, and the last complete ones beside them."""

    id: Annotated[str, about("A stable hash of the path.")]
    path: Annotated[str, about("The path as configured.")]
    file_count: Annotated[
        int | None, about("Regular files: what find -H PATH -xdev -type f prints.")
    ] = None
    dir_count: Annotated[
        int | None, about("Directories below the path (find -mindepth 1 -type d).")
    ] = None
    other_count: Annotated[
        int | None, about("Everything else: symbolic links, sockets, fifos, devices.")
    ] = None
    file_count_change: Annotated[
        int | None,
        about("Files more than the complete scan before found; null if this one is partial."),
    ] = None
    scan_duration_ms: Annotated[int | None, about("How long the scan took, milliseconds.")] = None
    status: Annotated[
        str,
        about("OK; SCANNING: a scan is running, the counts are the last ones; ERROR; PARTIAL."),
    ]
    error_message: Annotated[str | None, about("Why the status is ERROR or PARTIAL.")] = None
    collected_at: Annotated[
        datetime | None, about("When the scan behind these counts ended, UTC; null before one did.")
    ] = None
    complete: Annotated[
        bool, about("Whether the counts hold everything; false says error_message why.")
    ] = False
    last_complete_file_count: Annotated[
        int | None, about("file_count of the last complete scan.")
    ] = None
    last_complete_dir_count: Annotated[
        int | None, about("dir_count of the last complete scan.")
    ] = None
    last_complete_other_count: Annotated[
        int | None, about("other_count of the last complete scan.")
    ] = None
    last_complete_at: Annotated[datetime | None, about("When the last complete scan ended.")] = None
    newest_change_at: Annotated[
        datetime | None, about("Newest modification time of the directories counted.")
    ] = None
    scanned_dirs: Annotated[int | None, about("Directories listed by the scan.")] = None
    reused_dirs: Annotated[
        int | None, about("Directories not listed, for they had not changed since the scan before.")
    ] = None
    skipped_mounts: Annotated[
        int | None,
        about("Other file systems mounted below the path; their content is not counted."),
    ] = None
    troubles: Annotated[
        list[ScanTrouble], about("What could not be read, by kind, with an example.")
    ] = msgspec.field(default_factory=list)
    scan_started_at: Annotated[datetime | None, about("When the newest scan began, UTC.")] = None
    next_scan_at: Annotated[datetime | None, about("When the next scan is due, UTC.")] = None
    scan_file_count: Annotated[
        int | None,
        about("Files that the scan under way has counted; null before it has told, and without."),
    ] = None
    scan_dir_count: Annotated[
        int | None, about("Directories that the scan under way has counted; likewise null.")
    ] = None
    expectation_state: Annotated[
        str | None,
        about(
            "The worst of what is expected below it: late, empty, small, unknown, waiting, "
            "arrived; null without."
        ),
    ] = None
    scan_waits_for: Annotated[
        str | None,
        about(
            "What the scan under way waits for, and since when; null while it counts, and without."
        ),
    ] = None


class PathExpected(Record, frozen=True, kw_only=True):
    """Files that must have arrived by a time of today, and whether they have.

    Today is the day in the zone of ``by``. A file counts when it is of today (or of the time
    ``within``), large enough, and not written to any more. A symbolic link is the file that it
    leads to, if that is below the path on the same file system.
    """

    path_id: Annotated[str, about("The path's id.")]
    place: Annotated[int, about("Its place in the configuration, from 0.")]
    pattern: Annotated[str, about("The pattern as configured.")]
    glob: Annotated[str, about("The pattern of today, its dates put in.")]
    state: Annotated[
        str,
        about(
            "arrived, today; waiting: not yet due; late; empty, small: enough files are there, too "
            "small; unknown: error_message says why it could not be seen."
        ),
    ]
    due_at: Annotated[datetime, about("By when they must be there, UTC.")]
    since: Annotated[datetime, about("From when on files count, by their modification time, UTC.")]
    min_count: Annotated[int, about("How many there must be.")]
    min_bytes: Annotated[int, about("How large each must be at the least, bytes.")]
    arrived_count: Annotated[int, about("Files that count.")] = 0
    growing_count: Annotated[int, about("Files that may still be written to.")] = 0
    small_count: Annotated[
        int, about("Files that are too small, the empty ones not among them.")
    ] = 0
    empty_count: Annotated[int, about("Files without a byte.")] = 0
    total_bytes: Annotated[int, about("All of these files together, bytes.")] = 0
    newest_path: Annotated[str | None, about("The newest file, relative to the path.")] = None
    newest_bytes: Annotated[int | None, about("Its size, bytes.")] = None
    newest_at: Annotated[datetime | None, about("When it was modified last, UTC.")] = None
    arrived_at: Annotated[
        datetime | None, about("When the node saw first that they had arrived, UTC.")
    ] = None
    checked_at: Annotated[datetime, about("When it was looked, UTC.")]
    error_message: Annotated[str | None, about("Why it could not be seen.")] = None
    previous_due_at: Annotated[
        datetime | None, about("When those of the day before were due, UTC; null if unknown.")
    ] = None
    previous_state: Annotated[
        str | None, about("How those of the day before were when last looked.")
    ] = None
    link_count: Annotated[
        int,
        about("Symbolic links that do not count: they lead to no file on its disk below the path."),
    ] = 0


class ExpectationsChecked(Record, frozen=True, kw_only=True):
    """The files that are expected below a path have been looked for."""

    path: str
    expected: list[PathExpected]


class PathPoint(Record, frozen=True, kw_only=True):
    """One step of a path's history: the newest complete scan in that step, else the newest other.

    What a scan counted that is not complete stands in a field of its own, so that it can never be
    taken for a fall of the counts.
    """

    collected_at: Annotated[datetime, about("When the scan ended, UTC.")]
    file_count: Annotated[int | None, about("Regular files; null if the scan is not complete.")]
    dir_count: Annotated[
        int | None, about("Directories below the path; null if the scan is not complete.")
    ]
    other_count: Annotated[int | None, about("Everything else; null if the scan is not complete.")]
    partial_file_count: Annotated[
        int | None,
        about("Regular files that a scan had counted which is not complete: at least so many."),
    ]
    complete: Annotated[bool, about("Whether the scan counted everything.")]
    status: Annotated[str, about("How it ended: OK, PARTIAL, or ERROR.")]
    scan_duration_ms: Annotated[int, about("How long it took, milliseconds.")]


class PathChild(Record, frozen=True, kw_only=True):
    """What the newest complete scan found in a part of a path: its rows add up to the whole."""

    path_id: Annotated[str, about("The path's id.")]
    place: Annotated[int, about("Its place, 0 first: the directories with most entries lead.")]
    kind: Annotated[
        str,
        about(
            "directory: a direct subdirectory; rest: those that are too many, summed up; itself: "
            "what is directly in the path, its subdirectories among it."
        ),
    ]
    name: Annotated[str | None, about("Name of the directory; null for the other kinds.")]
    directory_count: Annotated[int, about("Direct subdirectories that this row stands for.")]
    file_count: Annotated[int, about("Regular files below it, or for itself directly in it.")]
    dir_count: Annotated[int, about("Directories likewise; a directory itself is not in its own.")]
    other_count: Annotated[int, about("Everything else likewise.")]
    collected_at: Annotated[datetime, about("When the scan ended, UTC.")]


class ChildrenCounted(Record, frozen=True, kw_only=True):
    """A complete scan has told its counts by direct subdirectory."""

    path: str
    children: list[PathChild]


class EndedScan(Record, frozen=True, kw_only=True):
    """What the history keeps of a scan; null counts where nothing is known."""

    path_id: str
    collected_at: datetime
    file_count: int | None
    dir_count: int | None
    other_count: int | None
    complete: bool
    status: str
    scan_duration_ms: int


class PathScanStarted(Record, frozen=True, kw_only=True):
    """A scan has begun: written so that the path shows SCANNING while it runs."""

    path: str
    scan_started_at: datetime
    next_scan_at: datetime


class PathScanProgress(Record, frozen=True, kw_only=True):
    """How far a long scan is; the counts of the scan before stay beside it.

    Or what it waits for: then it has not counted anything yet.
    """

    path: str
    scan_file_count: int | None = None
    scan_dir_count: int | None = None
    scan_waits_for: str | None = None


class PathScanned(Record, frozen=True, kw_only=True):
    """A scan has ended; null counts where it could not even begin."""

    path: str
    file_count: int | None
    dir_count: int | None
    other_count: int | None
    scan_duration_ms: int
    status: PathStatus
    error_message: str | None
    collected_at: datetime
    complete: bool
    newest_change_at: datetime | None
    scanned_dirs: int | None
    reused_dirs: int | None
    skipped_mounts: int | None
    troubles: list[ScanTrouble]
    next_scan_at: datetime


class PathScanCancelled(Record, frozen=True, kw_only=True):
    """A scan was ended by a command; null counts where it had told none."""

    path: str
    file_count: int | None
    dir_count: int | None
    other_count: int | None
    scanned_dirs: int | None
    reused_dirs: int | None
    scan_duration_ms: int
    error_message: str
    collected_at: datetime


class PathsConfigured(Record, frozen=True, kw_only=True):
    """The paths that the configuration names now: others are forgotten."""

    paths: tuple[str, ...]
    expecting: tuple[str, ...] = ()
    """Those of them below which files are expected."""


class ScanRequest(RequestBody, frozen=True, kw_only=True):
    """The body of a scan command."""

    paths: Annotated[
        list[str] | None, about("Configured paths to scan; absent means all of them.")
    ] = None
    confirm: Annotated[bool, about("Must be true.")] = False


class ScanSkipped(Record, frozen=True, kw_only=True):
    """A path that was asked for and is not scanned anew."""

    path: Annotated[str, about("The path as configured.")]
    reason: Annotated[str, about("Why not.")]


class ScanAnswer(Record, frozen=True, kw_only=True):
    """What a scan command began."""

    started: Annotated[list[str], about("Paths whose scan has been started.")]
    skipped: Annotated[list[ScanSkipped], about("Paths that were not, with the reason.")]


class ScanCancelAnswer(Record, frozen=True, kw_only=True):
    """What the cancellation of scans has ended."""

    cancelled: Annotated[list[str], about("Paths whose scan has been ended.")]
    not_running: Annotated[list[str], about("Paths of which no scan was running.")]
