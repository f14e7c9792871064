"""The host's time zone, as a daemon that starts now would find it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "/zoneinfo/"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class HostZone:
    """A time zone. Two are equal when they have the same name and the same rules."""

    name: str
    """As in Europe/Berlin; ``local`` where the host has rules without a name."""
    version: bytes
    """A hash of the rules: they change when the host gets new ones for the same name."""
    rules: ZoneInfo = field(compare=False)


def read_zone(root: Path, name: str | None = None) -> HostZone:
    """Give the zone called ``name``, else that of ``/etc/localtime``, else UTC.

    A name that the host does not know counts as UTC, as it does for the C library.
    """
    if name:
        return HostZone(name, b"", find_zone(name.removeprefix(":")) or ZoneInfo("UTC"))
    place = root / "etc/localtime"
    try:
        target = os.path.realpath(place)
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)  # cheaper than a file of Python's
        try:
            content = os.read(descriptor, _MOST_BYTES)
        finally:
            os.close(descriptor)
        _, mark, known = target.partition(_MARK)
        return _zone_of(content, known if mark else "local")
    except (OSError, ValueError):
        return HostZone("UTC", b"", ZoneInfo("UTC"))


# It is read every few seconds, and changes once in a while.
@lru_cache(maxsize=4)
def _zone_of(content: bytes, name: str) -> HostZone:
    # Not by the name: what Python once read under a name, it never reads again.
    rules = ZoneInfo.from_file(BytesIO(content), key=name)
    return HostZone(name, blake2b(content, digest_size=8).digest(), rules)


def find_zone(name: str) -> ZoneInfo | None:
    """Give the rules of a zone, None for a name that is not known."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
