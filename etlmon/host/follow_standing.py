"""How the following of a file stands: what is open, how far it has been read, what waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etlmon.host.generation import Position

if TYPE_CHECKING:
    from etlmon.host.cursor import Cursor
    from etlmon.host.follow_queue import Queue


@dataclass(frozen=True)
class Standing:
    """How the following of a file stands."""

    is_there: bool
    """Whether there is a file of the name."""
    offset: int | None
    size: int | None
    inode: int | None
    lag_bytes: int
    """Bytes that wait to be read, those of rotated files too."""
    rotated_files: int
    """Files that lost the name and are still read."""
    deleted_bytes: int
    """Bytes of files that have been deleted, and take room on disk as long as they are open."""
    sees_all_writers: bool
    """Whether it is known who has them open; without privileges their being quiet decides."""


def standing(queue: Queue, *, sees_all_writers: bool) -> Standing:
    """Tell how it stands, as of the last look and what has been read since."""
    named = queue.named
    sources = queue.sources()
    return Standing(
        is_there=named is not None,
        offset=named.lines.offset if named else None,
        size=max(named.generation.size, named.generation.offset) if named else None,
        inode=named.generation.inode if named else None,
        lag_bytes=sum(source.lines.left_bytes for source in sources),
        rotated_files=rotated_files(queue),
        deleted_bytes=sum(one.generation.size for one in sources if one.generation.is_deleted),
        sees_all_writers=sees_all_writers,
    )


def rotated_files(queue: Queue) -> int:
    """How many files that lost the name are still read."""
    return len(queue.sources()) - (queue.named is not None)


def unread_bytes(saved: Cursor, inode: int, size: int) -> int:
    """Reckon, by a cursor, how much of the file that bears the name is not read yet."""
    last = saved.waiting[-1] if saved.is_named else None
    if isinstance(last, Position) and last.inode == inode and last.offset <= size:
        return size - last.offset
    return size
