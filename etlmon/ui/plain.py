"""Answers of a node as plain text: for ``etlmon get``, for pipes and for scripts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from etlmon.records.base import Record
from etlmon.ui.format import text_fields, text_table

if TYPE_CHECKING:
    from etlmon.client.http import NodeClient
    from etlmon.contract import Endpoint, Query

_ESCAPED = re.compile(r"[^ -~\n]")


async def fetch_text(client: NodeClient, endpoint: Endpoint[Any, Any, Any], query: Query) -> str:
    """Give an answer as a person reads it: a table for a list, else a line for each field."""
    value = await _fetch(client, endpoint, query)
    if isinstance(value, list):
        if not value:
            return "Nothing there yet."
        return text_table(value, endpoint.columns or value[0].__struct_fields__)
    return text_fields(value) if isinstance(value, Record) else as_json(value)


async def fetch_json(client: NodeClient, endpoint: Endpoint[Any, Any, Any], query: Query) -> str:
    """Give an answer as JSON; all pages of a list in one array."""
    return as_json(await _fetch(client, endpoint, query))


async def _fetch(client: NodeClient, endpoint: Endpoint[Any, Any, Any], query: Query) -> Any:
    """Give the value of an answer, or all the items of a list if the query names no ``limit``."""
    reply = await client.call(endpoint, query)
    value = reply.value
    if isinstance(value, list) and not _is_limited(query):
        while reply.next_page is not None:
            reply = await client.call(endpoint, page=reply.next_page)
            value.extend(reply.value)
    return value


def _is_limited(query: Query) -> bool:
    return any(
        field.name in ("limit", "points") and getattr(query, field.name) != field.default
        for field in msgspec.structs.fields(query)
    )


def as_json(value: Any) -> str:
    """Write JSON that is the same for a program, and in which nothing can drive a terminal."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return _ESCAPED.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
