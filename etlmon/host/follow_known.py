"""Which files a follower knows: where several are followed, another one may come upon them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.host.follow_queue import is_at, is_same
from etlmon.host.generation import Position

if TYPE_CHECKING:
    from etlmon.host.cursor import Cursor
    from etlmon.host.follow_queue import Queue


def knows(queue: Queue, saved: Cursor | None, path: bytes, identity: tuple[int, int]) -> bool:
    """Whether a file is read, or was lately; as of ``saved`` where that is to be gone on with."""
    positions = queue.past
    if saved is not None:
        positions = [*_waiting(saved), *saved.held, *saved.past]
    return any(source.generation.identity == identity for source in queue.sources()) or any(
        position.identity == identity and is_at(path, position) for position in positions
    )


def known(queue: Queue, saved: Cursor | None) -> set[tuple[int, int]]:
    """Give device and inode of all files that ``knows`` may know."""
    positions = queue.past
    if saved is not None:
        positions = [*_waiting(saved), *saved.held, *saved.past]
    read = {source.generation.identity for source in queue.sources()}
    return read.union(position.identity for position in positions)


def known_elsewhere(
    queue: Queue, saved: Cursor | None, path: bytes, identity: tuple[int, int]
) -> Position | None:
    """Give the place in a file that is known, is not open and does not bear the name any more."""
    if identity in {source.generation.identity for source in queue.sources()}:
        return None
    positions = queue.past if saved is None else [*_waiting(saved), *saved.held, *saved.past]
    for position in positions:
        if position.identity != identity or is_same(queue.path, position):
            continue
        if is_at(path, position):
            return position
    return None


def _waiting(saved: Cursor) -> list[Position]:
    return [one for one in saved.waiting if isinstance(one, Position)]
