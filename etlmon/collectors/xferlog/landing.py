"""What becomes of uploads on the disk: when to look, and what to say of what is seen.

That a log calls an upload complete only means that no error was met on the connection: a client
that dies in the middle is logged so too. No I/O here, and no clock.
"""

from __future__ import annotations

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

    @property
    def due_at(self) -> float:
        """When to look next."""
        return self.read_at + LOOK_AFTER_SECONDS[self.looks]


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

    def is_due(self, now: float) -> bool:
        """Whether there is one to look at now."""
        return any(upload.due_at <= now for upload in self.uploads)

    def add(self, upload: Upload) -> bool:
        """Wait for an upload; False if too many are waited for."""
        if len(self.uploads) >= _MOST_WAITING:
            return False
        self.uploads.append(upload)
        return True

    def due(self, now: float, most: int) -> list[Upload]:
        """Give those to look at now, those that have waited longest first."""
        due = [upload for upload in self.uploads if upload.due_at <= now]
        return sorted(due, key=lambda upload: upload.due_at)[:most]

    def looked(self, upload: Upload, verdict: Verdict) -> bool:
        """Note what was seen; give whether that is news."""
        upload.looks += 1
        upload.last = verdict.file
        if verdict.is_settled or upload.looks == len(LOOK_AFTER_SECONDS):
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
        is_gone = upload.looks + 1 >= _GONE_AFTER
        return Verdict("vanished", "there is no such file", is_settled=is_gone)
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
    sees_all = sees_all_writers and not found.is_shared
    return _judge_quiet(upload, file, is_last=is_last, sees_all_writers=sees_all)


def _judge_quiet(
    upload: Upload, file: FoundFile, *, is_last: bool, sees_all_writers: bool
) -> Verdict:
    """Say it of a file that nobody is seen to write to."""
    last = upload.last
    is_same = last is not None and last == file
    grew = last is not None and last.path == file.path and last.size_bytes < file.size_bytes
    if grew and not sees_all_writers:
        return Verdict("partial", "it is still growing", file)
    is_changed = upload.ended_ms is not None and file.modified_ms > upload.ended_ms + _LATER_MS
    sent = upload.bytes
    if sent is None or file.size_bytes == sent or (upload.is_ascii and _fits(file, sent)):
        landing, reason = "landed", None
    elif is_changed:
        reason = f"changed after it had ended: {file.size_bytes:,} bytes, {sent:,} were sent"
        return Verdict("overwritten", reason, file, is_settled=True)
    elif file.size_bytes < sent:
        return Verdict("partial", f"{file.size_bytes:,} bytes, {sent:,} were sent", file)
    else:
        landing = "landed"
        reason = f"{file.size_bytes - sent:,} bytes more than were sent: resumed or appended to"
    if sees_all_writers or is_same or is_last:
        return Verdict(
            "landed" if landing == "landed" else "partial", reason, file, is_settled=True
        )
    return Verdict("pending", "looked at once; who writes to it cannot be seen", file)


def _fits(file: FoundFile, sent: int) -> bool:
    """Whether a text of this size takes so many bytes on the wire, its lines ending in CR LF."""
    return file.size_bytes <= sent <= 2 * file.size_bytes


def _shown(path: bytes) -> str:
    return host_text(path.rpartition(b"/")[2])
