"""Pages of lists: the items in the body, where they stand in the headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from etlmon.api.answers import Answer
from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import MOST_ITEMS, Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


def page(
    endpoint: Endpoint[Any, Any, Any],
    query: Page,
    items: Sequence[Any],
    collected: Iterable[datetime | None],
) -> Answer:
    """Give the part of ``items`` that ``query`` asks for.

    ``X-Total-Count`` says how many there are, ``Link`` leads to the next page, ``Last-Modified``
    is the newest of ``collected``.
    """
    end = query.offset + min(query.limit, MOST_ITEMS)
    return page_of(endpoint, query, items[query.offset : end], len(items), collected)


def page_of(
    endpoint: Endpoint[Any, Any, Any],
    query: Page,
    items: Sequence[Any],
    total: int,
    collected: Iterable[datetime | None],
) -> Answer:
    """Give a page whose ``items``, out of ``total``, have been chosen already; else as ``page``."""
    limit = min(query.limit, MOST_ITEMS)
    end = query.offset + limit
    headers = {"X-Total-Count": str(total)}
    if end < total:
        following = endpoint.target(replace(query, limit=limit, offset=end))
        headers["Link"] = f'<{following}>; rel="next"'
    moments = [moment for moment in collected if moment is not None]
    return Answer(items, max(moments, default=None), headers)
