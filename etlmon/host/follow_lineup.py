"""Lining up what rotation has put aside: files that came and went, copies of what was cut off."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from etlmon.host.copies import find_copy, find_short_copy, is_early_copy, old_copy
from etlmon.host.follow_queue import CUT_OFF, NO_COPY, identity_of, is_at
from etlmon.host.generation import HEAD_BYTES, RewrittenError
from etlmon.host.lines import Mark
from etlmon.host.rotated import find, open_listed, rotated, unseen_after
from etlmon.text import host_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.host.follow_queue import Queue, Source
    from etlmon.host.generation import Generation, Position
    from etlmon.host.rotated import Rotated

_MOST_WAITING = 64  # rotated files that wait to be read; a gap tells of more
_MOST_TRIES = 6


def line_up_unseen(queue: Queue, named: tuple[int, int] | None, now: float) -> bool:
    """Line up the rotated files that came after the one that is known to have borne the name.

    ``named`` bears it now. False, and nothing is done, if it does not any more when they have been
    listed: it may be one of them by now.
    """
    last = queue.last
    if last is None:
        return True
    files = rotated(queue.path)
    if queue.lined_up == (last, named, files):  # to know a compressed one again it is unpacked
        return True

    original = next((one for one in queue.sources() if one.lines.position == last), None)

    def unseen(files: list[Rotated]) -> list[Rotated]:
        nonlocal last
        if original is not None and not original.generation.head:  # filled, and compressed, since?
            begin_again(original)
            last = queue.last = original.lines.position
        own = next((one for one in files if is_at(one.path, last)), None)
        if own is None:
            packed = find(last, queue.path, files, lambda one: one.is_packed)
            if packed is not None:
                packed.close()
                own = next((one for one in files if one.identity == packed.identity), None)
        found = unseen_after(last.modified_ns, own, files)
        return [one for one in found if one.identity != named]

    if original is not None and queue.read_to_ns is not None:
        for one in unseen(files):
            copy = old_copy(one, queue.path, original.generation, queue.read_to_ns)
            with suppress(FileNotFoundError):
                if copy is not None and not _is_known(queue, one):
                    queue.past.insert(0, copy)
    items, files = _open_unknown(queue, files, unseen)
    if named is not None and not _leads_to(queue.path, named):
        for item in items:
            if not isinstance(item, Mark):
                item.close()
        return False
    for item in items:
        if isinstance(item, Mark):
            queue.wait(item)
        else:
            source = queue.source(item, now, is_copy=item.is_packed)
            queue.wait(source)
            queue.last = source.lines.position
    queue.lined_up = last, named, files
    return True


def _leads_to(path: bytes, identity: tuple[int, int]) -> bool:
    try:
        return identity_of(os.stat(path)) == identity
    except OSError:
        return False


def filled(queue: Queue, source: Source, was: Position) -> None:
    """Begin in a file that was empty; line up copies, for it may have been full and cut off since.

    Nothing in it tells whether it was. A copy that is empty tells, too: it lacks what was written
    before the cut.
    """
    begin_again(source)
    live = source.generation

    def copies(files: list[Rotated]) -> list[Rotated]:
        return _copies(unseen_after(was.modified_ns + 1, None, files), live)

    if source is queue.named:
        _line_up_copies(queue, copies, live, after_empty=CUT_OFF)


def cut_off(queue: Queue, source: Source, position: Position, *, is_named: bool = False) -> None:
    """Begin again in a file that does not hold what was read; read the rest from its copy."""
    is_named = is_named or source is queue.named
    queue.remove(source)
    begin_again(source)
    live = source.generation
    files = rotated(queue.path)
    copy = find_unknown(queue, position, files, but=live.identity)
    if copy is None and queue.read_to_ns is not None:
        copy = find_copy(position, queue.path, queue.read_to_ns, live, queue.proc, queue.has_seen)
    if copy is None:
        copy = _find_short(queue, position, files)
    if copy is not None:
        queue.wait(queue.source(copy, 0.0, is_copy=True))
        lost = 0 if copy.is_packed else position.size - copy.size
        queue.wait(CUT_OFF if lost <= 0 else _lost(lost, "and its copy lacks them"))
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
            return _copies(unseen_after(position.modified_ns, found[0], files), live)
        early = [one for one in files if is_early_copy(one, queue.path, position)]
        if copy is None and not early:  # no rotation has copied it: they may come from anywhere
            return []
        own = early[-1] if copy is None else None
        found = unseen_after(position.modified_ns, own, files)
        return _copies([one for one in found if one not in early], live)

    _line_up_copies(queue, later, live)
    if is_named:
        queue.name(source)
    else:
        queue.wait(source)


def find_unknown(
    queue: Queue, position: Position, files: list[Rotated], but: tuple[int, int] | None = None
) -> Generation | None:
    """Open the rotated file that a position is in, and go there; None if there is none.

    Not one that is known, for files of one program begin alike, and not ``but``.
    """

    def allows(one: Rotated) -> bool:
        if one.identity == but:
            return False
        if one.is_file_of(position):
            return True
        try:
            return not _is_known(queue, one, queue.has_seen)
        except FileNotFoundError:
            return False

    return find(position, queue.path, files, allows)


def _find_short(queue: Queue, position: Position, files: list[Rotated]) -> Generation | None:
    for _ in range(_MOST_TRIES):
        try:
            return find_short_copy(position, queue.path, files, queue.is_known)
        except FileNotFoundError:  # it may have been compressed
            files = rotated(queue.path)
    return None


def _lost(lost_bytes: int, why: str) -> Mark:
    detail = f"cut off, or replaced, before its last {lost_bytes} bytes were read, {why}"
    return Mark(("gap", "truncated"), lost_bytes, detail)


def begin_again(source: Source) -> None:
    """Begin again in a file, at a moment at which it is not written to: it may be cut off again.

    What is known of its beginning and what of its size and times then belong together.
    """
    live = source.generation
    for _ in range(_MOST_TRIES):
        live.refresh()
        before = live.size, live.modified_ns
        source.lines.restart()
        live.refresh()
        if (live.size, live.modified_ns) == before:
            break


def _copies(files: list[Rotated], live: Generation) -> list[Rotated]:
    """Give those that may be copies of a file from before it was cut off last.

    What was written after this file is none.
    """
    until_ns = live.modified_ns
    return [one for one in files if one.modified_ns <= until_ns and one.identity != live.identity]


def _line_up_copies(
    queue: Queue,
    choose: Callable[[list[Rotated]], list[Rotated]],
    live: Generation,
    after_empty: Mark | None = None,
) -> None:
    """Let copies of a file wait to be read from their beginning, unless they are known.

    It was cut off after each: a mark follows, ``after_empty`` one that is empty.
    """
    items, _ = _open_unknown(queue, rotated(queue.path), choose)
    for item in items:
        if isinstance(item, Mark):
            queue.wait(item)
        elif not item.head:  # made while the file was empty, or only begun
            if after_empty is not None:
                queue.wait(after_empty)
            item.close()
        elif _is_of_now(item, live):
            item.close()
        else:
            queue.wait(queue.source(item, 0.0, is_copy=True))
            queue.wait(CUT_OFF)


def _open_unknown(
    queue: Queue, files: list[Rotated], choose: Callable[[list[Rotated]], list[Rotated]]
) -> tuple[list[Generation | Mark], list[Rotated]]:
    """Open those of the rotated files that are chosen and not known, at their beginning.

    A mark for each that cannot be read. They are listed anew, and chosen again, while some go away,
    be it to be compressed. Gives the last listing, too.
    """
    for _ in range(_MOST_TRIES):
        found: list[Generation | Mark] = []
        try:
            chosen = [one for one in choose(files) if not _is_known(queue, one)]
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


def _is_known(
    queue: Queue, one: Rotated, knows: Callable[[Generation], bool] | None = None
) -> bool:
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


def _is_of_now(copy: Generation, live: Generation) -> bool:
    """Whether a copy is being made, or has been made, of what is in the file now.

    Once the file is cut off, it is found by what is in it. Where it has not been since it was
    looked at, how the copy ends tells: files of one program begin alike, with NULs where it writes
    on at its offset.
    """
    now = os.pread(live.fd, HEAD_BYTES, 0)
    begins_alike = any(
        copy.head[:length] == head[:length]
        for head in (live.head, now)
        if (length := min(len(copy.head), len(head)))
    )
    if not begins_alike or not now.startswith(live.head):
        return begins_alike
    try:
        copy.go_to_end()
        at = copy.offset - len(copy.tail)
        return os.pread(live.fd, len(copy.tail), at) == copy.tail
    except RewrittenError:  # it was written over: that is a copy that is being made
        return True
    finally:
        copy.restart()
