"""A screen without a terminal: nodes that answer what the test says, keys, and the text shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from etlmon.client.http import ClientError, FailureKind, ProblemError, Reply
from etlmon.records.problem import Problem
from etlmon.ui.app import make_views
from etlmon.ui.screen import Screen
from etlmon.ui.session import Session

NOW = 1_795_521_600.0  # 2026-11-24 12:00:00 UTC


class FakeStream:
    """A stream of events that says what the test says."""

    def __init__(self, target: str, last_event_id: str) -> None:
        self.target = target
        self.last_event_id = last_event_id
        self.is_closed = False
        self.opened: Deferred[Any] = Deferred(lambda _: self.loseConnection())
        self.body: Any = None

    def deliverBody(self, body: Any) -> None:
        self.body = body
        body.makeConnection(self)

    def loseConnection(self) -> None:
        self.is_closed = True

    def begin(self) -> None:
        self.opened.callback(self)

    def send(self, *items: Any, kind: str = "") -> None:
        """Give items, records with an id or other data, in one piece."""
        if self.body is None:
            self.begin()
        head = f"event: {kind}\n" if kind else ""
        pieces = []
        for item in items:
            told = "" if isinstance(item, dict) else f"id: {item.id}\n"
            pieces.append(f"{head}{told}data: {msgspec.json.encode(item).decode()}\n\n")
        self.body.dataReceived("".join(pieces).encode())

    def end(self) -> None:
        """End as the node does when it goes."""
        self.body.connectionLost()


class FakeClient:
    """A node: gives the answers of a dictionary by the endpoint's name, or waits for ``answer``."""

    def __init__(self, address: str = "http://etl:8080") -> None:
        self.address = address
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any, Any]] = []
        self.streams: list[FakeStream] = []
        self.cancelled: list[str] = []
        self.cut_with: Exception | None = None
        self.is_closed = False
        self.waits = False
        self._waiting: list[tuple[str, Deferred[Any]]] = []

    async def call(
        self, endpoint: Any, query: Any = None, body: Any = None, *, page: str | None = None
    ) -> Any:
        self.asked.append((endpoint.name, query if page is None else page, body))
        if self.waits:
            await self._wait(endpoint.name)
        answer = self.answers.get(endpoint.name, None if endpoint.item is None else [])
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(query, page)
        return Reply(answer, b"", None)

    def open_stream(self, target: str, last_event_id: str) -> Deferred[Any]:
        self.streams.append(FakeStream(target, last_event_id))
        return self.streams[-1].opened

    def _wait(self, name: str) -> Deferred[Any]:
        def cut(waiting: Deferred[Any]) -> None:
            self.cancelled.append(name)
            if self.cut_with is not None:
                waiting.errback(self.cut_with)

        waiting: Deferred[Any] = Deferred(cut)
        self._waiting.append((name, waiting))
        return waiting

    def waiting(self) -> list[str]:
        """Give the endpoints that still wait for an answer."""
        return [name for name, waiting in self._waiting if not waiting.called]

    def answer(self, *names: str) -> None:
        """Let calls have their answers: those of these names, or all."""
        waiting, self._waiting = self._waiting, []
        for name, asked in waiting:
            if asked.called:
                continue
            if names and name not in names:
                self._waiting.append((name, asked))
            else:
                asked.callback(None)

    async def close(self) -> None:
        self.is_closed = True


def failure(kind: FailureKind, text: str = "http://etl:8080: nothing listens there") -> ClientError:
    return ClientError(text, kind)


def problem(status: int, detail: str = "it is so") -> ProblemError:
    said = Problem(type="x", title="x", status=status, detail=detail, instance="/x")
    return ProblemError("http://etl:8080", said)


class Stage:
    """A screen with its nodes, on a clock."""

    def __init__(self, names: Sequence[str] = ("etl",), view: str = "File systems") -> None:
        self.clock = Clock()
        self.wall = NOW
        self.clients = [FakeClient(f"http://{name}:8080") for name in names]
        self.sessions = [
            Session(name, client, self.clock, lambda: self.wall, 2.0, lambda: 0.5)
            for name, client in zip(names, self.clients, strict=True)
        ]
        self.quits = 0
        self.draws: list[bool] = []
        views = make_views(self.sessions)
        at = [each.title for each in views].index(view)
        self.screen = Screen(self.sessions, views, node=0, view=at, quit=self._quit)
        self.screen.to_draw = self.draws.append

    def _quit(self) -> None:
        self.quits += 1

    @property
    def client(self) -> FakeClient:
        return self.clients[0]

    def start(self) -> Stage:
        for session in self.sessions:
            session.start()
        return self

    def advance(self, seconds: float) -> None:
        """Let time go by, here and on the wall."""
        self.wall += seconds
        self.clock.advance(seconds)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.screen.keypress((80, 24), key)

    def type(self, text: str) -> None:
        self.press(*text)

    def show(self, width: int = 80, height: int = 24) -> str:
        """Give what a terminal of this size shows, without the spaces at the ends of lines."""
        canvas = self.screen.render((width, height), focus=True)
        assert (canvas.cols(), canvas.rows()) == (width, height)
        return "\n".join(line.decode().rstrip() for line in canvas.text).rstrip() + "\n"

    def stop(self) -> None:
        for session in self.sessions:
            session.stop()


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Moments are shown in the zone of the host: here it is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    """Make a screen; its sessions are stopped when the test is over."""
    stages: list[Stage] = []

    def make(*names: str, view: str = "File systems") -> Stage:
        made = Stage(names or ("etl",), view)
        stages.append(made)
        return made

    yield make
    for each in stages:
        each.stop()
        assert not each.clock.getDelayedCalls()


@pytest.fixture
def fail() -> Callable[..., ClientError]:
    return failure


@pytest.fixture
def refuse() -> Callable[..., ProblemError]:
    return problem
