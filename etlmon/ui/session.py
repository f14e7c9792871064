"""One node as the screen knows it: asked on a timer, its last answers kept. No widgets here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger

from etlmon.client.backoff import BackOff
from etlmon.client.http import ClientError, ProblemError
from etlmon.contract import HEALTH, Endpoint, Query
from etlmon.units import utc

SessionState = Literal["connecting", "online", "offline", "refused"]


@dataclass(frozen=True)
class Want:
    """An answer that is wanted: an endpoint, and what is asked of it."""

    endpoint: Endpoint[Any, Any, Any]
    query: Query


@dataclass(frozen=True)
class Held:
    """The newest answer to a want, and the error that came instead of a newer one."""

    value: Any = None
    received_at: datetime | None = None
    """When the answer came; None if none ever did."""
    error: ClientError | None = None


class Asks(Protocol):
    """What a session needs of a client."""

    address: str

    async def call(self, endpoint: Any, query: Any = None, body: Any = None) -> Any:
        """Ask; give a reply with its ``value``."""

    async def close(self) -> None:
        """End the connections."""


class Session:
    """Asks one node for what is wanted, every ``refresh_seconds``, one round at a time.

    A node that gives no answer is offline: it is tried again after 1, 2, 4 ... 30 seconds
    (BackOff), and its last answers stay.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        client: Asks,
        clock: Any,
        wall_clock: Callable[[], float],
        refresh_seconds: float,
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self.client = client
        self.state: SessionState = "connecting"
        self.trouble: ClientError | None = None
        self.last_seen_at: datetime | None = None
        self.retry_at: datetime | None = None
        self.changed: Callable[[Session], None] = lambda _: None
        self._clock = clock
        self._wall_clock = wall_clock
        self._refresh_seconds = refresh_seconds
        self._back_off = BackOff(random)
        self._wants: tuple[Want, ...] = ()
        self._held: dict[Want, Held] = {}
        self._timer: Any = None
        self._round: Deferred[None] | None = None
        self._again = False
        self._last_seen = clock.seconds()

    @property
    def address(self) -> str:
        """Where the node is."""
        return self.client.address

    @property
    def health(self) -> Held:
        """The newest answer about the node itself; it is always wanted."""
        return self.held(Want(HEALTH, Query()))

    @property
    def is_stale(self) -> bool:
        """Whether the answers are older than they should be, though nothing has failed."""
        return (
            self.state == "online"
            and self._clock.seconds() - self._last_seen > 3 * self._refresh_seconds + 1
        )

    def held(self, want: Want) -> Held:
        """Give what is known of a want."""
        return self._held.get(want, Held())

    def start(self) -> None:
        """Begin to ask."""
        self._begin()

    def stop(self) -> Deferred[None]:
        """Ask no more; fires when the connections are closed."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._again = False
        if self._round is not None:
            self._round.cancel()
        return Deferred.fromCoroutine(self.client.close())

    def want(self, wants: Sequence[Want]) -> None:
        """Say what is wanted from now on besides the node's health; ask at once for what is new."""
        is_new = any(want not in self._held for want in wants)
        self._wants = tuple(wants)
        if is_new:
            self.refresh()

    def refresh(self) -> None:
        """Ask now, whatever the timer says."""
        if self._round is not None:
            self._again = True
        elif self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._begin()

    async def command(self, endpoint: Endpoint[Any, Any, Any], body: Any) -> Any:
        """Give a command and then ask anew; raises ClientError."""
        reply = await self.client.call(endpoint, None, body)
        self.refresh()
        return reply.value

    def _begin(self) -> None:
        began = self._clock.seconds()
        self._again = False
        self._round = Deferred.fromCoroutine(self._ask_all())
        self._round.addErrback(self._failed)
        self._round.addCallback(lambda _: self._ended(began))

    def _failed(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self.log.failure("Asking {name} failed.", failure, name=self.name)

    def _ended(self, began: float) -> None:
        self._round = None
        if self.state == "offline":
            wait = self._back_off.next_seconds()
        else:
            self._back_off.reset()
            wait = max(0.0, began + self._refresh_seconds - self._clock.seconds())
        if self._again:
            wait = 0.0
        self.retry_at = utc(self._wall_clock() + wait) if self.state == "offline" else None
        self._timer = self._clock.callLater(wait, self._begin)
        self.changed(self)

    async def _ask_all(self) -> None:
        """Ask for everything that is wanted, side by side."""
        wants = dict.fromkeys((*self._wants, Want(HEALTH, Query())))
        outcomes = await gatherResults(
            [Deferred.fromCoroutine(self._ask(want)) for want in wants], consumeErrors=True
        )
        gone = [error for error in outcomes if error and not isinstance(error, ProblemError)]
        refused = self.health.error
        if gone:
            self.state, self.trouble = "offline", gone[0]
            return
        self.last_seen_at = utc(self._wall_clock())
        self._last_seen = self._clock.seconds()
        if refused is not None and refused.kind == "forbidden":
            self.state, self.trouble = "refused", refused
        else:
            self.state, self.trouble = "online", None

    async def _ask(self, want: Want) -> ClientError | None:
        before = self.held(want)
        try:
            reply = await self.client.call(want.endpoint, want.query)
        except ClientError as error:
            self._held[want] = Held(before.value, before.received_at, error)
            return error
        self._held[want] = Held(reply.value, utc(self._wall_clock()))
        if want in self._wants:
            self.state = "online"
            self.changed(self)
        return None
