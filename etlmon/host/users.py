"""Names of users, as the host's directory of them gives them: it may be slow, as LDAP is."""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_KEPT_SECONDS = 300.0
_MOST_KEPT = 1000


class Users:
    """Looks up users, and remembers for five minutes what it found. To be called in a thread."""

    def __init__(self, monotonic_clock: Callable[[], float]) -> None:
        self._clock = monotonic_clock
        self._kept: dict[int | str, tuple[float, str | int | None]] = {}

    def name(self, uid: int) -> str:
        """Give the name of a user, its number if it has none."""
        return str(self._remembered(uid, lambda: name_of(uid)))

    def uid(self, user: str) -> int | None:
        """Give the number of a user given by name or number; None if there is no such name."""
        found = self._remembered(user, lambda: _uid(user))
        return None if found is None else int(found)

    def _remembered(self, key: int | str, find: Callable[[], str | int | None]) -> str | int | None:
        now = self._clock()
        at, found = self._kept.get(key, (-_KEPT_SECONDS, None))
        if now - at >= _KEPT_SECONDS:
            found = find()
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = (now, found)
        return found


def name_of(uid: int) -> str:
    """Give the name of an account, or its number where it has none; blocks."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, OSError):
        return str(uid)


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        return int(user) if user.isascii() and user.isdecimal() else None
