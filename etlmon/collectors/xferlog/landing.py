"""What becomes of uploads on the disk: when to look, and what to say of what is seen.

That a log calls an upload complete only means that no error was met on the connection: a client
that dies in the middle is logged so too. No I/O here, and no clock.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etlmon.text import host_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etlmon.host.uploads import Found, FoundFile
    from etlmon.records.xferlog import Landing

LOOK_AFTER_SECONDS = (0.0, 4.5, 14.5, 59.5, 300.0, 900.0)
"""When an upload is looked at, from when its line was read; what is not settled then stays so."""
_GONE_AFTER = 4
"""Looks after which a file that is not there is believed to be gone."""
_AGAIN_SECONDS = 5.0
"""If the same name is uploaded so soon after an upload that had landed, it is looked at again: what
was seen may have been the later one already, for logs have seconds."""
_GONE = "there is no such file: renamed, moved on or deleted"
_AGAIN = "uploaded again under the same name"
_MOST_WAITING = 10_000
_LATER_MS = 3_000
"""How much later than its upload a file may be written and still be it: the log has seconds."""
_MOST_NAMED = 3

OTHERS = "*"
ANONYMOUS = "anonymous"


def root_of(roots: Mapping[str, str], username: str | None, access_mode: str | None) -> str | None:
    """Give the real directory of a user, None if it is not configured.

    The name of an anonymous user is what he says of himself: ``anonymous`` stands for them all,
    ``*`` for all others who are not named.
    """
    if access_mode == "anonymous":
        return roots.get(ANONYMOUS)
    return roots.get(username or "", roots.get(OTHERS))


@dataclass(eq=False)
class Target:
    """Where uploads go that are logged under one name."""

    newest: Upload | None = None
    """The one that ended last, of those that can have changed the file."""
    sent_bytes: int = 0
    """What all of these have sent."""


@dataclass(eq=False)  # to be found at once among thousands
class Upload:
    """An upload that is waited for."""

    source_inode: int | None
    offset: int
    root: str
    filename: str
    bytes: int | None
    is_ascii: bool
    is_complete: bool
    ended_ms: int | None
    """When it ended, None where the log does not tell for sure."""
    read_at: float
    """When its line was read, by the monotonic clock."""
    looks: int = 0
    last: FoundFile | None = None
    told: tuple[Landing, str | None] | None = None
    is_settled: bool = False
    is_urgent: bool = False
    """Whether to look again at once."""
    target: Target = field(default_factory=Target)
    sent_before: int = 0
    """What had been sent to its target before it."""

    @property
    def due_at(self) -> float:
        """When to look next."""
        if self.is_urgent:
            return self.read_at
        return self.read_at + LOOK_AFTER_SECONDS[self.looks]

    @property
    def later(self) -> Upload | None:
        """The last upload of the same name after it, None if there is none."""
        return None if self.target.newest is self else self.target.newest

    @property
    def sent_since(self) -> int:
        """What it and all of its name after it have sent, bytes."""
        return self.target.sent_bytes - self.sent_before

    def is_size(self, file: FoundFile) -> bool:
        """Whether a file is as large as what was sent, as far as that can be known."""
        sent = self.bytes
        if sent is None or file.size_bytes == sent:
            return True
        # In ASCII mode lines end in CR LF on the wire.
        return self.is_ascii and file.size_bytes <= sent <= 2 * file.size_bytes


@dataclass(frozen=True)
class Verdict:
    """What is to be said of an upload."""

    landing: Landing
    reason: str | None = None
    file: FoundFile | None = None
    is_settled: bool = False


@dataclass
class Waiting:
    """The uploads whose landing is not settled."""

    uploads: list[Upload] = field(default_factory=list)
    _targets: dict[str, Target] = field(default_factory=dict)

    def is_due(self, now: float) -> bool:
        """Whether there is one to look at now."""
        return any(upload.due_at <= now for upload in self.uploads)

    def add(self, upload: Upload) -> bool:
        """Wait for an upload; False if too many are waited for.

        One of the same name before it is to be looked at again.
        """
        if len(self.uploads) >= _MOST_WAITING:
            return False
        self._aim(upload)
        self.uploads.append(upload)
        return True

    def knows(self, root: str, filename: str) -> bool:
        """Whether there has been an upload of this name lately."""
        return _target_name(root, filename) in self._targets

    def _aim(self, upload: Upload) -> None:
        if not upload.is_complete and not upload.bytes:  # refused: it has changed nothing
            return
        name = _target_name(upload.root, upload.filename)
        target = upload.target = self._targets.setdefault(name, upload.target)
        while len(self._targets) > _MOST_WAITING:
            del self._targets[next(iter(self._targets))]
        before = target.newest
        upload.sent_before = target.sent_bytes
        target.sent_bytes += upload.bytes or 0
        if before is not None and _ended_before(upload, before):
            return
        target.newest = upload
        if before is None:
            return
        if not before.is_settled:
            before.is_urgent = True
        elif before.told == ("landed", None) and upload.read_at - before.read_at <= _AGAIN_SECONDS:
            before.is_settled, before.is_urgent = False, True
            self.uploads.append(before)

    def due(self, now: float, most: int) -> list[Upload]:
        """Give those to look at now, those that have waited longest first."""
        due = [upload for upload in self.uploads if upload.due_at <= now]
        return sorted(due, key=lambda upload: upload.due_at)[:most]

    def looked(self, upload: Upload, verdict: Verdict) -> bool:
        """Note what was seen; give whether that is news."""
        upload.looks += 1
        upload.last = verdict.file
        upload.is_urgent = False
        upload.is_settled = verdict.is_settled or upload.looks >= len(LOOK_AFTER_SECONDS)
        if upload.is_settled:
            self.uploads.remove(upload)
        told = (verdict.landing, verdict.reason)
        is_news, upload.told = told != upload.told, told
        return is_news


def judge(
    upload: Upload, found: Found, open_in: Mapping[bytes, int], *, sees_all_writers: bool
) -> Verdict:
    """Say what has become of an upload, from what is seen of it now and at the look before."""
    is_last = upload.looks + 1 == len(LOOK_AFTER_SECONDS)
    if found.trouble is not None:
        return Verdict("unknown", found.trouble, is_settled=not found.may_pass)
    if not found.files and not upload.is_complete:
        return Verdict("vanished", "the transfer broke off and left no file", is_settled=True)
    if not found.files:
        return Verdict("vanished", _GONE, is_settled=upload.looks + 1 >= _GONE_AFTER)
    if len(found.files) > 1:
        names = [_shown(one.path) for one in found.files[:_MOST_NAMED]]
        more = " and more" if len(found.files) > _MOST_NAMED else ""
        reason = f"may be {', '.join(names)}{more}"
        return Verdict("ambiguous", reason, is_settled=upload.looks >= 2)
    (file,) = found.files
    pid = open_in.get(file.path)
    if pid is not None:
        return Verdict("partial", f"process {pid} has it open for writing", file)
    if not upload.is_complete:
        return Verdict("partial", "the transfer broke off", file, is_settled=True)
    if upload.later is not None and not found.is_renamed:
        again = _judge_again(upload, upload.later, file)
        if again is not None:
            return again
    renamed = f"renamed to {_shown(file.path)}" if found.is_renamed else None
    sees_all = sees_all_writers and not found.is_shared
    return _judge_quiet(upload, file, renamed, is_last=is_last, sees_all_writers=sees_all)


def _judge_again(upload: Upload, later: Upload, file: FoundFile) -> Verdict | None:
    """Say it of a file whose name was uploaded again; None where that says nothing."""
    is_known = upload.bytes is not None and later.bytes is not None
    if is_known and later.is_size(file) and upload.bytes:
        return Verdict("overwritten", _AGAIN, file, is_settled=True)
    # Of an empty one it cannot be told whether it was overwritten or added to.
    added = (upload.sent_since, upload.target.sent_bytes) if upload.bytes else ()
    if is_known and (upload.is_size(file) or file.size_bytes in added):
        return None
    reason = f"{_AGAIN}: whether that overwrote it or went on is not known"
    return Verdict("ambiguous", reason, file, is_settled=True)


def _judge_quiet(
    upload: Upload,
    file: FoundFile,
    renamed: str | None,
    *,
    is_last: bool,
    sees_all_writers: bool,
) -> Verdict:
    """Say it of a file that nobody is seen to write to."""
    last = upload.last
    is_same = last is not None and last == file
    grew = last is not None and last.path == file.path and last.size_bytes < file.size_bytes
    if grew and not sees_all_writers:
        return Verdict("partial", "it is still growing", file)
    # What was added to it later was sent, too.
    ended_ms = (upload.later or upload).ended_ms
    is_changed = ended_ms is not None and file.modified_ms > ended_ms + _LATER_MS
    sent = upload.bytes
    if sent is None or upload.is_size(file):
        reason = renamed
    elif is_changed:
        reason = f"changed after it had ended: {file.size_bytes:,} bytes, {sent:,} were sent"
        return Verdict("overwritten", reason, file, is_settled=True)
    elif file.size_bytes < sent:
        return Verdict("partial", f"{file.size_bytes:,} bytes, {sent:,} were sent", file)
    else:
        reason = f"{file.size_bytes - sent:,} bytes more than were sent: resumed or appended to"
    if sees_all_writers or is_same or is_last:
        return Verdict("landed", reason, file, is_settled=True)
    return Verdict("pending", "looked at once; who writes to it cannot be seen", file)


def _target_name(root: str, filename: str) -> str:
    return posixpath.normpath(f"{root}/{filename}").lstrip("/")


def _ended_before(one: Upload, other: Upload) -> bool:
    """Whether it ended earlier, though its line was read later: it stood in a rotated file."""
    if one.ended_ms is None or other.ended_ms is None:
        return False
    return one.ended_ms < other.ended_ms


def _shown(path: bytes) -> str:
    return host_text(path.rpartition(b"/")[2])
