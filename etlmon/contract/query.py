"""What the query strings of all endpoints are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from etlmon.records.base import about

MOST_ITEMS = 1_000
"""The longest page of a list; a larger ``limit`` is cut to it, and ``Link`` leads on."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
LARGEST = (1 << 53) - 1
"""The largest number that every JSON reader knows."""
RowId = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]


def natural(text: str, least: int) -> msgspec.Meta:
    """Give the ``Meta`` of a number bounded only by the largest that every JSON reader knows."""
    return about(text, ge=least, le=LARGEST)


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query string of an endpoint that takes no parameters."""


Q = TypeVar("Q", bound=Query)


class Page(Query, frozen=True, kw_only=True):
    """The query string of a list."""

    limit: Annotated[int, natural("Most items to give; more than 1,000 count as 1,000.", 1)] = 100
    offset: Annotated[int, natural("Items to leave out at the beginning.", 0)] = 0


class HistoryQuery(Query, frozen=True, kw_only=True):
    """Which part of a history, and how closely."""

    since: Annotated[
        Moment | None, about("From when, RFC 3339 with a zone; a day before until if absent.")
    ] = None
    until: Annotated[Moment | None, about("Up to when, RFC 3339 with a zone; now if absent.")] = (
        None
    )
    points: Annotated[int, about("Most points to give, evenly spread.", ge=1, le=1_000)] = 200
