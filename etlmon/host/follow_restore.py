"""Going on after a restart: finding again what was being read, wherever it is now."""

from __future__ import annotations

import os
from contextlib import suppress
from errno import ENOENT
from typing import TYPE_CHECKING

from etlmon.host.cursor import Owed
from etlmon.host.follow_cut import cut_off, filled, look_for_copy
from etlmon.host.follow_lineup import end_of, find_unknown
from etlmon.host.follow_queue import MOST_ALIKE_BYTES, identity_of, is_same
from etlmon.host.generation import Position, open_generation
from etlmon.host.lines import Mark
from etlmon.host.rotated import has_time_of, open_same, rotated, unseen_after

if TYPE_CHECKING:
    from etlmon.host.cursor import Cursor
    from etlmon.host.follow_queue import Queue
    from etlmon.host.generation import Generation
    from etlmon.host.rotated import Rotated

_MOST_TRIES = 6

_MAYBE_DELETED = Mark(
    ("gap",),
    None,
    "it was empty when it was looked at last, and no older one is there any more: if rotation has "
    "deleted it, or others, before they were read, lines are missing",
)

_SWITCHED = Mark(
    ("gap",),
    None,
    "a link was switched while nobody looked; other files that it led to meanwhile are missing",
)


def restore(queue: Queue, cursor: Cursor, now: float) -> None:
    """Find again what was being read, wherever it is now.

    All of it or nothing: raises OSError where there is a file that cannot be read, such as one that
    may be read again when somebody has seen to its permissions, and where files get other names all
    the time.
    """
    for tries_left in reversed(range(_MOST_TRIES)):
        try:
            _restore(queue, cursor, now)
            return
        except FileNotFoundError:  # it got another name this very moment
            queue.close()
            if not tries_left:
                raise
        except BaseException:
            queue.close()
            raise


def _restore(queue: Queue, cursor: Cursor, now: float) -> None:
    queue.link.signature = cursor.link
    queue.past = list(cursor.past)
    queue.past_until = dict.fromkeys(
        (one.identity for one in queue.past), now + queue.limits.rotated_hold_seconds
    )
    queue.last = cursor.last
    files = rotated(queue.path)
    all_files = [*cursor.held, *(one for one in cursor.waiting if isinstance(one, Position))]
    for position in cursor.held:
        _resume(queue, position, files, now, all_files)
    for place, item in enumerate(cursor.waiting, start=1):
        if isinstance(item, Owed):
            queue.wait(item.mark)
        else:
            was_named = cursor.is_named and place == len(cursor.waiting)
            _resume(queue, item, files, now, all_files, was_named=was_named)
            if was_named and _leads_elsewhere(queue.path, item, files):
                queue.wait(_SWITCHED)


def _leads_elsewhere(path: bytes, position: Position, files: list[Rotated]) -> bool:
    """Whether a link was switched from a file that is where it was and not among the rotated ones.

    Only names as rotation gives them tell which files it may have led to meanwhile.
    """
    its_path = position.path.encode("latin-1")
    return (
        its_path != os.path.realpath(path)
        and is_same(its_path, position)
        and not is_same(path, position)
        and not _same(position, files)
    )


def _resume(
    queue: Queue,
    position: Position,
    files: list[Rotated],
    now: float,
    all_files: list[Position],
    *,
    was_named: bool = False,
) -> None:
    """Go on in a file, wherever it is now; without it, or without the rest of it, a mark."""
    if not was_named and _is_over(position):
        queue.past.append(position)
        return
    if not (was_named or position.head_bytes or position.born_ns):
        return  # only an inode number is known; what it has got since is lined up with the unseen
    name = os.path.realpath(queue.path)
    rewritten: Generation | None = None
    further = [one for one in all_files if one.offset > position.offset]
    if not (was_named and is_same(name, position)):
        generation = _find_earlier(queue, position, files, further)
        if generation is not None:
            _read_from(queue, generation, position, now, was_named=was_named)
            return
    for path in (name, position.path.encode("latin-1"), *_same(position, files)):
        if not is_same(path, position):
            continue
        generation = open_same(path, position)
        if generation is not None:
            if was_named and not position.head_bytes:
                _fill(queue, generation, position, [*queue.past, *all_files], now)
            else:
                _go_on(queue, generation, position, now, was_named=was_named)
            if was_named and path != name:
                queue.lose_name(now)
            return
        if rewritten is None and (was_named or position.born_ns):
            rewritten = _open_rewritten(path, position)
    if rewritten is not None:
        is_named = was_named and rewritten.name == name
        cut_off(queue, queue.source(rewritten, now), position, is_named=is_named)
        return
    generation = find_unknown(queue, position, files, others=further)
    if generation is not None:  # a copy; or itself, when it was renamed this very moment
        _read_from(queue, generation, position, now, was_named=was_named)
        return
    if _places(rotated(queue.path)) != _places(files):
        raise FileNotFoundError(ENOENT, "it may have got another name meanwhile")
    # How much was in a compressed one is not known: its size says nothing.
    is_packed = position.is_packed
    left = 0 if is_packed else max(0, position.size - position.offset)
    if was_named and _may_be_packed(position, files):
        if not _is_any_left(queue, [*queue.past, *all_files], files):
            queue.wait(_MAYBE_DELETED)
    elif left or is_packed or was_named:
        lost = f"at least {left} bytes of it are missing" if left else "how much of it is not known"
        detail = f"gone before it had been read to its end; {lost}"
        queue.wait(Mark(("gap",), left or None, detail))


def _find_earlier(
    queue: Queue, position: Position, files: list[Rotated], further: list[Position]
) -> Generation | None:
    """Open what compressing has made of a file whose inode number another one seems to have now.

    Where nothing tells when files were made, and little was read of one, another that got its
    number may hold that, too. It was written later than one that is compressed, holds it, and is
    not known. Where nothing had been read yet, the time of the compressed one has to be the same.
    """
    if position.born_ns or position.is_packed or position.offset > MOST_ALIKE_BYTES:
        return None
    own_ns = _modified_ns(queue.path, position, files)
    earlier = [
        one
        for one in files
        if one.is_packed
        and one.modified_ns < own_ns
        and (position.offset or (position.head_bytes and has_time_of(one, position)))
    ]
    generation = find_unknown(queue, position, earlier, others=further) if earlier else None
    if generation is not None and not generation.is_packed:
        generation.close()
        return None
    return generation


def _modified_ns(path: bytes, position: Position, files: list[Rotated]) -> int:
    """Give when what has the number of a file was written last, if it has been since; else 0."""
    found = [(one.size, one.modified_ns) for one in files if one.is_file_of(position)]
    with suppress(OSError):
        status = os.stat(path)
        if identity_of(status) == position.identity:
            found.append((status.st_size, status.st_mtime_ns))
    as_it_was = position.size, position.modified_ns
    return max((one[1] for one in found if one != as_it_was), default=0)


def _read_from(
    queue: Queue, generation: Generation, position: Position, now: float, *, was_named: bool
) -> None:
    """Go on in a file that holds what was read of that of a position."""
    is_copy = generation.is_packed or generation.is_another(position)
    source = queue.source(generation, now, is_copy=is_copy)
    queue.wait(source)
    if was_named:
        queue.last = source.lines.position


def _is_over(position: Position) -> bool:
    """Whether a file had been deleted when all was read that was in it: nothing can hold more."""
    return not position.inode and not position.is_packed and 0 < position.size <= position.offset


def _places(files: list[Rotated]) -> set[tuple[bytes, tuple[int, int]]]:
    return {(one.path, one.identity) for one in files}


def _may_be_packed(position: Position, files: list[Rotated]) -> bool:
    """Whether a file that was empty may have been filled, rotated and compressed since.

    There was nothing in it by which to know it again, nor to miss: what was compressed later is
    read from its beginning anyway.
    """
    was_empty = position.size == position.offset == position.head_bytes == 0
    return was_empty and any(
        one.is_packed for one in unseen_after(position.modified_ns, None, files)
    )


def _is_any_left(queue: Queue, known: list[Position], files: list[Rotated]) -> bool:
    """Whether one of the known files is there still, be it compressed: rotation deletes the oldest.

    True where none is known. Raises FileNotFoundError if one goes away meanwhile.
    """

    def is_left(position: Position, one: Rotated) -> bool:
        if one.is_file_of(position) or (one.is_packed and has_time_of(one, position)):
            return True
        return end_of(queue, one, position) is not None

    known = [one for one in known if one.head_bytes]
    return not known or any(is_left(position, one) for position in known for one in files)


def _go_on(
    queue: Queue, generation: Generation, position: Position, now: float, *, was_named: bool
) -> None:
    source = queue.source(generation, now, is_copy=generation.is_packed)
    if was_named:
        queue.name(source)
        look_for_copy(queue, source, position)
    else:
        queue.wait(source)


def _fill(
    queue: Queue, generation: Generation, position: Position, known: list[Position], now: float
) -> None:
    """Go on in a file that bore the name, and was empty: its copies may have been deleted, too."""
    source = queue.source(generation, now, is_copy=generation.is_packed)
    queue.name(source)
    place = len(queue.waiting) - 1
    filled(queue, source, position)
    if queue.waiting[place] is source:
        return
    if not _is_any_left(queue, known, rotated(queue.path)):
        queue.waiting.insert(place, _MAYBE_DELETED)


def _same(position: Position, files: list[Rotated]) -> list[bytes]:
    return [one.path for one in files if one.is_file_of(position)]


def _open_rewritten(path: bytes, position: Position) -> Generation | None:
    """Open the file of a position, with something else in it; None if it is another file.

    Nobody writes on in a compressed one: it is broken, or another.
    """
    generation = open_generation(path)
    if generation.is_packed or generation.is_another(position):
        generation.close()
        return None
    return generation
