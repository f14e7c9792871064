"""Streams of Server-Sent Events, read from the database and held nowhere else.

A stream is a position, the number of the last row that it has passed. When a table commits, those
that have waited for it go on from there: with the few rows that the commit has stored, if they are
the next ones, else by a read. They wait at the same position, so one read serves them all. A client
that does not take what is sent has its stream paused: its rows stay in the database, and all that
it costs is the piece on its way, and its place among the streams. One that takes nothing for long
is cut off, and goes on after its last event when it comes again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from etlmon import __version__
from etlmon.control.flood import Flood
from etlmon.errors import ApiError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from twisted.internet.interfaces import IDelayedCall
    from twisted.web.http import Request

_MOST_STREAMS = 1_000
_BEAT_SECONDS = 15.0
"""A stream says something this often, so that both ends learn of a broken connection."""
_STALLED_SECONDS = 60.0
"""How long a client may take nothing at all, though something waits for it."""
_RETRY_MS = 2_000
_PATIENCE = 3
_LAZY_SECONDS = 0.05
"""How long a stream that found nothing at that many commits lets the next ones pass."""
_MOST_TAKEN = 8
"""Different streams that take of one commit, in the reactor's thread; the others read."""

_HEADERS = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-store"),
    (b"X-Accel-Buffering", b"no"),  # a proxy would keep events back until it has many
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Server", f"etlmon/{__version__}".encode()),
)


@dataclass(frozen=True)
class Piece:
    """A part of a stream: events as bytes, and the position after them."""

    data: bytes
    position: int
    is_all: bool
    """Whether there is nothing more until the next commit."""


class Source(Protocol):
    """What a stream gives; sources with one key give the same."""

    @property
    def key(self) -> Hashable:
        """What tells it from other sources."""

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose commits may bring more."""

    def start(self) -> Deferred[int]:
        """Give the position for one who has heard nothing yet."""

    def read(self, position: int) -> Deferred[Piece]:
        """Give what follows a position: a piece of bounded size."""

    def take(self, position: int, stored: Sequence[Any]) -> Piece | None:
        """Give what follows a position out of what a commit has just stored.

        None where that is not all there is, or more than should be done in the reactor's thread.
        """


def last_event_id(request: Request) -> int | None:
    """Give the position that a client resumes from; raise ApiError (400) if it is none."""
    given = request.getHeader("Last-Event-ID")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise ApiError(
            400, "bad-event-id", "Last-Event-ID: must be the id of an event of this stream."
        )
    return int(given)


def _set_headers(request: Request) -> None:
    for name, text in _HEADERS:
        request.responseHeaders.setRawHeaders(name, [text])


class Streams:
    """All streams of the API. ``committed`` must be told of commits."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._open: set[_Stream] = set()
        self._commits: Counter[str] = Counter()
        self._reading: dict[Hashable, list[Deferred[Piece]]] = {}
        self._taken: dict[Hashable, Piece | None] = {}
        """What streams have taken of the commit that is being told of."""
        self._lazy: IDelayedCall | None = None
        self._beat = LoopingCall(self._beat_all)
        self._beat.clock = clock
        self._closed = False
        self.ends = Flood("Streams that ended", _Stream.log, clock)
        """What is told of those that end in trouble: whose client comes again, and again."""

    def __len__(self) -> int:
        return len(self._open)

    async def serve(
        self, request: Request, source: Source, is_let_in: Callable[[], bool] = lambda: True
    ) -> bytes:
        """Send a stream until its client goes, is let in no more, or ``close`` is called.

        A HEAD request learns what the headers would be. Raises ApiError or StoreError as long as
        nothing has been sent.
        """
        if self._closed or len(self._open) >= _MOST_STREAMS:
            raise ApiError(
                503,
                "too-many-streams",
                f"This node serves {_MOST_STREAMS:,} streams at most.",
                headers={"Retry-After": "5"},
            )
        given = last_event_id(request)
        if request.method == b"HEAD":
            _set_headers(request)
            return b""
        stream = _Stream(self, request, source, is_let_in)
        self._open.add(stream)
        if not self._beat.running:
            self._beat.start(_BEAT_SECONDS, now=False)
        try:
            await stream.run(given)
        finally:
            self._open.discard(stream)
            self._rest()
            stream.end()
        return b""

    def committed(self, tables: frozenset[str], stored: Sequence[Any]) -> None:
        """Let those go on who wait for one of these tables; ``stored`` is what is new there."""
        for table in tables:
            self._commits[table] += 1
        for stream in list(self._open):
            if stream.source.tables & tables and not stream.is_lazy:
                stream.wake(stored)
        self._taken.clear()
        if self._lazy is None and any(stream.is_lazy for stream in self._open):
            self._lazy = self._clock.callLater(_LAZY_SECONDS, self._wake_lazy)

    def commits(self, tables: Iterable[str]) -> int:
        """Give a number that is another one after each commit of these tables."""
        return sum(self._commits[table] for table in tables)

    def take(self, source: Source, position: int, stored: Sequence[Any]) -> Piece | None:
        """Go on from a position with what a commit has stored; who takes the same shares it.

        None where that is not all there is, or others have taken enough.
        """
        key = (source.key, position)
        if key in self._taken:
            return self._taken[key]
        if len(self._taken) >= _MOST_TAKEN:
            return None
        piece = self._taken[key] = source.take(position, stored)
        return piece

    def read(self, source: Source, position: int) -> Deferred[Piece]:
        """Read on from a position; who asks for the same at the same time shares one read."""
        key = (source.key, position, self.commits(source.tables))
        turns = self._reading.get(key)
        # Who goes away while he waits leaves the others waiting.
        turn: Deferred[Piece] = Deferred(lambda one: self._reading.get(key, [one]).remove(one))
        if turns is not None:
            turns.append(turn)
            return turn
        self._reading[key] = [turn]
        source.read(position).addBoth(self._have_read, key)
        return turn

    def close(self) -> None:
        """End all streams, and begin no more."""
        self._closed = True
        for stream in list(self._open):
            stream.close()
        self.ends.stop()

    def _rest(self) -> None:
        """Leave nothing in the reactor when the last stream has gone."""
        if self._open:
            return
        self._beat.stop()
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None

    def _have_read(self, result: Any, key: Hashable) -> None:
        for turn in self._reading.pop(key):
            turn.callback(result)

    def _wake_lazy(self) -> None:
        self._lazy = None
        for stream in list(self._open):
            if stream.is_lazy:
                stream.wake()

    def _beat_all(self) -> None:
        now = self.now()
        for stream in list(self._open):
            if stream.stalled_since is not None and now - stream.stalled_since >= _STALLED_SECONDS:
                stream.cut_off()
            else:
                stream.beat()

    def now(self) -> float:
        """Tell seconds that only grow."""
        return float(self._clock.seconds())


@implementer(IPushProducer)
class _Stream:
    """One client's stream: the producer of its connection."""

    log = Logger()

    def __init__(
        self, streams: Streams, request: Request, source: Source, is_let_in: Callable[[], bool]
    ) -> None:
        self.source = source
        self.is_lazy = False
        self.stalled_since: float | None = None
        """Since when the client takes nothing of what was sent; None while it does."""
        self._streams = streams
        self._request = request
        self._is_let_in = is_let_in
        self._position = 0
        self._commits = 0
        self._empty_pieces = 0
        self._waiting: Deferred[None] | None = None
        self._is_sending = self._is_over = self._is_gone = False
        request.notifyFinish().addBoth(self._gone)

    async def run(self, given: int | None) -> None:
        """Send what there is, and what comes, until the client goes; from a position if given.

        Raises what ``Source`` raises before anything has been sent.
        """
        self._position = await self.source.start() if given is None else given
        piece = await self._read()
        if self._is_over:
            return
        self._begin()
        try:
            await self._send(piece)
        except CancelledError:
            return  # the client has gone while its next lines were read
        except StoreError as error:  # the client comes again, and is told the reason then
            if self._streams.ends.admits():
                self.log.warn("A stream ends: {error}", error=error)
        except Exception:
            if self._streams.ends.admits():
                self.log.failure("A stream ends by a defect.")

    async def _send(self, piece: Piece) -> None:
        while not self._is_over:
            self._give(piece)
            is_last = self._commits == self._streams.commits(self.source.tables) and piece.is_all
            if is_last or self.stalled_since is not None:
                self._waiting = Deferred()
                await self._waiting
            if not self._is_over:
                piece = await self._read()

    def _give(self, piece: Piece) -> None:
        """Send a piece; a stream that has had nothing for a while becomes lazy."""
        if piece.data:
            if not self._is_let_in():  # the token that opened the stream has been removed since
                self.close()
                return
            self._request.write(piece.data)
        self._position = piece.position
        self._empty_pieces = 0 if piece.data else self._empty_pieces + 1
        self.is_lazy = self._empty_pieces > _PATIENCE

    def _read(self) -> Deferred[Piece]:
        self.is_lazy = False
        self._commits = self._streams.commits(self.source.tables)
        return self._streams.read(self.source, self._position)

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def wake(self, stored: Sequence[Any] = ()) -> None:
        """Go on; there may be more. A client that takes nothing is not woken.

        With what a commit has ``stored``, if that is all there is, it is sent at once: the stream
        waits on.
        """
        if self._waiting is None or self.stalled_since is not None:
            return
        try:
            piece = self._streams.take(self.source, self._position, stored) if stored else None
            if piece is not None:
                self._give(piece)
                return
        except Exception:
            waiting, self._waiting = self._waiting, None
            waiting.errback(Failure())
        self._go_on()

    def beat(self) -> None:
        """Say that the stream is alive, and how far it is, in an event that is none."""
        if not self._is_let_in():
            self.close()
        elif self._is_sending and self.stalled_since is None:
            self._request.write(b":\nid: %d\n\n" % self._position)

    def pauseProducing(self) -> None:
        """Send nothing: what was sent is not taken."""
        self.stalled_since = self._streams.now()

    def resumeProducing(self) -> None:
        """Send again."""
        self.stalled_since = None
        self._go_on()

    def stopProducing(self) -> None:
        """Send no more: the connection is lost."""
        self.close()

    def cut_off(self) -> None:
        """End the connection at once: what was sent would never be taken."""
        if self._is_gone:
            return
        if self._streams.ends.admits():
            self.log.warn(
                "A stream ends: its client has taken nothing for {seconds:.0f} s.",
                seconds=_STALLED_SECONDS,
            )
        connection: Any = self._request.channel.transport
        connection.abortConnection()

    def close(self) -> None:
        """End the stream, at the latest when the read under way has ended."""
        self._is_over = True
        self._go_on()

    def _begin(self) -> None:
        self._is_sending = True
        _set_headers(self._request)
        self._request.registerProducer(self, True)
        # With a position at once, a client that is cut off before any event resumes here too.
        self._request.write(b"retry: %d\nid: %d\n\n" % (_RETRY_MS, self._position))

    def end(self) -> None:
        """Take leave of the connection; the stream has ended."""
        if self._is_sending and not self._is_gone:
            self._is_sending = False
            self._request.unregisterProducer()

    def _gone(self, _reason: object) -> None:
        self._is_gone = True
        self.close()
