"""Lining up what rotation has put aside: files that came and went, copies of what was cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.host.copies import find_copy, old_copy
from etlmon.host.follow_queue import CUT_OFF, NO_COPY, is_at
from etlmon.host.lines import Mark
from etlmon.host.rotated import find, open_listed, rotated, unseen_after
from etlmon.text import host_path

if TYPE_CHECKING:
    from etlmon.host.follow_queue import Queue, Source
    from etlmon.host.generation import Generation, Position
    from etlmon.host.rotated import Rotated

_MOST_WAITING = 64  # rotated files that wait to be read; a gap tells of more


def line_up_unseen(queue: Queue, named: tuple[int, int] | None, now: float) -> None:
    """Line up the rotated files that came after the one that is known to have borne the name.

    ``named`` bears it now.
    """
    last = queue.last
    if last is None:
        return
    files = rotated(queue.path)
    if queue.lined_up == (last, named, files):  # to know a compressed one again it is unpacked
        return
    own = next((one for one in files if is_at(one.path, last)), None)
    if own is None:
        packed = find(last, queue.path, files, lambda one: one.is_packed)
        if packed is not None:
            packed.close()
            own = next((one for one in files if one.identity == packed.identity), None)
    unseen = unseen_after(last.modified_ns, own, files)
    unseen = [one for one in unseen if one.identity != named]
    original = next((one for one in queue.sources() if one.lines.position == last), None)
    if original is not None and queue.read_to_ns is not None:
        for one in unseen:
            copy = old_copy(one, original.generation, queue.read_to_ns)
            if copy is not None and not queue.is_known(one):
                queue.past.insert(0, copy)
    _line_up(queue, unseen, now)
    queue.lined_up = last, named, files


def line_up_copies(queue: Queue, source: Source, was: Position) -> None:
    """Line up the copies of a file that was empty, and may have been full and cut off since."""
    if was.offset == was.head_bytes == 0:
        files = unseen_after(was.modified_ns + 1, None, rotated(queue.path))
        until_ns = source.generation.modified_ns
        copies = [one for one in files if one.size and one.modified_ns < until_ns]
        _line_up(queue, copies, 0.0, CUT_OFF, source.generation)


def cut_off(queue: Queue, source: Source, position: Position, *, is_named: bool = False) -> None:
    """Begin again in a file that does not hold what was read; read the rest from its copy."""
    is_named = is_named or source is queue.named
    queue.remove(source)
    source.lines.restart()
    source.generation.refresh()
    live = source.generation
    files = rotated(queue.path)
    copy = find(position, queue.path, files, lambda one: one.identity != live.identity)
    if copy is None and queue.read_to_ns is not None:
        copy = find_copy(position, queue.path, queue.read_to_ns, live, queue.proc)
    if copy is not None:
        own = next((one for one in files if one.identity == copy.identity), None)
        queue.wait(queue.source(copy, 0.0, is_copy=True))
        queue.wait(CUT_OFF)
        if own is None:  # they were renamed meanwhile
            files = rotated(queue.path)
            own = next((one for one in files if one.identity == copy.identity), None)
        later = unseen_after(position.modified_ns, own, files)
        # What was written after this file is no copy of it, nor is this file, compressed.
        copies = [one for one in later if one.modified_ns < live.modified_ns]
        _line_up(queue, copies, 0.0, CUT_OFF, live)
    elif position.size > position.offset:
        lost = position.size - position.offset
        detail = (
            f"cut off, or replaced, before its last {lost} bytes were read, and no copy found: "
            "what was written to it after those is missing, too, if anything was"
        )
        queue.wait(Mark(("gap", "truncated"), lost, detail))
    else:
        queue.wait(NO_COPY)
    if is_named:
        queue.name(source)
    else:
        queue.wait(source)


def _line_up(
    queue: Queue,
    files: list[Rotated],
    now: float,
    after_each: Mark | None = None,
    live: Generation | None = None,
) -> None:
    """Let rotated files wait to be read from their beginning, unless they are known.

    Those that are copies of ``live``, which was cut off after each, are followed by a mark.
    """
    files = [one for one in files if not queue.is_known(one)]
    for place, one in enumerate(files):
        if len(files) - place > _MOST_WAITING:
            queue.wait(_gap(one, "too many rotated files at once; left out"))
            continue
        try:
            generation = open_listed(queue.path, one)
        except OSError as error:
            queue.wait(_gap(one, f"cannot be read ({error.strerror})"))
            continue
        try:
            generation.restart()
        except OSError as error:
            generation.close()
            queue.wait(_gap(one, f"cannot be read ({error.strerror or error})"))
            continue
        if _begins_like(generation, live):
            generation.close()  # it is being copied, and not cut off yet
            continue
        is_copy = one.is_packed or after_each is not None
        source = queue.source(generation, now, is_copy=is_copy)
        queue.wait(source)
        if after_each is None:
            queue.last = source.lines.position
        else:
            queue.wait(after_each)


def _gap(one: Rotated, why: str) -> Mark:
    size = None if one.is_packed else one.size
    return Mark(("gap",), size, f"{why}: {host_path(one.path)}")


def _begins_like(generation: Generation, live: Generation | None) -> bool:
    length = 0 if live is None else min(len(generation.head), len(live.head))
    return live is not None and length > 0 and generation.head[:length] == live.head[:length]
