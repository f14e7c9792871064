"""A file that has been cut off: how that is seen, and where what it held is looked for."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import msgspec

from etlmon.host.copies import find_copy, find_short_copy, is_early_copy, is_of_now
from etlmon.host.follow_lineup import find_unknown, leads_to, open_unknown
from etlmon.host.follow_queue import CUT_OFF, CUT_OFF_UNSEEN, MOST_ALIKE_BYTES, NO_COPY
from etlmon.host.generation import HEAD_BYTES, TAIL_BYTES, RewrittenError, digest
from etlmon.host.lines import Mark
from etlmon.host.rotated import COPYING_SECONDS, open_listed, rotated, unseen_after
from etlmon.text import host_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.host.follow_queue import Queue, Source
    from etlmon.host.generation import Generation, Position
    from etlmon.host.rotated import Rotated

_MOST_TRIES = 6
_LITTLE_BYTES = HEAD_BYTES + TAIL_BYTES
"""Files of one program may begin alike: where no more was read of one, another may hold it, too."""


def refresh(queue: Queue, source: Source, now: float) -> None:
    """Find out what has become of a file that is open; ``now`` is the monotonic clock's."""
    generation = source.generation
    size, modified_ns = generation.size, generation.modified_ns
    written_ns, position = generation.written_ns, source.lines.position
    generation.refresh()
    if (generation.size, generation.modified_ns) == (size, modified_ns):
        return
    source.grew_at = now
    if source.is_copy:
        return
    was = msgspec.structs.replace(
        position, size=size, modified_ns=modified_ns, written_ns=written_ns
    )
    if not was.head_bytes:
        filled(queue, source, was)
        return
    try:
        generation.check()
    except RewrittenError:
        cut_off(queue, source, was)
    else:
        if source is queue.named and _may_hold_it_anew(queue, generation, was):
            look_for_copy(queue, source, was)


def _may_hold_it_anew(queue: Queue, live: Generation, was: Position) -> bool:
    """Whether a file that holds what was read may hold it for it was cut off and begins alike.

    Where much was read that takes a copy which is made of it about then: its directory tells.
    """
    if was.offset < _LITTLE_BYTES:
        return True
    if was.offset > MOST_ALIKE_BYTES:
        return False
    since_ns = was.modified_ns - COPYING_SECONDS * 10**9
    for directory in {os.path.dirname(queue.path), os.path.dirname(live.name)}:
        try:
            if os.stat(directory).st_mtime_ns >= since_ns:
                return True
        except OSError:
            continue
    return False


def look_for_copy(queue: Queue, source: Source, was: Position) -> None:
    """Find out whether a file that holds what was read was cut off all the same: it begins alike.

    Rotation has made a copy since then, and that or another one goes on otherwise than the file
    does now. Of copies that cannot be read a mark tells, once.
    """
    live = source.generation
    choose = _copies_since(queue, was, live)
    items, files = open_unknown(queue, rotated(queue.path), choose)
    unreadable = [item for item in items if isinstance(item, Mark)]
    goes_on_otherwise = holds_it = False
    for one in items:
        if isinstance(one, Mark):
            continue
        with closing(one):
            is_now = is_of_now(one, live)
            if is_now is None:
                detail = f"a copy cannot be read to its end: {host_path(one.name)}"
                unreadable.append(Mark(("gap",), None, detail))
                continue
            goes_on_otherwise = goes_on_otherwise or not is_now
            with suppress(OSError):
                holds_it = one.go_to(was) or holds_it
    queue.tell_of_unreadable(unreadable)
    if goes_on_otherwise and (holds_it or _is_packed_alone(queue, choose(files), was)):
        cut_off(queue, source, was)


def _is_packed_alone(queue: Queue, files: list[Rotated], was: Position) -> bool:
    """Whether a compressed file holds what was seen of one, and no more.

    Where the file holds that, too, it counts as known: it may be a mere backup.
    """
    unread_bytes = max(0, was.size - was.offset)
    for one in files if unread_bytes <= MOST_ALIKE_BYTES else ():
        if one.is_packed:
            with suppress(OSError), closing(open_listed(queue.path, one)) as generation:
                if generation.go_to(was) and len(generation.peek(unread_bytes + 1)) <= unread_bytes:
                    return True
    return False


def filled(queue: Queue, source: Source, was: Position) -> None:
    """Begin in a file that was empty; line up copies, for it may have been full and cut off since.

    Nothing in it tells whether it was. A copy that is empty tells, too: it lacks what was written
    before the cut.
    """
    source.begin_again()
    live = source.generation
    if source is queue.named:
        copies = _copies_since(queue, was, live)
        _line_up_copies(queue, copies, live, empty_since_ns=was.modified_ns)


def cut_off(queue: Queue, source: Source, position: Position, *, is_named: bool = False) -> None:
    """Begin again in a file that does not hold what was read; read the rest from its copy."""
    is_named = is_named or source is queue.named
    queue.remove(source)
    began = source.generation.head
    if digest(began) != position.head_hash:  # it was opened since
        began = b""
    source.begin_again()
    live = source.generation
    files = rotated(queue.path)
    copy = find_unknown(queue, position, files, but=live.identity)
    mark = CUT_OFF
    if copy is None:
        if queue.read_to_ns is None:  # of copies by hand but one can be told after such a time
            mark = CUT_OFF_UNSEEN
        copy = find_copy(position, queue.path, queue.read_to_ns, live, queue.proc, queue.has_seen)
    if copy is None:
        mark = CUT_OFF
        copy = _find_short(queue, position, files, began)
    if copy is not None:
        queue.wait(queue.source(copy, 0.0, is_copy=True))
        lost = 0 if copy.is_packed else position.size - copy.size
        queue.wait(mark if lost <= 0 else _lost(lost, "and its copy lacks them"))
    elif position.size > position.offset:
        why = (
            "and no copy found: what was written to it after those is missing, too, if anything was"
        )
        queue.wait(_lost(position.size - position.offset, why))
    else:
        queue.wait(NO_COPY)

    def later(files: list[Rotated]) -> list[Rotated]:
        found = [one for one in files if copy is not None and one.identity == copy.identity]
        if found:
            chosen = unseen_after(position.modified_ns, found[0], files)
            return _copies(queue, chosen, files, live)
        early = [one for one in files if is_early_copy(one, queue.path, position)]
        if copy is None and not early:  # no rotation has copied it: they may come from anywhere
            return []
        own = early[-1] if copy is None else None
        found = unseen_after(position.modified_ns, own, files)
        return _copies(queue, [one for one in found if one not in early], files, live)

    _line_up_copies(queue, later, live)
    if is_named:
        queue.name(source)
    else:
        queue.wait(source)


def _find_short(
    queue: Queue, position: Position, files: list[Rotated], began: bytes
) -> Generation | None:
    for _ in range(_MOST_TRIES):
        try:
            return find_short_copy(position, queue.path, files, began, queue.is_known)
        except FileNotFoundError:  # it may have been compressed
            files = rotated(queue.path)
    return None


def _lost(lost_bytes: int, why: str) -> Mark:
    detail = f"cut off, or replaced, before its last {lost_bytes} bytes were read, {why}"
    return Mark(("gap", "truncated"), lost_bytes, detail)


def _copies_since(
    queue: Queue, was: Position, live: Generation
) -> Callable[[list[Rotated]], list[Rotated]]:
    """Give what chooses the files that may be copies of one, made since a position in it."""

    def copies(files: list[Rotated]) -> list[Rotated]:
        return _copies(queue, unseen_after(was.modified_ns, None, files), files, live)

    return copies


def _copies(
    queue: Queue, chosen: list[Rotated], files: list[Rotated], live: Generation
) -> list[Rotated]:
    """Give those of the chosen files that may be copies of one from before it was cut off last.

    What was written after this file is none. If it has lost the name when they have been listed it
    was renamed, and so were those after it.
    """
    until_ns = live.modified_ns
    found = [one for one in chosen if one.modified_ns <= until_ns and not one.is_file_of(live)]
    if not found or leads_to(queue.path, live.identity):
        return found
    own = next((one for one in files if one.is_file_of(live)), None)
    later = unseen_after(until_ns, own, files)
    return [one for one in found if one not in later]


def _line_up_copies(
    queue: Queue,
    choose: Callable[[list[Rotated]], list[Rotated]],
    live: Generation,
    empty_since_ns: int | None = None,
) -> None:
    """Let copies of a file wait to be read from their beginning, unless they are known.

    It was cut off after each: a mark follows, also in place of an empty one that was made later
    than ``empty_since_ns``.
    """
    items, _ = open_unknown(queue, rotated(queue.path), choose)
    for item in items:
        if isinstance(item, Mark):
            if item.detail not in queue.unreadable:
                queue.wait(item)
        elif not item.head:  # made while the file was empty, or only begun
            if empty_since_ns is not None and item.modified_ns > empty_since_ns:
                queue.wait(CUT_OFF)
            item.close()
        elif is_of_now(item, live):
            item.close()
        else:
            queue.wait(queue.source(item, 0.0, is_copy=True))
            queue.wait(CUT_OFF)
