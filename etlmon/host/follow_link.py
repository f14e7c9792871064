"""A followed name that is a symbolic link: it may lead elsewhere for a while between two looks."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from etlmon.host.lines import Mark

Signature = tuple[int, int]
"""Inode and time of a link: it gets others when it is made anew, as it is to lead elsewhere."""

MADE_ANEW = Mark(
    ("gap",),
    None,
    "the link was made anew while nobody looked; if it led elsewhere meanwhile, lines are missing",
)


class Link:
    """Sets what has been heard of a link against what has been seen of it.

    What is heard may come a little later than it is seen, and where nobody hears it never comes.
    """

    def __init__(self) -> None:
        self.signature: Signature | None = None
        """Of the link, as of the last look; None where the name is no link, or not known yet."""
        self._is_new = False
        self._is_unheard = self._is_told = False

    def status(self, path: bytes) -> os.stat_result:
        """Give the status of the file that a name leads to; raises OSError."""
        status = os.lstat(path)
        signature = None
        if stat.S_ISLNK(status.st_mode):
            signature = status.st_ino, status.st_mtime_ns
            status = os.stat(path)
        self._is_new = self._is_new or (
            signature is not None and self.signature is not None and signature != self.signature
        )
        self.signature = signature
        return status

    def moved(self, came: int, path: bytes) -> None:
        """Note that it leads to another file now, and how often it was heard to be made.

        As it is now: it may have been switched since its status was asked for, and the file that
        is taken up is that to which it led then.
        """
        with suppress(OSError):
            self.status(path)
        self._is_new, self._is_unheard, self._is_told = False, came == 0, True

    def stayed(self, came: int) -> Mark | int:
        """Give how many others it has led to, though it leads to the same file as before.

        ``came`` is how often it was heard to be made since the last look. A mark where it was made
        anew and nobody has heard how often.
        """
        found: Mark | int = 0
        if self._is_unheard and came:
            came -= 1
        elif self._is_unheard and not self._is_told:
            found = MADE_ANEW
        self._is_unheard = False
        if self._is_new and came:
            came -= 1
        elif self._is_new:
            self._is_unheard, self._is_told = True, False
        self._is_new = False
        return found if self.signature is None or not came else came
