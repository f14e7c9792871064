"""How far a followed file has been read, as it is stored with the lines."""

from __future__ import annotations

import msgspec

from etlmon.host.generation import Position
from etlmon.host.lines import Mark


class Owed(msgspec.Struct, frozen=True, array_like=True, tag="mark"):
    """A mark that is still to be given."""

    flags: tuple[str, ...]
    length_bytes: int | None = None
    detail: str | None = None

    @property
    def mark(self) -> Mark:
        """The mark itself."""
        return Mark(self.flags, self.length_bytes, self.detail)


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """All that must be known to go on: what is to be read, in its order, and what has been."""

    waiting: tuple[Position | Owed, ...] = ()
    """To be read one after the other."""
    is_named: bool = False
    """Whether the last of them bears the name that is followed."""
    held: tuple[Position, ...] = ()
    """Rotated, read to the end, and maybe still written to."""
    past: tuple[Position, ...] = ()
    """Read and done with: known again if they come back."""
    link: tuple[int, int] | None = None
    """Inode and time of the symbolic link that is followed."""

    @property
    def last(self) -> Position | None:
        """The one that bore the name last."""
        waiting = [one for one in self.waiting if isinstance(one, Position)]
        found = (*waiting[-1:], *self.held[-1:], *self.past[-1:])
        return found[0] if found else None


def without(cursor: Cursor, position: Position) -> Cursor:
    """Give a cursor that knows nothing of one of its files."""
    waiting = tuple(one for one in cursor.waiting if one != position)
    return Cursor(
        waiting,
        cursor.is_named and waiting[-1:] == cursor.waiting[-1:],
        tuple(one for one in cursor.held if one != position),
        tuple(one for one in cursor.past if one != position),
        cursor.link,
    )


def encode(cursor: Cursor) -> str:
    """Give a cursor as text; usually some hundred bytes, a few thousand at most."""
    return msgspec.json.encode(cursor).decode()


_decoder = msgspec.json.Decoder(Cursor)


def decode(text: str | None) -> Cursor | None:
    """Give the cursor that ``encode`` made text of; raises ValueError for other text."""
    return None if text is None else _decoder.decode(text)
