"""What goes on inside this process: coroutines that wait, memory, threads, descriptors."""

from __future__ import annotations

import gc
import resource
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

from twisted.internet.defer import Deferred

from etlmon.node.manhole.table import Table, Text

_DEEPEST = 30
_SUSPENDABLE = (CoroutineType, AsyncGeneratorType, GeneratorType)


def suspended() -> list[list[FrameType]]:
    """Give the coroutines that wait, each as its frames from the outermost to where it waits."""
    chains = []
    inner: set[int] = set()
    for one in gc.get_objects():
        if type(one) is CoroutineType and one.cr_frame is not None and not one.cr_running:
            chain = _chain(one)
            inner.update(id(part) for part in chain[1:])
            chains.append((one, [frame for part in chain if (frame := _frame(part)) is not None]))
    return [frames for one, frames in chains if id(one) not in inner and frames]


def _chain(outermost: Any) -> list[Any]:
    """Give what a coroutine waits for, and what that waits for, as far as it is code."""
    chain: list[Any] = []
    at: Any = outermost
    while at is not None and len(chain) < _DEEPEST:
        if isinstance(at, _SUSPENDABLE):
            chain.append(at)
            at = _awaited(at)
        elif isinstance(at, Deferred):
            break
        else:  # the iterator of an asynchronous generator: it tells only the collector whose
            held = [one for one in gc.get_referents(at) if isinstance(one, _SUSPENDABLE)]
            at = held[0] if held and held[0] not in chain else None
    return chain


def _awaited(one: Any) -> Any:
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        found = getattr(one, name, None)
        if found is not None:
            return found
    return None


def _frame(one: Any) -> FrameType | None:
    for name in ("cr_frame", "ag_frame", "gi_frame"):
        frame = getattr(one, name, None)
        if isinstance(frame, FrameType):
            return frame
    return None


def where(frames: Sequence[FrameType]) -> str:
    """Say where a chain of frames waits: in the innermost one that is etlmon's."""
    own = [one for one in frames if "/etlmon/" in one.f_code.co_filename]
    return place((own or frames)[-1])


def place(frame: FrameType) -> str:
    """Say where a frame stands: file, line, function."""
    path = frame.f_code.co_filename
    short = path.rpartition("/site-packages/")[2]
    at = short.rfind("/etlmon/")
    return f"{short[at + 1 :]}:{frame.f_lineno} {frame.f_code.co_qualname}"


def deferreds() -> Table:
    """Give the coroutines that wait, and the Deferreds that have not fired, by whose they are."""
    rows: list[tuple[Any, ...]] = []
    for frames in suspended():
        rows.append((frames[0].f_code.co_qualname, where(frames)))
    counts = Counter(rows)
    waiting = sum(1 for one in gc.get_objects() if isinstance(one, Deferred) and not one.called)
    return Table(
        "n coroutine waits_at",
        [(n, *row) for row, n in counts.most_common()],
        f"{waiting} Deferreds have not fired.",
    )


def memory(most: int = 25) -> Table:
    """Give the bytes of this process by type, without what its objects hold outside of Python."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for one in gc.get_objects():
        kind = type(one)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        counts[name] += 1
        try:
            sizes[name] += sys.getsizeof(one)
        except Exception:  # noqa: S112 - an object of somebody else's may refuse
            continue
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    resident = pages * resource.getpagesize() // 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Table(
        "kib n type",
        [(size // 1024, counts[name], name) for name, size in sizes.most_common(most)],
        f"resident {resident} KiB, peak {peak} KiB; of what the collector tracks, "
        f"{sum(sizes.values()) // 1024} KiB in {sum(counts.values())} objects.",
    )


def stacks() -> Text:
    """Give where each thread is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        own = " (this console)" if ident == threading.get_ident() else ""
        lines = "".join(traceback.format_stack(frame))
        parts.append(f"{names.get(ident, ident)}{own}\n{lines}")
    return Text("\n".join(parts).rstrip())


def descriptors() -> Table:
    """Give what this process has open."""
    rows: list[tuple[Any, ...]] = []
    for one in sorted(Path("/proc/self/fd").iterdir(), key=lambda one: int(one.name)):
        try:
            rows.append((int(one.name), one.readlink()))
        except OSError:  # the one by which the directory was listed
            continue
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Table("fd what", rows, f"{len(rows)} of {soft} (hard limit {hard}).")
