"""Scans: what is asked, and what is answered."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from etlmon.fsworker.messages import Order, WireTrouble, convert, moment, shown_path, to_troubles
from etlmon.records.path import ScanTrouble

if TYPE_CHECKING:
    from collections.abc import Sequence


class ScanOrder(Order, frozen=True, kw_only=True):
    """A scan that is wanted.

    ``remember`` keeps what is found for the next such scan, which then lists only directories that
    have changed; ``settle_seconds`` is how old a change must be to be told from the next one.
    What was remembered in another ``generation`` is forgotten. ``parallelism`` is how many calls
    of the file system are made at a time, for those that take long to answer; such a scan is not
    shared.
    """

    parallelism: int = 1
    max_depth: int | None = None
    max_files: int | None = None
    remember: bool = False
    generation: int = 0
    settle_seconds: float = 2.0

    @property
    def remember_as(self) -> str | None:
        """What the scan is remembered under: a hash of all that makes a difference to its counts.

        None if it is not remembered. Limits make none: what is remembered, is so by directory.
        """
        if not self.remember:
            return None
        what = (self.path, self.max_depth, self.exclude, sorted(self.skip), self.settle_seconds)
        return hashlib.sha256(repr(what).encode()).hexdigest()


class ScanProgress(Struct, frozen=True, kw_only=True):
    """How far a scan is: entries counted, directories listed or reused, the one it is in."""

    files: int
    dirs: int
    others: int
    listed: int
    reused: int
    directory: str

    @property
    def entries(self) -> int:
        """All entries counted so far."""
        return self.files + self.dirs + self.others


class ChildCounts(Struct, frozen=True, kw_only=True):
    """What is below one direct subdirectory of a scanned directory, it itself not counted."""

    name: str
    files: int
    dirs: int
    others: int

    @property
    def entries(self) -> int:
        """All entries below it."""
        return self.files + self.dirs + self.others


class OtherChildren(Struct, frozen=True, kw_only=True):
    """The direct subdirectories that are too many to be told one by one, summed up."""

    children: int = 0
    files: int = 0
    dirs: int = 0
    others: int = 0


class ScanOutcome(Struct, frozen=True, kw_only=True):
    """What a scan found: the numbers of ``find -H PATH -xdev -mindepth 1``, by type.

    ``reused_dirs`` had not changed since the scan before, and were not listed. ``stopped`` says
    why the scan ended before its end; ``troubles`` are what could not be read. ``children`` are
    the direct subdirectories that were entered, the largest by entries first and at most 1,000;
    what is missing from the sum of them and of ``other_children`` is in the directory itself.
    """

    files: int
    dirs: int
    others: int
    listed_dirs: int
    reused_dirs: int
    skipped_mounts: int | None
    newest_change_at: datetime | None
    stopped: Literal["timeout", "max_files"] | None
    troubles: list[ScanTrouble]
    duration_seconds: float
    children: list[ChildCounts] = []
    other_children: OtherChildren = OtherChildren()

    @property
    def complete(self) -> bool:
        """Whether everything below the path has been counted."""
        return self.stopped is None and not self.troubles


def scan_request(
    order: ScanOrder,
    scan_id: int,
    timeout_seconds: float,
    parts: Sequence[str],
    apart: Sequence[str],
) -> dict[str, Any]:
    """Give the request for a scan, or for those parts of it that one worker does."""
    return {
        **order.request("scan"),
        "max_depth": order.max_depth,
        "max_files": order.max_files,
        "timeout_seconds": float(timeout_seconds),
        "remember_as": order.remember_as,
        "scan_id": scan_id,
        "generation": order.generation,
        "parallelism": order.parallelism,
        "settle_seconds": float(order.settle_seconds),
        "parts": list(parts),
        "apart": list(apart),
    }


def to_scan_progress(content: Any) -> ScanProgress:
    """Read a progress line; raise Malformed."""
    progress = convert(content, ScanProgress)
    return msgspec.structs.replace(progress, directory=shown_path(progress.directory))


def to_given(content: Any) -> list[str]:
    """Read the parts that a worker leaves to others, as the wire has them; raise Malformed."""
    return convert(content, list[str])


def to_scan_outcome(content: Any) -> ScanOutcome:
    """Read the answer to a scan request; raise Malformed."""
    answer = convert(content, _ScanAnswer)
    return ScanOutcome(
        files=answer.files,
        dirs=answer.dirs,
        others=answer.others,
        listed_dirs=answer.listed,
        reused_dirs=answer.reused,
        skipped_mounts=answer.skipped_mounts,
        newest_change_at=moment(answer.newest_mtime_ns),
        stopped=answer.stopped,
        troubles=to_troubles(answer.troubles),
        duration_seconds=answer.duration_seconds,
        children=[
            ChildCounts(name=shown_path(name), files=files, dirs=dirs, others=others)
            for name, files, dirs, others in answer.children
        ],
        other_children=OtherChildren(
            **dict(zip(OtherChildren.__struct_fields__, answer.children_rest, strict=True))
        ),
    )


def partial_outcome(progress: ScanProgress, duration_seconds: float) -> ScanOutcome:
    """Give what is known of a scan whose child had to be killed."""
    return ScanOutcome(
        files=progress.files,
        dirs=progress.dirs,
        others=progress.others,
        listed_dirs=progress.listed,
        reused_dirs=progress.reused,
        skipped_mounts=None,
        newest_change_at=None,
        stopped="timeout",
        troubles=[],
        duration_seconds=duration_seconds,
    )


class _ScanAnswer(Struct):
    files: int
    dirs: int
    others: int
    listed: int
    reused: int
    skipped_mounts: int
    newest_mtime_ns: int | None
    stopped: Literal["timeout", "max_files"] | None
    troubles: list[WireTrouble]
    duration_seconds: float
    children: list[tuple[str, int, int, int]]
    children_rest: tuple[int, int, int, int]
