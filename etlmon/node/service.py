"""The composition root: the only place that knows all the parts."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from etlmon import __version__
from etlmon.api.access import HostCheck
from etlmon.api.metrics.exposition import Metrics
from etlmon.api.metrics.node import NodeMetrics
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
from etlmon.collectors.base import CollectorContext
from etlmon.collectors.process.live import LiveProcesses
from etlmon.config.addresses import UnixAddress, is_loopback, parse_listen
from etlmon.config.signals import allowed_signals
from etlmon.control.admission import AdmissionService
from etlmon.control.audit import AuditLog
from etlmon.control.callers import Gate
from etlmon.control.kill import Kills
from etlmon.control.policy import Policy
from etlmon.errors import ConfigError
from etlmon.fsworker.pool import WorkerPool
from etlmon.host.watches import DirectoryWatches
from etlmon.node.collectors import Collectors
from etlmon.node.cron import CronLooks
from etlmon.node.listen import ListeningService
from etlmon.node.logs import Logs
from etlmon.node.paths import PathScans
from etlmon.node.places import database_path, node_name
from etlmon.node.reload import as_running
from etlmon.node.state import NodeState
from etlmon.node.systemd import Notifier, SupervisedService, listen_text
from etlmon.node.tops import TopSearches
from etlmon.records.health import Health
from etlmon.store.backup_schedule import BackupService
from etlmon.store.database import StoreService
from etlmon.store.maintenance import MaintenanceService
from etlmon.store.retention import RetentionService
from etlmon.store.tables import process_stats
from etlmon.store.tables.all import TABLES
from etlmon.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from etlmon.config.node import ManholeSection, NodeConfig
    from etlmon.node.manhole.service import ManholeService
    from etlmon.records.process import ProcessSample

T = TypeVar("T")

_MOST_THREADS = 10
_THREADS_END_SECONDS = 0.5


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
        self.listen = config.node.listen if inherited is None else listen_text(inherited)
        self._reactor = reactor
        self._threads = Threads("node", _MOST_THREADS)
        self._wall_clock = wall_clock
        self.state = NodeState(self, reactor, wall_clock)
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
        self.kills = Kills(
            config,
            self.policy,
            self._samples_of,
            reactor,
            self.in_thread,
            proc,
            self._watches_of,
        )
        self.watches = DirectoryWatches(reactor, self.in_thread, proc, self._is_followed)
        self._context = CollectorContext(
            wall_clock=wall_clock,
            monotonic_clock=reactor.seconds,
            in_thread=self.in_thread,
            workers=self.workers,
            proc=proc,
            reactor=reactor,
            saved=self.store.saved,
            lend=self.store.lend,
            watches=self.watches,
        )
        self._live_processes = self._live(config)
        self.collectors = Collectors(config, self._context, self.store, reactor, wall_clock)
        self.scans = PathScans(self.collectors, self.store)
        self.logs = Logs(lambda: self.config.logs, self.collectors, self.store, wall_clock)
        self.tops = TopSearches(self._context)
        self.tops.apply(config.paths)
        self.retention = RetentionService(
            self.store, TABLES, config.retention_of, reactor, wall_clock, config.node.db_max_bytes
        )
        self.store.on_commit(self.retention.room.committed)
        self.store.on_full(self.retention.room.full)
        self.maintenance = MaintenanceService(
            self.store, TABLES, config.retention_of, reactor, wall_clock
        )
        self.backups = BackupService(
            self.store, config.backup, node_name(config), reactor, wall_clock
        )
        self.admission = (
            None
            if config.auth is None
            else AdmissionService(Path(config.auth.tokens_file), reactor, self.in_thread)
        )
        self.delay = ReactorDelay(reactor)
        traffic = Traffic()
        self.metrics = Metrics(
            [self.delay, traffic],
            [NodeMetrics(self.state.figures), *readings()],
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
                *logs.routes(self.store, self.logs, self.policy, reactor),
                *xferlog.routes(self.store, wall_clock),
                *cron.routes(self.store, CronLooks(self.collectors), self.policy),
                *health.routes(self.state.health),
                *admin.routes(self.maintenance, self.backups.state, self.policy),
                *openapi.routes(),
            ],
            self._host_check(config),
            self.policy,
            reactor,
            gate=Gate(self.admission),
            audit=self.audit,
            pages=pages(self.state.readiness, self.metrics),
            traffic=traffic,
        )
        self.manhole = None if config.manhole is None else self._console(config.manhole)
        self.store.on_commit(self.server.committed)
        self.store.on_replaced(lambda: self.collectors.declare(self.config))
        self.listening = ListeningService(self.listen, self.server.site(), reactor, inherited)
        self.supervised = SupervisedService(
            notifier or Notifier(None), reactor, self.state.dead_part, self.state.status
        )

    def startService(self) -> None:
        """Start everything, synchronously. Raises StoreError or CannotListen, all undone."""
        super().startService()
        self.state.begin()
        try:
            self._start()
        except BaseException:
            self.stopService()
            raise
        self.state.is_whole = True
        self.collectors.declare(self.config)
        for warning in self.state.warnings():
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
        # One that ends while the interpreter is taken down may end the process by SIGABRT; one
        # whose call hangs does not end. Nothing else is left to be done by then.
        started(("the threads", lambda: maybeDeferred(self._threads.stop, _THREADS_END_SECONDS)))
        with self.supervised.starting(f"opening the database {self.store.path}"):
            self.store.startService()
        started(("the store", self.store.stopService))
        started(("the workers", self.workers.stop))
        started(("the collectors", self.collectors.stop))
        self.collectors.start()
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
        was_whole = self.state.is_whole
        self.state.is_whole = False
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
        log, and stays as it is; a configuration with mistakes changes nothing.
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
        config, waiting = as_running(config, self.config)
        for section in waiting:
            self.log.warn("{section}: a change here needs a restart.", section=section)
        if self.admission is not None:
            await self.admission.look()
        self._apply(config)
        await self.collectors.exchange(self.collectors.build(config))
        if _of_live(config) != _of_live(self.config):
            self._live_processes = self._live(config)
        self.config = config
        self.collectors.declare(config)
        self.log.info("The configuration has been reloaded.")

    def _apply(self, config: NodeConfig) -> None:
        """Take what may change while the node runs, but for the collectors."""
        self.policy.apply(config.control)
        self.kills.apply(config)
        self.tops.apply(config.paths)
        self.retention.limits = self.maintenance.limits = config.retention_of
        self.backups.section = config.backup

    def read_processes(self) -> Deferred[list[ProcessSample]]:
        """Read all processes of the host; fails with CollectError if that cannot be done."""
        return self._live_processes.read()

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
        return self.state.health()

    def _live(self, config: NodeConfig) -> LiveProcesses:
        return LiveProcesses(
            config.process_watch, config.redact, self._context, allowed_signals(config)
        )

    def _watches_of(self, identity: str) -> Awaitable[list[str] | None]:
        return self._live_processes.watches_of(identity)

    def _samples_of(self, pid: int) -> Deferred[list[ProcessSample]]:
        return self.store.read(lambda cursor: process_stats.by_pid(cursor, pid))

    def _finish_commands(self) -> Deferred[None]:
        self.kills.stop()
        return Deferred.fromCoroutine(self.server.finish())

    def in_thread(self, function: Callable[[], T]) -> Deferred[T]:
        """Run a blocking function in a thread of the node; fires with its result."""
        threads: Any = self._threads  # has of a ThreadPool what is used of it
        return deferToThreadPool(self._reactor, threads, function)

    def _is_followed(self) -> bool:
        """Whether a client waits for what comes."""
        return len(self.server.streams) > 0

    def _host_check(self, config: NodeConfig) -> HostCheck | None:
        if isinstance(parse_listen(self.listen), UnixAddress):
            return None
        names = (socket.gethostname(), node_name(config), *config.node.allowed_hosts)
        return HostCheck(loopback=is_loopback(self.listen), names=names)


def _of_live(config: NodeConfig) -> tuple[object, ...]:
    """Give what all processes are read by."""
    return config.process_watch, config.redact, allowed_signals(config)
