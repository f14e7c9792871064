"""Answers, encoded once and kept until a table they come from commits again."""

from __future__ import annotations

import gzip
from collections import OrderedDict
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from datetime import datetime

_WORTH_COMPRESSING_BYTES = 1_024
_MOST_KEPT = 256


@dataclass(frozen=True)
class Answer:
    """What a resource gives: the value, and what the headers say of it."""

    value: Any
    changed_at: datetime | None = None
    """When the newest of its facts was collected: ``Last-Modified``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    summary: str | None = None
    """What was done, in words, for the audit; of a command only."""


class EncodedAnswer:
    """An answer as bytes, with its validators; compressed at most once."""

    endpoint = ""
    """The name of the endpoint that it is an answer of."""

    def __init__(self, answer: Answer) -> None:
        self.body = msgspec.json.encode(answer.value)
        # Weak: the compressed and the plain form count as one.
        self.etag = b'W/"%s"' % blake2b(self.body, digest_size=12).hexdigest().encode()
        self.headers: list[tuple[bytes, list[bytes]]] = [
            (b"ETag", [self.etag]),
            *((name.encode(), [text.encode()]) for name, text in answer.headers.items()),
        ]
        if answer.changed_at is not None:
            when = format_datetime(answer.changed_at, usegmt=True)
            self.headers.append((b"Last-Modified", [when.encode()]))

    @property
    def worth_compressing(self) -> bool:
        """Whether compression saves more than it costs."""
        return len(self.body) >= _WORTH_COMPRESSING_BYTES

    @cached_property
    def compressed(self) -> bytes:
        """The body, gzipped; the same bytes each time."""
        return gzip.compress(self.body, compresslevel=6, mtime=0)


class _Making:
    """An answer on its way, and who waits for it."""

    def __init__(self, tables: frozenset[str]) -> None:
        self.tables = tables
        self.outdated = False
        self.waiting: list[Deferred[EncodedAnswer]] = []


class KeptAnswers:
    """Encoded answers by their request, dropped when a table commits that they come from.

    Requests for an answer that is being made wait for it, unless a commit has outdated it
    meanwhile: who asks after a commit gets what was committed.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[EncodedAnswer, frozenset[str]]] = OrderedDict()
        self._making: dict[bytes, _Making] = {}

    def get(self, key: bytes) -> EncodedAnswer | None:
        """Give the kept answer to a request, None if there is none."""
        kept = self._kept.get(key)
        return None if kept is None else kept[0]

    def make(
        self,
        key: bytes,
        tables: Iterable[str],
        make: Callable[[], Coroutine[Deferred[Any], Any, Answer]],
    ) -> Deferred[EncodedAnswer]:
        """Make the answer to a request, or wait for the one being made.

        It is kept until one of ``tables`` commits; without tables it is not kept at all.
        A request that is cancelled leaves the others waiting; fails as ``make`` fails.
        """
        making = self._making.get(key)
        begins = making is None or making.outdated
        if making is None or begins:
            making = self._making[key] = _Making(frozenset(tables))
        turn: Deferred[EncodedAnswer] = Deferred(making.waiting.remove)
        making.waiting.append(turn)
        if begins:
            made = Deferred.fromCoroutine(make()).addCallback(EncodedAnswer)
            made.addBoth(self._made, key, making)
        return turn

    def forget(self, tables: frozenset[str]) -> None:
        """Drop what comes from one of ``tables``: they have committed."""
        for key, (_, sources) in [*self._kept.items()]:
            if sources & tables:
                del self._kept[key]
        for making in self._making.values():
            making.outdated = making.outdated or bool(making.tables & tables)

    def _made(self, result: Any, key: bytes, making: _Making) -> None:
        if self._making.get(key) is making:
            del self._making[key]
        if isinstance(result, EncodedAnswer) and making.tables and not making.outdated:
            self._kept[key] = (result, making.tables)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        waiting, making.waiting = making.waiting, []
        for turn in waiting:
            turn.callback(result)
