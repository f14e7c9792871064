"""Logs: what they say and said, how far they have been read, and commands to pause them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, DeferredSemaphore

from etlmon.api import events, sse
from etlmon.api.answers import Answer
from etlmon.api.paging import page_of
from etlmon.api.route import Route
from etlmon.contract.logs import LOG_LINES, LOGS, PAUSE_LOG, RESUME_LOG
from etlmon.contract.query import MOST_ITEMS
from etlmon.errors import ApiError
from etlmon.store import search
from etlmon.store.search import Wanted
from etlmon.store.tables import log_files, log_lines
from etlmon.store.tables.log_lines import Part

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from etlmon.contract.logs import LogLinesQuery, LogSwitchQuery
    from etlmon.contract.query import Page
    from etlmon.control.policy import Policy
    from etlmon.records.log import LogLine, LogSwitchAnswer, LogSwitchRequest
    from etlmon.store.database import StoreService

_USUAL_LINES = 100
"""Of a log that is not configured any more."""
_SEARCH_SECONDS = 3.0
_STEP_SECONDS = 0.25
"""How long a search holds one of the store's readers, and its read transaction, at a time."""
_SEARCHES, _WAITING_SEARCHES = 2, 20
"""How many run at a time, which leaves readers to others, and how many may wait."""
_PIECE_LINES, _PIECE_CHARACTERS = 500, 128 << 10
"""How much of a stream is on its way to a client at a time."""
_TAKEN_LINES, _TAKEN_CHARACTERS = 100, 32 << 10
"""How much of it is put together in the reactor's thread: well under a millisecond's work."""


class Logs(Protocol):
    """The logs that are configured; the node has the collectors that read them."""

    def buffer_lines(self, name: str) -> int | None:
        """Give how many lines are given unless asked otherwise; None for an unknown log."""

    async def switch_log(self, name: str, *, paused: bool) -> LogSwitchAnswer:
        """Pause or resume a log; raise ApiError (404) for one that is not configured."""


def routes(store: StoreService, logs: Logs, policy: Policy, clock: Any) -> list[Route]:
    """Give the routes of this resource. ``clock`` tells seconds that only grow."""
    searches = _Searches(store, clock)

    async def list_logs(query: Page, _body: None) -> Answer:
        most = min(query.limit, MOST_ITEMS)
        found, (total, updated_at) = await store.read(
            lambda cursor: (
                log_files.listed(cursor, most, query.offset),
                log_files.counted(cursor),
            )
        )
        return page_of(LOGS, query, found, total, (updated_at,))

    async def get_lines(query: LogLinesQuery, _body: None) -> Answer:
        most = await _known(query)
        wanted, part = _wanted(query), _part(query)
        newest = query.after is None
        if not most:
            return Answer([])
        if wanted is None:
            found, is_all = await store.read(lambda cursor: _lines(cursor, part, most, newest))
            rest = None if is_all else _beyond(part, found, newest=newest)
        else:
            found, rest = await searches.find(part, wanted, most, newest=newest)
        headers = {} if rest is None else {"Link": _link(query, rest, most, newest=newest)}
        return Answer(found, _last_read(found), headers)

    async def follow_lines(query: LogLinesQuery) -> _Source:
        if query.before is not None or query.until is not None:
            name = "until" if query.before is None else "before"
            text = f"{name}: a stream has no end; leave it out, or leave out follow."
            raise ApiError(400, "bad-parameter", text)
        return _Source(searches, _part(query), _wanted(query), await _known(query), query.after)

    async def pause(query: LogSwitchQuery, body: LogSwitchRequest) -> Answer:
        with policy.counted("other", confirmed=body.confirm):
            return Answer(await logs.switch_log(query.name, paused=True))

    async def resume(query: LogSwitchQuery, body: LogSwitchRequest) -> Answer:
        with policy.counted("other", confirmed=body.confirm):
            return Answer(await logs.switch_log(query.name, paused=False))

    async def _known(query: LogLinesQuery) -> int:
        """Give how many lines are asked for; raise ApiError (404) if nothing is known of the log.

        One that was configured once has lines until they are too old.
        """
        usual = logs.buffer_lines(query.name)
        if usual is None:
            usual = _USUAL_LINES
            if not await store.read(lambda cursor: log_lines.is_known(cursor, query.name)):
                raise ApiError(
                    404,
                    "log-not-found",
                    f"There is no log {query.name}; GET /api/v1/logs lists the logs.",
                )
        return min(usual if query.lines is None else query.lines, MOST_ITEMS)

    tables = ("log_lines", "log_blocks")
    return [
        Route(LOGS, list_logs, tables=("log_files", "log_lines", "log_switches")),
        Route(LOG_LINES, get_lines, tables=tables, source=follow_lines),
        Route(PAUSE_LOG, pause),
        Route(RESUME_LOG, resume),
    ]


def _part(query: LogLinesQuery) -> Part:
    part = Part(query.name, query.path, query.after or 0, since=query.since, until=query.until)
    return part if query.before is None else replace(part, before=query.before)


def _wanted(query: LogLinesQuery) -> Wanted | None:
    """Give what lines must hold; raise ApiError (400) for what is no regular expression."""
    if query.match is None and query.regex is None:
        return None
    wanted = Wanted(query.match, query.regex)
    try:
        wanted.check()
    except ValueError as error:
        raise ApiError(400, "bad-parameter", f"regex: {error}.") from error
    return wanted


def _lines(
    cursor: sqlite3.Cursor, part: Part, most: int, newest: bool
) -> tuple[list[LogLine], bool]:
    """Give lines of a part, and whether they are all that are in it."""
    found = log_lines.lines(cursor, part, most, newest=newest)
    return found, log_lines.is_empty(cursor, _beyond(part, found, newest=newest))


def _beyond(part: Part, found: Sequence[LogLine], *, newest: bool) -> Part:
    """Give what is left of a part beyond the lines that were found in it."""
    if not found:
        return replace(part, before=part.after)
    return replace(part, before=found[0].id) if newest else replace(part, after=found[-1].id)


def _link(query: LogLinesQuery, rest: Part, most: int, *, newest: bool) -> str:
    """Give the header that leads on, to older lines or to newer ones."""
    following = msgspec.structs.replace(query, lines=most, before=rest.before)
    if newest:
        return f'<{LOG_LINES.target(following)}>; rel="prev"'
    following = msgspec.structs.replace(query, lines=most, after=rest.after)
    return f'<{LOG_LINES.target(following)}>; rel="next"'


def _events(stored: log_lines.Stored) -> bytes:
    """Give the events of lines; what ordinary ones have in common is encoded once."""
    block = stored.block
    if block.marks or block.logged_at_ms is not None:
        return events.of([*stored.lines()])
    without_text = msgspec.structs.replace(next(stored.lines()), line=None)
    before, after = msgspec.json.encode(without_text).split(b'"line":null', 1)
    before = before.partition(b",")[2]  # the number is first, and each line's own
    texts = enumerate(events.encode_each(block.lines), stored.first_id)
    return b"".join(
        [
            b'id: %d\ndata: {"id":%d,%s"line":%s%s\n\n' % (number, number, before, text, after)
            for number, text in texts
        ]
    )


def _last_read(found: Sequence[LogLine]) -> datetime | None:
    return max((line.created_at for line in found), default=None)


class _Searches:
    """Looks through the store in short steps, few searches at a time."""

    def __init__(self, store: StoreService, clock: Any) -> None:
        self.store = store
        self._clock = clock
        self._turns = DeferredSemaphore(_SEARCHES)

    async def find(
        self, part: Part, wanted: Wanted, most: int, *, newest: bool
    ) -> tuple[list[LogLine], Part | None]:
        """Give the lines that are found in good time, and what is left to look through.

        Raises ApiError (503) where too many ask for searches.
        """
        if len(self._turns.waiting) >= _WAITING_SEARCHES:
            raise ApiError(
                503,
                "too-many-searches",
                "Too many searches wait for their turn; try again.",
                headers={"Retry-After": str(round(_SEARCH_SECONDS))},
            )
        await self._turns.acquire()
        try:
            give_up_at = self._clock.seconds() + _SEARCH_SECONDS
            found: list[LogLine] = []
            rest: Part | None = part
            while rest is not None and len(found) < most and self._clock.seconds() < give_up_at:
                step = await self.step(rest, wanted, most - len(found), newest=newest)
                found = step.lines + found if newest else found + step.lines
                rest = step.rest
                if sum(len(line.line or "") for line in found) >= log_lines.MOST_CHARACTERS:
                    break
        finally:
            self._turns.release()
        return found, rest

    def step(self, part: Part, wanted: Wanted, most: int, **how: Any) -> Deferred[search.Found]:
        """Look through a part for a short time, in one read transaction."""
        return self.store.read(lambda cursor: self.look(cursor, part, wanted, most, **how))

    def look(
        self, cursor: sqlite3.Cursor, part: Part, wanted: Wanted, most: int, **how: Any
    ) -> search.Found:
        """Look through a part for a short time."""
        give_up_at = self._clock.seconds() + _STEP_SECONDS
        return search.search(
            cursor, part, wanted, most, give_up=lambda: self._clock.seconds() > give_up_at, **how
        )


class _Source:
    """The lines of a log as a stream: some that are stored, then all that come."""

    tables = frozenset({"log_lines"})

    def __init__(
        self,
        searches: _Searches,
        part: Part,
        wanted: Wanted | None,
        most: int,
        after: int | None,
    ) -> None:
        self._searches = searches
        self._store = searches.store
        self._part = replace(part, after=0)
        self._wanted = wanted
        self._most = most
        self._after = after

    @property
    def key(self) -> tuple[Part, Wanted | None]:
        """What tells this stream from others."""
        return self._part, self._wanted

    def start(self) -> Deferred[int]:
        """Give the position before the newest lines that are asked for."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> int:
        if self._after is not None:
            return self._after
        last, found = await self._store.read(self._newest)
        if self._wanted is not None and self._most:
            part = replace(self._part, before=last + 1)
            found, _ = await self._searches.find(part, self._wanted, self._most, newest=True)
        return found[0].id - 1 if found else last

    def _newest(self, cursor: sqlite3.Cursor) -> tuple[int, list[LogLine]]:
        last = log_lines.last_id(cursor)
        if self._wanted is not None or not self._most:
            return last, []
        return last, log_lines.lines(cursor, self._part, self._most, newest=True)

    def read(self, position: int) -> Deferred[sse.Piece]:
        """Give the lines that follow a position, as many as go into a piece."""
        return self._store.read(lambda cursor: self._read(cursor, position))

    def take(self, position: int, stored: Sequence[Any]) -> sse.Piece | None:
        """Give the next lines of all logs that were just stored, if they are few.

        What is wanted must be looked for in a thread.
        """
        blocks = [one for one in stored if isinstance(one, log_lines.Stored)]
        if self._wanted is not None or not blocks or blocks[0].first_id != position + 1:
            return None
        own = [one for one in blocks if self._part.holds(one.block)]
        texts = [line or "" for one in own for line in one.block.lines]
        if len(texts) > _TAKEN_LINES or sum(map(len, texts)) > _TAKEN_CHARACTERS:
            return None
        data = b"".join([_events(one) for one in own])
        return sse.Piece(data, blocks[-1].last_id, is_all=True)

    def _read(self, cursor: sqlite3.Cursor, position: int) -> sse.Piece:
        last, oldest = log_lines.last_id(cursor), log_lines.oldest_id(cursor)
        position, given = events.go_on(position, oldest, last, "lines")
        part = replace(self._part, after=position, before=last + 1)
        if self._wanted is None:
            found = log_lines.lines(
                cursor, part, _PIECE_LINES, newest=False, most_characters=_PIECE_CHARACTERS
            )
            rest: Part | None = _beyond(part, found, newest=False)
            if rest is None or log_lines.is_empty(cursor, rest):
                rest = None
        else:
            looked = self._searches.look(
                cursor,
                part,
                self._wanted,
                _PIECE_LINES,
                newest=False,
                most_characters=_PIECE_CHARACTERS,
            )
            found, rest = looked.lines, looked.rest
        given.append(events.of(found))
        return sse.Piece(b"".join(given), last if rest is None else rest.after, is_all=rest is None)
