"""Looks for the uploads of one log on the disk, until it is known what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.collectors.base import Batch
from etlmon.collectors.xferlog.landing import (
    LOOK_AFTER_SECONDS,
    Upload,
    Verdict,
    Waiting,
    judge,
    root_of,
)
from etlmon.host.uploads import Found, FoundFile, find, writers
from etlmon.records.xferlog import XferlogLanding
from etlmon.text import host_text
from etlmon.units import to_millis, utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from etlmon.collectors.base import CollectorContext
    from etlmon.config.node import XferlogSection
    from etlmon.records.xferlog import XferlogBlock, XferlogLine, XferlogPending

_LOOKS_A_RUN = 200


class Uploads:
    """The uploads of one log whose landing is not settled."""

    def __init__(self, section: XferlogSection, context: CollectorContext) -> None:
        self._path = section.path
        self._roots = section.roots
        self._context = context
        self._waiting = Waiting()
        self._overflowed: list[Upload] = []

    def add(self, uploads: Sequence[tuple[XferlogLine, str]], block: XferlogBlock | None) -> None:
        """Wait for uploads that have been stored with ``block``."""
        now = self._context.monotonic_clock()
        for line, root in uploads:
            assert block is not None
            assert line.offset is not None
            self._add(
                Upload(
                    source_inode=block.source_inode,
                    offset=line.offset,
                    root=root,
                    filename=line.filename or "",
                    bytes=line.bytes,
                    is_ascii=line.transfer_type == "ascii",
                    is_complete=line.status != "incomplete",
                    ended_ms=line.log_time_ms if line.ts_quality == "exact" else None,
                    read_at=now,
                )
            )

    def resume(self, pending: Sequence[XferlogPending]) -> None:
        """Go on with what an earlier run has left, in place of what is waited for."""
        self._waiting = Waiting()
        now, wall = self._context.monotonic_clock(), self._context.wall_clock()
        for one in pending:
            access_mode = one.access_mode
            root = root_of(self._roots, one.username, access_mode)
            age = max(0.0, wall - one.created_at.timestamp())
            is_old = age > LOOK_AFTER_SECONDS[-1]
            if root is None or (is_old and one.landing != "pending"):
                continue
            exact = one.ts_quality == "exact" and one.log_time is not None
            upload = Upload(
                source_inode=one.source_inode,
                offset=one.offset,
                root=root,
                filename=one.filename or "",
                bytes=one.bytes,
                is_ascii=one.transfer_type == "ascii",
                is_complete=one.status != "incomplete",
                ended_ms=to_millis(one.log_time) if exact and one.log_time else None,
                read_at=now - age,
            )
            # The last look that is due is made now.
            upload.looks = max(0, sum(after <= age for after in LOOK_AFTER_SECONDS) - 1)
            self._add(upload)

    def _add(self, upload: Upload) -> None:
        if not self._waiting.add(upload):
            self._overflowed.append(upload)

    async def look(self) -> AsyncGenerator[Batch, None]:
        """Look at those that are due, and give what is news."""
        overflowed, self._overflowed = self._overflowed, []
        if overflowed:
            verdict = Verdict("unknown", "too many uploads at once to look for them all")
            yield Batch([self._landing(upload, verdict) for upload in overflowed])
        due = self._waiting.due(self._context.monotonic_clock(), _LOOKS_A_RUN)
        if not due:
            return
        seen, open_in, sees_all = await self._context.in_thread(lambda: self._see(due))
        landings = []
        for upload, found in zip(due, seen, strict=True):
            verdict = judge(upload, found, open_in, sees_all_writers=sees_all)
            if self._waiting.looked(upload, verdict):
                landings.append(self._landing(upload, verdict))
        if landings:
            yield Batch(landings)

    def _see(self, due: Sequence[Upload]) -> tuple[list[Found], Mapping[bytes, int], bool]:
        """Look for uploads, and for who writes to them; blocks."""
        seen = [find(upload.root, upload.filename, _as_it_ended(upload)) for upload in due]
        paths = [found.files[0].path for found in seen if len(found.files) == 1]
        open_in, sees_all = writers(self._context.proc, paths) if paths else ({}, True)
        return seen, open_in, sees_all

    def _landing(self, upload: Upload, verdict: Verdict) -> XferlogLanding:
        file = verdict.file
        return XferlogLanding(
            log_path=self._path,
            source_inode=upload.source_inode,
            offset=upload.offset,
            landing=verdict.landing,
            landing_reason=verdict.reason,
            landed_path=None if file is None else host_text(file.path),
            landed_bytes=None if file is None else file.size_bytes,
            landing_checked_at=utc(self._context.wall_clock()),
        )


def _as_it_ended(upload: Upload) -> FoundFile | None:
    if upload.bytes is None or upload.ended_ms is None:
        return None
    return FoundFile(b"", upload.bytes, upload.ended_ms)
