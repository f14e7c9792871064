"""What is below each direct subdirectory of a scanned directory, for no more calls."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# How many are told; the rest is summed up in one row.
_MAX_TOLD = 1000
# Their names in characters: each is at most 6 bytes of a line.
_MAX_TOLD_CHARACTERS = 100_000


class Children:
    """Counts by direct subdirectory, of which the largest are kept.

    Each is counted by one worker as a whole, and only those that are ``shared`` by several ones:
    they are kept however small this worker's share is.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, int, int]] = {}
        self._shared: set[str] = set()
        self._rest = [0, 0, 0, 0]

    def share(self, parts: Iterable[str]) -> None:
        """Take note that these parts, which are far down, are counted by different workers."""
        self._shared.update(part.partition("/")[0] for part in parts if "/" in part)

    def add(self, name: str, files: int, dirs: int, others: int) -> None:
        """Add to what is below a subdirectory."""
        before = self._rows.get(name, (0, 0, 0))
        self._rows[name] = before[0] + files, before[1] + dirs, before[2] + others
        # By far too many at a time, so that sorting costs little for each.
        if len(self._rows) > 4 * _MAX_TOLD:
            self._keep_largest()

    def told(self) -> dict[str, object]:
        """Give what goes into the answer."""
        self._keep_largest()
        rows = [[name, *counts] for name, counts in self._rows.items()]
        return {"children": rows, "children_rest": self._rest}

    def _keep_largest(self) -> None:
        """Sum up what is beyond the bounds."""
        by_size = sorted(
            self._rows.items(), key=lambda row: (row[0] in self._shared, sum(row[1])), reverse=True
        )
        characters = 0
        for number, (name, counts) in enumerate(by_size):
            characters += len(name)
            if number >= _MAX_TOLD or characters > _MAX_TOLD_CHARACTERS:
                del self._rows[name]
                added = zip(self._rest, (1, *counts), strict=True)
                self._rest = [before + more for before, more in added]
