"""The files that cron reads, with what decides whether it takes them: owner, mode, links.

The root (``/``) is an argument. All calls block.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Place = Literal["crontab", "cron.d", "user", "anacron", "run-parts"]
"""What kind of file: /etc/crontab, one of /etc/cron.d, a user's, /etc/anacrontab, a script."""

_SPOOL = "var/spool/cron"
PERIODS = ("hourly", "daily", "weekly", "monthly")
"""The directories /etc/cron.hourly and so on, of which run-parts starts what is in them."""
MOST_BYTES = 4 << 20
"""No more is read of one file."""
MOST_TOTAL_BYTES = 32 << 20
"""No more is read of all files together; those of the host come before those of users."""
MOST_FILES = 10_000
"""No more names are read of one directory."""

_PLACEHOLDER = b".placeholder"
CLUSTER_FILE = ".cron.hostname"
"""What in the directory of the users' crontabs names the host that runs them, if cronie asks it."""
_LONGEST_HOST_BYTES = 256


@dataclass(frozen=True)
class TabFile:
    """A file as it was found. ``status`` is that of the file behind a link, where there is one."""

    path: bytes
    """As on the host: without the root."""
    place: Place
    link_owner: int | None = None
    """Owner of the symbolic link, None where it is none."""
    status: os.stat_result | None = None
    content: bytes | None = None
    """None where it could not be read, or was not asked for."""
    error: str | None = None
    """Why it could not be read, as the name of an errno; TOOBIG over 4 MiB, NOROOM where all files
    together are too large."""

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return os.path.basename(self.path)

    @property
    def directory(self) -> bytes:
        """The path without its last part."""
        return os.path.dirname(self.path)


@dataclass
class Found:
    """All that is there."""

    files: list[TabFile] = field(default_factory=list)
    unreadable: list[tuple[bytes, str]] = field(default_factory=list)
    """Directories whose names could not be read, or not all, and why."""


def spool(root: Path, kind: Literal["debian", "cronie"]) -> bytes:
    """Give the directory of the users' crontabs: Debian's, SUSE's or Red Hat's."""
    for name in ("crontabs",) if kind == "debian" else ("tabs", "crontabs"):
        if kind == "debian" or os.path.isdir(root / _SPOOL / name):
            return f"/{_SPOOL}/{name}".encode()
    return f"/{_SPOOL}".encode()


def find_files(root: Path, kind: Literal["debian", "cronie"]) -> Found:
    """Read all crontabs that this kind of cron reads, and look at the scripts of run-parts."""
    found = Found()
    room = _Room()
    found.files.extend(_one(root, b"/etc/crontab", "crontab"))
    found.files.extend(_one(root, b"/etc/anacrontab", "anacron"))
    for name in _names(root, b"/etc/cron.d", found):
        found.files.append(_read(root, b"/etc/cron.d/" + name, "cron.d", room))
    directory = spool(root, kind)
    for name in _names(root, directory, found):
        path = directory + b"/" + name
        if not os.path.isdir(_below(root, path)):
            found.files.append(_read(root, path, "user", room))
    for period in PERIODS:
        directory = b"/etc/cron." + period.encode()
        for name in _names(root, directory, found):
            path = directory + b"/" + name
            if not os.path.isdir(_below(root, path)):
                found.files.append(_read(root, path, "run-parts", None))
    return found


def read_cluster_host(root: Path, kind: Literal["debian", "cronie"]) -> str | None:
    """Give the host that ``CLUSTER_FILE`` names, None where it cannot be read."""
    try:
        with open(_below(root, spool(root, kind) + b"/" + CLUSTER_FILE.encode()), "rb") as file:
            line = file.readline(_LONGEST_HOST_BYTES)
    except OSError:
        return None
    return line.rstrip(b"\n").decode("utf-8", "replace")


@dataclass(frozen=True)
class Stamp:
    """What anacron leaves behind when a job has ended."""

    day: str
    """The day that its run counts for, YYYYMMDD."""
    written_at: float
    """When it was written: the end of the run, seconds since the epoch."""


def read_stamp(root: Path, identifier: bytes) -> Stamp | None:
    """Give what anacron has noted of a job's last run, None where that is not known."""
    if b"/" in identifier or identifier in (b".", b".."):
        return None
    try:
        with open(_below(root, b"/var/spool/anacron/" + identifier), "rb") as file:
            text = file.read(16).strip().decode("ascii", "replace")
            written_at = os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    return Stamp(text, written_at) if re.fullmatch("[0-9]{8}", text) else None


def _below(root: Path, path: bytes) -> bytes:
    return os.path.join(os.fsencode(root), path.lstrip(b"/"))


def _names(root: Path, directory: bytes, found: Found) -> Iterator[bytes]:
    """Give the names in a directory, sorted; none where it is not there.

    Debian's packages put a ``.placeholder`` into each, that none may be taken for left over.
    """
    names: list[bytes] = []
    try:
        with os.scandir(_below(root, directory)) as entries:
            for entry in entries:
                if len(names) == MOST_FILES:
                    found.unreadable.append((directory, f"more than {MOST_FILES:,} names in it"))
                    break
                if entry.name != _PLACEHOLDER:
                    names.append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        found.unreadable.append((directory, _name(error)))
    yield from sorted(names)


def _one(root: Path, path: bytes, place: Place) -> list[TabFile]:
    file = _read(root, path, place, _Room())
    return [] if file.error == "ENOENT" and file.link_owner is None else [file]


@dataclass
class _Room:
    """How much of files may still be held."""

    left_bytes: int = MOST_TOTAL_BYTES


def _read(root: Path, path: bytes, place: Place, room: _Room | None) -> TabFile:
    """Look at a file, and read it if there is room for it.

    Never raises, never waits for what is no regular file.
    """
    real = _below(root, path)
    link_owner: int | None = None
    status: os.stat_result | None = None
    try:
        own = os.lstat(real)
        if stat.S_ISLNK(own.st_mode):
            link_owner = own.st_uid
        status = os.stat(real)
        if room is None or not stat.S_ISREG(status.st_mode):
            return TabFile(path, place, link_owner, status)
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return TabFile(path, place, link_owner, status)
            text = _all(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return TabFile(path, place, link_owner, status, error=_name(error))
    if len(text) > MOST_BYTES:
        return TabFile(path, place, link_owner, status, error="TOOBIG")
    if len(text) > room.left_bytes:
        return TabFile(path, place, link_owner, status, error="NOROOM")
    room.left_bytes -= len(text)
    return TabFile(path, place, link_owner, status, text)


def _all(descriptor: int) -> bytes:
    """Read to the end, or one byte more than is wanted."""
    parts = []
    left = MOST_BYTES + 1
    while left > 0:
        part = os.read(descriptor, min(left, 1 << 20))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "EIO")
