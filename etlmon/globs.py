"""Globs of files below a directory, and the moments in them.

A pattern is a glob relative to the directory, as a shell has it: ``*``, ``?`` and ``[..]`` match
within a name, ``**`` between slashes any number of directories. Hidden names match only where the
pattern begins with a dot too: ``*.csv`` does not find the ``.in.csv.Ab12`` that rsync still writes.
"""

from __future__ import annotations

import fnmatch
import re
from datetime import datetime

_DIRECTIVES = frozenset("aAbBcdfGHIjmMpSuUVwWxXyYzZ%")
_ANY_NAME = r"(?s:[^.].*)"


def expand(pattern: str, moment: datetime) -> str:
    """Give a pattern with a moment put in, by strftime: ``sales_%Y%m%d.csv``.

    Raises ValueError if a ``%`` means nothing.
    """
    for directive in re.findall("(?s)%.?", pattern):
        if directive[1:] not in _DIRECTIVES:
            raise ValueError(f'"{pattern}": {directive} means nothing; write %% for a % itself')
    return moment.strftime(pattern)


def glob_parts(glob: str) -> list[str | None]:
    """Give a glob as the wire has it: expressions of names, and None for any directories.

    Raises ValueError if it leads out of the directory or names nothing.
    """
    parts: list[str | None] = []
    names = [name for name in glob.split("/") if name not in ("", ".")]
    if glob.startswith("/") or ".." in names or not names:
        raise ValueError(f'"{glob}" is no glob below a directory; write one such as in/*.csv')
    for name in names:
        if name == "**":
            if parts[-1:] != [None]:
                parts.append(None)
        else:
            source = fnmatch.translate(name)
            parts.append(source if name.startswith(".") else rf"(?!\.){source}")
    if parts[-1] is None:
        parts.append(_ANY_NAME)
    return parts
