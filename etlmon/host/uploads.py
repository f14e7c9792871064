"""Finds uploads on the disk by the names that a server has logged. Blocks."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from etlmon.host.writers import written_by
from etlmon.text import host_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MOST_LISTED = 100_000
"""Names of one directory that are looked at, where a name may stand for several."""
_MOST_FOUND = 16


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
    may_pass: bool = False
    """Whether the trouble may pass by itself."""
    is_shared: bool = False
    """Whether other hosts may write to the files: they are on a network file system."""


class _TroubleError(Exception):
    """A look that cannot be brought to its end; the text says why."""


def find(root: str, name: str, is_it: FoundFile | None = None) -> Found:
    """Give the files below ``root`` that a server may have logged as ``name``.

    vsftpd writes ``_`` for a blank and ``?`` for each byte that is not printable ASCII, others
    ``_`` for blanks and control characters. ``is_it`` is what the upload looked like when it
    ended, if that is known: the file that bears exactly the logged name is taken at once if it has
    this size and was written no later.
    """
    parts = _parts(name)
    if not parts:
        return NO_NAME
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
    return Found(choose([one for one in files if one is not None], is_it))


def choose(files: Sequence[FoundFile], is_it: FoundFile | None) -> tuple[FoundFile, ...]:
    """Give which of several files may be meant: the one that looks so, if there is one such."""
    fitting = [one for one in files if is_it is not None and _fits(one, is_it)]
    return tuple(fitting if len(fitting) == 1 else files[:_MOST_FOUND])


def as_glob(name: str) -> str | None:
    """Give a glob, relative to the directory, of all that may be logged as ``name``.

    What it matches may be more: ``is_logged_as`` tells. None if the log names no file.
    """
    return "/".join(_SPECIAL.sub(_special, part) for part in _parts(name)) or None


def is_logged_as(path: bytes, name: str) -> bool:
    """Whether a path, relative to the directory, may be logged as ``name``."""
    parts, names = path.split(b"/"), _parts(name)
    return len(parts) == len(names) and all(
        _encoded(logged) in _as_logged(part) for part, logged in zip(parts, names, strict=True)
    )


_SPECIAL = re.compile(r"[_?]*[?][_?]*|[_*\[\]]")
NO_NAME = Found((), "the log names no file")


def _special(found: re.Match[str]) -> str:
    if "?" in found[0]:  # of a character that is not ASCII vsftpd makes several
        return "*"
    return "?" if found[0] == "_" else f"[{found[0]}]"


def _parts(name: str) -> list[str]:
    if name.endswith("/"):
        return []
    return [part for part in posixpath.normpath("/" + name).split("/") if part]


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


def writers(proc: Path, paths: Mapping[bytes, bytes]) -> tuple[Mapping[bytes, int], bool]:
    """Tell which process has each of some files open for writing, and whether all could be seen.

    ``paths`` names them, each by its path without links: the kernel's names are compared, so that
    no file system is asked.
    """
    wanted = {real: path for path, real in paths.items()}
    return written_by(os.fsencode(proc), lambda _, target: wanted.get(target))
