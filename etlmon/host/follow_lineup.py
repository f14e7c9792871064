"""Lining up what rotation has put aside: the files that came and went while nobody looked."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from etlmon.host.copies import is_of_now, old_copy
from etlmon.host.follow_queue import MOST_ALIKE_BYTES, identity_of, is_at, is_form_of
from etlmon.host.generation import RewrittenError
from etlmon.host.lines import Mark
from etlmon.host.rotated import (
    find,
    has_time_of,
    keeps_time,
    open_listed,
    rotated,
    unseen_after,
)
from etlmon.text import host_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etlmon.host.follow_queue import Queue
    from etlmon.host.generation import Generation, Position
    from etlmon.host.rotated import Rotated

_MOST_WAITING = 64  # rotated files that wait to be read; a gap tells of more
_MOST_TRIES = 6


def line_up_unseen(queue: Queue, live: Generation | None, now: float) -> bool:
    """Line up the rotated files that came after the one that is known to have borne the name.

    ``live`` bears it now. False, and nothing is done, if it does not any more when they have been
    listed: it may be one of them by now.
    """
    last = queue.last
    if last is None:
        return True
    named = None if live is None else live.identity
    files = rotated(queue.path)
    if queue.lined_up == (last, named, files):  # to know a compressed one again it is unpacked
        return True

    original = next((one for one in queue.sources() if one.lines.position == last), None)

    def unseen(files: list[Rotated]) -> list[Rotated]:
        if original is not None and not original.generation.head:  # filled, and compressed, since?
            original.begin_again()
            queue.last = original.lines.position
        last = queue.last
        assert last is not None
        found = unseen_after(last.modified_ns, _own(queue, last, files), files)
        return [one for one in found if one.identity != named]

    if original is not None and queue.read_to_ns is not None:
        for one in unseen(files):
            copy = old_copy(one, queue.path, original.generation, queue.read_to_ns)
            with suppress(FileNotFoundError):
                if copy is not None and not is_known(queue, one):
                    queue.past.insert(0, copy)
    items, files = open_unknown(queue, files, unseen)
    if named is not None and not leads_to(queue.path, named):
        for item in items:
            if not isinstance(item, Mark):
                item.close()
        return False
    for item in items:
        if isinstance(item, Mark):
            queue.wait(item)
        elif live is not None and _copies_live(item, live):
            item.close()
        else:
            source = queue.source(item, now, is_copy=item.is_packed)
            queue.wait(source)
            queue.last = source.lines.position
    queue.lined_up = last, named, files
    return True


def _own(queue: Queue, last: Position, files: list[Rotated]) -> Rotated | None:
    """Give which of the rotated files is that of a position, or was made of it by compressing.

    Where nothing tells when files were made, another may have its number and begin alike: a
    compressed one that has its time is more likely.
    """

    def packed(allows: Callable[[Rotated], bool]) -> Rotated | None:
        generation = find(last, queue.path, files, lambda one: one.is_packed and allows(one))
        if generation is None:
            return None
        generation.close()
        return next((one for one in files if one.identity == generation.identity), None)

    own = None
    if not last.born_ns and any(one.is_packed and has_time_of(one, last) for one in files):
        own = packed(lambda one: has_time_of(one, last))
    own = own or next((one for one in files if is_at(one.path, last)), None)
    return own or packed(lambda _: True)


def _copies_live(one: Generation, live: Generation) -> bool:
    """Whether a file was copied of what bears the name now, which is still to be cut off.

    It has come into being later, and the other one was not written to since; or it is too long to
    be what the other one had begun with before it was cut off, and begins with again. Once that
    is cut off, it is found by what is in it.
    """
    is_later = one.modified_ns > live.modified_ns
    if one.is_packed:
        is_later = is_later and keeps_time(one)
    elif one.born_ns and live.born_ns:
        is_later = is_later and one.born_ns > live.born_ns
    is_long = not one.is_packed and one.size > MOST_ALIKE_BYTES
    return (is_later or is_long) and bool(one.head and is_of_now(one, live))


def leave_out(queue: Queue, since_ns: int) -> None:
    """Count the rotated files that are there, and were written ``since_ns``, as read.

    Where a log is followed for the first time, and is empty, they may be as old as it is: they are
    no copies of what is written to it from now on.
    """
    for one in rotated(queue.path):
        if one.modified_ns >= since_ns:
            with suppress(OSError, RewrittenError):
                generation = open_listed(queue.path, one)
                try:
                    generation.go_to_end()
                    queue.past.append(generation.position())
                finally:
                    generation.close()


def leads_to(path: bytes, identity: tuple[int, int]) -> bool:
    """Whether a name leads to a file, by device and inode."""
    try:
        return identity_of(os.stat(path)) == identity
    except OSError:
        return False


def find_unknown(
    queue: Queue,
    position: Position,
    files: list[Rotated],
    but: tuple[int, int] | None = None,
    others: Sequence[Position] = (),
) -> Generation | None:
    """Open the rotated file that a position is in, and go there; None if there is none.

    Not one that is known, or that one of ``others`` is in, for files of one program begin alike,
    and not ``but``. Of what compressing has made of files that are alike its time tells.
    """
    queue.let_go_of_packed(files)

    def knows(generation: Generation) -> bool:
        rivals = [*queue.past, *others]
        if generation.is_packed and has_time_of(generation, position):
            rivals = [one for one in rivals if has_time_of(generation, one)]
        return queue.reads(generation) or any(is_form_of(generation, one) for one in rivals)

    def allows(one: Rotated) -> bool:
        if one.identity == but:
            return False
        if one.is_file_of(position):
            return True
        try:
            return not is_known(queue, one, knows)
        except FileNotFoundError:
            return False

    return find(position, queue.path, files, allows)


def open_unknown(
    queue: Queue, files: list[Rotated], choose: Callable[[list[Rotated]], list[Rotated]]
) -> tuple[list[Generation | Mark], list[Rotated]]:
    """Open those of the rotated files that are chosen and not known, at their beginning.

    A mark for each that cannot be read. They are listed anew, and chosen again, while some go away,
    be it to be compressed. Gives the last listing, too.
    """
    for _ in range(_MOST_TRIES):
        found: list[Generation | Mark] = []
        queue.let_go_of_packed(files)
        try:
            chosen = choose(files)
            if any(one.is_packed and not keeps_time(one) for one in chosen):
                _follow_packing(queue, files)
            chosen = [one for one in chosen if not is_known(queue, one)]
            for one in chosen[:-_MOST_WAITING]:
                found.append(_gap(one, "too many rotated files at once; left out"))
            for one in chosen[-_MOST_WAITING:]:
                found.append(_open_at_beginning(queue, one))
            return found, files
        except FileNotFoundError:
            for item in found:
                if not isinstance(item, Mark):
                    item.close()
            files = rotated(queue.path)
    return [
        Mark(("gap",), None, "rotated files went away again and again; some are left out")
    ], files


def _follow_packing(queue: Queue, files: list[Rotated]) -> None:
    """Know files that were done with as what compressing has made of them, with other times.

    As ``gzip -c app.log.1 > app.log.1.gz; rm app.log.1`` does. Of several that hold the same the
    oldest is it: the others are to be read. Raises FileNotFoundError if one of them is gone.
    """
    packed = [one for one in files if one.is_packed and not keeps_time(one)]
    for place, position in enumerate(queue.past if packed else ()):
        was_read = 0 < position.size <= position.offset and not position.is_packed
        if not was_read or any(other.is_file_of(position) for other in files):
            continue
        later = (one for one in packed if one.modified_ns >= position.modified_ns)
        for other in islice(later, _MOST_WAITING):
            found = end_of(queue, other, position)
            if found is not None:
                queue.past_until.pop(position.identity, None)
                queue.past[place] = found
                break


def end_of(queue: Queue, one: Rotated, position: Position) -> Position | None:
    """Give the end of a compressed file, with a time of its own, that holds what was read.

    None if it is another, holds more, or cannot be read. Raises FileNotFoundError if it is gone.
    """
    if not one.is_packed or keeps_time(one) or one.modified_ns < position.modified_ns:
        return None
    if any(one.is_file_of(known) for known in queue.past):
        return None
    try:
        generation = open_listed(queue.path, one)
    except FileNotFoundError:
        raise
    except OSError:
        return None
    try:
        is_all = generation.go_to(position) and not generation.peek(1)
        return generation.position() if is_all else None
    except OSError:
        return None
    finally:
        generation.close()


def _open_at_beginning(queue: Queue, one: Rotated) -> Generation | Mark:
    """Open a rotated file, or give a mark if it cannot be read; raises FileNotFoundError."""
    generation = None
    try:
        generation = open_listed(queue.path, one)
        generation.restart()
        return generation
    except FileNotFoundError:
        raise
    except OSError as error:
        if generation is not None:
            generation.close()
        return _gap(one, f"cannot be read ({error.strerror or error})")


def is_known(queue: Queue, one: Rotated, knows: Callable[[Generation], bool] | None = None) -> bool:
    """Whether a file is being read, or was, or that ``knows`` it; not so where it cannot be read.

    Raises FileNotFoundError where it is gone.
    """
    try:
        generation = open_listed(queue.path, one)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    try:
        return (knows or queue.is_known)(generation)
    except OSError:
        return False
    finally:
        generation.close()


def _gap(one: Rotated, why: str) -> Mark:
    size = None if one.is_packed else one.size
    return Mark(("gap",), size, f"{why}: {host_path(one.path)}")
