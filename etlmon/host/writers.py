"""Which files some process may still write to, from ``/proc/PID/fd``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_ACCESS_MODE = 0o3


@dataclass(frozen=True)
class Writers:
    """What a look at all processes has shown."""

    identities: frozenset[tuple[int, int]]
    """Device and inode of the files asked for that some process has open for writing."""
    is_complete: bool
    """Whether every process could be looked at; without privileges those of others are hidden."""


def find_writers(
    proc: bytes, identities: frozenset[tuple[int, int]], directories: frozenset[bytes]
) -> Writers:
    """Tell which of some files are open for writing.

    Only descriptors that lead into one of ``directories`` are looked at closely: a look at another
    one might hang.
    """

    def identity(descriptor: bytes, target: bytes) -> tuple[int, int] | None:
        if os.path.dirname(target) not in directories:
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


def _writes(fdinfo: bytes) -> bool:
    with open(fdinfo, "rb") as file:
        for line in file:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8) & _ACCESS_MODE != os.O_RDONLY
    return True
