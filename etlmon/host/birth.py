"""When a file was made, from statx(2), which Python 3.11 does not offer."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = -100
_STATX_BTIME = 0x800
_BUFFER_BYTES = 256
_MASK = struct.Struct("=I")
_BTIME = struct.Struct("=qI")
_BTIME_AT = 80

# None with a C library older than 2018.
_statx: Any = getattr(ctypes.CDLL(None), "statx", None)


def birth_ns(file: int | bytes) -> int:
    """Give when a file was made, ns since the epoch; 0 where the file system keeps no note.

    ``file`` is a descriptor, or a path, of which a last link is not followed; 0 if it is gone. With
    it an inode number that was given out again is told from the file that had it before.
    """
    if _statx is None:
        return 0
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    if isinstance(file, int):
        failed = _statx(file, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer)
    else:
        failed = _statx(_AT_FDCWD, file, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer)
    if failed:
        return 0
    (mask,) = _MASK.unpack_from(buffer.raw, 0)
    if not mask & _STATX_BTIME:
        return 0
    seconds, nanoseconds = _BTIME.unpack_from(buffer.raw, _BTIME_AT)
    return int(seconds * 1_000_000_000 + nanoseconds)
