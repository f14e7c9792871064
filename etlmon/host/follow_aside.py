"""Files that have lost the name: how long they may still be written to, and what comes after."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from etlmon.host.follow_queue import identity_of, is_at, lasting
from etlmon.host.rotated import COPYING_SECONDS, open_same, rotated
from etlmon.host.writers import find_writers

if TYPE_CHECKING:
    from etlmon.host.follow_queue import Queue, Source
    from etlmon.host.generation import Generation, Position

_MOST_PAST = 8
_MOST_RECENT = 16
"""Of those of the last seconds more are kept: copies are looked for among what they are."""
_QUIET_SECONDS = 30.0
"""How long a rotated file must be quiet where it cannot be known who has it open."""
_WRITERS_EVERY_SECONDS = 2.0


class Aside:
    """Tells when a file that has lost the name is done with, and sees to those that are. Blocks."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._looked_at: float | None = None
        self.sees_all_writers = True
        """Whether it is known who has them open; without privileges their being quiet decides."""

    def look(self, now: float) -> None:
        """Find out what has become of them; ``now`` is the monotonic clock's."""
        self._look_at_past(now)
        self._look_for_writers(now)

    def finish(self, source: Source, now: float) -> None:
        """Be done with a file: it has been read to its end."""
        queue, generation = self._queue, source.generation
        path = self._path_of(generation).decode("latin-1")
        if not source.is_copy and not generation.is_deleted:
            queue.past_until[generation.identity] = now + queue.limits.rotated_hold_seconds
        queue.past.append(msgspec.structs.replace(lasting(source), path=path))
        recent_ns = queue.past[-1].modified_ns - COPYING_SECONDS * 10**9
        for position in queue.past[:-_MOST_PAST]:
            if position.modified_ns < recent_ns or len(queue.past) > _MOST_RECENT:
                queue.past_until.pop(position.identity, None)
                queue.past.remove(position)
        generation.close()

    def _look_at_past(self, now: float) -> None:
        """Read on a file that was done with, if it has grown where it was last."""
        for position in list(self._queue.past):
            until = self._queue.past_until.get(position.identity)
            if until is None or not position.head_bytes:
                continue
            path = position.path.encode("latin-1")
            try:
                status = os.stat(path)
            except OSError:
                status = None
            if now > until:
                del self._queue.past_until[position.identity]
            elif status is None or identity_of(status) != position.identity:
                self._find_past(position)
            elif status.st_size > position.offset:
                if not position.born_ns:
                    self._queue.let_go_of_packed(rotated(self._queue.path))
                    if position not in self._queue.past:
                        continue
                generation = open_same(path, position)
                if generation is not None:
                    self._queue.past.remove(position)
                    self._queue.held.append(self._queue.source(generation, now))

    def _find_past(self, position: Position) -> None:
        """Note where a file that was done with is now: rotation may have moved it on."""
        queue = self._queue
        for one in rotated(queue.path):
            if is_at(one.path, position):
                path = one.path.decode("latin-1")
                queue.past[queue.past.index(position)] = msgspec.structs.replace(
                    position, path=path
                )
                return
        del queue.past_until[position.identity]

    def _look_for_writers(self, now: float) -> None:
        """Find out which of the rotated files may still be written to."""
        sources = [
            one for one in self._queue.sources() if one.rotated_at is not None and one.has_writer
        ]
        is_due = self._looked_at is None or now - self._looked_at >= _WRITERS_EVERY_SECONDS
        if not sources or not is_due:
            return
        self._looked_at = now
        identities = frozenset(source.generation.identity for source in sources)
        paths = [os.path.split(self._path_of(one.generation)) for one in sources]
        places, names = (frozenset(part) for part in zip(*paths, strict=True))
        writers = find_writers(self._queue.proc, identities, places, names)
        self.sees_all_writers = writers.is_complete
        for source in sources:
            assert source.rotated_at is not None
            # One that is empty cannot be found again: it stays open.
            is_quiet = bool(source.generation.head) and now - source.grew_at >= _QUIET_SECONDS
            is_held = source.generation.identity in writers.identities
            source.has_writer = (is_held or not (writers.is_complete or is_quiet)) and (
                now - source.rotated_at < self._queue.limits.rotated_hold_seconds
            )

    def _path_of(self, generation: Generation) -> bytes:
        """Give where an open file is now; a deleted one, where it was and more."""
        try:
            return os.readlink(b"%s/self/fd/%d" % (self._queue.proc, generation.fd))
        except OSError:
            return generation.name
