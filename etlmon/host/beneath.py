"""Ways to what is below a directory, out of which nothing leads. Blocks.

Whoever may write below the directory may put a link there, and may swap one in while its way is
being looked at. So each part of a way is opened by itself, without following links, in the
directory that was opened before; a link is read and means what it means to a process that is locked
into the directory (chroot), as sessions of FTP servers are: ``/`` is the directory, and ``..`` in
it is the directory again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeAlias

Way: TypeAlias = tuple[bytes, ...]
"""Names one below the other, none of them a link."""
Choice: TypeAlias = Callable[[Way, Sequence[bytes]], Iterable[bytes]]
"""Chooses among the names of a directory, given the way to it."""
Step: TypeAlias = bytes | Choice

_MOST_LINKS = 40
_MOST_DEPTH = 100
_MOST_OPENED = 1_000
_PASS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class TooManyError(Exception):
    """There is more to look at than one look may cost; the text says what."""


class HangingError(Exception):
    """A way leads to where a call may hang: ``path``, with the ``steps`` that are left below it."""

    def __init__(self, path: bytes, steps: Sequence[Step]) -> None:
        super().__init__(path)
        self.path = path
        self.steps = steps


class Beneath:
    """A directory, and what is below it. To be closed.

    ``path`` names the directory without links; of ``hanging``, mount points, none is looked into.
    Of each directory at most ``most_listed`` names are read, and only once. Raises OSError if the
    directory cannot be opened.
    """

    def __init__(self, path: bytes, hanging: frozenset[bytes], most_listed: int) -> None:
        self._path = path.rstrip(b"/")
        self._hanging = hanging
        self._most_listed = most_listed
        self._names: dict[Way, list[bytes]] = {}
        self._opened = 0
        self._top = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the directory."""
        os.close(self._top)

    def find(self, steps: Sequence[Step]) -> list[tuple[bytes, os.stat_result]]:
        """Give what is at the end of all ways that the steps may take: its path without links.

        Raises OSError for what cannot be looked at, TooManyError, and HangingError.
        """
        self._opened = 0
        return self._find(self._top, (), tuple(steps), links=0, depth=0)

    def _find(
        self, fd: int, way: Way, steps: tuple[Step, ...], *, links: int, depth: int
    ) -> list[tuple[bytes, os.stat_result]]:
        if depth > _MOST_DEPTH:
            raise TooManyError(f"more than {_MOST_DEPTH} directories deep")
        found: list[tuple[bytes, os.stat_result]] = []
        if not steps:
            return found
        step, rest = steps[0], steps[1:]
        for name in (step,) if isinstance(step, bytes) else step(way, self._list(fd, way)):
            here = self._path_of((*way, name))
            if here in self._hanging:
                raise HangingError(here, rest)
            self._opened += 1
            if self._opened > _MOST_OPENED:
                raise TooManyError(f"more than {_MOST_OPENED:,} files may be meant")
            try:
                child = os.open(name, _PASS, dir_fd=fd)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise OSError(error.errno, error.strerror, here) from None
            try:
                status = os.fstat(child)
                if stat.S_ISLNK(status.st_mode):
                    if links >= _MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), here)
                    led = _led(way, os.readlink(b"", dir_fd=child))
                    found += self._find(
                        self._top, (), (*led, *rest), links=links + 1, depth=depth + 1
                    )
                elif not rest:
                    found.append((here, status))
                elif stat.S_ISDIR(status.st_mode):
                    found += self._find(child, (*way, name), rest, links=links, depth=depth + 1)
            finally:
                os.close(child)
        return found

    def _list(self, fd: int, way: Way) -> list[bytes]:
        names = self._names.get(way)
        if names is None:
            here = self._path_of(way) or b"/"
            try:
                listed = os.open(b".", _LIST, dir_fd=fd)
                try:
                    with os.scandir(listed) as entries:
                        names = [
                            os.fsencode(entry.name)
                            for entry in islice(entries, self._most_listed + 1)
                        ]
                finally:
                    os.close(listed)
            except OSError as error:
                raise OSError(error.errno, error.strerror, here) from None
            self._names[way] = names
        if len(names) > self._most_listed:
            where = os.fsdecode(self._path_of(way) or b"/")
            raise TooManyError(f"more than {self._most_listed:,} names in {where}")
        return names

    def _path_of(self, way: Way) -> bytes:
        return b"/".join((self._path, *way))


def _led(way: Way, target: bytes) -> Way:
    """Give the way that a link in a directory stands for."""
    led = [] if target.startswith(b"/") else list(way)
    for name in target.split(b"/"):
        if name == b"..":
            del led[-1:]
        elif name not in (b"", b"."):
            led.append(name)
    return tuple(led)
