"""Where a symbolic link leads to, as long as that stays below a directory and on its file system.

Whoever may put a link there must neither have the worker wait for another mount, nor see through
it what he may not see himself. The kernel keeps to that in one call, openat2(2).
"""

from __future__ import annotations

import os
import struct
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_OPENAT2 = 437  # on all processors
_NO_OTHER_MOUNT, _NO_MAGIC_LINK, _BENEATH = 0x01, 0x02, 0x08


def follow(root: int, top: str, path: str) -> tuple[os.stat_result, str]:
    """Give the status of what a link leads to, and its path below the open directory ``root``.

    ``path`` is the link's, ``top`` is that of the directory. Raises OSError where it leads
    elsewhere, or nowhere, or the kernel (before 5.6) cannot tell.
    """
    here = os.readlink(f"/proc/self/fd/{root}").rstrip("/") + "/"
    target = os.readlink(path, dir_fd=root)
    # A link by a whole path leads out of the directory, for the kernel, wherever it leads to.
    for above in (top.rstrip("/") + "/", here):
        if target.startswith(above):
            path = target[len(above) :].lstrip("/")
    fd = _open_beneath(root, os.fsencode(path))
    try:
        return os.fstat(fd), os.readlink(f"/proc/self/fd/{fd}").removeprefix(here)
    finally:
        os.close(fd)


def _open_beneath(root: int, path: bytes) -> int:
    """Open a file by name only, which has no effect on it."""
    resolve = _NO_OTHER_MOUNT | _NO_MAGIC_LINK | _BENEATH
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, resolve)
    syscall, error_number = _system_calls()
    fd = syscall(_OPENAT2, root, path, how, len(how))
    if fd < 0:
        number = error_number()
        raise OSError(number, os.strerror(number))
    return fd


@cache
def _system_calls() -> tuple[Callable[..., int], Callable[[], int]]:
    """Give syscall(2), and what gives the number of its error; once: each time makes cycles."""
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).syscall
    call.argtypes = (
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
    )
    call.restype = ctypes.c_long
    return call, ctypes.get_errno
