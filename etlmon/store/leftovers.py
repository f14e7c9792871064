"""What commands that were killed have left half made: who comes next takes it away.

Such a file is named by chance, so that no file of somebody else is ever taken for one.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ABANDONED_SECONDS = 3600.0
"""What is half made and has not been written to for so long belongs to nobody any more."""
_CHANCE = r"[0-9a-f]{16}(-wal|-shm|-journal)?"
_PART = ".etlmon-part-"
_HALF_MADE = re.compile(rf".+{re.escape(_PART)}{_CHANCE}")
_RESTORED = ".restored-"
_UNDER_LOCK = re.compile(rf"(\.schema-\d+{re.escape(_PART)}|{re.escape(_RESTORED)}){_CHANCE}")
_KEPT = re.compile(r"\.before-restore-\d{8}T\d{6}Z(-\d+)?")


def half_made(path: Path) -> Path:
    """Give a name beside ``path`` for what is renamed to it when it is whole."""
    return path.with_name(f"{path.name}{_PART}{secrets.token_hex(8)}")


def half_restored(database: Path) -> Path:
    """Give a name for what takes the place of a database; only who holds its lock makes it."""
    return database.with_name(f"{database.name}{_RESTORED}{secrets.token_hex(8)}")


def clear_half_made(
    directory: Path, wall_seconds: float, is_ours: Callable[[str], bool] = lambda _name: True
) -> list[Path]:
    """Remove what was half made in a directory and is nobody's any more; give what went. Blocks.

    ``is_ours`` is asked for each name by which it was to be known. What other hosts make in the
    same directory is theirs: their clock may be another.
    """
    return _remove(
        directory,
        lambda path: is_ours(path.name.partition(_PART)[0]) and _is_abandoned(path, wall_seconds),
    )


def clear(
    database: Path, wall_seconds: float, *, is_locked: bool, but: os.stat_result | None = None
) -> list[Path]:
    """Remove what is half made beside a database, as ``clear_half_made`` does. Blocks.

    ``is_locked``: who asks holds the database's lock, so that nobody else restores or upgrades it.
    Then what these have left goes at once, and the other name, too, that a killed restore had given
    to the database which is in its place still. ``but`` is a file that stays whatever its name is.
    """
    real = database.resolve()

    def is_left_over(path: Path) -> bool:
        if but is not None and os.path.samestat(path.lstat(), but):
            return False
        return (is_locked and _is_of_nobody(path, real)) or _is_abandoned(path, wall_seconds)

    return _remove(real.parent, is_left_over)


def _remove(directory: Path, is_left_over: Callable[[Path], bool]) -> list[Path]:
    gone: list[Path] = []
    with suppress(OSError):
        for path in directory.iterdir():
            with suppress(OSError):
                if is_left_over(path):
                    path.unlink()
                    gone.append(path)
    return gone


def _is_of_nobody(path: Path, real: Path) -> bool:
    """Whether it is what only one who holds the lock makes."""
    if not path.name.startswith(real.name):
        return False
    end = path.name.removeprefix(real.name)
    if _UNDER_LOCK.fullmatch(end):
        return True
    return bool(_KEPT.fullmatch(end)) and real.exists() and path.samefile(real)


def _is_abandoned(path: Path, wall_seconds: float) -> bool:
    return bool(_HALF_MADE.fullmatch(path.name)) and (
        path.lstat().st_mtime < wall_seconds - _ABANDONED_SECONDS
    )
