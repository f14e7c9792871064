"""Files whose names match: what is asked, and what is answered; globs are those of globs.py."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

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
from etlmon.globs import glob_parts

if TYPE_CHECKING:
    from collections.abc import Sequence


class FindPattern(Struct, frozen=True, kw_only=True):
    """Files that are wanted: those that match a glob.

    Those whose mtime is not before ``since`` (all, if None) are recent; those of them that have
    at least ``min_bytes`` have arrived.
    """

    glob: str
    since: datetime | None = None
    min_bytes: int | None = None


class FindOrder(Order, frozen=True, kw_only=True):
    """A search for files by several patterns at once; each directory is listed once."""

    patterns: Sequence[FindPattern]


class FindProgress(Struct, frozen=True, kw_only=True):
    """How far a search is, and the directory that it is in."""

    entries: int
    directory: str


class FoundFile(Struct, frozen=True, kw_only=True):
    """A file that matches; ``path`` is relative."""

    path: str
    size_bytes: int
    modified_at: datetime | None


class Found(Struct, frozen=True, kw_only=True):
    """What matches one pattern: regular files, and links to those that are below the directory.

    A link is not counted beside its target if that matches too; ``links`` are those that lead to
    no file there.

    ``matched`` are all of them, however old. Of these ``recent`` are new enough, with
    ``recent_bytes`` together; of the recent ones ``empty`` have no bytes, and ``arrived`` have at
    least ``min_bytes``. ``newest`` are the newest of all that match: at most 100, fewer if there
    are more than 4 patterns.
    """

    matched: int
    recent: int
    arrived: int
    empty: int
    recent_bytes: int
    newest: list[FoundFile]
    links: int = 0


class FindOutcome(Outcome, frozen=True, kw_only=True):
    """What has been found, one for each pattern; ``entries`` are the names looked at."""

    found: list[Found]
    entries: int


def find_request(order: FindOrder) -> dict[str, Any]:
    """Give the request for files; raise ValueError if a glob is none."""
    patterns = [
        {
            "parts": glob_parts(pattern.glob),
            "since_ns": pattern.since and round(pattern.since.timestamp() * 1000) * 1_000_000,
            "min_bytes": pattern.min_bytes,
        }
        for pattern in order.patterns
    ]
    return {**order.request("find"), "patterns": patterns}


def to_find_progress(content: Any) -> FindProgress:
    """Read a progress line; raise Malformed."""
    progress = convert(content, FindProgress)
    return FindProgress(entries=progress.entries, directory=shown_path(progress.directory))


def to_find_outcome(content: Any) -> FindOutcome:
    """Read the answer to a request for files; raise Malformed."""
    answer = convert(content, _FindAnswer)
    return FindOutcome(
        found=[
            Found(
                matched=one.matched,
                recent=one.recent,
                arrived=one.arrived,
                empty=one.empty,
                recent_bytes=one.recent_bytes,
                newest=[
                    FoundFile(path=shown_path(path), size_bytes=size, modified_at=moment(mtime_ns))
                    for path, size, mtime_ns in one.files
                ],
                links=one.links,
            )
            for one in answer.found
        ],
        entries=answer.entries,
        skipped_mounts=answer.skipped_mounts,
        stopped=answer.stopped,
        troubles=to_troubles(answer.troubles),
        duration_seconds=answer.duration_seconds,
    )


class _Found(Struct):
    matched: int
    recent: int
    arrived: int
    empty: int
    recent_bytes: int
    links: int
    files: list[tuple[str, int, int]]


class _FindAnswer(Struct):
    entries: int
    found: list[_Found]
    skipped_mounts: int
    stopped: Literal["timeout"] | None
    troubles: list[WireTrouble]
    duration_seconds: float
