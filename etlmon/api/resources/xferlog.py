"""Transfers: the newest, those after an id, and what they add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from etlmon.api import events, sse
from etlmon.api.answers import Answer
from etlmon.api.paging import page
from etlmon.api.period import period
from etlmon.api.route import Route
from etlmon.contract.query import MOST_ITEMS
from etlmon.contract.xferlog import XFERLOG, XFERLOG_FILES, XFERLOG_SUMMARY
from etlmon.errors import ApiError
from etlmon.store.tables import xferlog_entries, xferlog_files
from etlmon.store.tables.xferlog_entries import Wanted
from etlmon.units import utc

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from etlmon.contract.query import Page
    from etlmon.contract.xferlog import XferlogQuery, XferlogSummaryQuery
    from etlmon.store.database import StoreService

_GROUPS = {"hour": "hour", "user": "username", "host": "remote_host", "direction": "direction"}
_PIECE_ENTRIES = 250
"""How much of a stream is on its way to a client at a time."""
_LOOKED_AT = 20_000
"""How many entries a read of a stream with a filter passes at most."""


def routes(store: StoreService, wall_clock: Callable[[], float]) -> list[Route]:
    """Give the routes of this resource."""

    async def list_transfers(query: XferlogQuery, _body: None) -> Answer:
        limit, after = min(query.limit, MOST_ITEMS), query.after
        wanted = _wanted(query)
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

    async def follow_transfers(query: XferlogQuery) -> _Source:
        if query.before is not None or query.until is not None:
            name = "until" if query.before is None else "before"
            text = f"{name}: a stream has no end; leave it out, or leave out follow."
            raise ApiError(400, "bad-parameter", text)
        return _Source(store, _wanted(query), min(query.limit, MOST_ITEMS), query.after)

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
        Route(XFERLOG, list_transfers, tables=("xferlog_entries",), source=follow_transfers),
        # Not kept: its period ends now, whether or not there is a new transfer.
        Route(XFERLOG_SUMMARY, summarize),
        Route(XFERLOG_FILES, list_files, tables=("xferlog_files",)),
    ]


def _wanted(query: XferlogQuery) -> Wanted:
    return Wanted(
        user=query.user,
        host=_plain(query.host),
        filename=query.filename,
        direction=query.direction,
        status=query.status,
        landing=query.landing,
        since=query.since,
        until=query.until,
    )


def _plain(host: str | None) -> str | None:
    """Give an IPv4 address without the form that it has in IPv6, as it is stored."""
    return host if host is None else host.removeprefix("::ffff:")


class _Source:
    """Transfers as a stream: some that are stored, then all that come, in the order of their ids.

    An entry comes once, as it is stored: what its landing became later is in the list.
    """

    tables = frozenset({"xferlog_entries"})

    def __init__(self, store: StoreService, wanted: Wanted, most: int, after: int | None) -> None:
        self._store = store
        self._wanted = wanted
        self._most = most
        self._after = after

    @property
    def key(self) -> tuple[str, Wanted]:
        """What tells this stream from others."""
        return "xferlog", self._wanted

    def start(self) -> Deferred[int]:
        """Give the position before the newest entries that are asked for."""
        return self._store.read(self._start)

    def _start(self, cursor: sqlite3.Cursor) -> int:
        if self._after is not None:
            return self._after
        found = xferlog_entries.newest(cursor, self._wanted, self._most)
        return found[-1].id - 1 if found else xferlog_entries.last_id(cursor)

    def read(self, position: int) -> Deferred[sse.Piece]:
        """Give the entries that follow a position, as many as go into a piece."""
        return self._store.read(lambda cursor: self._read(cursor, position))

    def take(self, _position: int, _stored: object) -> None:
        """Give nothing: transfers are few, and a read of them is shared."""

    def _read(self, cursor: sqlite3.Cursor, position: int) -> sse.Piece:
        last, oldest = xferlog_entries.last_id(cursor), xferlog_entries.oldest_id(cursor)
        position, given = events.go_on(position, oldest, last, "entries")
        end = min(last, position + _LOOKED_AT)
        found = xferlog_entries.following(
            cursor, self._wanted, _PIECE_ENTRIES, after=position, before=end + 1
        )
        if len(found) == _PIECE_ENTRIES:
            end = found[-1].id
        given.append(events.of(found))
        return sse.Piece(b"".join(given), end, is_all=end == last)
