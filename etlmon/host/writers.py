"""Which files some process may still write to, from ``/proc/PID/fd``."""

from __future__ import annotations

import os
from dataclasses import dataclass

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
    found: set[tuple[int, int]] = set()
    is_complete = True
    for pid in os.listdir(proc):
        if not pid.isdigit():
            continue
        place = os.path.join(proc, pid, b"fd")
        try:
            numbers = os.listdir(place)
        except PermissionError:
            is_complete = False
            continue
        except OSError:  # it has ended
            continue
        for number in numbers:
            try:
                target = os.readlink(os.path.join(place, number))
                if os.path.dirname(target) not in directories:
                    continue
                status = os.stat(os.path.join(place, number))
                identity = (status.st_dev, status.st_ino)
                if identity in identities and _writes(os.path.join(proc, pid, b"fdinfo", number)):
                    found.add(identity)
            except OSError:  # it has been closed
                continue
    return Writers(frozenset(found), is_complete)


def _writes(fdinfo: bytes) -> bool:
    with open(fdinfo, "rb") as file:
        for line in file:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8) & _ACCESS_MODE != os.O_RDONLY
    return True
