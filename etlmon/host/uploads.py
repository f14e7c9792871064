"""Finds uploads on the disk by the names that a server has logged. Blocks."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etlmon.host.beneath import Beneath, HangingError, TooManyError
from etlmon.host.mounts import covering, resolve, waits_for
from etlmon.host.writers import written_by
from etlmon.text import host_path, host_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from etlmon.host.beneath import Step, Way
    from etlmon.host.mounts import Mount

_MOST_LISTED = 100_000
"""Names of one directory that are looked at, where a name may stand for several."""
_MOST_RELATED = 10_000
"""In a directory of more names no file is looked for that an upload may have been renamed to."""
_MOST_FOUND = 16
_MOST_NAME = 4_096
"""No path is longer, in characters."""


@dataclass(frozen=True)
class FoundFile:
    """A file that an upload may be; its path has no links."""

    path: bytes
    size_bytes: int
    modified_ms: int


@dataclass(frozen=True)
class Hanging:
    """Where a look would go on in a mount on which a call may hang."""

    path: str
    mount_point: str
    name: str
    """What is to be looked for below ``path``, as it is logged."""


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
    is_renamed: bool = False
    """Whether the file bears another name than the upload; see ``UploadSearch.find``."""
    hanging: Hanging | None = None
    """Where to look instead, in a way that can be given up."""


class UploadSearch:
    """Looks for uploads below the directories of their users. To be closed.

    Each directory is read once, so one search is for uploads that are looked for together.
    """

    def __init__(self, mounts: Sequence[Mount] = ()) -> None:
        self._mounts = mounts
        self._waits = waits_for(mounts)
        self._hanging = frozenset(
            mount.mount_point for mount in mounts if mount.mount_id in self._waits
        )
        self._tops: dict[str, Beneath] = {}
        self._indexes: dict[tuple[str, Way], dict[bytes, list[bytes]]] = {}

    def close(self) -> None:
        """Close all directories."""
        for top in self._tops.values():
            top.close()

    def find(self, root: str, name: str, is_it: FoundFile | None = None) -> Found:
        """Give the files below ``root`` that a server may have logged as ``name``.

        vsftpd writes ``_`` for a blank and ``?`` for each byte that is not printable ASCII, others
        ``_`` for blanks and control characters. ``is_it`` is what the upload looked like when it
        ended, if that is known: the file that bears exactly the logged name is taken at once if it
        looks so. And if there is none of the name, that one is which looks so, alone of those in
        its directory whose names are like that of the upload: it has been renamed.
        """
        parts = _parts(name)
        if not parts:
            return NO_NAME
        if len(name) > _MOST_NAME:
            return Found((), "the name is longer than any path")
        steps = [self._step(root, part) for part in parts]
        try:
            top = self._top(root, steps)
            if is_it is not None and "?" not in name:
                exact = _files(top.find([_encoded(part) for part in parts]))
                if exact and _fits(exact[0], is_it):
                    return Found(tuple(exact))
            files = _files(top.find(steps))
            if not files and is_it is not None and is_it.size_bytes:
                renamed = self._renamed(top, steps, parts[-1], is_it)
                if renamed is not None:
                    return Found((renamed,), is_renamed=True)
        except HangingError as error:
            return Found((), hanging=self._instead(error))
        except TooManyError as error:
            return Found((), str(error))
        except OSError as error:
            where = os.fsencode(error.filename or root)
            # The directory of the user is not there: it may be mounted yet.
            is_missing = isinstance(error, FileNotFoundError)
            return Found((), f"{host_text(where)}: {error.strerror}", may_pass=is_missing)
        return Found(choose(files, is_it))

    def _top(self, root: str, steps: Sequence[Step]) -> Beneath:
        top = self._tops.get(root)
        if top is None:
            path = resolve(self._mounts, os.path.normpath(os.fsencode(root)))
            own = covering(self._mounts, path)
            if own is not None and own.mount_id in self._waits:
                raise HangingError(path, steps)
            top = self._tops[root] = Beneath(path, self._hanging, _MOST_LISTED)
        return top

    def _instead(self, error: HangingError) -> Hanging:
        own = covering(self._mounts, error.path)
        mount = self._waits.get(own.mount_id) if own is not None else None
        left = (
            os.fsdecode(step) if isinstance(step, bytes) else getattr(step, "part", "")
            for step in error.steps
        )
        return Hanging(
            os.fsdecode(error.path),
            host_path(error.path if mount is None else mount.mount_point),
            "/".join(left),
        )

    def _step(self, root: str, part: str) -> Step:
        is_lossy = any(mark in part for mark in ("_", "?", "\\x"))
        return _Logged(self, root, part) if is_lossy else _encoded(part)

    def named(self, root: str, way: Way, names: Sequence[bytes], part: str) -> Sequence[bytes]:
        """Give what in a directory may have been logged as ``part``."""
        index = self._indexes.get((root, way))
        if index is None:
            index = self._indexes[root, way] = {}
            for name in names:
                for logged in _as_logged(name):
                    index.setdefault(logged, []).append(name)
        return index.get(_encoded(part), ())

    def _renamed(
        self, top: Beneath, steps: Sequence[Step], part: str, is_it: FoundFile
    ) -> FoundFile | None:
        def like_it(_way: Way, names: Sequence[bytes]) -> Iterable[bytes]:
            if len(names) > _MOST_RELATED:
                return ()
            return [name for name in names if _is_like(name, part)]

        with suppress(OSError, TooManyError, HangingError):
            files = _files(top.find([*steps[:-1], like_it]))
            fitting = [one for one in files if _fits(one, is_it)]
            if len(fitting) == 1:
                return fitting[0]
        return None


@dataclass(frozen=True)
class _Logged:
    """The names of a directory that may have been logged as ``part``."""

    search: UploadSearch
    root: str
    part: str

    def __call__(self, way: Way, names: Sequence[bytes]) -> Iterable[bytes]:
        return self.search.named(self.root, way, names, self.part)


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


_SPECIAL = re.compile(r"[_?]*[?][_?]*|[_*\[\]]|\\x[0-9a-f]{2}")
NO_NAME = Found((), "the log names no file")


def _special(found: re.Match[str]) -> str:
    if "?" in found[0]:  # of a character that is not ASCII vsftpd makes several
        return "*"
    return "?" if found[0] == "_" or found[0][0] == "\\" else f"[{found[0]}]"


def _parts(name: str) -> list[str]:
    if name.endswith("/"):
        return []
    return [part for part in posixpath.normpath("/" + name).split("/") if part]


def _fits(one: FoundFile, it: FoundFile) -> bool:
    return one.size_bytes == it.size_bytes and abs(one.modified_ms - it.modified_ms) <= 2_000


def _encoded(part: str) -> bytes:
    return part.encode("utf-8", "surrogateescape")


def _files(found: Iterable[tuple[bytes, os.stat_result]]) -> list[FoundFile]:
    """Give those that are regular files."""
    return [
        FoundFile(path, status.st_size, status.st_mtime_ns // 1_000_000)
        for path, status in found
        if stat.S_ISREG(status.st_mode)
    ]


def _is_like(name: bytes, part: str) -> bool:
    """Whether a file of this name may have been ``part`` before: ``a.csv`` was ``a.csv.tmp``.

    One name is within the other, or they differ in what follows the last dot.
    """
    old = _encoded(part)
    stem = old.rpartition(b".")[0]
    return any(
        logged != old
        and (logged in old or old in logged or logged.rpartition(b".")[0] == stem != b"")
        for logged in _as_logged(name)
    )


_VSFTPD = bytes(
    0x5F if byte == 0x20 else byte if 0x20 < byte < 0x7F else 0x3F for byte in range(256)
)
_OTHERS = bytes(0x5F if byte <= 0x20 or byte == 0x7F else byte for byte in range(256))


def logged_as(name: bytes) -> set[str]:
    """Give all names by which servers would log a file."""
    return {os.fsdecode(one) for one in _as_logged(name)}


def _as_logged(name: bytes) -> set[bytes]:
    """Give how servers would log a name: as it is, as vsftpd does, as ProFTPD and Pure-FTPd do.

    Of what they write as it is, bytes that are not UTF-8 are written out in what is stored.
    """
    logged = {name, name.translate(_VSFTPD), name.translate(_OTHERS)}
    return logged if name.isascii() else logged | {host_text(one).encode() for one in logged}


def writers(proc: Path, paths: Collection[bytes]) -> tuple[Mapping[bytes, int], bool]:
    """Tell which process has each of some files open for writing, and whether all could be seen.

    ``paths`` have no links: the kernel's names are compared, so that no file system is asked.
    """
    return written_by(os.fsencode(proc), lambda _, target: target if target in paths else None)
