"""Units as people write them, to and from the units of the program.

Durations are seconds (float), sizes are bytes (int), moments are aware UTC datetimes whose
stored form is INTEGER milliseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

# Units and numbers are decimals, not floats, so that what is written is what is meant, exactly.
_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
    "w": Decimal(604800),
}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+$"

_BYTES = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(B|[KMGT]iB|[kKMGT]B)?")
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? *(B|[KMGT]iB|[kKMGT]B)?$"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS, _LAST_MS = (
    int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1000 for year in (2, 9999)
)


def parse_duration(text: str) -> float:
    """Give the seconds of ``15s``, ``1m30s``, ``2h``, ``7d``; raise ValueError on anything else."""
    # fullmatch, since the pattern's "$" would let a last newline through.
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f'"{text}" is not a duration; write 30s, 5m, 1h')
    parts = _DURATION_PART.findall(text)
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in parts))


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit that divides them: ``90`` is ``90s``, ``300`` is ``5m``.

    ``parse_duration`` gives exactly these seconds again.
    """
    for unit in ("w", "d", "h", "m"):
        if seconds >= _SECONDS[unit] and seconds % float(_SECONDS[unit]) == 0:
            return f"{seconds / float(_SECONDS[unit]):.0f}{unit}"
    # repr has just the digits that tell this float from all others; "f" avoids exponents.
    exact = Decimal(repr(float(seconds)))
    if 0 < exact < 1:
        return f"{_shortest(exact * 1000)}ms"
    return f"{_shortest(exact)}s"


def _shortest(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_size(text: str) -> int:
    """Give the bytes of ``10MiB``, ``1.5GB``, ``4096``; raise ValueError on anything else."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is not a size; write 500MiB, 2GiB, 4096')
    number, unit = found.groups()
    return round(Decimal(number) * _BYTES[unit or "B"])


def format_size(size_bytes: int) -> str:
    """Write bytes in the largest binary unit that divides them: ``65536`` is ``64KiB``.

    A number of bytes that none divides stands alone; ``parse_size`` gives the same bytes again.
    """
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes >= _BYTES[unit] and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return str(size_bytes)


def mebibytes(size_bytes: int) -> str:
    """Write bytes for people, so that two sizes can be compared at a glance: ``68.2 MiB``."""
    return f"{size_bytes / _BYTES['MiB']:.1f} MiB"


@lru_cache(maxsize=256)  # the records of a batch share their moment
def to_millis(moment: datetime) -> int:
    """Give the stored form of an aware datetime: whole milliseconds since the epoch, UTC."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def is_moment(millis: int) -> bool:
    """Whether a number of milliseconds is a moment that has a date in every time zone."""
    return _FIRST_MS <= millis <= _LAST_MS


def from_millis(millis: int) -> datetime:
    """Give the aware UTC datetime of a stored moment.

    The first or the last that is one in every time zone for a number that is none, such as a bit
    that has turned over on a disk leaves: one row shall not keep all others from being shown.
    """
    millis = min(max(millis, _FIRST_MS), _LAST_MS)
    return _EPOCH + timedelta(milliseconds=millis)


def utc(seconds: float) -> datetime:
    """Give the UTC datetime of a ``time.time()`` reading, cut to milliseconds as it is stored."""
    return from_millis(int(seconds * 1000))
