"""One directory on the way from the top of a tree to where a walk is."""

from __future__ import annotations

from etlmon.fsworker.jobs.memory import Directory

# So many subdirectories wait as objects; each takes several times the room of its name.
_MOST_PENDING = 1024


class Level:
    """A directory that is open, or may be opened again, and what is still to be entered in it.

    ``fd`` is CLOSED while the directory is; ``identity`` tells whether what is opened again
    under its path is still itself; ``pending`` are subdirectories still to be entered, each
    text of ``packed`` the names of many that are to follow; ``kept`` says that what is found in it
    is remembered.
    """

    __slots__ = ("directory", "fd", "identity", "kept", "packed", "pending")

    def __init__(
        self, directory: Directory, fd: int, identity: tuple[int, int], kept: bool
    ) -> None:
        self.directory = directory
        self.fd = fd
        self.identity = identity
        self.pending: list[Directory] = []
        self.packed: list[str] = []
        self.kept = kept

    @property
    def is_done(self) -> bool:
        """Whether nothing below it is still to be entered."""
        return not (self.pending or self.packed)

    def add(self, name: str) -> None:
        """Note a subdirectory that is to be entered, of which nothing is remembered."""
        if len(self.pending) == _MOST_PENDING:
            self.packed.append("/".join(directory.name for directory in self.pending))
            self.pending.clear()
        self.pending.append(Directory(name))

    def take(self) -> Directory | None:
        """Take out the one that is to be entered next; None where there is none."""
        self.pending = self.pending or self.unpack()
        return self.pending.pop() if self.pending else None

    def unpack(self) -> list[Directory]:
        """Take out some of those that are packed; none where there are none."""
        names = self.packed.pop().split("/") if self.packed else []
        return [Directory(name) for name in names]

    def clear(self) -> None:
        """Enter nothing more below it."""
        self.pending.clear()
        self.packed.clear()
