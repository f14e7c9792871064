"""The names in directories that are listed again and again, and do not change."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import OrderedDict
from itertools import takewhile
from threading import Lock

_SETTLED_NS = 10 * 10**9
"""So long a directory must not have changed: one that changes twice within a tick of its clock has
the same time after both, and a server's clock may be late."""
_MOST_DIRECTORIES = 4
_MOST_NAMES = 20_000
"""Names that are kept of a directory; of a larger one none are."""

_State = tuple[int, int, int, int]
_kept: OrderedDict[bytes, tuple[_State, list[bytes]]] = OrderedDict()
_lock = Lock()


def names_from(directory: bytes, begin: bytes) -> list[bytes]:
    """Give the names in a directory that begin in a way; raises OSError.

    It is not listed again where it is as it was: with thousands of files, each of which is to be
    looked for by itself, that would take minutes.
    """
    status = os.stat(directory)
    state = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
    with _lock:
        known = _kept.get(directory)
        if known is not None and known[0] == state:
            _kept.move_to_end(directory)
            names = known[1]
            found = names[bisect_left(names, begin) :]
            return list(takewhile(lambda name: name.startswith(begin), found))
    # What stamps the directory is the kernel's clock, so this is what it is set against.
    is_settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) >= _SETTLED_NS
    names = os.listdir(directory)
    if is_settled and len(names) <= _MOST_NAMES:
        with _lock:
            _kept[directory] = state, sorted(names)
            _kept.move_to_end(directory)
            while len(_kept) > _MOST_DIRECTORIES:
                _kept.popitem(last=False)
    return [name for name in names if name.startswith(begin)]
