"""Follows a stream of a node, and goes on where it was after every break."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol as ByteProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger

from etlmon.client.backoff import BackOff
from etlmon.client.events import Event, EventParser, EventTooLargeError
from etlmon.client.http import ClientError
from etlmon.contract.endpoint import PREFIX
from etlmon.contract.query import Query

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from etlmon.contract.endpoint import Endpoint

Q = TypeVar("Q", bound=Query)

_SILENCE_SECONDS = 45.0
"""A node says something every 15 seconds; one that does not for so long is gone."""


class OpensStreams(Protocol):
    """What a follower needs of a client."""

    address: str

    def open_stream(self, target: str, last_event_id: str) -> Deferred[Any]:
        """Fire with a response whose body goes on; fail with ClientError."""


class StreamFollower:
    """Gives the events of a stream to ``heard``, without a gap and without one twice.

    ``target`` is the path and query of the stream. When the connection ends, however it does, the
    stream is opened again after the last event that was heard. ``lost`` is told why, with the
    seconds until the next try; ``found`` when the stream goes on.
    """

    log = Logger()

    def __init__(
        self,
        client: OpensStreams,
        target: str,
        clock: Any,
        back_off: BackOff,
        *,
        heard: Callable[[Event], None],
        lost: Callable[[ClientError, float], None],
        found: Callable[[], None],
        last_id: str = "",
    ) -> None:
        self.last_id = last_id
        self._client = client
        self._target = target
        self._clock = clock
        self._back_off = back_off
        self._heard = heard
        self._lost = lost
        self._found = found
        self._running = False
        self._following: Deferred[None] | None = None
        self._timer: Any = None

    def start(self) -> None:
        """Open the stream."""
        self._running = True
        self._begin()

    def stop(self) -> None:
        """Close the stream; nothing more is heard."""
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._following is not None:
            self._following.cancel()

    def _begin(self) -> None:
        self._following = Deferred.fromCoroutine(self._follow())
        self._following.addBoth(self._ended)

    async def _follow(self) -> None:
        """Hear the stream until it ends; raises ClientError with the reason."""
        response = await self._client.open_stream(self._target, self.last_id)
        parser = EventParser(self.last_id)
        body = _Body(parser, self._hear, lambda: self._alive(parser), self._clock)
        response.deliverBody(body)
        self._found()
        try:
            await body.ended
        finally:
            body.close()

    def _hear(self, event: Event) -> None:
        if self._running:  # an event before this one in the same piece may have led to ``stop``
            self.last_id = event.last_id
            self._heard(event)

    def _alive(self, parser: EventParser) -> None:
        """Note how far the stream is; it tells that also where it has no event to give."""
        self._back_off.reset()
        if self._running:
            self.last_id = parser.last_id

    def _ended(self, result: Failure | None) -> None:
        self._following = None
        if not self._running:
            return
        wait = self._back_off.next_seconds()
        self._timer = self._clock.callLater(wait, self._begin)
        self._lost(self._reason(result), wait)

    def _reason(self, result: Failure | None) -> ClientError:
        if result is None or result.check(CancelledError):  # cancelled: the client was closed
            return ClientError("the stream ended", "broken")
        if isinstance(result.value, ClientError):
            return result.value
        self.log.failure("The stream {target} failed.", result, target=self._target)
        return ClientError(f"the stream failed: {result.value}", "broken")


def follow(
    client: OpensStreams,
    endpoint: Endpoint[Q, Any, Any],
    query: Q,
    clock: Any,
    back_off: BackOff,
    *,
    heard: Callable[[Any], None],
    resynced: Callable[[str], None],
    lost: Callable[[ClientError, float], None],
    found: Callable[[], None],
) -> StreamFollower:
    """Give a follower of a list that the node follows, not yet started.

    ``query`` asks for it with ``follow``. ``heard`` is given each item, a record; ``resynced`` the
    reason why some before the next one cannot be had any more.
    """
    decoder = msgspec.json.Decoder(endpoint.item)

    def hear(event: Event) -> None:
        try:
            if event.kind == "resync":
                resynced(msgspec.json.decode(event.data, type=_Resync).reason)
            elif event.kind == "message":  # other kinds are for clients that know them
                heard(decoder.decode(event.data))
        except msgspec.MsgspecError:
            StreamFollower.log.warn("An event of {node} cannot be read.", node=client.address)

    target = endpoint.target(query).removeprefix(PREFIX)
    return StreamFollower(client, target, clock, back_off, heard=hear, lost=lost, found=found)


class _Resync(msgspec.Struct):
    """The data of an event ``resync``."""

    reason: str = ""


class _Body(ByteProtocol):
    """The bytes of a stream. ``ended`` fires when they end, fails when they are no stream.

    ``alive`` is told of every piece, for a stream may have nothing to say but comments.
    """

    def __init__(
        self,
        parser: EventParser,
        heard: Callable[[Event], None],
        alive: Callable[[], None],
        clock: Any,
    ) -> None:
        self.ended: Deferred[None] = Deferred()
        self._parser = parser
        self._heard = heard
        self._alive = alive
        self._silence = clock.callLater(_SILENCE_SECONDS, self._silent)

    def dataReceived(self, data: bytes) -> None:
        """Take a piece of the stream."""
        if self.ended.called:
            return
        self._silence.reset(_SILENCE_SECONDS)
        try:
            events = self._parser.feed(data)
        except EventTooLargeError as error:
            self._fail(
                ClientError(
                    f"the stream sent {error}; is that an etlmon node?", "not an etlmon node"
                )
            )
            return
        for event in events:
            self._heard(event)
        self._alive()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream has ended."""
        if not self.ended.called:
            self.ended.callback(None)
        self._quiet()

    def close(self) -> None:
        """Close the connection, whatever its state."""
        self._quiet()
        if self.transport is not None:
            self.transport.loseConnection()

    def _silent(self) -> None:
        self._fail(ClientError(f"the stream was silent for {_SILENCE_SECONDS:.0f} s", "timeout"))

    def _fail(self, error: ClientError) -> None:
        if not self.ended.called:
            self.ended.errback(error)

    def _quiet(self) -> None:
        if self._silence.active():
            self._silence.cancel()
