"""The parent's side of the wire: lines to a worker, lines from it, and what all walks share.

``worker.py`` defines the wire format. Here its words become records: names are bytes on the way
in, and text fit for JSON and SQLite on the way out. What is asked and answered in particular stands
in ``usage``, ``scan``, ``top`` and ``find``.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from etlmon.fsworker.failures import WorkerFailed
from etlmon.records.path import ScanTrouble
from etlmon.text import host_path, host_text
from etlmon.units import from_millis, is_moment

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
            "path": wire_text(self.path),
            "exclude": self.exclude,
            "timeout_seconds": float(self.timeout_seconds),
            "skip": [wire_text(path) for path in self.skip],
            "max_ops_per_second": self.max_ops_per_second and float(self.max_ops_per_second),
        }


class Outcome(Struct, frozen=True, kw_only=True):
    """What a search answers besides what it has found.

    ``stopped`` says why it ended before its end; ``troubles`` are what could not be read.
    """

    skipped_mounts: int
    stopped: Literal["timeout"] | None
    troubles: list[ScanTrouble]
    duration_seconds: float

    @property
    def complete(self) -> bool:
        """Whether all that may count has been looked at."""
        return self.stopped is None and not self.troubles


class Malformed(Exception):
    """A line from a child that is not what the wire format says."""


def encode(request_id: int, request: dict[str, Any]) -> bytes:
    """Give the line of a request."""
    return json.dumps({"id": request_id, **request}).encode() + b"\n"


def decode(request_id: int, line: bytes) -> tuple[Kind, Any]:
    """Give the kind and the content of a line that answers ``request_id``.

    Raise Malformed if it is anything else. (Not by msgspec: it refuses lone surrogates.)
    """
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        message = json.loads(line)
        if message["id"] == request_id:
            for kind in _KINDS:
                if kind in message:
                    return kind, message[kind]
    raise Malformed


def to_failure(content: Any) -> WorkerFailed:
    """Read an error answer; raise Malformed."""
    error = convert(content, _Error)
    return WorkerFailed(error.errno, shown_text(error.text))


def to_troubles(troubles: Sequence[WireTrouble]) -> list[ScanTrouble]:
    """Give what could not be read, fit to be shown."""
    return [
        ScanTrouble(kind=trouble.kind, count=trouble.count, example=shown_path(trouble.example))
        for trouble in troubles
    ]


class _Error(Struct):
    errno: str | None
    text: str


class WireTrouble(Struct):
    """What could not be read, as the wire has it."""

    kind: str
    count: int
    example: str


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
    millis = nanoseconds // 1_000_000
    return from_millis(millis) if is_moment(millis) else None


def wire_text(raw: bytes) -> str:
    """Give a name of a file as the wire has it."""
    return raw.decode("utf-8", "surrogateescape")


def shown_text(text: str) -> str:
    """Give text of a worker, fit for JSON and SQLite."""
    return host_text(text.encode("utf-8", "surrogateescape"))


def shown_path(text: str) -> str:
    """Give the name of a file or directory, fit for JSON and SQLite; no two are alike."""
    return host_path(text.encode("utf-8", "surrogateescape"))
