"""One call of the API, as the server, the document and the clients see it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, unquote, urlencode

import msgspec

from etlmon.contract.query import Q
from etlmon.contract.wire import query_texts

PREFIX = "/api/v1"
_IN_PATH = re.compile(r"\{([a-z_]+)\}")
B = TypeVar("B")
A = TypeVar("A")


@dataclass(frozen=True)
class Endpoint(Generic[Q, B, A]):
    """One call of the API."""

    name: str
    """Stable name: operationId in OpenAPI."""
    method: Literal["GET", "POST", "DELETE"]
    path: str
    """Below ``/api/v1``; ``{name}`` is the segment that holds the query's field ``name``."""
    summary: str
    query: type[Q]
    """All that a request says besides its body, whether in the path or in the query string."""
    body: type[B]
    """``NoneType`` where there is none. Only POST has one.

    Every command has ``confirm``: a POST in its body, a DELETE in its query.
    """
    answer: type[A]
    """A record, or for a list ``list[record]``."""
    status: int = 200
    columns: tuple[str, ...] = ()
    """The fields that a narrow table shows, most important first; all of them if empty."""
    follows: bool = False
    """Whether it answers ``follow=true`` with a stream of events, of the same items."""
    problems: tuple[int, ...] = ()
    """Statuses of the problems that this call in particular may answer with."""

    @property
    def is_command(self) -> bool:
        """Whether it changes something, and so needs confirmation."""
        return self.method != "GET"

    @property
    def in_path(self) -> tuple[str, ...]:
        """The fields of the query that stand in the path."""
        return tuple(_IN_PATH.findall(self.path))

    @property
    def needs_parameters(self) -> bool:
        """Whether it cannot be asked without parameters."""
        return any(field.required for field in msgspec.structs.fields(self.query))

    @property
    def item(self) -> Any:
        """The record of which the answer is a list; None if it is no list."""
        if getattr(self.answer, "__origin__", None) is list:
            return self.answer.__args__[0]  # type: ignore[attr-defined]
        return None

    def target(self, query: Q | None = None) -> str:
        """Give the path and the query string of a request.

        ``query`` may be None where nothing is required. What is at its default is left out.
        """
        texts = {} if query is None else query_texts(query)
        path = _IN_PATH.sub(lambda name: quote(texts.pop(name[1]), safe=""), self.path)
        return PREFIX + path + (f"?{urlencode(texts)}" if texts else "")

    def segments(self, resource: str) -> dict[str, str] | None:
        """Give the fields that ``resource``, a path below ``/api/v1``, holds; None for another."""
        words, given = self.path.strip("/").split("/"), resource.strip("/").split("/")
        if len(words) != len(given):
            return None
        found = {}
        for word, text in zip(words, given, strict=True):
            name = _IN_PATH.fullmatch(word)
            if name is not None and text:
                found[name[1]] = unquote(text)
            elif word != unquote(text):
                return None
        return found
