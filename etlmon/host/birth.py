"""When a file was made, from statx(2), which Python 3.11 does not offer."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_BUFFER_BYTES = 256
_MASK = struct.Struct("=I")
_BTIME = struct.Struct("=qI")
_BTIME_AT = 80

# None with a C library older than 2018.
_statx: Any = getattr(ctypes.CDLL(None), "statx", None)


def birth_ns(fd: int) -> int:
    """Give when an open file was made, ns since the epoch; 0 where the file system keeps no note.

    With it an inode number that was given out again is told from the file that had it before.
    """
    if _statx is None:
        return 0
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    if _statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer) != 0:
        return 0
    (mask,) = _MASK.unpack_from(buffer.raw, 0)
    if not mask & _STATX_BTIME:
        return 0
    seconds, nanoseconds = _BTIME.unpack_from(buffer.raw, _BTIME_AT)
    return int(seconds * 1_000_000_000 + nanoseconds)
