"""Finds uploads on the disk by the names that a server has logged. Blocks."""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from etlmon.text import host_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_MOST_LISTED = 100_000
"""Names of one directory that are looked at, where a name may stand for several."""
_MOST_FOUND = 16
_ACCESS_MODE = 0o3


@dataclass(frozen=True)
class FoundFile:
    """A file that an upload may be."""

    path: bytes
    size_bytes: int
    modified_ms: int


@dataclass(frozen=True)
class Found:
    """What a look for one upload has shown."""

    files: tuple[FoundFile, ...]
    trouble: str | None = None
    """Why not everything could be looked at."""


class _TroubleError(Exception):
    """A look that cannot be brought to its end; the text says why."""


def find(root: str, name: str, is_it: FoundFile | None = None) -> Found:
    """Give the files below ``root`` that a server may have logged as ``name``.

    vsftpd writes ``_`` for a blank and ``?`` for each byte that is not printable ASCII, others
    ``_`` for blanks and control characters. ``is_it`` is what the upload looked like when it
    ended, if that is known: the file that bears exactly the logged name is taken at once if it has
    this size and was written no later.
    """
    parts = [part for part in posixpath.normpath("/" + name).split("/") if part]
    if not parts or name.endswith("/"):
        return Found((), "the log names no file")
    top = os.fsencode(root).rstrip(b"/")
    try:
        if "?" not in name:
            exact = _look(top + b"/" + b"/".join(map(_encoded, parts)))
            if exact is not None and is_it is not None and _fits(exact, is_it):
                return Found((exact,))
        places = [top]
        for part in parts[:-1]:
            places = [place for above in places for place in _named(above, part)]
        files = [_look(place) for above in places for place in _named(above, parts[-1])]
    except _TroubleError as error:
        return Found((), str(error))
    found = tuple(one for one in files if one is not None)
    if len(found) > 1 and is_it is not None:
        # Several may be meant, and only one can be it.
        fitting = tuple(one for one in found if _fits(one, is_it))
        found = fitting if len(fitting) == 1 else found
    return Found(found[:_MOST_FOUND])


def _fits(one: FoundFile, it: FoundFile) -> bool:
    return one.size_bytes == it.size_bytes and abs(one.modified_ms - it.modified_ms) <= 2_000


def _encoded(part: str) -> bytes:
    return part.encode("utf-8", "surrogateescape")


def _look(path: bytes) -> FoundFile | None:
    """Give a regular file; None for anything else, or nothing."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _TroubleError(f"{host_text(path)}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        return None
    return FoundFile(path, status.st_size, status.st_mtime_ns // 1_000_000)


def _named(directory: bytes, part: str) -> list[bytes]:
    """Give what in a directory may have been logged as ``part``."""
    logged = _encoded(part)
    if b"_" not in logged and b"?" not in logged:
        return [directory + b"/" + logged]
    try:
        with os.scandir(directory or b"/") as entries:
            names = [entry.name for entry in islice(entries, _MOST_LISTED + 1)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _TroubleError(f"{host_text(directory)}: {error.strerror}") from error
    if len(names) > _MOST_LISTED:
        raise _TroubleError(f"more than {_MOST_LISTED:,} names in {host_text(directory)}")
    return [directory + b"/" + name for name in names if logged in _as_logged(name)]


_VSFTPD = bytes(
    0x5F if byte == 0x20 else byte if 0x20 < byte < 0x7F else 0x3F for byte in range(256)
)
_OTHERS = bytes(0x5F if byte <= 0x20 or byte == 0x7F else byte for byte in range(256))


def _as_logged(name: bytes) -> tuple[bytes, bytes, bytes]:
    """Give how servers would log a name: as it is, as vsftpd does, as ProFTPD and Pure-FTPd do."""
    return name, name.translate(_VSFTPD), name.translate(_OTHERS)


def writers(proc: Path, paths: Iterable[bytes]) -> tuple[Mapping[bytes, int], bool]:
    """Tell which process has each of some files open for writing, and whether all could be seen.

    By the names that /proc gives, so that no file system is asked.
    """
    wanted = {os.path.realpath(path): path for path in paths}
    found: dict[bytes, int] = {}
    sees_all = True
    root = os.fsencode(proc)
    for pid in os.listdir(root):
        if not pid.isdigit():
            continue
        place = os.path.join(root, pid, b"fd")
        try:
            numbers = os.listdir(place)
        except PermissionError:
            sees_all = False
            continue
        except OSError:  # it has ended
            continue
        for number in numbers:
            try:
                path = wanted.get(os.readlink(os.path.join(place, number)))
                if path is not None and _writes(os.path.join(root, pid, b"fdinfo", number)):
                    found[path] = int(pid)
            except OSError:  # it has been closed
                continue
    return found, sees_all


def _writes(fdinfo: bytes) -> bool:
    with open(fdinfo, "rb") as file:
        for line in file:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8) & _ACCESS_MODE != os.O_RDONLY
    return True
