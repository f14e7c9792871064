"""What answers an endpoint, as resources give it to the server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from twisted.internet.defer import Deferred

from etlmon.api.answers import Answer
from etlmon.contract.endpoint import Endpoint

if TYPE_CHECKING:
    from etlmon.api.sse import Source

Handler = Callable[..., Coroutine[Deferred[Any], Any, Answer]]
"""Takes the query and the body of a request, gives its answer or raises ApiError, StoreError."""


@dataclass(frozen=True)
class Route:
    """An endpoint and what answers it."""

    endpoint: Endpoint[Any, Any, Any]
    handler: Handler
    tables: tuple[str, ...] = ()
    """The tables that the answer comes from: it is kept until one of them commits. Without any,
    it is made anew each time."""
    is_live: Callable[[Any], bool] | None = None
    """Tells of a query whether its answer comes from elsewhere all the same, and is not kept."""
    takes_attempt: bool = False
    """Whether the handler of a command takes its Attempt as a third argument: who gives it, and
    what the audit should know before it is done."""
    source: Callable[[Any], Coroutine[Deferred[Any], Any, Source]] | None = None
    """Takes a query with ``follow`` and gives what its stream sends, or raises as the handler."""


def rule(endpoint: Endpoint[Any, Any, Any]) -> str:
    """Give a path as the router wants it.

    A field whose length is fixed takes only segments of that length: of ``/cron/{id}`` and
    ``/cron/refresh`` the second is not one of the first, whatever the method.
    """
    hints = get_type_hints(endpoint.query, include_extras=True)
    rule = endpoint.path
    for name in endpoint.in_path:
        lengths = {
            (meta.min_length, meta.max_length)
            for meta in getattr(hints[name], "__metadata__", ())
            if isinstance(meta, msgspec.Meta) and meta.min_length == meta.max_length is not None
        }
        converter = f"string(length={lengths.pop()[0]}):" if lengths else ""
        rule = rule.replace(f"{{{name}}}", f"<{converter}{name}>")
    return rule
