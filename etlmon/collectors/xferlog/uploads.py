"""Looks for the uploads of one log on the disk, until it is known what became of them."""

from __future__ import annotations

import os
import posixpath
from contextlib import closing
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
from etlmon.errors import CollectError
from etlmon.fsworker.find import FindOrder, FindPattern
from etlmon.host.mounts import read_own_mounts
from etlmon.host.uploads import (
    NO_NAME,
    Found,
    FoundFile,
    UploadSearch,
    as_glob,
    choose,
    is_logged_as,
    logged_as,
    writers,
)
from etlmon.records.xferlog import XferlogLanding
from etlmon.text import host_text
from etlmon.units import to_millis, utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from etlmon.collectors.base import CollectorContext
    from etlmon.config.node import XferlogSection
    from etlmon.records.xferlog import XferlogBlock, XferlogLine, XferlogPending

_LOOKS_A_RUN = 200
_ANSWER_SECONDS = 10.0
"""How long a file system that may hang has to answer."""


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
        """Go on with what an earlier run has left, in place of what is waited for.

        What was settled and is not old is looked at once more: that it was, is not stored.
        """
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
                told=(one.landing, one.landing_reason),
            )
            # The last look that is due is made now.
            upload.looks = max(0, sum(after <= age for after in LOOK_AFTER_SECONDS) - 1)
            self._add(upload)

    @property
    def is_due(self) -> bool:
        """Whether there is more to look at than one run does."""
        return self._waiting.is_due(self._context.monotonic_clock())

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
        found = await self._context.in_thread(lambda: self._find_all(due))
        await self._ask_all(due, found)
        open_in, sees_all = await self._context.in_thread(lambda: self._writers(found))
        landings = []
        for upload, seen in zip(due, found, strict=True):
            verdict = judge(upload, seen, open_in, sees_all_writers=sees_all)
            if self._waiting.looked(upload, verdict):
                landings.append(self._landing(upload, verdict))
        if landings:
            yield Batch(landings)

    def _find_all(self, uploads: Sequence[Upload]) -> list[Found]:
        """Look for uploads where no call hangs; blocks."""
        try:
            mounts = read_own_mounts(self._context.proc)
        except OSError:
            mounts = ()
        with closing(UploadSearch(mounts)) as search:
            return [self._find(search, upload) for upload in uploads]

    def _find(self, search: UploadSearch, upload: Upload) -> Found:
        found = search.find(upload.root, upload.filename, _as_it_ended(upload))
        if found.is_renamed:
            # Unless that one has been uploaded by itself.
            directory = posixpath.dirname(upload.filename)
            name = found.files[0].path.rpartition(b"/")[2]
            if any(
                self._waiting.knows(upload.root, f"{directory}/{one}") for one in logged_as(name)
            ):
                return Found(())
        return found

    async def _ask_all(self, due: Sequence[Upload], found: list[Found]) -> None:
        """Have workers look where a call may hang."""
        places: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for number, one in enumerate(found):
            if one.hanging is not None:
                place = one.hanging.path, one.hanging.mount_point
                places.setdefault(place, []).append((number, one.hanging.name))
        for (path, mount_point), those in places.items():
            wanted = [(due[number], name) for number, name in those]
            answers = await self._ask(wanted, path, mount_point)
            for (number, _), answer in zip(those, answers, strict=True):
                found[number] = answer

    async def _ask(
        self, wanted: Sequence[tuple[Upload, str]], path: str, mount_point: str
    ) -> list[Found]:
        """Have a worker look for uploads, by their names below a path that may hang."""
        globs = [as_glob(name) for _, name in wanted]
        order = FindOrder(
            path=os.fsencode(path),
            mount_point=mount_point,
            timeout_seconds=_ANSWER_SECONDS,
            one_at_a_time=True,
            patterns=[FindPattern(glob=glob) for glob in globs if glob is not None],
        )
        if not order.patterns:
            return [NO_NAME] * len(wanted)
        try:
            outcome = await self._context.workers.find(order)
        except CollectError as error:
            return [Found((), str(error), may_pass=True)] * len(wanted)
        answers = iter(outcome.found)
        trouble = None
        if not outcome.complete:
            trouble = "not everything could be looked at in time"
            if outcome.troubles:
                trouble = f"{outcome.troubles[0].kind}: {outcome.troubles[0].example}"
        found = []
        for (upload, name), glob in zip(wanted, globs, strict=True):
            if glob is None:
                found.append(NO_NAME)
                continue
            files = [
                FoundFile(
                    os.fsencode(f"{path.rstrip('/')}/{one.path}"),
                    one.size_bytes,
                    0 if one.modified_at is None else to_millis(one.modified_at),
                )
                for one in next(answers).newest
                if is_logged_as(os.fsencode(one.path), name)
            ]
            if not files and trouble is not None:
                found.append(Found((), trouble, may_pass=True))
            else:
                chosen = choose(files, _as_it_ended(upload))
                found.append(Found(chosen, is_shared=True))
        return found

    def _writers(self, found: Iterable[Found]) -> tuple[Mapping[bytes, int], bool]:
        """Tell who writes to the files of which there is no doubt; blocks."""
        paths = {one.files[0].path for one in found if len(one.files) == 1}
        return writers(self._context.proc, paths) if paths else ({}, True)

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
