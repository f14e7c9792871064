"""What every record is made of."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Meta


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A fact about the host, as it is collected, stored, served and shown."""


class RequestBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command is given. An unknown field is refused.

    It meant something: without it another thing would be done, such as a signal sent to whatever
    has a pid by now.
    """


# A state is a plain string in a record, though few words are possible: a client of today must
# read what a node of tomorrow says. Code that gives one is typed by a Literal beside the record.


def about(text: str, **constraints: Any) -> Meta:
    """Give the ``Meta`` of a field: its help text, and constraints such as ``ge=0``."""
    return Meta(description=text, **constraints)
