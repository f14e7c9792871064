"""The entries of a directory, counted in what the kernel itself writes of them.

``os.scandir`` makes an object of each entry, which takes longer than the kernel takes to tell of
it. Here getdents64(2) fills a buffer. Where entries of one length follow upon each other, their
types are one slice of it, and are counted without a look at each.

An entry holds 8 bytes of inode number, 8 of position, 2 of its length, 1 of type, and the name
with a NUL at its end.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What the C library reads at a time: about 1,000 entries.
_BUFFER_BYTES = 32768
_LENGTH, _TYPE, _NAME = 16, 18, 19
_LOW_BYTE, _HIGH_BYTE = (16, 17) if sys.byteorder == "little" else (17, 16)
_length_and_kind = struct.Struct("=HB").unpack_from
_UNKNOWN, _DIRECTORY, _FILE = 0, 4, 8
_NO_NAMES = (b".\0", b"..\0")
# An entry has a multiple of 8 bytes: from this many (a name of up to 4) to 256 more.
_SHORTEST = 24
# Where no more than these are of one length, they are looked at one by one.
_FEW = 4


class Entries:
    """Counts the entries of open directories; not for two threads at a time.

    Raises ImportError or AttributeError where Python, or the C library, leads to no such call.
    """

    def __init__(self) -> None:
        import ctypes

        self._read = ctypes.CDLL(None, use_errno=True).getdents64
        self._read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
        self._read.restype = ctypes.c_ssize_t
        self._error_number = ctypes.get_errno
        self._buffer = bytearray(_BUFFER_BYTES)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))

    @classmethod
    @cache
    def of_this_system(cls) -> Entries | None:
        """Give the one of this process, or None where there can be none.

        Each makes classes anew, which are cycles, and nobody collects those in a worker.
        """
        try:
            return cls()
        except (ImportError, AttributeError):
            return None

    def count(
        self, fd: int, names: list[str], look: Callable[[], object] | None = None
    ) -> tuple[int, int, int] | None:
        """Read on in an open directory; give the number of files, directories and others read.

        None at its end. The names of directories are added to ``names``. ``look`` is called after
        each entry for which the file system had to be asked.
        """
        size = self._fill(fd)
        if not size:
            return None
        buffer = self._buffer
        files, rest = self._files(size)
        dirs = others = 0
        for at in rest:
            kind = buffer[at + _TYPE]
            if kind not in (_DIRECTORY, _UNKNOWN):
                others += 1
                continue
            if buffer.startswith(_NO_NAMES, at + _NAME):
                continue
            name = bytes(buffer[at + _NAME : buffer.index(0, at + _NAME)])
            if kind == _UNKNOWN:
                kind = _kind_of(fd, name)
                if look is not None:
                    look()
            if kind == _DIRECTORY:
                dirs += 1
                names.append(os.fsdecode(name))
            elif kind == _FILE:
                files += 1
            else:
                others += 1
        return files, dirs, others

    def _fill(self, fd: int) -> int:
        """Give how many bytes of the buffer are filled, 0 at the end of the directory."""
        while (size := int(self._read(fd, self._address, _BUFFER_BYTES))) < 0:
            number = self._error_number()
            if number != errno.EINTR:
                raise OSError(number, os.strerror(number))
        return size

    def _files(self, size: int) -> tuple[int, list[int]]:
        """Give how many entries are ordinary files, and where those are that are not."""
        buffer = self._buffer
        files, rest = 0, []
        at, step = 0, _FEW
        while at < size:
            length, _ = _length_and_kind(buffer, at + _LENGTH)
            # Each one is where it is taken to be, as long as those before it have this length.
            alike = _same(buffer[at + _LOW_BYTE : size : length])
            if length & 0xFF == _SHORTEST:  # The longest have the same low byte.
                alike = min(alike, _same(buffer[at + _HIGH_BYTE : size : length]))
            if alike > _FEW:
                kinds = buffer[at + _TYPE : at + alike * length : length]
                found = kinds.count(_FILE)
                files += found
                if found < alike:
                    rest += [
                        at + number * length for number, kind in enumerate(kinds) if kind != _FILE
                    ]
                at += alike * length
                singly, step = 1, _FEW  # What follows has another length.
            else:
                # One by one, the more of them the longer this goes on.
                singly, step = step, 2 * step
            while singly and at < size:
                length, kind = _length_and_kind(buffer, at + _LENGTH)
                if kind == _FILE:
                    files += 1
                else:
                    rest.append(at)
                at += length
                singly -= 1
        return files, rest


def _same(values: bytearray) -> int:
    """Give how many of the first are the same."""
    return len(values) - len(values.lstrip(values[:1]))


def _kind_of(fd: int, name: bytes) -> int:
    """Give the type of an entry of which the file system does not tell it; -1 for any other."""
    try:
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return -1
    if stat.S_ISDIR(mode):
        return _DIRECTORY
    return _FILE if stat.S_ISREG(mode) else -1
