"""What a line of a transfer log says, as it is stored."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from etlmon.collectors.xferlog.landing import root_of
from etlmon.collectors.xferlog.parse import (
    DIRECTIONS,
    METHODS,
    MODES,
    STATUSES,
    TYPES,
    match_plain,
    parse,
    plain_lines,
)
from etlmon.collectors.xferlog.times import NO_TIME
from etlmon.records.xferlog import XferlogLine, XferlogRun
from etlmon.text import host_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etlmon.collectors.xferlog.parse import Parsed
    from etlmon.collectors.xferlog.times import LogTimes
    from etlmon.collectors.xferlog.zones import Written
    from etlmon.records.xferlog import XferlogFlag, XferlogStatus


_LOOK_BACK_MS = 3_600_000
"""Uploads that ended longer ago when their line is read are not looked for on the disk: whoever
picks files up has done so."""


class Gathered:
    """What the lines of a log have given: entries in their order, and counts."""

    def __init__(self) -> None:
        self.entries: list[XferlogLine | XferlogRun] = []
        self.lines = self.transfers = self.unparsed = self.events = self.skipped = 0
        self.uploads: list[tuple[XferlogLine, str]] = []
        """Those to be looked for on the disk, and the directory that their names are below."""
        self.run: list[str | int | None] | None = None
        """That to which the next ordinary line belongs; None if another is to be begun."""

    def begin_run(self) -> list[str | int | None]:
        """Begin a run of ordinary lines, behind all entries that are there."""
        self.run = []
        self.entries.append(XferlogRun(self.run))
        return self.run

    def add(self, line: XferlogLine) -> None:
        """Add an entry of its own, behind all those that are there."""
        self.run = None
        self.entries.append(line)


class LineReader:
    """Turns the lines of one log into entries, in their order."""

    def __init__(
        self,
        times: LogTimes,
        *,
        parse_start_ms: int | None = None,
        roots: Mapping[str, str] | None = None,
    ) -> None:
        self.times = times
        """May be replaced: the host's zone may be changed."""
        self._roots = roots or {}
        self._parse_start_ms = -math.inf if parse_start_ms is None else parse_start_ms

    def read_block(
        self,
        block: bytes,
        offset: int,
        gathered: Gathered,
        now_ms: int,
        written: Written | None = None,
    ) -> None:
        """Add the entries of whole lines, each with its end, of which the first is at ``offset``.

        A transfer older than ``parse_start`` is counted only, and so is an event that is no
        transfer.
        """
        if not block.isascii():
            for line in block[:-1].split(b"\n"):
                self.read(line, offset, gathered, now_ms, written)
                offset += len(line) + 1
            return
        text = block.decode("ascii")
        done = 0
        for found in plain_lines(text):
            begin, end = found.span()
            if begin > done:
                self._read_odd(text[done : begin - 1], offset + done, gathered, now_ms, written)
            self._read_plain(found.groups(), offset + begin, gathered, now_ms, written)
            done = end + 1
        if done < len(text):
            self._read_odd(text[done:-1], offset + done, gathered, now_ms, written)

    def read(
        self,
        line: bytes,
        offset: int,
        gathered: Gathered,
        now_ms: int,
        written: Written | None = None,
        flags: Sequence[XferlogFlag] = (),
    ) -> None:
        """Add the entries of one line, which may lack its end."""
        if not flags:
            try:
                plain = match_plain(line.decode())
            except UnicodeDecodeError:
                plain = None
            if plain is not None:
                self._read_plain(plain.groups(), offset, gathered, now_ms, written)
                return
        self._read_pieces(line, offset, gathered, now_ms, written, flags)

    def _read_odd(
        self, text: str, offset: int, gathered: Gathered, now_ms: int, written: Written | None
    ) -> None:
        """Add the entries of lines that are no ordinary ones."""
        for line in text.split("\n"):
            self._read_pieces(line.encode(), offset, gathered, now_ms, written, ())
            offset += len(line) + 1

    def _read_pieces(
        self,
        line: bytes,
        offset: int,
        gathered: Gathered,
        now_ms: int,
        written: Written | None,
        flags: Sequence[XferlogFlag],
    ) -> None:
        gathered.lines += 1
        pieces = parse(line)
        last = len(pieces) - 1
        for place, piece in enumerate(pieces):
            text = piece.time_text
            moment_ms, quality, doubt = self.times.read(text, now_ms, written) if text else NO_TIME
            if piece.kind == "event":
                gathered.events += 1
                continue
            if moment_ms is not None and moment_ms < self._parse_start_ms:
                gathered.skipped += 1
                continue
            is_transfer = piece.kind == "transfer"
            if is_transfer:
                gathered.transfers += 1
            else:
                gathered.unparsed += 1
            said: tuple[XferlogFlag, ...] = (
                ("ambiguous", *flags) if piece.ambiguous else tuple(flags)
            )
            raw = None
            if said or not is_transfer:
                end = len(line) if place == last else pieces[place + 1].start
                raw = host_text(line[piece.start : end].rstrip(b"\r\n"))
            host, user, name = _host(piece.remote_host), piece.username, piece.filename
            service, auth_user = piece.service, piece.auth_user
            if not line.isascii():
                host, user, name, service, auth_user, text = map(
                    _text, (host, user, name, service, auth_user, text)
                )
            root = None
            is_upload = is_transfer and piece.direction == "upload"
            if self._roots and is_upload and not piece.may_be_forged:
                root = self._root(user, piece.access_mode, moment_ms, now_ms)
            entry = XferlogLine(
                moment_ms,
                host,
                user,
                name,
                piece.bytes,
                piece.transfer_time_sec,
                piece.direction,
                _status(piece),
                None if root is None else "pending",
                piece.transfer_type,
                piece.action_flags,
                piece.access_mode,
                service,
                piece.auth_method,
                auth_user,
                piece.pid,
                piece.rate_bytes_per_second,
                piece.format,
                text,
                quality,
                _flags_text(said) if said else "[]",
                _joined(piece.reason, doubt),
                raw,
                offset + piece.start,
            )
            gathered.add(entry)
            if root is not None:
                gathered.uploads.append((entry, root))

    def _read_plain(
        self,
        groups: tuple[str, ...],
        offset: int,
        gathered: Gathered,
        now_ms: int,
        written: Written | None,
    ) -> None:
        """Add the entry of an ordinary line: of a large log, a million times."""
        # fmt: off
        (text, seconds, host, moved, name, kind, action_flags, direction, mode, user, service,
         method, auth_user, status) = groups
        # fmt: on
        gathered.lines += 1
        moment_ms, quality, doubt = self.times.read(text, now_ms, written)
        if moment_ms is not None and moment_ms < self._parse_start_ms:
            gathered.skipped += 1
            return
        gathered.transfers += 1
        values = (
            moment_ms,
            _host(host) if host[0] in ":-" else host,
            user,
            name,
            int(moved),
            int(seconds),
            DIRECTIONS[direction],
            STATUSES[status],
            TYPES[kind],
            action_flags,
            MODES[mode],
            service,
            METHODS[method],
            None if auth_user == "*" else auth_user,
            text,
            quality,
            offset,
        )
        root = None
        if self._roots and direction == "i":
            root = self._root(user, MODES[mode], moment_ms, now_ms)
        if root is not None or doubt is not None:
            (line,) = XferlogRun([*values]).lines()
            entry = line._replace(landing=None if root is None else "pending", reason=doubt)
            gathered.add(entry)
            if root is not None:
                gathered.uploads.append((entry, root))
            return
        run = gathered.run
        if run is None:
            run = gathered.begin_run()
        run += values

    def _root(
        self, user: str | None, access_mode: str | None, moment_ms: int | None, now_ms: int
    ) -> str | None:
        """Give the directory below which an upload is to be looked for, if it is."""
        if moment_ms is None or moment_ms < now_ms - _LOOK_BACK_MS:
            return None
        return root_of(self._roots, user, access_mode)


@lru_cache(maxsize=64)
def _flags_text(flags: tuple[str, ...]) -> str:
    return msgspec.json.encode(flags).decode()


def _joined(*reasons: str | None) -> str | None:
    return "; ".join(reason for reason in reasons if reason is not None) or None


def _status(piece: Parsed) -> XferlogStatus:
    if piece.kind == "transfer":
        return piece.status or "unknown"
    return "broken" if piece.kind == "broken" else "unparsed"


def _text(text: str | None) -> str | None:
    """Give a field as text that can be stored; bytes that are not UTF-8 are written out."""
    return text if text is None or text.isascii() else host_text(os.fsencode(text))


def _host(host: str | None) -> str | None:
    """Give an IPv4 address without the form that it has in IPv6; None for Pure-FTPd's ``-``."""
    if host is None or host == "-":
        return None
    return host[7:] if host[:7] == "::ffff:" else host
