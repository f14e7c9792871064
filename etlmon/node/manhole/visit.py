"""Who is in the console: each session stands in the audit, and ends with the node at the latest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from etlmon.control.flood import Flood
from etlmon.errors import ApiError
from etlmon.node.manhole.session import Screen, Script
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from etlmon.control.audit import AuditLog
    from etlmon.control.callers import Caller

COMMAND = "console"
_MOST_SESSIONS = 8


class Line(Protocol):
    """The connection of a session."""

    def write(self, data: bytes) -> None:
        """Send."""

    def loseConnection(self) -> None:
        """Send what waits, and close."""


class Visitors:
    """The sessions that there are, whichever way they came in."""

    log = Logger()

    def __init__(self, audit: AuditLog, namespace: Callable[[], Mapping[str, Any]]) -> None:
        self._audit = audit
        self._namespace = namespace
        self._visits: set[Visit] = set()
        self._refusals = Flood("Refusals of the console", self.log, audit.clock)
        self._closing = False

    @property
    def clock(self) -> Any:
        """The reactor, or a clock."""
        return self._audit.clock

    def let_in(self, caller: Caller, target: str, line: Line) -> Visit | None:
        """Begin a session; None if there are too many, or the node stops."""
        if self._closing or len(self._visits) >= _MOST_SESSIONS:
            self.refuse(caller, target, f"there are {_MOST_SESSIONS} sessions already")
            return None
        visit = Visit(self, self._audit, caller, target, line, self._namespace())
        self._visits.add(visit)
        return visit

    def refuse(self, caller: Caller, target: str, why: str) -> None:
        """Note that somebody was not let in: in the audit, and in the log unless they are many."""
        attempt = self._audit.attempt(caller, COMMAND, target)
        attempt.refused(ApiError(403, "not-let-in", why))
        if not self._refusals.admits():
            return
        self.log.warn(
            "The console refused {who} from {origin}: {why}",
            who=one_line(caller.who),
            origin=one_line(caller.origin),
            why=one_line(why),
        )

    def left(self, visit: Visit) -> None:
        """Forget a session that has ended."""
        self._visits.discard(visit)

    def end_all(self) -> Deferred[Any]:
        """End all sessions; fires when their ends are in the audit."""
        self._closing = True
        self._refusals.stop()
        return gatherResults([visit.end() for visit in list(self._visits)], consumeErrors=True)


class Visit:
    """One session. Nothing is run before it stands in the audit that somebody has come."""

    def __init__(
        self,
        visitors: Visitors,
        audit: AuditLog,
        caller: Caller,
        target: str,
        line: Line,
        namespace: Mapping[str, Any],
    ) -> None:
        self._visitors = visitors
        self._attempt = audit.attempt(caller, COMMAND, target)
        self._who = f"{one_line(caller.who)} from {one_line(caller.origin)}"
        self._line = line
        self._namespace = namespace
        self._session: Screen | Script | None = None
        self._before: list[bytes] = []
        self._input_ended = False
        self._over: Deferred[None] | None = None

    def begin(self, *, on_terminal: bool) -> None:
        """Begin, as soon as the entry is stored (or half a second later, if it cannot be)."""
        entered = Deferred.fromCoroutine(self._attempt.acts("the console is open"))
        entered.addCallback(lambda _: self._entered(on_terminal))
        entered.addErrback(self._failed)

    def _entered(self, on_terminal: bool) -> None:
        if self._over is not None:
            return
        self._visitors.log.info("The console is open: {who}", who=self._who)
        if on_terminal:
            screen = Screen(self._namespace)
            self._session = screen
            screen.makeConnection(self._line)
        else:
            self._session = Script(
                self._namespace, self._line.write, self._line.loseConnection, self._visitors.clock
            )
        for data in self._before:
            self._session.dataReceived(data)
        if self._input_ended:
            self._session.input_ended()

    def _failed(self, failure: Any) -> None:
        self._visitors.log.failure("The console failed.", failure)
        self._line.loseConnection()

    def received(self, data: bytes) -> None:
        """Take what has been typed."""
        if self._session is None:
            self._before.append(data)
        else:
            self._session.dataReceived(data)

    def input_ended(self) -> None:
        """Nothing more will be typed."""
        if self._session is None:
            self._input_ended = True
        else:
            self._session.input_ended()

    def end(self) -> Deferred[None]:
        """End the session from our side, or note that it has ended; fires when that is stored."""
        if self._over is not None:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        statements = 0 if self._session is None else self._session.statements
        self._over = self._attempt.done(None, f"the console was open; {statements} statements")
        self._visitors.left(self)
        self._visitors.log.info(
            "The console is closed: {who}; {statements} statements",
            who=self._who,
            statements=statements,
        )
        session, self._session = self._session, None
        if session is not None:
            session.connectionLost(None)
        self._line.loseConnection()
        return self._over
