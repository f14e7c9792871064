"""Files that are made where nothing is, and kept by the disk before anybody counts on them."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Of a file system without hard links, or a file to which one may make none."""


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
