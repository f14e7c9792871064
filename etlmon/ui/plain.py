"""Answers of a node as plain text: for ``etlmon get``, for pipes and for scripts."""

from __future__ import annotations

import json
import random
import re
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from etlmon.client.backoff import BackOff
from etlmon.client.stream import follow
from etlmon.contract.logs import LogLinesQuery
from etlmon.records.base import Record
from etlmon.records.log import LogLine
from etlmon.records.xferlog import XferlogEntry
from etlmon.ui.format import format_line, format_transfer, text_fields, text_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.client.http import ClientError, NodeClient, Reply
    from etlmon.contract.endpoint import Endpoint
    from etlmon.contract.query import Query

_ESCAPED = re.compile(r"[^ -~\n]")


async def fetch_text(
    client: NodeClient,
    endpoint: Endpoint[Any, Any, Any],
    query: Query,
    most_width: int | None = None,
) -> str:
    """Give an answer as a person reads it: a table for a list, else a line for each field.

    ``most_width`` is that of the terminal that shows it, if one does.
    """
    value = await _fetch(client, endpoint, query)
    if isinstance(value, list):
        if not value:
            return "Nothing there yet."
        if isinstance(value[0], LogLine):
            return "\n".join(map(format_line, value))
        return text_table(value, endpoint.columns or value[0].__struct_fields__, most_width)
    return text_fields(value) if isinstance(value, Record) else as_json(value)


async def fetch_json(client: NodeClient, endpoint: Endpoint[Any, Any, Any], query: Query) -> str:
    """Give an answer as JSON; all pages of a list in one array."""
    return as_json(await _fetch(client, endpoint, query))


async def follow_items(
    client: NodeClient,
    endpoint: Endpoint[Any, Any, Any],
    query: Query,
    reactor: Any,
    *,
    as_json: bool,
    write: Callable[[str], None],
    tell: Callable[[str], None],
) -> None:
    """Write each item of a stream as it comes: a line for a person, or JSON, one item a line.

    ``tell`` is given what is no item: that the node is lost, and for how long, or that some could
    not be had. Goes on until it is cancelled, or ``write`` raises; raises ClientError where there
    was never a stream.
    """
    ended: Deferred[None] = Deferred()
    has_begun = False

    def heard(item: Any) -> None:
        try:
            write(_item(item, as_json=as_json))
        except OSError:  # whoever read it has gone
            fail_with(Failure())

    def lost(error: ClientError, wait_seconds: float) -> None:
        if has_begun:
            tell(f"{error}; trying again in {wait_seconds:.0f} s")
        else:
            fail_with(Failure(error))

    def fail_with(failure: Failure) -> None:
        follower.stop()
        if not ended.called:
            ended.errback(failure)

    def found() -> None:
        nonlocal has_begun
        has_begun = True

    follower = follow(
        client,
        endpoint,
        query,
        reactor,
        BackOff(random.random),
        heard=heard,
        resynced=lambda reason: tell(f"something is missing here: {reason}"),
        lost=lost,
        found=found,
    )
    follower.start()
    try:
        await ended
    finally:
        follower.stop()


def _item(item: Any, *, as_json: bool) -> str:
    if isinstance(item, LogLine) and not as_json:
        return format_line(item)
    if isinstance(item, XferlogEntry) and not as_json:
        return format_transfer(item)
    return _ESCAPED.sub(_escaped, msgspec.json.encode(item).decode())


async def _fetch(client: NodeClient, endpoint: Endpoint[Any, Any, Any], query: Query) -> Any:
    """Give the value of an answer, or all the items of a list if the query names no ``limit``."""
    reply = await client.call(endpoint, query)
    value = reply.value
    if isinstance(query, LogLinesQuery):
        return await _lines(client, endpoint, query, reply)
    if isinstance(value, list) and not _is_limited(query):
        while reply.next_page is not None:
            reply = await client.call(endpoint, page=reply.next_page)
            value.extend(reply.value)
    return value


async def _lines(
    client: NodeClient, endpoint: Endpoint[Any, Any, Any], query: LogLinesQuery, reply: Reply[Any]
) -> list[Any]:
    """Go on where an answer has fewer lines than are asked for, and there are more.

    One holds a thousand at most, and a search may have to end before it has found any.
    """
    pages = [reply.value]
    count, is_newer = len(reply.value), reply.next_page is not None
    while (page := reply.next_page or reply.previous_page) is not None:
        most = query.lines
        if most is None:
            most = int(parse_qs(urlsplit(page).query).get("lines", ["0"])[0])
        if count >= most:
            break
        reply = await client.call(endpoint, page=page)
        left = most - count
        pages.append(reply.value[:left] if is_newer else reply.value[-left:])
        count += len(pages[-1])
    return list(chain.from_iterable(pages if is_newer else reversed(pages)))


def _is_limited(query: Query) -> bool:
    """Whether one page is what was asked for; of rows that go on for ever it always is."""
    return "after" in query.__struct_fields__ or any(
        field.name in ("limit", "lines", "points") and getattr(query, field.name) != field.default
        for field in msgspec.structs.fields(query)
    )


def as_json(value: Any) -> str:
    """Write JSON that is the same for a program, and in which nothing can drive a terminal."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return _ESCAPED.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
