"""What is asked of a worker, what it answers, and how it can fail; the parent's side of the wire.

``worker.py`` defines the wire format. Here its words become records: names are bytes on the way
in, and text fit for JSON and SQLite on the way out.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from etlmon.errors import CollectError
from etlmon.host.mounts import Usage
from etlmon.records.path import ScanTrouble
from etlmon.text import host_text
from etlmon.units import from_millis

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
Kind = Literal["answer", "error", "progress", "given"]
_KINDS: tuple[Kind, ...] = get_args(Kind)


class Order(Struct, frozen=True, kw_only=True):
    """A walk through a directory that is wanted.

    ``mount_point`` names the mount that ``path`` is on, always with the same text. ``exclude`` is
    the source of a regular expression as ``compile_exclude`` gives it. ``skip`` are directories
    relative to ``path`` (mount points, autofs triggers) that are counted and never opened.
    ``one_at_a_time`` is for mounts that may hang (network, FUSE): no two such walks of one mount
    run at the same time, so that at most one child can get stuck there; nor do two walks of the
    same ``server``, to spare it. ``silence_seconds`` is how long it may make no progress at all,
    long before its timeout: its file system hangs then.
    """

    path: bytes
    mount_point: str
    timeout_seconds: float
    silence_seconds: float = 30.0
    exclude: str | None = None
    skip: tuple[bytes, ...] | list[bytes] = ()
    one_at_a_time: bool = False
    server: str | None = None
    max_ops_per_second: float | None = None

    @property
    def exclusive(self) -> frozenset[str]:
        """The words that walks share which may not run at the same time."""
        words = []
        if self.one_at_a_time:
            words.append(f"mount {self.mount_point}")
        if self.server is not None:
            words.append(f"server {self.server}")
        return frozenset(words)

    def request(self, op: str) -> dict[str, Any]:
        """Give what the request for any walk says."""
        return {
            "op": op,
            "path": _wire_text(self.path),
            "exclude": self.exclude,
            "timeout_seconds": float(self.timeout_seconds),
            "skip": [_wire_text(path) for path in self.skip],
            "max_ops_per_second": self.max_ops_per_second and float(self.max_ops_per_second),
        }


class ScanOrder(Order, frozen=True, kw_only=True):
    """A scan that is wanted.

    ``remember`` keeps what is found for the next such scan, which then lists only directories that
    have changed; ``settle_seconds`` is how old a change must be to be told from the next one.
    ``relist`` lists all of them nonetheless. ``parallelism`` is how many calls of the file system
    are made at a time, for those that take long to answer; such a scan is not shared.
    """

    parallelism: int = 1
    max_depth: int | None = None
    max_files: int | None = None
    remember: bool = False
    relist: bool = False
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


class WorkerFailed(CollectError):
    """The operation failed by itself; ``errno_name`` is the system's word for it, if it has one."""

    def __init__(self, errno_name: str | None, text: str) -> None:
        self.errno_name = errno_name
        self.text = text
        super().__init__(text)


class WorkerTimeout(CollectError):
    """The deadline passed without an answer; the child was killed.

    ``partial`` is what a scan had counted when it was last heard of, None if it never was.
    """

    def __init__(
        self, mount_point: str, seconds: float, partial: ScanOutcome | None = None
    ) -> None:
        self.mount_point = mount_point
        self.seconds = seconds
        self.partial = partial
        super().__init__(f"no answer within {seconds:g} s from {mount_point}")


class WorkerSilent(WorkerTimeout):
    """A walk made no progress for so long that its mount must hang; the child was killed."""


class MountStuck(CollectError):
    """A child hangs on this mount and cannot be killed: nobody else is sent there until it can."""

    def __init__(self, mount_point: str, since: datetime) -> None:
        self.mount_point = mount_point
        self.since = since
        super().__init__(
            f"{mount_point} has not answered since {since:%Y-%m-%dT%H:%M:%SZ}; "
            "it is left alone until it does"
        )


class WorkerDied(CollectError):
    """The child ended, or spoke nonsense, before it had answered."""


class WorkerStopped(CollectError):
    """The pool has been stopped."""

    def __init__(self) -> None:
        super().__init__("the node is stopping")


class Malformed(Exception):
    """A line from a child that is not what the wire format says."""


def statvfs_request(path: bytes) -> dict[str, Any]:
    """Give the request for the usage of the file system that holds ``path``."""
    return {"op": "statvfs", "path": _wire_text(path)}


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
        "relist": order.relist,
        "parallelism": order.parallelism,
        "settle_seconds": float(order.settle_seconds),
        "parts": list(parts),
        "apart": list(apart),
    }


def encode(request_id: int, request: dict[str, Any]) -> bytes:
    """Give the line of a request."""
    return json.dumps({"id": request_id, **request}).encode() + b"\n"


def decode(request_id: int, line: bytes) -> tuple[Kind, Any]:
    """Give the kind and the content of a line that answers ``request_id``.

    Raise Malformed if it is anything else. (Not by msgspec: it refuses lone surrogates.)
    """
    try:
        message = json.loads(line)
        if message["id"] == request_id:
            for kind in _KINDS:
                if kind in message:
                    return kind, message[kind]
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise Malformed


def to_usage(content: Any) -> Usage:
    """Read the answer to a statvfs request; raise Malformed."""
    answer = convert(content, _StatvfsAnswer)
    return Usage(
        device_number=answer.st_dev,
        block_bytes=answer.frsize,
        blocks=answer.blocks,
        blocks_free=answer.bfree,
        blocks_avail=answer.bavail,
        inodes=answer.files,
        inodes_free=answer.ffree,
    )


def to_progress(content: Any) -> ScanProgress:
    """Read a progress line; raise Malformed."""
    progress = convert(content, ScanProgress)
    return msgspec.structs.replace(progress, directory=shown_text(progress.directory))


def to_given(content: Any) -> list[str]:
    """Read the parts that a worker leaves to others, as the wire has them; raise Malformed."""
    return convert(content, list[str])


def to_failure(content: Any) -> WorkerFailed:
    """Read an error answer; raise Malformed."""
    error = convert(content, _Error)
    return WorkerFailed(error.errno, shown_text(error.text))


def to_outcome(content: Any) -> ScanOutcome:
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
            ChildCounts(name=shown_text(name), files=files, dirs=dirs, others=others)
            for name, files, dirs, others in answer.children
        ],
        other_children=OtherChildren(
            **dict(zip(OtherChildren.__struct_fields__, answer.children_rest, strict=True))
        ),
    )


def to_troubles(troubles: Sequence[WireTrouble]) -> list[ScanTrouble]:
    """Give what could not be read, fit to be shown."""
    return [
        ScanTrouble(kind=trouble.kind, count=trouble.count, example=shown_text(trouble.example))
        for trouble in troubles
    ]


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


class _StatvfsAnswer(Struct):
    st_dev: int
    frsize: int
    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int


class _Error(Struct):
    errno: str | None
    text: str


class WireTrouble(Struct):
    """What could not be read, as the wire has it."""

    kind: str
    count: int
    example: str


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


def convert(content: Any, kind: type[T]) -> T:
    """Read the content of a line; raise Malformed."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise Malformed from error


def moment(nanoseconds: int | None) -> datetime | None:
    """Give a file's time; None for one that no calendar holds (a file system may claim any)."""
    if nanoseconds is None:
        return None
    try:
        return from_millis(nanoseconds // 1_000_000)
    except OverflowError:
        return None


def _wire_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def shown_text(text: str) -> str:
    """Give text of a worker, fit for JSON and SQLite."""
    return host_text(text.encode("utf-8", "surrogateescape"))
