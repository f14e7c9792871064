"""What commands that were killed have left beside the database: who comes next takes it away."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ABANDONED_SECONDS = 3600.0
"""What is half made and has not been written to for so long belongs to nobody any more."""
_HALF_RESTORED = re.compile(r"\.restored(-wal|-shm|-journal)?")
_KEPT = re.compile(r"\.before-restore-\d{8}T\d{6}Z(-\d+)?")
_HALF_COPIED = re.compile(r"\.passing-[0-9a-f]{16}(\.part(-wal|-journal)?)?")
_HALF_MADE = re.compile(r"etlmon-\d{8}T\d{6}Z\.db\.part(-wal|-journal)?")


def clear(database: Path, wall_seconds: float, *, is_locked: bool) -> list[Path]:
    """Remove what is half made and nobody's any more; give what went. Blocks.

    ``is_locked``: who asks holds the database's lock, so that nobody restores just now. Then the
    other name goes, too, that a killed restore had given to the database which is in its place
    still.
    """
    real = database.resolve()
    gone: list[Path] = []
    with suppress(OSError):
        for path in real.parent.iterdir():
            with suppress(OSError):
                if _is_left_over(path, real, wall_seconds, is_locked=is_locked):
                    path.unlink()
                    gone.append(path)
    return gone


def _is_left_over(path: Path, real: Path, wall_seconds: float, *, is_locked: bool) -> bool:
    end = path.name.removeprefix(real.name)
    if end != path.name and is_locked:
        if _HALF_RESTORED.fullmatch(end):
            return True
        if _KEPT.fullmatch(end) and real.exists() and path.samefile(real):
            return True
    is_copy = end != path.name and _HALF_COPIED.fullmatch(end)
    return bool(is_copy or _HALF_MADE.fullmatch(path.name)) and (
        path.lstat().st_mtime < wall_seconds - ABANDONED_SECONDS
    )
