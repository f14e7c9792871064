"""Which files some process may still write to, from ``/proc/PID/fd``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_ACCESS_MODE = 0o3
_DELETED = b" (deleted)"


@dataclass(frozen=True)
class Writers:
    """What a look at all processes has shown."""

    identities: frozenset[tuple[int, int]]
    """Device and inode of the files asked for that some process has open for writing."""
    is_complete: bool
    """Whether every process could be looked at; without privileges those of others are hidden."""


def find_writers(
    proc: bytes,
    identities: frozenset[tuple[int, int]],
    directories: frozenset[bytes],
    names: frozenset[bytes] = frozenset(),
) -> Writers:
    """Tell which of some files are open for writing.

    Only descriptors that lead into one of ``directories`` are looked at closely: a look at another
    one might hang. A container has the directory elsewhere: there a file is known by one of
    ``names`` and by its inode number, if the kernel tells that of descriptors.
    """
    inodes = {inode for _, inode in identities}
    names = frozenset(name.removesuffix(_DELETED) for name in names)

    def identity(descriptor: bytes, target: bytes) -> tuple[int, int] | None:
        directory, name = os.path.split(target)
        if directory not in directories and (
            name.removesuffix(_DELETED) not in names or _inode(descriptor) not in inodes
        ):
            return None
        status = os.stat(descriptor)
        found = (status.st_dev, status.st_ino)
        return found if found in identities else None

    found, is_complete = written_by(proc, identity)
    return Writers(frozenset(found), is_complete)


def written_by(proc: bytes, name: Callable[[bytes, bytes], T | None]) -> tuple[dict[T, int], bool]:
    """Tell which process has each of some files open for writing, and whether all could be seen.

    ``name`` takes the path of a descriptor and what the kernel says of where it leads, and names
    the file if it is one of them; it may raise OSError.
    """
    found: dict[T, int] = {}
    sees_all = True
    for pid in os.listdir(proc):
        if not pid.isdigit():
            continue
        place = os.path.join(proc, pid, b"fd")
        try:
            numbers = os.listdir(place)
        except PermissionError:
            sees_all = False
            continue
        except OSError:  # it has ended
            continue
        for number in numbers:
            descriptor = os.path.join(place, number)
            try:
                file = name(descriptor, os.readlink(descriptor))
                if file is not None and _writes(os.path.join(proc, pid, b"fdinfo", number)):
                    found[file] = int(pid)
            except OSError:  # it has been closed
                continue
    return found, sees_all


def _inode(descriptor: bytes) -> int | None:
    """Give the inode number of ``/proc/PID/fd/N``, without a look at the file itself."""
    place, number = os.path.split(descriptor)
    with open(os.path.join(os.path.dirname(place), b"fdinfo", number), "rb") as file:
        for line in file:
            if line.startswith(b"ino:"):
                return int(line.split()[1])
    return None


def _writes(fdinfo: bytes) -> bool:
    with open(fdinfo, "rb") as file:
        for line in file:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8) & _ACCESS_MODE != os.O_RDONLY
    return True
