"""One node as the screen knows it: asked on a timer, its last answers kept. No widgets here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from etlmon.client.backoff import BackOff
from etlmon.client.http import ClientError, ProblemError
from etlmon.client.stream import StreamFollower, follow
from etlmon.contract.endpoint import Endpoint
from etlmon.contract.health import HEALTH
from etlmon.contract.query import Query
from etlmon.units import utc

SessionState = Literal["connecting", "online", "offline", "refused"]


@dataclass(frozen=True)
class Want:
    """An answer that is wanted: an endpoint, and what is asked of it."""

    endpoint: Endpoint[Any, Any, Any]
    query: Query
    pages: int = 1
    """How many pages of a list to ask for at most, one after the other."""


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

    async def call(
        self, endpoint: Any, query: Any = None, body: Any = None, *, page: str | None = None
    ) -> Any:
        """Ask; give a reply with its ``value`` and its ``next_page``."""

    def open_stream(self, target: str, last_event_id: str) -> Deferred[Any]:
        """Open a stream of events."""

    async def close(self) -> None:
        """End the connections."""


_HEALTH = Want(HEALTH, Query())
_NOTHING = Held()


class Session:
    """Asks one node for what is wanted, every ``refresh_seconds``, nothing twice at a time.

    A node that does not answer how it is (``health``) is offline: it is tried again after
    1, 2, 4 ... 30 seconds (BackOff), and its last answers stay. ``changed`` is called after every
    answer, and after every round.
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
        self._random = random
        self._back_off = BackOff(random)
        self._followers: list[StreamFollower] = []
        self._wants: tuple[Want, ...] = ()
        self._held: dict[Want, Held] = {}
        self._asking: dict[Want, Deferred[None]] = {}
        self._given_up: set[Want] = set()
        self._commanding: str | None = None
        self._running = False
        self._timer: Any = None
        self._in_round = False
        self._again = False
        self._last_seen = clock.seconds()

    @property
    def address(self) -> str:
        """Where the node is."""
        return self.client.address

    @property
    def health(self) -> Held:
        """The newest answer about the node itself; it is always wanted."""
        return self.held(_HEALTH)

    @property
    def now(self) -> datetime:
        """The time here."""
        return utc(self._wall_clock())

    @property
    def is_stale(self) -> bool:
        """Whether the answers are older than they should be, though nothing has failed."""
        return (
            self.state == "online"
            and self._clock.seconds() - self._last_seen > 3 * self._refresh_seconds + 1
        )

    def held(self, want: Want) -> Held:
        """Give what is known of a want."""
        return self._held.get(want, _NOTHING)

    def start(self) -> None:
        """Begin to ask."""
        self._running = True
        self._begin()

    def stop(self) -> Deferred[None]:
        """Ask no more; fires when the connections are closed."""
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._cancel(self._asking)
        while self._followers:
            self.unfollow(self._followers[-1])
        return Deferred.fromCoroutine(self.client.close())

    def want(self, wants: Sequence[Want]) -> None:
        """Say what is wanted from now on besides the node's health; ask at once for what is new.

        What is not wanted any more is not waited for.
        """
        is_new = any(want not in self._wants for want in wants)
        self._wants = tuple(wants)
        self._cancel(want for want in self._asking if want not in (*wants, _HEALTH))
        if is_new:
            self.refresh()

    def refresh(self) -> None:
        """Ask now, whatever the timer says."""
        if self._in_round:
            self._again = True
        elif self._running:
            if self._timer.active():
                self._timer.cancel()
            self._begin()

    async def command(
        self, endpoint: Endpoint[Any, Any, Any], body: Any = None, query: Any = None
    ) -> Any:
        """Give a command and then ask anew; raises ClientError.

        One at a time: as long as one has no answer there is no other.
        """
        if self._commanding is not None:
            text = f"{self.address}: the answer to {self._commanding} is still awaited; try again"
            raise ClientError(f"{text} when it is there. Nothing was sent.", "busy")
        self._commanding = endpoint.name
        try:
            reply = await self.client.call(endpoint, query, body)
        finally:
            self._commanding = None
        self.refresh()
        return reply.value

    def follow(
        self,
        endpoint: Endpoint[Any, Any, Any],
        query: Any,
        *,
        heard: Callable[[Any], None],
        resynced: Callable[[str], None],
        lost: Callable[[ClientError, float], None],
        found: Callable[[], None],
    ) -> StreamFollower:
        """Follow a list (client.stream.follow) until ``unfollow``, or until the session stops."""
        follower = follow(
            self.client,
            endpoint,
            query,
            self._clock,
            BackOff(self._random),
            heard=heard,
            resynced=resynced,
            lost=lost,
            found=found,
        )
        self._followers.append(follower)
        follower.start()
        return follower

    def unfollow(self, follower: StreamFollower) -> None:
        """Close a stream; one that is closed already stays so."""
        if follower in self._followers:
            self._followers.remove(follower)
            follower.stop()

    def _begin(self) -> None:
        """Ask for what is wanted, but for what a round before still waits for.

        A round ends with the answer about the node itself: a list that is late holds up nothing.
        """
        began = self._clock.seconds()
        self._in_round = True
        self._again = False
        for want in dict.fromkeys((*self._wants, _HEALTH)):
            if want not in self._asking:
                asking = self._asking[want] = Deferred.fromCoroutine(self._ask(want))
                asking.addErrback(self._failed)
                asking.addCallback(self._asked, want, began)

    def _asked(self, _: object, want: Want, began: float) -> None:
        del self._asking[want]
        self._given_up.discard(want)
        if want == _HEALTH:
            self._ended(began)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("Asking {name} failed.", failure, name=self.name)

    def _ended(self, began: float) -> None:
        self._in_round = False
        if not self._running:
            return
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

    async def _ask(self, want: Want) -> None:
        before = self.held(want)
        try:
            value = await self._pages(want)
        except Exception as error:
            if want in self._given_up or isinstance(error, CancelledError):
                return  # cut while connecting, it looks like any failure
            self._held[want] = Held(before.value, before.received_at, self._told(error))
        else:
            self._held[want] = Held(value, self.now)
        if want == _HEALTH:
            self._judge(self._held[want].error)
        self.changed(self)

    async def _pages(self, want: Want) -> Any:
        reply = await self.client.call(want.endpoint, want.query)
        value = reply.value
        for _ in range(want.pages - 1):
            if reply.next_page is None:
                break
            reply = await self.client.call(want.endpoint, page=reply.next_page)
            value = [*value, *reply.value]
        return value

    def _told(self, error: Exception) -> ClientError:
        if isinstance(error, ClientError):
            return error
        self.log.failure("Asking {name} failed.", Failure(error), name=self.name)
        return ClientError(f"{self.address}: {type(error).__name__}: {error}", "broken")

    def _judge(self, error: ClientError | None) -> None:
        """Say how the node is by what it said of its health: a problem is an answer too."""
        self.trouble = error
        if error is not None and not isinstance(error, ProblemError):
            self.state = "offline"
            return
        self.last_seen_at = self.now
        self._last_seen = self._clock.seconds()
        self.state = "refused" if error is not None and error.kind == "forbidden" else "online"

    def _cancel(self, wants: Iterable[Want]) -> None:
        given_up = {want: self._asking[want] for want in wants}  # the round may end meanwhile
        self._given_up.update(given_up)
        for asking in given_up.values():
            asking.cancel()
