"""What every record is made of."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Meta


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A fact about the host, as it is collected, stored, served and shown."""


def about(text: str, **constraints: Any) -> Meta:
    """Give the ``Meta`` of a field: its help text, and constraints such as ``ge=0``."""
    return Meta(description=text, **constraints)
