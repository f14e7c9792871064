"""Files that are made where nothing is, and kept by the disk before anybody counts on them."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Of a file system without hard links, or a file to which one may make none."""
_NO_FLAGS = (errno.EINVAL, errno.ENOSYS, errno.EPERM)
"""Of a file system, or a kernel, that renames only so that what has the name goes."""
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100


def make(path: Path) -> int:
    """Make a file where there is nothing, not even a link; give its descriptor."""
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_RDWR
    descriptor = os.open(path, flags, 0o640)
    os.fchmod(descriptor, 0o640)  # whatever the umask took away
    return descriptor


def sync(path: Path) -> None:
    """Have the disk keep a file, or the names in a directory, as they are now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(path: Path, other: Path) -> bool:
    """Give a file another name besides its own; False where it can have but one."""
    try:
        other.hardlink_to(path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def rename_anew(path: Path, other: Path) -> None:
    """Rename a file to a name that no other has, whoever takes that meanwhile. Blocks.

    Raises FileExistsError if one has it. Where a file system can neither refuse that itself nor
    make hard links, the name is taken with an empty file first.
    """
    if _renamed_by_kernel(path, other):
        return
    if link(path, other):
        path.unlink()
        return
    os.close(make(other))
    try:
        path.rename(other)
    except OSError:
        other.unlink(missing_ok=True)
        raise


def _renamed_by_kernel(path: Path, other: Path) -> bool:
    """Rename it in one step; False where the file system has none for that."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(path), os.fsencode(other)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_FLAGS:
        return False
    raise OSError(number, os.strerror(number), os.fspath(path), None, os.fspath(other))
