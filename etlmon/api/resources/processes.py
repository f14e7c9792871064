"""Processes: those that are watched, all of them, what became of them, and how they went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from etlmon.api.answers import Answer
from etlmon.api.paging import page, page_of
from etlmon.api.period import period
from etlmon.api.route import Route
from etlmon.contract.processes import (
    PROCESS,
    PROCESS_EVENTS,
    PROCESS_HISTORY,
    PROCESS_WATCHES,
    PROCESSES,
)
from etlmon.contract.query import MOST_ITEMS
from etlmon.errors import ApiError, CollectError
from etlmon.records.process import ProcessDetail
from etlmon.store.tables import process_events, process_history, process_stats, process_watches
from etlmon.units import utc

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from etlmon.contract.processes import (
        ProcessesQuery,
        ProcessEventsQuery,
        ProcessHistoryQuery,
        ProcessQuery,
    )
    from etlmon.contract.query import Page
    from etlmon.records.process import ProcessSample
    from etlmon.store.database import StoreService

_EVENTS_OF_ONE = 20


class AllProcesses(Protocol):
    """Reads all processes of the host; the node has the one that does."""

    def read_processes(self) -> Awaitable[list[ProcessSample]]:
        """Give a sample of each; raise CollectError if they cannot be read."""


def routes(
    store: StoreService, everything: AllProcesses, wall_clock: Callable[[], float]
) -> list[Route]:
    """Give the routes of this resource."""

    async def list_processes(query: ProcessesQuery, _body: None) -> Answer:
        if query.all:
            found = await read_all()
            if query.watch is not None:
                found = [one for one in found if one.watch == query.watch]
        else:
            found = await store.read(lambda cursor: process_stats.newest(cursor, query.watch))
        return page(PROCESSES, query, found, (sample.collected_at for sample in found))

    async def read_all() -> list[ProcessSample]:
        try:
            return await everything.read_processes()
        except CollectError as error:
            raise ApiError(503, "processes-unreadable", f"{error}.") from error

    async def list_watches(query: Page, _body: None) -> Answer:
        found = await store.read(process_watches.newest)
        return page(PROCESS_WATCHES, query, found, (watch.collected_at for watch in found))

    async def list_events(query: ProcessEventsQuery, _body: None) -> Answer:
        found, total = await store.read(
            lambda cursor: process_events.newest(
                cursor,
                watch=query.watch,
                pid=query.pid,
                since=query.since,
                after=query.after,
                limit=min(query.limit, MOST_ITEMS),
                offset=query.offset,
            )
        )
        moments = (event.occurred_at for event in found)
        return page_of(PROCESS_EVENTS, query, found, total, moments)

    async def get_history(query: ProcessHistoryQuery, _body: None) -> Answer:
        since, until = period(query, utc(wall_clock()))
        found = await store.read(
            lambda cursor: process_history.history(
                cursor, query.watch, query.pid, since, until, query.points
            )
        )
        if found is None:
            of = "" if query.pid is None else f" and the pid {query.pid}"
            raise ApiError(
                404,
                "watch-not-found",
                f"Nothing is stored of the watch {query.watch}{of}; GET /api/v1/processes/watches "
                "lists the watches.",
            )
        return Answer(found, found[-1].collected_at if found else None)

    async def get_process(query: ProcessQuery, _body: None) -> Answer:
        found = await store.read(lambda cursor: _detail(cursor, query.pid))
        if found is None:
            raise ApiError(
                404,
                "process-not-watched",
                f"No watch selects a process {query.pid}; GET /api/v1/processes lists those that "
                "are watched, with all=true all of them.",
            )
        return Answer(found, found.collected_at)

    return [
        Route(
            PROCESSES,
            list_processes,
            # With the watches, which commit also when the last watch goes.
            tables=("process_stats", "process_watches"),
            is_live=lambda query: query.all,
        ),
        Route(PROCESS_WATCHES, list_watches, tables=("process_watches",)),
        Route(PROCESS_EVENTS, list_events, tables=("process_events",)),
        Route(PROCESS_HISTORY, get_history, tables=("process_history",)),
        Route(PROCESS, get_process, tables=("process_stats", "process_watches", "process_events")),
    ]


def _detail(cursor: sqlite3.Cursor, pid: int) -> ProcessDetail | None:
    found = process_stats.by_pid(cursor, pid)
    if not found:
        return None
    events, _ = process_events.newest(cursor, pid=pid, limit=_EVENTS_OF_ONE)
    return ProcessDetail(
        **msgspec.structs.asdict(found[0]),
        watches=[one.watch for one in found if one.watch is not None],
        events=events,
    )
