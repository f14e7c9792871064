"""Transfers: the newest, those after an id, and what they add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from etlmon.api.answers import Answer
from etlmon.api.paging import page
from etlmon.api.period import period
from etlmon.api.server import Route
from etlmon.contract import MOST_ITEMS, XFERLOG, XFERLOG_FILES, XFERLOG_SUMMARY
from etlmon.store.tables import xferlog_entries, xferlog_files
from etlmon.store.tables.xferlog_entries import Wanted
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.contract import Page, XferlogQuery, XferlogSummaryQuery
    from etlmon.store.database import StoreService

_GROUPS = {"hour": "hour", "user": "username", "host": "remote_host", "direction": "direction"}


def routes(store: StoreService, wall_clock: Callable[[], float]) -> list[Route]:
    """Give the routes of this resource."""

    async def list_transfers(query: XferlogQuery, _body: None) -> Answer:
        limit, after = min(query.limit, MOST_ITEMS), query.after
        wanted = Wanted(
            user=query.user,
            host=_plain(query.host),
            filename=query.filename,
            direction=query.direction,
            status=query.status,
            landing=query.landing,
            since=query.since,
            until=query.until,
        )
        # One more tells whether there is a next page.
        if after is None:
            found = await store.read(
                lambda cursor: xferlog_entries.newest(
                    cursor, wanted, limit + 1, before=query.before
                )
            )
        else:
            found = await store.read(
                lambda cursor: xferlog_entries.following(
                    cursor, wanted, limit + 1, after=after, before=query.before
                )
            )
        headers = {}
        if len(found) > limit:
            last = found[limit - 1].id
            place = {"before": last} if after is None else {"after": last}
            following = XFERLOG.target(replace(query, limit=limit, **place))
            headers["Link"] = f'<{following}>; rel="next"'
        shown = found[:limit]
        changed_at = max(
            (entry.landing_checked_at or entry.created_at for entry in shown), default=None
        )
        return Answer(shown, changed_at, headers)

    async def summarize(query: XferlogSummaryQuery, _body: None) -> Answer:
        since, until = period(query, utc(wall_clock()))
        wanted = Wanted(
            user=query.user,
            host=_plain(query.host),
            filename=query.filename,
            direction=query.direction,
            since=since,
            until=until,
        )
        limit = min(query.limit, MOST_ITEMS)
        by = [_GROUPS[name] for name in query.by.split(",")]
        found, total = await store.read(
            lambda cursor: xferlog_entries.summary(cursor, wanted, by, limit, query.offset)
        )
        headers = {"X-Total-Count": str(total)}
        end = query.offset + limit
        if end < total:
            following = XFERLOG_SUMMARY.target(replace(query, limit=limit, offset=end))
            headers["Link"] = f'<{following}>; rel="next"'
        return Answer(found, None, headers)

    async def list_files(query: Page, _body: None) -> Answer:
        found = await store.read(xferlog_files.files)
        return page(XFERLOG_FILES, query, found, (one.updated_at for one in found))

    return [
        Route(XFERLOG, list_transfers, tables=("xferlog_entries",)),
        # Not kept: its period ends now, whether or not there is a new transfer.
        Route(XFERLOG_SUMMARY, summarize),
        Route(XFERLOG_FILES, list_files, tables=("xferlog_files",)),
    ]


def _plain(host: str | None) -> str | None:
    """Give an IPv4 address without the form that it has in IPv6, as it is stored."""
    return host if host is None else host.removeprefix("::ffff:")
