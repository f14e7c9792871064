"""The composition root: the only place that knows all the parts."""

from __future__ import annotations

import socket
import time
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import (
    Deferred,
    DeferredLock,
    gatherResults,
    maybeDeferred,
    succeed,
)
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from etlmon import __version__
from etlmon.api.access import HostCheck
from etlmon.api.metrics.exposition import Metrics
from etlmon.api.metrics.node import NodeFigures, NodeMetrics
from etlmon.api.metrics.readings import readings
from etlmon.api.metrics.traffic import ReactorDelay, Traffic
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
from etlmon.api.server import ApiServer
from etlmon.collectors.base import CollectorContext, Pausable, Warned
from etlmon.collectors.process.live import LiveProcesses
from etlmon.collectors.registry import KINDS
from etlmon.config.addresses import UnixAddress, is_loopback, parse_listen
from etlmon.control.admission import AdmissionService
from etlmon.control.audit import AuditLog
from etlmon.control.callers import Gate
from etlmon.control.kill import Kills
from etlmon.control.policy import Policy
from etlmon.errors import ApiError, ConfigError, StoreError
from etlmon.fsworker.pool import WorkerPool
from etlmon.host.inotify import DirectoryWatches
from etlmon.node.listen import ListeningService
from etlmon.node.paths import PathScans
from etlmon.node.places import database_path, node_name
from etlmon.node.systemd import Notifier, SupervisedService, listen_text
from etlmon.node.tops import TopSearches
from etlmon.records.cron import CronRefreshAnswer
from etlmon.records.health import CollectorHealth, Health
from etlmon.records.log import LogSwitchAnswer, LogSwitched
from etlmon.runner import CollectorService
from etlmon.store.backup_schedule import BackupService
from etlmon.store.database import StoreService
from etlmon.store.maintenance import MaintenanceService
from etlmon.store.retention import RetentionService
from etlmon.store.tables import process_stats
from etlmon.store.tables.all import TABLES
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from etlmon.collectors.base import Collector
    from etlmon.config.node import ManholeSection, NodeConfig
    from etlmon.node.manhole.service import ManholeService
    from etlmon.records.process import ProcessSample

T = TypeVar("T")

_SPREAD_SECONDS = 0.05
"""How far apart the first runs of the collectors begin."""
_LONGEST_OVERDUE_SECONDS = 60.0
_LONGEST_COMMIT_SECONDS = 900.0
"""So long may a transaction take; the longest that there are rewrite the whole database."""
_NEEDS_RESTART = ("node", "workers", "auth", "log.file", "log.format", "manhole")


class NodeService(Service):
    """The whole node. Its parts start in order, and stop in the reverse order, each awaited."""

    log = Logger()

    def __init__(
        self,
        config: NodeConfig,
        reactor: Any,
        *,
        wall_clock: Callable[[], float] = time.time,
        proc: Path = Path("/proc"),
        notifier: Notifier | None = None,
        inherited: socket.socket | None = None,
    ) -> None:
        """``notifier`` leads to systemd, ``inherited`` is the socket that it has opened for us."""
        self.config = config
        self._listen = config.node.listen if inherited is None else listen_text(inherited)
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._began = 0.0
        self._began_at = 0.0
        self._is_whole = False
        self._reloading = DeferredLock()
        self._started: list[tuple[str, Callable[[], Deferred[Any]]]] = []
        self.store = StoreService(
            database_path(config),
            reactor,
            wall_clock,
            network_filesystem_allowed=config.node.db_on_network_filesystem,
            max_bytes=config.node.db_max_bytes,
            proc=proc,
        )
        self.workers = WorkerPool(
            reactor,
            wall_clock=wall_clock,
            processes=config.workers.processes,
            limits=config.workers.limits,
        )
        self.policy = Policy(config.control, reactor.seconds)
        self.kills = Kills(config, self.policy, self._samples_of, reactor, self.in_thread, proc)
        self._context = CollectorContext(
            wall_clock=wall_clock,
            monotonic_clock=reactor.seconds,
            in_thread=self.in_thread,
            workers=self.workers,
            proc=proc,
            reactor=reactor,
            saved=self.store.saved,
            watches=DirectoryWatches(reactor, self.in_thread, proc),
        )
        self._live_processes = self._live(config)
        self.collectors = [self._service(collector) for collector in self._build(config)]
        self.scans = PathScans(lambda: self.collectors, self.store, wall_clock)
        self.tops = TopSearches(self._context)
        self.tops.apply(config.paths)
        self.retention = RetentionService(
            self.store, TABLES, config.retention_of, reactor, wall_clock, config.node.db_max_bytes
        )
        self.store.on_full(self.retention.full)
        self.maintenance = MaintenanceService(
            self.store, TABLES, config.retention_of, reactor, wall_clock
        )
        self.backups = BackupService(self.store, config.backup, reactor, wall_clock)
        self.admission = (
            None
            if config.auth is None
            else AdmissionService(Path(config.auth.tokens_file), reactor, self.in_thread)
        )
        self.delay = ReactorDelay(reactor)
        traffic = Traffic()
        self.metrics = Metrics(
            [self.delay, traffic],
            [NodeMetrics(self._figures), *readings()],
            self.in_thread,
            proc,
        )
        self.store.on_records(self.metrics.stored)
        self.audit = AuditLog(self.store, reactor, wall_clock)
        self.server = ApiServer(
            [
                *fs.routes(self.store, wall_clock),
                *paths.routes(self.store, self.scans, self.tops, self.policy, wall_clock),
                *processes.routes(self.store, self, wall_clock),
                *kill.routes(self.kills),
                *audit.routes(self.store),
                *logs.routes(self.store, self, self.policy, reactor),
                *xferlog.routes(self.store, wall_clock),
                *cron.routes(self.store, self, self.policy),
                *health.routes(self.health),
                *admin.routes(self.maintenance, self.backups.state, self.policy),
                *openapi.routes(),
            ],
            self._host_check(config),
            self.policy,
            reactor,
            gate=Gate(self.admission),
            audit=self.audit,
            pages=pages(self.readiness, self.metrics),
            traffic=traffic,
        )
        self.manhole = None if config.manhole is None else self._console(config.manhole)
        self.store.on_commit(self.server.committed)
        self.store.on_replaced(lambda: self._declare(self.config))
        self.listening = ListeningService(self._listen, self.server.site(), reactor, inherited)
        self.supervised = SupervisedService(
            notifier or Notifier(None), reactor, self.dead_part, self._status
        )

    def startService(self) -> None:
        """Start everything, synchronously. Raises StoreError or CannotListen, all undone."""
        super().startService()
        self._began = self._reactor.seconds()
        self._began_at = self._wall_clock()
        try:
            self._start()
        except BaseException:
            self.stopService()
            raise
        self._is_whole = True
        self._declare(self.config)
        for warning in self._warnings():
            self.log.warn("{warning}", warning=warning)
        # Not before the reactor has its signal handlers: who reads this may send a signal.
        self._reactor.callWhenRunning(self._announce)

    def _announce(self) -> None:
        self.log.info(
            "etlmon {version} watches {name}; listening on {address}, database {path}",
            version=__version__,
            name=node_name(self.config),
            address=self.listening.address,
            path=str(self.store.path),
        )

    def _start(self) -> None:
        """Start the parts; what has been started is known, for it must be stopped."""
        started = self._started.append
        self.store.startService()
        started(("the store", self.store.stopService))
        started(("the workers", self.workers.stop))
        started(("the collectors", lambda: _stop_all(self.collectors)))
        for service in self.collectors:
            service.startService()
        self.retention.startService()
        started(("retention", self.retention.stopService))
        self.maintenance.startService()
        started(("maintenance", self.maintenance.stopService))
        self.backups.startService()
        started(("the copies", self.backups.stopService))
        if self.admission is not None:
            self.admission.startService()
            started(("admission", self.admission.stopService))
        self.delay.startService()
        started(("the reactor's watch", lambda: maybeDeferred(self.delay.stopService)))
        # After the port is closed: what was begun ends, and is stored before the store closes.
        started(("the commands", self._finish_commands))
        self.listening.startService()
        started(("the API", self.listening.stopService))
        if self.manhole is not None:
            self.manhole.startService()
            started(("the console", self.manhole.stopService))
        self.supervised.startService()
        started(("systemd", lambda: maybeDeferred(self.supervised.stopService)))
        started(("the streams", self._close_streams))

    def _close_streams(self) -> Deferred[None]:
        self.server.streams.close()
        return succeed(None)

    def stopService(self) -> Deferred[None]:
        """Stop everything, the last started first; fires when all has been committed and closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        began = self._reactor.seconds()
        was_whole = self._is_whole
        self._is_whole = False
        if was_whole:
            self.log.info("etlmon stops.")
        while self._started:
            what, stop = self._started.pop()
            try:
                await stop()
            except Exception:
                self.log.failure("Could not stop {what}.", what=what)
        if was_whole:
            seconds = round(self._reactor.seconds() - began, 1)
            self.log.info("etlmon has stopped, in {seconds} s.", seconds=seconds)

    def reload(self, load: Callable[[], NodeConfig]) -> Deferred[None]:
        """Take a new configuration while running; fires when that is done.

        ``load`` is called in a thread. What can change live does; what cannot is named in the
        log; a configuration with mistakes changes nothing.
        """
        return self._reloading.run(lambda: Deferred.fromCoroutine(self._reload(load)))

    async def _reload(self, load: Callable[[], NodeConfig]) -> None:
        try:
            config = await self.in_thread(load)
        except ConfigError as error:
            for mistake in error.mistakes:
                self.log.error("{mistake}", mistake=mistake)
            self.log.error("The configuration was not reloaded; nothing has changed.")
            return
        if not self.running:
            return
        for section in _NEEDS_RESTART:
            setting = attrgetter(section)
            if setting(config) != setting(self.config):
                self.log.warn("{section}: a change here needs a restart.", section=section)
        if self.admission is not None:
            await self.admission.look()
        self._apply(config)
        await self._exchange_collectors(self._build(config))
        if (config.process_watch, config.redact) != (self.config.process_watch, self.config.redact):
            self._live_processes = self._live(config)
        self.config = config
        self._declare(config)
        self.log.info("The configuration has been reloaded.")

    def _apply(self, config: NodeConfig) -> None:
        """Take what may change while the node runs, but for the collectors."""
        self.policy.apply(config.control)
        self.kills.apply(config)
        self.tops.apply(config.paths)
        self.retention.limits = self.maintenance.limits = config.retention_of
        self.backups.section = config.backup

    async def _exchange_collectors(self, wanted: Sequence[Collector]) -> None:
        """Keep the collectors whose settings are unchanged; stop the others, start the new."""
        present = {(s.collector.name, s.collector.instance): s for s in self.collectors}
        kept: list[CollectorService] = []
        fresh: list[CollectorService] = []
        for collector in wanted:
            service = present.get((collector.name, collector.instance))
            if service is not None and _same(service.collector, collector):
                kept.append(service)
            else:
                fresh.append(self._service(collector, place=len(fresh)))
        gone = [service for service in self.collectors if service not in kept]
        self.collectors = kept + fresh
        await _stop_all(gone)
        if self.running:
            for service in fresh:
                service.startService()

    def read_processes(self) -> Deferred[list[ProcessSample]]:
        """Read all processes of the host; fails with CollectError if that cannot be done."""
        return self._live_processes.read()

    def buffer_lines(self, name: str) -> int | None:
        """Give how many lines of a log are given unless asked otherwise.

        None for one that is not configured.
        """
        return next((log.buffer_lines for log in self.config.logs if log.name == name), None)

    async def switch_log(self, name: str, *, paused: bool) -> LogSwitchAnswer:
        """Pause or resume a configured log; this holds over a restart.

        It is stored first, so that what is answered is true for the next node too. Raises
        ApiError (404) for a log that is not configured, StoreError.
        """
        reading = {s.collector.instance: s for s in self.collectors if s.collector.name == "log"}
        service = reading.get(name)
        if service is None or not isinstance(service.collector, Pausable):
            raise ApiError(
                404,
                "log-not-configured",
                f"{name} is not a configured log; GET /api/v1/logs lists them.",
            )
        await self.store.write(
            [LogSwitched(log_name=name, paused=paused, switched_at=utc(self._wall_clock()))]
        )
        if paused:
            service.collector.pause()
        else:
            service.collector.resume()
        service.run_soon()
        return LogSwitchAnswer(name=name, paused=paused)

    def refresh_cron(self) -> CronRefreshAnswer:
        """Begin a look at the crontabs. Raises ApiError (404) where cron is not watched."""
        for service in self.collectors:
            if service.collector.name == "cron":
                if service.run_now():
                    return CronRefreshAnswer(started=True)
                return CronRefreshAnswer(started=False, reason="a look at them is under way")
        raise ApiError(
            404,
            "cron-not-watched",
            "Cron is not watched on this node: cron.enabled is false in its node.yaml.",
        )

    def _console(self, section: ManholeSection) -> ManholeService:
        # Imported here: conch and what it needs take time and memory that few nodes have a use for.
        from etlmon.node.manhole.service import ManholeService
        from etlmon.node.manhole.tools import make_namespace

        return ManholeService(
            section,
            self.audit,
            lambda: make_namespace(self, self._reactor),
            self.store.path.parent,
            self._reactor,
            self.in_thread,
        )

    def health(self) -> Health:
        """Tell how the node is, from memory."""
        database = self.store.health()
        collectors = [service.health() for service in self.collectors]
        stuck = self.workers.stuck_workers()
        well = (
            database.state == "ok"
            and not stuck
            and not any(_ended_badly(one) or _is_late(one) for one in collectors)
        )
        return Health(
            node_name=node_name(self.config),
            version=__version__,
            state="ok" if well else "degraded",
            started_at=utc(self._began_at),
            uptime_seconds=round(self._reactor.seconds() - self._began, 3),
            now=utc(self._wall_clock()),
            warnings=self._warnings(),
            database=database,
            collectors=collectors,
            stuck_workers=stuck,
        )

    def _live(self, config: NodeConfig) -> LiveProcesses:
        return LiveProcesses(config.process_watch, config.redact, self._context)

    def dead_part(self) -> str | None:
        """Name a part that makes no progress any more; None while all live.

        A database that refuses what it is given is no dead part, and no run that takes long.
        """
        if self.store.committing_seconds > _LONGEST_COMMIT_SECONDS:
            return "The writer"
        for service in self.collectors:
            if service.overdue_seconds > _LONGEST_OVERDUE_SECONDS:
                return f"The timer of the collector {service.name}"
        return None

    def readiness(self) -> dict[str, bool]:
        """Tell of each part whether it does its work, for who sends requests here, from memory.

        A collector that fails is no reason to send them elsewhere: it is one that tells so.
        """
        return {
            "node": self._is_whole,
            "database": self.store.health().state == "ok"
            and self.store.committing_seconds <= _LONGEST_COMMIT_SECONDS,
            "collectors": all(
                service.overdue_seconds <= _LONGEST_OVERDUE_SECONDS for service in self.collectors
            ),
        }

    def _figures(self) -> NodeFigures:
        return NodeFigures(
            health=self.health(),
            committing_seconds=self.store.committing_seconds,
            check=self.maintenance.check,
            backup=self.backups.state(),
            lanes=self.workers.lanes(),
            streams=len(self.server.streams),
        )

    def _status(self) -> str:
        """Tell in a line how the node is."""
        health = self.health()
        ill = [
            f"{one.name} {one.instance}".strip() for one in health.collectors if _ended_badly(one)
        ]
        if health.database.state != "ok":
            ill.insert(0, "the database")
        reasons = f": {', '.join(ill[:5])}" if ill else ""
        return f"{health.state}{reasons}; {len(health.collectors)} collectors"

    def _samples_of(self, pid: int) -> Deferred[list[ProcessSample]]:
        return self.store.read(lambda cursor: process_stats.by_pid(cursor, pid))

    def _finish_commands(self) -> Deferred[None]:
        self.kills.stop()
        return Deferred.fromCoroutine(self.server.finish())

    def _build(self, config: NodeConfig) -> list[Collector]:
        return [collector for kind in KINDS for collector in kind.build(config, self._context)]

    def _service(self, collector: Collector, place: int | None = None) -> CollectorService:
        if place is None:
            place = len(getattr(self, "collectors", ()))
        return CollectorService(
            collector,
            self.store,
            self._reactor,
            self._wall_clock,
            first_delay_seconds=place * _SPREAD_SECONDS,
        )

    def _declare(self, config: NodeConfig) -> None:
        for kind in KINDS:
            if kind.declare is not None:
                records = kind.declare(config).records
                self.store.write(records).addErrback(self._not_stored, "The configuration")

    def _not_stored(self, failure: Any, what: str) -> None:
        failure.trap(StoreError)
        self.log.warn("{what} was not stored: {error}", what=what, error=str(failure.value))

    def in_thread(self, function: Callable[[], T]) -> Deferred[T]:
        """Run a blocking function in a thread of the reactor's pool; fires with its result."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function)

    def _host_check(self, config: NodeConfig) -> HostCheck | None:
        if isinstance(parse_listen(self._listen), UnixAddress):
            return None
        names = (socket.gethostname(), node_name(config), *config.node.allowed_hosts)
        return HostCheck(loopback=is_loopback(self._listen), names=names)

    def _warnings(self) -> list[str]:
        """What an operator should know though nothing is broken."""
        warnings = []
        listen = self._listen
        admission = self.admission
        if admission is None and self.policy.is_open and not is_loopback(listen):
            warnings.append(
                f"Commands are open to everyone who reaches {listen}: set auth.tokens_file or "
                "control.enabled: false, or listen on 127.0.0.1, if that network is not trusted."
            )
        if admission is not None and admission.trouble is not None:
            warnings.append(f"Nobody is let in: {admission.trouble}.")
        elif admission is not None and not admission.count:
            warnings.append(
                f"Nobody can be let in: {admission.path} holds no token; "
                "`etlmon token add` makes one."
            )
        for service in self.collectors:
            if isinstance(service.collector, Warned):
                warnings += service.collector.warnings
        if self.manhole is not None:
            warnings += self.manhole.warnings
        if self.store.set_aside is not None:
            warnings.append(
                f"The database was damaged: it is kept as {self.store.set_aside}, and a new one "
                "has been begun; `etlmon restore` puts a copy back."
            )
        backup = self.backups.state()
        if backup is not None and backup.state == "error":
            warnings.append(f"No copy of the database could be made: {backup.last_error}")
        return warnings


def _stop_all(services: Iterable[CollectorService]) -> Deferred[Any]:
    return gatherResults([service.stopService() for service in services], consumeErrors=True)


def _ended_badly(collector: CollectorHealth) -> bool:
    """Whether the last finished run failed, also while the next one is going."""
    return collector.last_error_at is not None and (
        collector.last_error_at == collector.last_run_at
    )


def _is_late(collector: CollectorHealth) -> bool:
    """Whether a whole turn has been left out, since the run before has not ended."""
    return collector.lag_seconds > collector.interval_seconds


def _same(one: Collector, other: Collector) -> bool:
    return (one.settings, one.interval_seconds) == (other.settings, other.interval_seconds)
