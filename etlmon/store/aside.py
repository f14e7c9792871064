"""A damaged database that has been set aside, and whether another one has what was in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.store.damage import CORRUPT, newest_set_aside, set_aside, stamp
from etlmon.store.open import is_half_begun
from etlmon.store.restore import put_back
from etlmon.units import mebibytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PUT_BACK_BYTES_A_SECOND = 10 << 20
"""What a slow disk and a busy processor do; 20 MiB have been seen."""


class Aside:
    """Sets the database aside where it is damaged, and puts back what can be saved. Blocks.

    No more than its indexes may be damaged: then all rows are in the one that takes its place.
    """

    log = Logger()

    def __init__(
        self, path: Path, wall_clock: Callable[[], float], is_left: Callable[[], bool]
    ) -> None:
        """``is_left`` tells, in any thread, whether the store is closed: nothing is begun then."""
        self.kept: Path | None = None
        """Where a damaged database has been put since the node began."""
        self.is_put_back = False
        """Whether the one that is in its place has all that it had."""
        self.why_not_put_back: str | None = None
        """Why it was not found out whether it could have."""
        self._path = path
        self._wall_clock = wall_clock
        self._is_left = is_left

    def put(self, error: object) -> None:
        """Set the database aside for what is wrong with it. Raises StoreError if it is left."""
        kept = set_aside(self._path, f"{CORRUPT}{stamp(self._wall_clock())}")
        self._put_back(kept)
        self.log.error(
            "The database is damaged ({error}): it is kept as {kept}, and {what}.",
            error=str(error),
            kept=str(kept),
            what=self.what_is_in_its_place,
        )

    def go_on(self) -> None:
        """Go on with what could not be finished: the node was killed, or there was no room.

        Whoever removes a database leaves nothing in its place, nor what is half begun. Raises
        StoreError if it is left.
        """
        if self.kept is None:
            found = newest_set_aside(self._path)
            if found is not None and is_half_begun(self._path):
                self._put_back(found)
                self.log.error(
                    "There is no database, and a damaged one is kept as {kept}: {what}.",
                    kept=str(found),
                    what=self.what_is_in_its_place,
                )
        elif self.why_not_put_back is not None and is_half_begun(self._path):
            self._put_back(self.kept)

    @property
    def what_is_in_its_place(self) -> str:
        """Say what has taken the place of the damaged one."""
        if self.is_put_back:
            return "all rows are in the one in its place: only indexes were damaged"
        if self.why_not_put_back is not None:
            return (
                "a new one is begun; whether only indexes were damaged could not be found out:"
                f" {self.why_not_put_back}"
            )
        return "a new one is begun"

    def _put_back(self, kept: Path) -> None:
        """Have all rows of what was set aside in its place, if only indexes of it are damaged.

        Raises StoreError where the store is closed meanwhile; the next start goes on with it then.
        """
        if kept != self.kept and kept.exists():
            size_bytes = kept.stat().st_size
            self.log.warn(
                "{kept} is copied and checked ({size}, up to {seconds} s): perhaps only indexes of"
                " it are damaged.",
                kept=str(kept),
                size=mebibytes(size_bytes),
                seconds=1 + size_bytes // _PUT_BACK_BYTES_A_SECOND,
            )
        self.why_not_put_back = None
        try:
            self.is_put_back = put_back(kept, self._path.resolve(), self._is_left)
        except StoreError as error:
            self.is_put_back = False
            self.why_not_put_back = str(error)
        if self._is_left():
            raise StoreError("the store has been closed")
        if kept == self.kept and self.is_put_back:
            self.log.info("Now {what}.", what=self.what_is_in_its_place)
        self.kept = kept
