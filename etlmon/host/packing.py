"""How compressed files are unpacked: which programs' are known, and what unpacking may take."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import IO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MOST_UNPACKING_BYTES = 128 << 20
"""Memory that unpacking may take, so much as zstd allows itself; ``xz -9`` needs 65 MiB."""
_READ_BYTES = 1 << 16


class _XzFile:
    """Reads as lzma.LZMAFile does, which gives a file all the memory that it demands: gigabytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stream = lzma.LZMADecompressor(memlimit=_MOST_UNPACKING_BYTES)

    def read(self, most_bytes: int) -> bytes:
        """Give what comes next, nothing at the end; raises EOFError where that comes too early."""
        data = b""
        while not data:
            packed = b""
            if self._stream.eof:  # others may follow, after padding
                packed = self._stream.unused_data.lstrip(b"\0")
                while not packed:
                    more = self._file.read(_READ_BYTES)
                    if not more:
                        return b""
                    packed = more.lstrip(b"\0")
                self._stream = lzma.LZMADecompressor(memlimit=_MOST_UNPACKING_BYTES)
            elif self._stream.needs_input:
                packed = self._file.read(_READ_BYTES)
                if not packed:
                    raise EOFError("it ends before its end marker")
            data = self._stream.decompress(packed, most_bytes)
        return data

    def close(self) -> None:
        """Do nothing: the file is closed by whoever opened it."""


Unpacked = gzip.GzipFile | bz2.BZ2File | _XzFile | zstd.ZstdFile

UNPACK: dict[bytes, Callable[[IO[bytes]], Unpacked]] = {
    b".gz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b".bz2": bz2.BZ2File,
    b".xz": _XzFile,
    b".zst": zstd.ZstdFile,
}
"""What unpacks a file, by how its name ends."""
BROKEN = (EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError)
"""What reading a compressed file may raise besides OSError."""
