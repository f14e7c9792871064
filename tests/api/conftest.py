"""The API on a real socket of the loopback, over a real database: ``api.ask`` speaks plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock, deferLater

from etlmon.api.access import HostCheck
from etlmon.api.metrics.exposition import Metrics
from etlmon.api.metrics.readings import readings
from etlmon.api.metrics.traffic import Traffic
from etlmon.api.pages import pages
from etlmon.api.resources import (
    admin,
    audit,
    cron,
    fs,
    health,
    kill,
    logs,
    openapi,
    paths,
    processes,
    xferlog,
)
from etlmon.api.route import Route
from etlmon.api.server import ApiServer
from etlmon.client.events import Event, EventParser
from etlmon.config.node import ControlSection, NodeConfig
from etlmon.contract.audit import AuditQuery
from etlmon.control.audit import AuditLog
from etlmon.control.callers import Gate, Known
from etlmon.control.policy import Policy
from etlmon.errors import ApiError, CollectError
from etlmon.records.audit import AuditEntry
from etlmon.records.cron import CronRefreshAnswer
from etlmon.records.disk import FilesystemUsage
from etlmon.records.health import DatabaseHealth, Health
from etlmon.records.log import LogSwitchAnswer
from etlmon.records.path import ScanAnswer, ScanCancelAnswer, path_id
from etlmon.records.process import ProcessSample
from etlmon.records.top import TopJob
from etlmon.store.database import StoreService
from etlmon.store.maintenance import MaintenanceService
from etlmon.store.tables import audit_log
from etlmon.store.tables.all import TABLES
from tests.scanned import scanned

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass
class Response:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    version: str = "HTTP/1.1"

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def problem(self, status: int, kind: str) -> str:
        """Give the detail of the problem that this answer must be."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["cache-control"] == "no-store"
        assert int(self.headers["content-length"]) == len(self.body)
        assert self.json["type"] == f"urn:etlmon:problem:{kind}"
        assert self.json["status"] == status
        assert set(self.json) == {"type", "title", "status", "detail", "instance"}
        return str(self.json["detail"])


class Wire(Protocol):
    """Collects all that the server sends until it closes."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()
        self._waiting: list[tuple[Callable[[bytes], bool], Deferred[None]]] = []

    def until(self, enough: Callable[[bytes], bool]) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting.append((enough, waiting))
        self.dataReceived(b"")
        return waiting

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for waiting in [one for one in self._waiting if one[0](self.received)]:
            self._waiting.remove(waiting)
            waiting[1].callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.closed.callback(self.received)


def parse(raw: bytes, methods: Sequence[str]) -> list[Response]:
    """Take apart the answers to requests of these methods; nothing may be left."""
    found = []
    for method in methods:
        head, separator, raw = raw.partition(b"\r\n\r\n")
        assert separator, head
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, line
            headers[name.lower()] = value
        bodiless = method == "HEAD" or status == "304"
        length = 0 if bodiless else int(headers["content-length"])
        found.append(Response(int(status), headers, raw[:length], version))
        raw = raw[length:]
    assert raw == b""
    return found


@dataclass
class FakeScans:
    """Begins and ends scans by noting them; that of /logs is running."""

    known: tuple[str, ...] = ("/data", "/logs")
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def scan_now(self, wanted: Sequence[str] | None) -> ScanAnswer:
        chosen = self._chosen(wanted)
        self.begun += chosen
        return ScanAnswer(started=chosen, skipped=[])

    async def cancel_scans(self, wanted: str | None) -> ScanCancelAnswer:
        chosen = self._chosen(None if wanted is None else [wanted])
        running = [path for path in chosen if path == "/logs"]
        self.ended += running
        return ScanCancelAnswer(
            cancelled=running, not_running=[path for path in chosen if path not in running]
        )

    def _chosen(self, wanted: Sequence[str] | None) -> list[str]:
        for path in wanted or ():
            if path not in self.known:
                raise ApiError(404, "path-not-configured", f"{path} is not a configured path.")
        return list(self.known if wanted is None else wanted)


class FakeTops:
    """Looks for the largest by noting it; in /logs a search runs, nobody has looked in others."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.running = {path_id("/logs")}

    def start(self, path_id: str, count: int) -> TopJob:
        if path_id in self.running:
            raise ApiError(409, "search-running", "A search of it is running.")
        self.begun.append((path_id, count))
        return self._job(path_id)

    def job(self, path_id: str) -> TopJob:
        if path_id not in self.running:
            return TopJob(id=path_id, path="/data", state="none")
        return self._job(path_id)

    def cancel(self, path_id: str) -> TopJob:
        return msgspec.structs.replace(self.job(path_id), state="cancelled")

    def _job(self, path_id: str) -> TopJob:
        return TopJob(id=path_id, path="/logs", state="running", count=20, started_at=NOW)


class FakeProcesses:
    """Stands for all processes of the host: ten, and one that is watched."""

    def __init__(self) -> None:
        self.error: CollectError | None = None
        self.reads = 0

    async def read_processes(self) -> list[ProcessSample]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return [*(sample_process(pid) for pid in range(1, 11)), sample_process(12, watch="etl")]


def sample_process(pid: int, **changes: Any) -> ProcessSample:
    return msgspec.structs.replace(
        ProcessSample(
            pid=pid,
            process_name="load",
            cmdline="load --all",
            start_time=NOW,
            runtime_sec=5.0,
            cpu_seconds=1.0,
            mem_rss_bytes=1 << 20,
            status="RUNNING",
            state="S",
            threads=1,
            user="etl",
            parent_pid=1,
            visibility="full",
            identity=f"4dd80203-a77c-47d9-8ea3-510dd3e1d2ef:{pid}:7",
            collected_at=NOW,
        ),
        **changes,
    )


class NoKills:
    """Kills nothing: what the API says besides is told without it."""

    async def kill(self, pid: int, asked: Any, _attempt: Any) -> Any:
        raise ApiError(404, "process-not-found", f"There is no process {pid}.")


@dataclass
class FakeLogs:
    """Pauses and resumes logs by noting it; app, quiet and long are configured."""

    known: dict[str, int] = field(default_factory=lambda: {"app": 5, "quiet": 100, "long": 5_000})
    switched: list[tuple[str, bool]] = field(default_factory=list)

    def buffer_lines(self, name: str) -> int | None:
        return self.known.get(name)

    async def switch_log(self, name: str, *, paused: bool) -> LogSwitchAnswer:
        if name not in self.known:
            raise ApiError(404, "log-not-configured", f"{name} is not a configured log.")
        self.switched.append((name, paused))
        return LogSwitchAnswer(name=name, paused=paused)


class FakeRefreshes:
    """Begins looks at the crontabs by counting them."""

    def __init__(self) -> None:
        self.begun = 0

    def refresh_cron(self) -> CronRefreshAnswer:
        self.begun += 1
        return CronRefreshAnswer(started=True)


class Api:
    """A server, what stands behind it, and a plain client of it."""

    def __init__(
        self,
        store: Any,
        extra: Sequence[Route] = (),
        *,
        tokens: Known | None = None,
        **settings: Any,
    ) -> None:
        from twisted.internet import reactor

        self.store = store
        self.scans = FakeScans()
        self.tops = FakeTops()
        self.processes = FakeProcesses()
        self.no_kills = NoKills()
        self.logs = FakeLogs()
        self.refreshes = FakeRefreshes()
        self.clock = Clock()
        self.maintenance = MaintenanceService(
            store, TABLES, NodeConfig().retention_of, reactor, NOW.timestamp
        )
        self.policy = Policy(ControlSection(**settings), self.clock.seconds)
        self.audit = AuditLog(store, reactor, NOW.timestamp)
        self.readiness = {"node": True, "database": True, "collectors": True}
        traffic = Traffic()
        self.metrics = Metrics([traffic], readings(), maybeDeferred, Path("/nonexistent"))
        store.on_records(self.metrics.stored)
        self.server = ApiServer(
            [
                *fs.routes(store, NOW.timestamp),
                *paths.routes(store, self.scans, self.tops, self.policy, NOW.timestamp),
                *processes.routes(store, self.processes, NOW.timestamp),
                *audit.routes(store),
                *kill.routes(self.no_kills),
                *logs.routes(store, self.logs, self.policy, self.clock),
                *xferlog.routes(store, NOW.timestamp),
                *cron.routes(store, self.refreshes, self.policy),
                *health.routes(sample_health),
                *admin.routes(self.maintenance, lambda: None, self.policy),
                *openapi.routes(),
                *extra,
            ],
            HostCheck(loopback=True, names=("node-1",)),
            self.policy,
            self.clock,
            gate=Gate(tokens),
            audit=self.audit,
            pages=pages(lambda: self.readiness, self.metrics),
            traffic=traffic,
        )
        store.on_commit(self.server.committed)
        self._reactor = reactor
        self._port: Any = None

    async def start(self) -> None:
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1")
        self._port = await endpoint.listen(self.server.site())
        self.port: int = self._port.getHost().port

    async def stop(self) -> None:
        self.server.streams.close()
        await self._port.stopListening()
        await self.server.finish()

    async def audited(self, count: int) -> list[AuditEntry]:
        """Wait until the audit has so many rows, and give them, the oldest first."""
        query = AuditQuery(after=0)
        while (
            len(
                found := (await self.store.read(partial(audit_log.find, query=query, most=1_000)))[
                    0
                ]
            )
            < count
        ):
            await deferLater(self._reactor, 0.005)
        assert len(found) == count, found
        return found

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> Wire:
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", self.port)
        return await connectProtocol(endpoint, Wire())

    async def send(self, raw: bytes, methods: Sequence[str] = ("GET",)) -> list[Response]:
        """Send bytes, wait until the server closes, and give its answers."""
        wire = await self.connect()
        wire.transport.write(raw)
        return parse(await wire.closed, methods)

    async def ask(
        self,
        target: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Response:
        fields = {"Host": "localhost", "Connection": "close"} | (headers or {})
        if body is not None:
            fields.setdefault("Content-Length", str(len(body)))
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        raw = "\r\n".join(lines).encode("latin-1") + (body or b"")
        return (await self.send(raw, [method]))[0]

    async def command(
        self, body: bytes, target: str = "/api/v1/paths/scan", **headers: str
    ) -> Response:
        fields = {"Content-Type": "application/json"} | headers
        return await self.ask(target, "POST", fields, body)

    async def stream(self, target: str, last_id: str = "") -> Stream:
        """Open a stream of events, as HTTP 1.0, which does not cut it into chunks."""
        wire = await self.connect()
        resume = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        head = f"GET {target} HTTP/1.0\r\nHost: localhost\r\n{resume}\r\n"
        wire.transport.write(head.encode())
        await wire.until(lambda received: b"\r\n\r\n" in received)
        return Stream(wire)


class Stream:
    """A stream of events that is open; ``until`` gives those that have come."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    @property
    def head(self) -> str:
        return self.wire.received.partition(b"\r\n\r\n")[0].decode()

    @property
    def body(self) -> bytes:
        return self.wire.received.partition(b"\r\n\r\n")[2]

    @property
    def last_id(self) -> str:
        parser = EventParser()
        parser.feed(self.body)
        return parser.last_id

    def events(self) -> list[Event]:
        return EventParser().feed(self.body)

    async def until(self, count: int) -> list[Event]:
        await self.wire.until(lambda _: len(self.events()) >= count)
        return self.events()

    async def lines(self, count: int) -> list[Any]:
        return [msgspec.json.decode(event.data)["line"] for event in await self.until(count)]

    async def close(self) -> None:
        self.wire.transport.loseConnection()
        await self.wire.closed


def sample_health() -> Health:
    return Health(
        node_name="node-1",
        version="0",
        state="ok",
        started_at=NOW,
        uptime_seconds=1.0,
        now=NOW,
        warnings=[],
        database=DatabaseHealth(
            state="ok",
            path="/db",
            size_bytes=1,
            wal_bytes=1,
            schema_version=1,
            sqlite_version="3",
            wal_reset_bug=False,
            commits=0,
            pending_batches=0,
        ),
        collectors=[],
        stuck_workers=[],
    )


def sample_mount(number: int, at: datetime = NOW, **changes: Any) -> FilesystemUsage:
    return msgspec.structs.replace(
        FilesystemUsage(
            mount_point=f"/mnt/{number:04}",
            device="/dev/sda1",
            fs_type="ext4",
            total_bytes=100 << 30,
            used_bytes=50 << 30,
            avail_bytes=50 << 30,
            used_percent=50.0,
            collected_at=at,
        ),
        **changes,
    )


@pytest_twisted.async_yield_fixture
async def store(tmp_path: Path) -> AsyncIterator[StoreService]:
    from twisted.internet import reactor

    service = StoreService(tmp_path / "etlmon.db", reactor, NOW.timestamp)
    service.startService()
    await service.write(
        [
            *(sample_mount(number) for number in range(25)),
            sample_mount(99, state="hidden", reason="a pseudo file system"),
        ]
    )
    await service.write([scanned(NOW, "/data"), scanned(NOW, "/logs")])
    yield service
    await service.stopService()


@pytest_twisted.async_yield_fixture
async def api(store: StoreService) -> AsyncIterator[Api]:
    api = Api(store)
    await api.start()
    yield api
    await api.stop()


@pytest.fixture
def make_api() -> type[Api]:
    return Api


@pytest.fixture
def mount() -> Callable[..., FilesystemUsage]:
    return sample_mount


@pytest.fixture
def now_of_api() -> datetime:
    """Give what the clock of the API says."""
    return NOW
