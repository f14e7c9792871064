"""Root's work among files of others: with their rights, so that no name they plant leads it astray.

Whoever owns a directory can put a symbolic link where root expects a file, between any look and the
act that follows. With the owner's rights only that happens which he could have done himself.
"""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from etlmon.text import shell_word

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_STEPS = 1_000
"""Names on a way, with those of links that it leads through."""


def way_to(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Give all that is on the way to ``path``, from the root on, and what is there, by its name.

    Links are given, and then where they lead. It ends before what is not there, or cannot be
    looked at. Blocks. Raises OSError where it leads round.
    """
    waiting = list(reversed(path.absolute().parts))
    at = waiting.pop()
    for _ in range(_MOST_STEPS):
        try:
            found = os.lstat(at)
            target = os.readlink(at) if stat.S_ISLNK(found.st_mode) else None
        except OSError:
            return
        yield at, found
        if target is not None:
            waiting += reversed(target.split("/"))
            at = "/" if target.startswith("/") else os.path.dirname(at)
        while waiting and waiting[-1] in ("", "."):
            waiting.pop()
        if not waiting:
            return
        step = waiting.pop()
        at = os.path.dirname(at) if step == ".." else os.path.join(at, step)
    raise OSError(f"{path}: too many symbolic links")


def owner_of(path: Path) -> int:
    """Give the first user besides root who could exchange what is on the way to ``path``, or at it.

    0 where nobody but root can. What is not there yet is of whoever owns the way to it. Links are
    followed as long as only root can have made them. Blocks. Raises OSError where that leads round;
    for root, too, where a directory of root's on the way lets others exchange what is in it: there
    nobody's rights alone would do.
    """
    for at, found in way_to(path):
        if found.st_uid != 0:
            return found.st_uid
        if os.geteuid() == 0 and (writers := _writers_of(found)) is not None:
            raise OSError(
                f"{at} is root's, and {writers} may exchange the files in it: "
                f"chmod go-w {shell_word(at)}, or chmod +t, or name a place elsewhere"
            )
    return 0


def _writers_of(found: os.stat_result) -> str | None:
    """Name who besides its owner may exchange what is in a directory; None if nobody may.

    Where it is sticky, as /tmp is, others may add to it, and exchange only what is theirs.
    """
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return None
    if found.st_mode & stat.S_IWOTH:
        return "everybody"
    return "its group" if found.st_mode & stat.S_IWGRP and found.st_gid != 0 else None


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Let this process act with the rights of a user, groups included, and no more than these.

    Only root can; for anybody else, and for root as root, nothing changes. It holds for all
    threads: for commands, not for a node.
    """
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    own_gid, own_groups = os.getegid(), os.getgroups()
    os.setgroups(_groups_of(uid))
    os.setegid(group_of(uid))
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_gid)
        os.setgroups(own_groups)


def user_name(uid: int) -> str:
    """Give the name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_of(uid: int) -> int:
    """Give the first group of a user; the same number where there is no such user."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def _groups_of(uid: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, group_of(uid))
    except KeyError:
        return []
