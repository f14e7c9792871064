"""The audit: what becomes of every command is stored, whoever gave it and however it ended.

A database that takes no writes holds up no command: a full disk may be the very reason to end a
process. The rows wait in the writer's queue, and the log has a line for each command besides.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec.structs import fields, replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from etlmon.control.policy import RateLimit
from etlmon.errors import why_not_stored
from etlmon.records.audit import AuditEvent
from etlmon.store.tables import audit_log
from etlmon.text import one_line, without_tokens
from etlmon.units import utc

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from etlmon.control.callers import Caller
    from etlmon.errors import ApiError
    from etlmon.records.audit import AuditOutcome
    from etlmon.records.base import Record

_COMMIT_SECONDS = 0.5
"""How long a command waits for its row: a commit takes 20 ms, a full disk takes for ever."""
_REFUSALS_AT_ONCE = 100
_REFUSALS_PER_MINUTE = 2
_FOLD_SECONDS = 600.0
_MOST_FOLDED = 50
_MOST_CHARACTERS = 1_000
_NOT_ARGUMENTS = frozenset(("confirm", "reason", "token"))
_MANY = "several"
_OTHERS = " and others"


class AuditStore(Protocol):
    """Where the rows go: the store."""

    def write(self, records: Sequence[Record]) -> Deferred[None]:
        """Store records; fires when they are committed."""

    def run(
        self, work: Callable[[sqlite3.Cursor], Any], tables: Iterable[str] = ()
    ) -> Deferred[Any]:
        """Do other work on the writer's connection, in its turn."""


class AuditLog:
    """Writes the audit.

    Refusals are what a stranger can make as many of as he likes, and each row pushes an old one out
    of the table in the end. So they are limited: 100 at once and then 2 a minute have a row of
    their own; of the others those of one caller with one problem are counted, and stored as one
    row after 10 minutes. ``stop`` stores what has been counted.
    """

    log = Logger()

    def __init__(self, store: AuditStore, clock: Any, wall_clock: Callable[[], float]) -> None:
        self.clock = clock
        self.wall_clock = wall_clock
        self._store = store
        self._single = RateLimit(_REFUSALS_PER_MINUTE, clock.seconds, burst=_REFUSALS_AT_ONCE)
        self._folded: dict[tuple[str, ...], AuditEvent] = {}
        self._timer: IDelayedCall | None = None

    def attempt(self, caller: Caller, command: str, target: str) -> Attempt:
        """Note that a command has come; what becomes of it is for the Attempt to hear."""
        return Attempt(self, caller, command, target)

    def stop(self) -> None:
        """Store what has been counted; the store must still be open."""
        if self._timer is not None:
            self._timer.cancel()
            self._unfold()

    def write(self, event: AuditEvent) -> Deferred[None]:
        """Store a row; fires when it is committed, or after half a second."""
        return self._bounded(self._store.write([event]))

    def begin(self, event: AuditEvent) -> tuple[list[int], Deferred[None]]:
        """Store the row of a command that goes on; its id will be in the list."""
        ids: list[int] = []

        def work(cursor: sqlite3.Cursor) -> None:
            ids[:] = [audit_log.begin(cursor, event)]  # the writer may have to do it again

        return ids, self._bounded(self._store.run(work, ["audit_log"]))

    def finish(self, ids: list[int], event: AuditEvent) -> Deferred[None]:
        """Store the end of a command; its row was stored before, for the writer keeps the order."""

        def work(cursor: sqlite3.Cursor) -> None:
            audit_log.finish(cursor, ids[0], event)

        return self._bounded(self._store.run(work, ["audit_log"]))

    def fold(self, event: AuditEvent) -> None:
        """Store a refusal, or count it if there are too many."""
        if self._single.take() == 0:
            self.write(event)
            return
        key: tuple[str, ...] = (event.who, event.origin, event.command, str(event.problem))
        if key not in self._folded and len(self._folded) >= _MOST_FOLDED:
            event = replace(
                event, who=_MANY, origin=_MANY, command=_MANY, target=_MANY, arguments=None
            )
            key = (_MANY,)
        first = self._folded.setdefault(key, replace(event, attempts=0))
        target = first.target.removesuffix(_OTHERS)
        if event.target != target:  # all were refused alike, but not all of them this
            first = replace(first, target=target + _OTHERS)
        self._folded[key] = replace(first, attempts=first.attempts + 1)
        if self._timer is None:
            self._timer = self.clock.callLater(_FOLD_SECONDS, self._unfold)

    def _unfold(self) -> None:
        self._timer = None
        folded, self._folded = self._folded, {}
        if folded:
            self._bounded(self._store.write(list(folded.values())))

    def _bounded(self, written: Deferred[Any]) -> Deferred[None]:
        """Give what fires, with no error, when a row is committed or time is up.

        The row is stored all the same, when the database takes it.
        """
        waiting: Deferred[None] = Deferred()
        late = self.clock.callLater(_COMMIT_SECONDS, waiting.callback, None)

        def done(_: object) -> None:
            if late.active():
                late.cancel()
                waiting.callback(None)

        written.addErrback(self._not_stored).addCallback(done)
        return waiting

    def _not_stored(self, failure: Failure) -> None:
        self.log.error(
            "A row of the audit was not stored: {error}",
            error=one_line(why_not_stored(failure.value)),
        )


class Attempt:
    """One command on its way: it has come, and it ends once, by ``done`` or by ``refused``."""

    def __init__(self, audit: AuditLog, caller: Caller, command: str, target: str) -> None:
        self.caller = caller
        self._audit = audit
        self._began = audit.clock.seconds()
        self._ids: list[int] | None = None
        self._has_ended = False
        self._event = AuditEvent(
            requested_at=utc(audit.wall_clock()),
            who=caller.who,
            origin=caller.origin,
            command=command,
            target=_cut(target) or "",
            outcome="begun",
        )

    def asks(self, query: Any, body: Any) -> None:
        """Note what is asked for, as soon as that has been read."""
        given = {**_given(query), **_given(body)}
        told = {name: value for name, value in given.items() if name not in _NOT_ARGUMENTS}
        self._event = replace(
            self._event,
            arguments=_cut(msgspec.json.encode(told).decode()) if told else None,
            reason=_cut(given.get("reason")),
        )

    async def acts(self, detail: str) -> None:
        """Store that something is about to be done that cannot be undone.

        Comes back when that is on the disk, or after half a second if it cannot be. The end of the
        command goes into the same row; if the node does not live to see it, the row says so.
        """
        self._event = replace(self._event, detail=_cut(detail))
        if self._ids is None:
            self._ids, begun = self._audit.begin(self._event)
            await begun

    def done(self, status: int | None, detail: str | None) -> Deferred[None]:
        """Store that the command was done; fires when that is committed, or after half a second."""
        return self._end("done", status, None, detail)

    def refused(self, problem: ApiError) -> Deferred[None]:
        """Store that the command was refused, or that the node failed; fires as ``done`` does."""
        outcome: AuditOutcome = "refused" if problem.status < 500 else "failed"
        return self._end(outcome, problem.status, problem.problem, problem.detail)

    def _end(
        self,
        outcome: AuditOutcome,
        status: int | None,
        problem: str | None,
        detail: str | None,
    ) -> Deferred[None]:
        nothing: Deferred[None] = Deferred()
        nothing.callback(None)
        if self._has_ended:
            return nothing
        self._has_ended = True
        event = replace(
            self._event,
            outcome=outcome,
            status=status,
            problem=problem,
            detail=_cut(detail) or self._event.detail,
            duration_ms=math.floor((self._audit.clock.seconds() - self._began) * 1000),
        )
        if self._ids is not None:
            return self._audit.finish(self._ids, event)
        if outcome == "done":
            return self._audit.write(event)
        self._audit.fold(event)
        return nothing


def _given(said: Any) -> dict[str, Any]:
    """Give the fields of a query or a body that are not at their default."""
    if not isinstance(said, msgspec.Struct):
        return {}
    return {
        field.encode_name: value
        for field in fields(said)
        if (value := getattr(said, field.name)) != field.default
    }


def _cut(text: str | None) -> str | None:
    """Give text of others as it is stored: bounded, and without what might be a secret."""
    if text is None:
        return None
    safe = without_tokens(text)
    return safe if len(safe) <= _MOST_CHARACTERS else safe[:_MOST_CHARACTERS] + "..."
