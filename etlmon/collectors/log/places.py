"""What a path, or a pattern of paths, says of where files are, and what is there. Blocks."""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from etlmon.text import host_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def fixed_part(pattern: bytes) -> bytes:
    """Give a path up to where it depends on what is there."""
    parts = pattern.split(b"/")
    fixed = [part for place, part in enumerate(parts) if not _is_magic(parts[: place + 1])]
    return b"/".join(fixed) + (b"/" if len(fixed) < len(parts) else b"")


def expanded(pattern: bytes) -> list[bytes]:
    """Give what a pattern matches, as ``glob`` does, but for links: ``**`` goes through none.

    Two links to a directory above them make more paths than can ever be gone through.
    """
    before, found, after = b"/".join([b"", pattern, b""]).partition(b"/**/")
    if not found:
        return glob.glob(pattern)
    first, rest = before[1:], after[:-1]
    paths: dict[bytes, None] = {}
    for top in glob.glob(first + b"/"):
        for directory, names in _below(top):
            if rest:
                matching = expanded(glob.escape(directory) + rest)
            else:
                matching = [directory.rstrip(b"/") or b"/", *(directory + name for name in names)]
            paths.update(dict.fromkeys(matching))
    return list(paths)


def _below(top: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """Give a directory and all below it, each with a slash, and the names in it; none hidden."""
    left = [top]
    while left:
        directory = left.pop()
        names = []
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    left.append(directory + entry.name + b"/")
                names.append(entry.name)
        yield directory, names


def unseen(fixed: bytes) -> str | None:
    """Say why it cannot be seen which files are below a fixed part; None if it can."""
    directory = os.path.dirname(fixed) or b"/"
    try:
        os.scandir(directory).close()
    except PermissionError as error:
        return f"{host_text(directory)}: {error.strerror}"
    except OSError:
        return None  # it is not there yet
    return None


def changed_ns(path: bytes) -> int:
    """Give when a directory has changed last, or who may read it; -1 where it is not there."""
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return -1


def count_names(directories: Iterable[bytes]) -> int:
    """Tell how many names directories hold, together."""
    count = 0
    for directory in directories:
        with suppress(OSError):
            count += len(os.listdir(directory))
    return count


def signature(path: bytes) -> tuple[int, int, int] | None:
    """Give what changes with a file: inode, size and time; None where it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_magic(parts: list[bytes]) -> bool:
    return any(glob.has_magic(part) for part in parts)
