"""A log of a node as the screen knows it: its newest lines as they come, older ones when asked for.

No widgets here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from etlmon.client.http import ClientError
from etlmon.client.stream import StreamFollower
from etlmon.contract.logs import LOG_LINES, LogLinesQuery
from etlmon.records.log import LogLine
from etlmon.ui import stretch
from etlmon.ui.session import Session
from etlmon.ui.stretch import Stretch

Told = Callable[[int | None], None]
"""Given the id of the line that was looked for; None if there is none."""

_FIRST_LINES = 500
_PAGE_LINES = 1_000


class LogFeed:
    """Follows a log while it is open; ``session.changed`` is called when there is news to draw.

    ``shown`` is the stretch that is on the screen. As long as its reader stays with the newest
    lines it is the ``tail``, to which they are added. Else it is one of its own, and the tail goes
    on beside it: memory holds two stretches at most, however many lines come.
    """

    log = Logger()

    def __init__(self, session: Session, name: str, path: str | None) -> None:
        self.session = session
        self.name = name
        self.path = path
        self.regex: str | None = None
        self.tail = Stretch()
        self.shown = self.tail
        self.heard_lines = 0
        """How many lines have come; those of history count too."""
        self.is_frozen = False
        self.keep_id: int | None = None
        """The oldest line on the screen; None where that follows the newest."""
        self.has_older = True
        self.may_ask = True
        """False after a question that failed: nothing is asked for by itself until it is set."""
        self.trouble: ClientError | None = None
        self.retry_at: datetime | None = None
        self.found_again_at: datetime | None = None
        self.has_begun = False
        """Whether the node has begun to give lines."""
        self._follower: StreamFollower | None = None
        self._asking: Deferred[None] | None = None
        self._is_told = False
        self._gap: str | None = None
        self._was_lost = False

    @property
    def is_open(self) -> bool:
        """Whether the stream is open, or on its way."""
        return self._follower is not None

    @property
    def is_asking(self) -> bool:
        """Whether the answer to a question for lines is awaited."""
        return self._asking is not None

    @property
    def is_at_tail(self) -> bool:
        """Whether what is shown is the newest."""
        return self.shown is self.tail

    def open(self) -> None:
        """Follow the log, after the newest line that is known."""
        if self._follower is None:
            after = self.tail.last_id
            self._was_lost = False
            query = self._query(follow=True, lines=_FIRST_LINES)
            if after is not None:
                query = msgspec.structs.replace(query, after=after)
            self._follower = self.session.follow(
                LOG_LINES,
                query,
                heard=self._heard,
                resynced=self._resynced,
                lost=self._lost,
                found=self._found,
            )

    def close(self) -> None:
        """Follow it no more, and wait for no answer."""
        self.stop_asking()
        if self._follower is not None:
            follower, self._follower = self._follower, None
            self.session.unfollow(follower)

    def filter(self, regex: str | None) -> None:
        """Have only lines that match, or all; begin anew with the newest of them."""
        self.close()
        self.regex = regex
        self.tail = self.shown = Stretch()
        self.has_older = True
        self.is_frozen = self.has_begun = False
        self.keep_id = None
        self.open()

    def seen(self) -> None:
        """Note that all news is on the screen: the next is told again."""
        self._is_told = False

    def freeze(self) -> None:
        """Leave what is shown as it is."""
        self.is_frozen = True
        if self.is_at_tail:
            self.shown = self.tail.copy()

    def to_tail(self) -> None:
        """Show the newest lines."""
        self.is_frozen = False
        if not self.is_at_tail:
            self.shown = self.tail
            self.has_older = True

    def stop_asking(self) -> None:
        """Wait for no answer any more."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    # Older and newer lines, and those of a place

    def older(self) -> None:
        """Ask for the lines before those shown, unless there are none or one asks already."""
        first = self.shown.first_id
        if self.may_ask and self.has_older and first is not None and not self.is_asking:
            self._ask(self._older(first))

    def newer(self) -> None:
        """Show lines that follow those shown: from the tail if they reach it, else ask."""
        last = self.shown.last_id
        if self.is_at_tail or self.is_frozen or self.is_asking or last is None:
            return
        if not self._join() and self.may_ask:
            self._ask(self._newer(last))

    def find(self, regex: str, line_id: int | None, *, newer: bool, told: Told) -> None:
        """Look for the nearest line that matches, after or before a line; give its id or None."""
        self.stop_asking()
        self._ask(self._find(regex, line_id, newer), told)

    def find_time(self, since: datetime, told: Told) -> None:
        """Look for the first line read at a time or later; give its id or None."""
        self.stop_asking()
        self._ask(self._find_time(since), told)

    def go_to(self, line_id: int, told: Told) -> None:
        """Show the lines around one, and say so when they are there."""
        if self.shown.holds(line_id):
            told(line_id)
        elif self.tail.holds(line_id) and not self.is_frozen:
            self.to_tail()
            told(line_id)
        else:
            self.stop_asking()
            self._ask(self._go_to(line_id), told)

    async def _older(self, first: int) -> None:
        reply = await self._call(before=first, lines=_PAGE_LINES)
        while not reply.value and reply.previous_page is not None:
            reply = await self._call(page=reply.previous_page)
        if self.is_at_tail and len(self.tail.lines) + len(reply.value) > stretch.MOST_LINES:
            self.shown = self.tail.copy()  # what is added before it must not push out the newest
        self.has_older = reply.previous_page is not None
        if self.shown.first_id is not None:
            self.shown.add_before([line for line in reply.value if line.id < self.shown.first_id])

    async def _newer(self, last: int) -> None:
        reply = await self._call(after=last, lines=_PAGE_LINES)
        while not reply.value and reply.next_page is not None:
            reply = await self._call(page=reply.next_page)
        if self.shown.is_full:
            self.has_older = True
        self.shown.add_after(reply.value)
        self._join()

    def _join(self) -> bool:
        """Go on in the tail if what is shown reaches it."""
        first, last = self.tail.first_id, self.shown.last_id
        if first is None or last is None or last < first - (self.regex is None):
            return False
        if self.keep_id is None or self.keep_id >= first:
            self.to_tail()
        else:
            begin = self.tail.place(last + 1)
            if self.shown.is_full:
                self.has_older = True
            self.shown.add_after(self.tail.lines[begin : begin + _PAGE_LINES])
        return True

    async def _find(self, regex: str, line_id: int | None, newer: bool) -> int | None:
        side: dict[str, Any] = {"after" if newer else "before": line_id}
        reply = await self._call(regex=regex, lines=1, **side)
        further = "next_page" if newer else "previous_page"
        while not reply.value and getattr(reply, further) is not None:
            reply = await self._call(page=getattr(reply, further))
        return reply.value[0].id if reply.value else None

    async def _find_time(self, since: datetime) -> int | None:
        reply = await self._call(after=0, since=since, lines=1)
        while not reply.value and reply.next_page is not None:
            reply = await self._call(page=reply.next_page)
        return reply.value[0].id if reply.value else None

    async def _go_to(self, line_id: int) -> int | None:
        before = await self._call(before=line_id, lines=_FIRST_LINES)
        after = await self._call(after=line_id - 1, lines=_FIRST_LINES)
        around = Stretch([*before.value, *after.value])
        if not around.lines:
            return None
        self.shown = around
        self.has_older = before.previous_page is not None
        return line_id

    def _query(self, **fields: Any) -> LogLinesQuery:
        fields.setdefault("regex", self.regex)
        return LogLinesQuery(name=self.name, path=self.path, **fields)

    async def _call(self, *, page: str | None = None, **fields: Any) -> Any:
        query = None if page is not None else self._query(**fields)
        return await self.session.client.call(LOG_LINES, query, page=page)

    def _ask(
        self, asking_for: Coroutine[Deferred[Any], Any, Any], told: Told | None = None
    ) -> None:
        """Run a question for lines, one at a time; ``told`` is given what comes of it."""
        asking = self._asking = Deferred.fromCoroutine(asking_for)

        def ended(result: Any) -> None:
            if self._asking is not asking:
                return  # given up: cut while connecting, it looks like any failure
            self._asking = None
            if isinstance(result, Failure):
                if not result.check(CancelledError):
                    self._failed(result)
            elif told is not None:
                told(result)
            self.session.changed(self.session)

        asking.addBoth(ended)
        asking.addErrback(lambda failure: self.log.failure("A defect.", failure))

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, ClientError):
            self.log.failure("Asking for lines of {name} failed.", failure, name=self.name)
            error = ClientError(f"{self.session.address}: {error}", "broken")
        self.may_ask = False
        self.failed(error)

    failed: Callable[[ClientError], None] = staticmethod(lambda _: None)
    """Told of a question that got no answer."""

    # The stream

    def _heard(self, line: LogLine) -> None:
        if self._gap is not None:
            self._add_gap(line, self._gap)
        last = self.tail.last_id
        if last is not None and line.id <= last:
            return
        self.heard_lines += 1
        self.has_begun = True
        if self.is_at_tail and self.tail.is_full and not self._is_kept():
            self.shown = self.tail.copy()
        self.tail.add(line)
        if self.tail.is_full and self.is_at_tail:
            self.has_older = True
        if not self._is_told:
            self._tell()

    def _is_kept(self) -> bool:
        """Whether the lines on the screen are far from where a full tail loses lines."""
        return self.keep_id is None or self.tail.place(self.keep_id) >= len(self.tail.lines) // 2

    def _add_gap(self, line: LogLine, reason: str) -> None:
        """Say before a line that some are missing there; after a new database, begin anew."""
        self._gap = None
        last = self.tail.last_id
        if last is not None and line.id <= last:
            self.tail = self.shown = Stretch()
            self.keep_id = None
        elif last is not None and line.id == last + 1:
            return
        gap = LogLine(
            id=line.id - 1,
            log_name=self.name,
            log_path=line.log_path,
            created_at=line.created_at,
            flags=["gap"],
            detail=reason,
        )
        self.tail.add(gap)

    def _resynced(self, reason: str) -> None:
        self._gap = reason
        self.found_again_at = None  # it is back, but something is left out

    def _lost(self, error: ClientError, wait_seconds: float) -> None:
        self.trouble = error
        self.retry_at = self.session.now + timedelta(seconds=wait_seconds)
        self._was_lost = True
        self._tell()

    def _found(self) -> None:
        self.trouble = self.retry_at = None
        self.has_begun = True
        if self._was_lost:
            self._was_lost = False
            self.found_again_at = self.session.now
        self._tell()

    def _tell(self) -> None:
        self._is_told = True
        self.session.changed(self.session)
