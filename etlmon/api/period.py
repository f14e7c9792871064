"""Which stretch of time a history is asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from etlmon.errors import ApiError

if TYPE_CHECKING:
    from datetime import datetime

    from etlmon.contract.query import HistoryQuery
    from etlmon.contract.xferlog import XferlogSummaryQuery

_USUAL = timedelta(days=1)


def period(query: HistoryQuery | XferlogSummaryQuery, now: datetime) -> tuple[datetime, datetime]:
    """Give since when and until when; raise ApiError (400) if that is no stretch of time."""
    until = query.until or now
    since = query.since or until - _USUAL
    if since >= until:
        raise ApiError(400, "bad-parameter", "since: must be before until.")
    return since, until
