"""One file that lines are read from, known by what it is and not by its name.

Names move on when logs rotate, and inode numbers are given out again at once. A file is known by
device and inode *and* by when it was made, its first bytes and those before the place where reading
stopped: a file that was cut off and has grown again is not the same.
"""

from __future__ import annotations

import os
import stat
import sys
from hashlib import blake2b
from typing import IO, TYPE_CHECKING

import msgspec

from etlmon.host.birth import birth_ns
from etlmon.host.packing import BROKEN, UNPACK, Unpacked

if TYPE_CHECKING:
    from etlmon.host.rotated import Rotated

HEAD_BYTES = 4096
"""How much of the beginning of a file it is known by, as far as that has been read."""
START_BYTES = 64
"""How much of it tells whether a shorter file may be a copy of it."""
TAIL_BYTES = 256
"""How much before the place where reading stopped it is known by."""

COMPRESSED = tuple(UNPACK)
"""How the names of the compressed files end that can be read."""
_SKIP_BYTES = 1 << 18


class Position(msgspec.Struct, frozen=True, array_like=True, tag="at"):
    """How far a file has been read, with what is needed to know it again."""

    device: int
    inode: int
    offset: int
    """Bytes that have been read, of what is in it once it is unpacked."""
    head_bytes: int
    head_hash: str
    tail_hash: str
    """Of the ``TAIL_BYTES`` before ``offset``, or of so many as there are."""
    size: int
    """When it was looked at last; its packed size where it is compressed."""
    modified_ns: int
    path: str
    """Where it was when it was opened, byte for character (latin-1)."""
    born_ns: int = 0
    """When it was made; 0 where that is not known."""
    written_ns: int = 0
    """When it had been written last as soon as all that has been read was in it."""
    start_hash: str = ""
    """Of the first ``START_BYTES``; none where so many are not known."""

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode

    @property
    def is_packed(self) -> bool:
        """Whether the file is compressed."""
        return self.path.encode("latin-1").endswith(COMPRESSED)


class RewrittenError(Exception):
    """What had been read is not in the file any more: it was cut off, or written anew."""


class Generation:
    """A file that is open, and a place in it."""

    is_packed = False

    def __init__(self, fd: int, name: bytes) -> None:
        self.fd = fd
        self.name = name
        """Where it was found; it may be elsewhere now, or nowhere."""
        self.offset = 0
        self.head = b""
        """Its first bytes, also those not read yet: what is written stays as it is."""
        self.tail = b""
        self._head_hashes: tuple[int, str, str] | None = None
        self._given: tuple[tuple[object, ...], bytes, Position] | None = None
        self._checked: tuple[int, int] | None = None
        self.born_ns = birth_ns(fd)
        self._before = b"", b""  # the tail before the last advance, and its data
        self.refresh()

    def refresh(self) -> None:
        """Look at its size and times; raises OSError."""
        status = os.fstat(self.fd)
        self.device, self.inode = status.st_dev, status.st_ino
        self.size, self.modified_ns = status.st_size, status.st_mtime_ns
        self.changed_ns = status.st_ctime_ns
        self.written_ns = self.modified_ns
        self.is_deleted = status.st_nlink == 0

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode: what tells apart files that are there at the same time."""
        return self.device, self.inode

    @property
    def left_bytes(self) -> int:
        """How much is still to be read, as far as is known without reading."""
        return max(0, self.size - self.offset)

    def seek(self, offset: int) -> None:
        """Go to a place in the file; raises OSError or RewrittenError where it has no such place.

        What is known of the file is read anew from it.
        """
        self.head = self._at(0, HEAD_BYTES)
        self.tail = self._at(max(0, offset - TAIL_BYTES), min(TAIL_BYTES, offset))
        if len(self.head) < min(HEAD_BYTES, offset) or len(self.tail) < min(TAIL_BYTES, offset):
            raise RewrittenError
        self.offset = offset
        self._head_hashes = self._checked = None

    def go_to_end(self) -> None:
        """Go to the end of the file, as of the last look; raises as ``seek`` does."""
        self.seek(self.size)

    def ends_within(self, most_bytes: int) -> bool:
        """Go to the end of the file, unless there is more in it; whether that is not so."""
        if self.size > most_bytes:
            return False
        self.go_to_end()
        return True

    def restart(self) -> None:
        """Begin again, at the beginning."""
        self.seek(0)

    def peek(self, most_bytes: int) -> bytes:
        """Give what comes next, without going on; raises RewrittenError, or OSError."""
        data = os.pread(self.fd, len(self.tail) + most_bytes, self.offset - len(self.tail))
        if not data.startswith(self.tail):
            raise RewrittenError
        ahead = self.head[self.offset :]
        if ahead and not data.startswith(ahead[:most_bytes], len(self.tail)):
            raise RewrittenError
        if self.offset - len(self.tail) + len(data) > self.size:  # written since the last look
            self.written_ns = os.fstat(self.fd).st_mtime_ns
        return data[len(self.tail) :]

    def advance(self, data: bytes, *, may_return: bool = False) -> None:
        """Go on by ``data``, which is what ``peek`` gave or the beginning of it.

        With ``may_return`` the data is kept in memory until the next advance.
        """
        self._before = (self.tail, data) if may_return else (b"", b"")
        known = len(self.head)
        if known < HEAD_BYTES:
            self.head += data[known - self.offset : HEAD_BYTES - self.offset]
        self.tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else self.tail + data
        self.tail = self.tail[-TAIL_BYTES:]
        self.offset += len(data)

    def go_back(self, length: int) -> bytes:
        """Undo the end of the last advance, which must have been one that may return; give it."""
        tail, data = self._before
        kept, returned = data[: len(data) - length], data[len(data) - length :]
        self.tail = (tail + kept)[-TAIL_BYTES:]
        self.offset -= length
        self._before = (tail, kept)
        return returned

    def check(self) -> None:
        """Raise RewrittenError if what has been read is not there any more."""
        now = (self.size, self.modified_ns)
        if now == self._checked:
            return
        before = self._checked[0] if self._checked else self.offset
        head = self._at(0, HEAD_BYTES)
        if self.size < max(before, self.offset) or not head.startswith(self.head):
            raise RewrittenError
        self.head = head
        if self._at(self.offset - len(self.tail), len(self.tail)) != self.tail:
            raise RewrittenError
        self._checked = now

    def position(self) -> Position:
        """Give the place that it is at."""
        if self._head_hashes is None or self._head_hashes[0] != len(self.head):
            start = self.head[:START_BYTES]
            start_hash = digest(start) if len(start) == START_BYTES else ""
            self._head_hashes = len(self.head), digest(self.head), start_hash
        of = (self.offset, self.size, self.modified_ns, self.written_ns, self._head_hashes)
        if self._given is None or self._given[:2] != (of, self.tail):
            self._given = of, self.tail, self._position(*self._head_hashes)
        return self._given[2]

    def _position(self, head_bytes: int, head_hash: str, start_hash: str) -> Position:
        return Position(
            device=self.device,
            inode=self.inode,
            offset=self.offset,
            head_bytes=head_bytes,
            head_hash=head_hash,
            tail_hash=digest(self.tail),
            size=self.size,
            modified_ns=self.modified_ns,
            path=self.name.decode("latin-1"),
            born_ns=self.born_ns,
            written_ns=self.written_ns,
            start_hash=start_hash,
        )

    def is_another(self, position: Position) -> bool:
        """Whether it is known not to be the file of a position: it has its inode number only."""
        return not may_be_one(self, position)

    def go_to(self, position: Position) -> bool:
        """Go to a position if this file holds it, whatever its identity is.

        Raises OSError where it cannot be read.
        """
        if not self.is_packed and self.size < position.offset:
            return False
        if digest(self._at(0, position.head_bytes)) != position.head_hash:
            return False
        try:
            self.seek(position.offset)
        except RewrittenError:
            return False
        # What is known of it from now on: it may have been cut off since the first bytes were read.
        begins = digest(self.head[: position.head_bytes]) == position.head_hash
        return begins and digest(self.tail) == position.tail_hash

    def close(self) -> None:
        """Close the file."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _at(self, offset: int, length: int) -> bytes:
        return os.pread(self.fd, length, offset) if length else b""


class PackedGeneration(Generation):
    """A compressed file: it can be read forward only, and grows no more."""

    is_packed = True

    def __init__(self, fd: int, name: bytes) -> None:
        super().__init__(fd, name)
        self._ending = os.path.splitext(name)[1]
        self._file: IO[bytes] | None = None
        self._stream: Unpacked | None = None
        self._ahead = b""
        self._is_at_end = False

    @property
    def left_bytes(self) -> int:
        """How much is still to be read: unknown, at least one byte until the end is reached."""
        return len(self._ahead) + (0 if self._is_at_end else 1)

    def seek(self, offset: int) -> None:
        """Go to a place, from the beginning on."""
        self._shut()
        os.lseek(self.fd, 0, os.SEEK_SET)
        self._file = os.fdopen(self.fd, "rb", closefd=False)
        self._stream = UNPACK[self._ending](self._file)
        self._ahead, self._is_at_end = b"", False
        self.offset, self.tail, self._head_hashes = 0, b"", None
        self.head = self.peek(HEAD_BYTES)
        while self.offset < offset:
            data = self.peek(min(_SKIP_BYTES, offset - self.offset))[: offset - self.offset]
            if not data:
                raise RewrittenError
            self.advance(data)

    def go_to_end(self) -> None:
        """Go to the end of what is in it, which is unpacked for that."""
        self.ends_within(sys.maxsize)

    def ends_within(self, most_bytes: int) -> bool:
        """Go to the end of what is in it, no further than it needs to know that there is more."""
        self.restart()
        while data := self.peek(_SKIP_BYTES):
            self.advance(data)
            if self.offset > most_bytes:
                return False
        return True

    def peek(self, most_bytes: int) -> bytes:
        """Give what comes next, without going on; raises OSError, also where it is broken."""
        assert self._stream is not None
        while len(self._ahead) < most_bytes and not self._is_at_end:
            try:
                more = self._stream.read(min(_SKIP_BYTES, most_bytes - len(self._ahead)))
            except BROKEN as error:
                raise OSError(0, f"it cannot be unpacked: {error}") from error
            self._ahead += more
            self._is_at_end = not more
        return self._ahead[:most_bytes]

    def advance(self, data: bytes, *, may_return: bool = False) -> None:
        """Go on by ``data``."""
        super().advance(data, may_return=may_return)
        self._ahead = self._ahead[len(data) :]

    def go_back(self, length: int) -> bytes:
        """Undo the end of the last advance; give it."""
        returned = super().go_back(length)
        self._ahead = returned + self._ahead
        return returned

    def check(self) -> None:
        """Do nothing: it is not written any more."""

    def close(self) -> None:
        """Close the file."""
        self._shut()
        super().close()

    def _at(self, offset: int, length: int) -> bytes:
        if offset or length > HEAD_BYTES:
            raise ValueError("a compressed file is read from its beginning only")
        if self._stream is None or self.offset:
            self.restart()
        return self.head[:length]

    def _shut(self) -> None:
        for one in (self._stream, self._file):
            if one is not None:
                one.close()
        self._stream = self._file = None


def may_be_one(
    one: Generation | Position | Rotated, other: Generation | Position | Rotated
) -> bool:
    """Whether two may be one file, not two that had an inode number one after the other.

    When they were made tells; of compressed files, which are written once, what they are otherwise.
    """
    if one.identity != other.identity or one.is_packed != other.is_packed:
        return False
    if one.born_ns and other.born_ns:
        return one.born_ns == other.born_ns
    return not one.is_packed or (one.size, one.modified_ns) == (other.size, other.modified_ns)


def digest(data: bytes) -> str:
    """Give a short hash by which bytes are known again."""
    return blake2b(data, digest_size=8).hexdigest()


def open_generation(name: bytes) -> Generation:
    """Open a file for reading, unpacking it where its name says that it is compressed.

    Raises OSError; a pipe, a device or a directory is refused and never waited for.
    """
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a regular file")
        kind = PackedGeneration if name.endswith(COMPRESSED) else Generation
        return kind(fd, name)
    except BaseException:
        os.close(fd)
        raise
