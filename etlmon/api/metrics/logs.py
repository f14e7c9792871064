"""What collectors see: logs, and the transfers of FTP servers."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from etlmon.api.metrics.families import Each, counter, first, gauge, label, left_out, only
from etlmon.records.log import (
    LogBlock,
    LogFileGone,
    LogFileRead,
    LogsConfigured,
    LogState,
    LogUnseen,
)
from etlmon.records.xferlog import (
    XferlogBlock,
    XferlogDirection,
    XferlogFileRead,
    XferlogRun,
    XferlogsConfigured,
    XferlogState,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from etlmon.api.metrics.families import Families, Row, Takers


@dataclass
class _Log:
    """What has come of one log or transfer log, and how far its files have been read."""

    files: dict[str, Any] = field(default_factory=dict)
    lines: int = 0
    gaps: int = 0
    last_line_at: float | None = None


@dataclass(frozen=True)
class _LogNow:
    """A log at one moment; its files added up."""

    files: int
    state: str
    lag_bytes: int | None
    lines: int
    gaps: int
    last_line_at: float | None


_WORST_FIRST = ("error", "waiting", "paused", "following")


def _log_now(log: _Log) -> _LogNow:
    present = {file.state for file in log.files.values()}
    lags = [file.lag_bytes for file in log.files.values() if file.lag_bytes is not None]
    return _LogNow(
        files=len(log.files),
        state=next((word for word in _WORST_FIRST if word in present), ""),
        lag_bytes=sum(lags) if lags else None,
        lines=log.lines,
        gaps=log.gaps,
        last_line_at=log.last_line_at,
    )


def _log_families(
    room: str, one: str, words: Sequence[str], found: list[tuple[tuple[str], _LogNow]]
) -> Iterator[Metric]:
    """Give the metrics of logs, or of transfer logs; ``one`` is the label that names one."""
    each = Each(room, (one,), found)
    stated = Each(room, (one,), [(name, now) for name, now in found if now.state])
    yield stated.states(
        "1 for the state that it is in; of several files, the worst.", words, lambda now: now.state
    )
    yield each.gauge(
        "lag_bytes",
        "Bytes that wait to be read, those of rotated files too.",
        lambda now: now.lag_bytes,
    )
    yield each.counter("lines", "Lines read.", lambda now: now.lines)
    yield each.counter("gaps", "How often something could not be read.", lambda now: now.gaps)
    yield each.gauge(
        "last_line_timestamp_seconds",
        "When the newest line was read; absent before one was.",
        lambda now: now.last_line_at,
    )


class Logs:
    """The configured logs, by name; the files of a pattern are added up."""

    def __init__(self) -> None:
        self.kinds: Takers = {
            LogBlock: self._lines,
            LogFileRead: self._read,
            LogFileGone: self._gone,
            LogUnseen: self._unseen,
            LogsConfigured: self._configured,
        }
        self._now: defaultdict[str, _Log] = defaultdict(_Log)

    def _lines(self, blocks: Sequence[LogBlock]) -> None:
        for block in blocks:
            log = self._now[block.log_name]
            lines = len(block.lines)
            if block.marks:
                lines -= sum(block.lines[place] is None for place in block.marks)
                log.gaps += sum("gap" in mark.flags for mark in block.marks.values())
            log.lines += lines
            if lines:
                log.last_line_at = block.created_at.timestamp()

    def _read(self, files: Sequence[LogFileRead]) -> None:
        for file in files:
            self._now[file.log_name].files[file.log_path] = file

    def _gone(self, files: Sequence[LogFileGone]) -> None:
        for file in files:
            self._now[file.log_name].files.pop(file.log_path, None)

    def _unseen(self, logs: Sequence[LogUnseen]) -> None:
        for log in logs:
            files = self._now[log.log_name].files
            if not files:
                files[log.log_path] = LogFileRead(
                    log_name=log.log_name,
                    log_path=log.log_path,
                    state=log.state,
                    updated_at=log.updated_at,
                    cursor=None,
                )
            for path, file in files.items():
                files[path] = msgspec.structs.replace(file, state=log.state)

    def _configured(self, configured: Sequence[LogsConfigured]) -> None:
        self._now = defaultdict(_Log, only(self._now, configured[-1].names))

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        now = [((label(name),), _log_now(log)) for name, log in first(self._now)]
        return lambda: self._families(now)

    @staticmethod
    def _families(found: list[tuple[tuple[str], _LogNow]]) -> Iterator[Metric]:
        yield gauge(
            "log_files",
            "Files that it has: more than one where the log is a pattern.",
            ("log",),
            ((name, now.files) for name, now in found),
        )
        yield from _log_families("log", "log", get_args(LogState), found)

    def left_out(self) -> Row:
        """Give how many have no series."""
        return left_out("log", self._now)


@dataclass
class _Transfers(_Log):
    unparsed: int = 0
    transfers: Counter[tuple[str, str]] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _TransfersNow:
    log: _LogNow
    unparsed: int
    transfers: Counter[tuple[str, str]]
    bytes: Counter[str]


_DIRECTIONS: tuple[str, ...] = get_args(XferlogDirection)
_OUTCOMES = ("complete", "incomplete", "unknown")


class Xferlogs:
    """The transfer logs, by path as configured."""

    def __init__(self) -> None:
        self.kinds: Takers = {
            XferlogBlock: self._lines,
            XferlogFileRead: self._read,
            XferlogsConfigured: self._configured,
        }
        self._now: dict[str, _Transfers] = {}

    def _lines(self, blocks: Sequence[XferlogBlock]) -> None:
        for block in blocks:
            log = self._now.setdefault(block.log_path, _Transfers())
            for one in block.lines:
                if isinstance(one, XferlogRun):
                    columns = map(one.column, ("direction", "status", "bytes"))
                    told = [*zip(*columns, strict=True)]
                else:
                    told = [(one.direction, one.status, one.bytes)]
                for direction, status, moved in told:
                    if direction is not None:
                        log.transfers[direction, status] += 1
                        log.bytes[direction] += moved or 0

    def _read(self, files: Sequence[XferlogFileRead]) -> None:
        for file in files:
            log = self._now.setdefault(file.path, _Transfers())
            log.files[file.path] = file
            log.lines += file.lines
            log.gaps += file.gaps
            log.unparsed += file.unparsed
            if file.last_line_at is not None:
                log.last_line_at = file.last_line_at.timestamp()

    def _configured(self, configured: Sequence[XferlogsConfigured]) -> None:
        self._now = only(self._now, configured[-1].paths)

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        now = [
            (
                (label(path),),
                _TransfersNow(
                    _log_now(log), log.unparsed, Counter(log.transfers), Counter(log.bytes)
                ),
            )
            for path, log in first(self._now)
        ]
        return lambda: self._families(now)

    @staticmethod
    def _families(found: list[tuple[tuple[str], _TransfersNow]]) -> Iterator[Metric]:
        logs = [(name, now.log) for name, now in found]
        yield from _log_families("xferlog", "xferlog", get_args(XferlogState), logs)
        yield counter(
            "xferlog_unparsed_lines",
            "Lines from which no transfer could be read.",
            ("xferlog",),
            ((name, now.unparsed) for name, now in found),
        )
        yield counter(
            "xferlog_transfers",
            "Transfers, by direction and how they ended.",
            ("xferlog", "direction", "status"),
            (
                ((*name, way, end), now.transfers[way, end])
                for name, now in found
                for way in _DIRECTIONS
                for end in _OUTCOMES
            ),
        )
        yield counter(
            "xferlog_transferred_bytes",
            "Bytes that transfers moved.",
            ("xferlog", "direction"),
            (((*name, way), now.bytes[way]) for name, now in found for way in _DIRECTIONS),
        )

    def left_out(self) -> Row:
        """Give how many have no series."""
        return left_out("xferlog", self._now)
