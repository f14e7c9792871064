"""The largest files and directories below a directory: what is asked, and what is answered."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from etlmon.fsworker.messages import (
    Order,
    Outcome,
    WireTrouble,
    convert,
    moment,
    shown_path,
    to_troubles,
)
from etlmon.records.top import LargeDirectory, LargeFile


class TopOrder(Order, frozen=True, kw_only=True):
    """A search for the ``count`` largest, at most 100 (MOST_LARGEST)."""

    count: int = 20


class TopProgress(Struct, frozen=True, kw_only=True):
    """How far a search for the largest is, and the directory that it is in."""

    entries: int
    allocated_bytes: int
    directory: str


class TopOutcome(Outcome, frozen=True, kw_only=True):
    """The largest below a directory, each list with the largest first.

    Allocated bytes are what ``du`` counts: everything, directories too, in blocks on the disk.
    Apparent ones are the lengths of regular files and symbolic links. A file with several names
    counts once, at the first of them; ``links_exact`` is false if there were more such files than
    could be told apart.
    """

    entries: int
    allocated_bytes: int
    apparent_bytes: int
    links_exact: bool
    files_by_allocated: list[LargeFile]
    files_by_apparent: list[LargeFile]
    directories_by_allocated: list[LargeDirectory]
    directories_by_apparent: list[LargeDirectory]


def top_request(order: TopOrder) -> dict[str, Any]:
    """Give the request for the largest."""
    return {**order.request("top"), "count": order.count}


def to_top_progress(content: Any) -> TopProgress:
    """Read a progress line; raise Malformed."""
    progress = convert(content, TopProgress)
    return TopProgress(
        entries=progress.entries,
        allocated_bytes=progress.allocated_bytes,
        directory=shown_path(progress.directory),
    )


def to_top_outcome(content: Any) -> TopOutcome:
    """Read the answer to a request for the largest; raise Malformed."""
    answer = convert(content, _TopAnswer)
    by_allocated, by_apparent = ([_file(*row) for row in rows] for rows in answer.files)
    dirs_by_allocated, dirs_by_apparent = (
        [_directory(*row) for row in rows] for rows in answer.directories
    )
    return TopOutcome(
        entries=answer.entries,
        allocated_bytes=answer.allocated_bytes,
        apparent_bytes=answer.apparent_bytes,
        links_exact=answer.links_exact,
        files_by_allocated=by_allocated,
        files_by_apparent=by_apparent,
        directories_by_allocated=dirs_by_allocated,
        directories_by_apparent=dirs_by_apparent,
        skipped_mounts=answer.skipped_mounts,
        stopped=answer.stopped,
        troubles=to_troubles(answer.troubles),
        duration_seconds=answer.duration_seconds,
    )


def _file(path: str, allocated: int, apparent: int, mtime_ns: int) -> LargeFile:
    return LargeFile(
        path=shown_path(path),
        allocated_bytes=allocated,
        apparent_bytes=apparent,
        modified_at=moment(mtime_ns),
    )


def _directory(path: str, allocated: int, apparent: int, files: int) -> LargeDirectory:
    return LargeDirectory(
        path=shown_path(path), allocated_bytes=allocated, apparent_bytes=apparent, files=files
    )


_Rows = list[tuple[str, int, int, int]]


class _TopAnswer(Struct):
    entries: int
    allocated_bytes: int
    apparent_bytes: int
    links_exact: bool
    files: tuple[_Rows, _Rows]
    directories: tuple[_Rows, _Rows]
    skipped_mounts: int
    stopped: Literal["timeout"] | None
    troubles: list[WireTrouble]
    duration_seconds: float
