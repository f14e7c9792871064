"""How the node is, as its parts tell from memory: to people, to who sends requests, to systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from etlmon import __version__
from etlmon.api.metrics.node import NodeFigures
from etlmon.collectors.base import Warned
from etlmon.config.addresses import is_loopback
from etlmon.node.places import node_name
from etlmon.records.health import CollectorHealth, Health
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.node.service import NodeService
    from etlmon.store.database import StoreService

_LONGEST_OVERDUE_SECONDS = 60.0
_LONGEST_COMMIT_SECONDS = 900.0
"""So long may a transaction take; the longest that there are rewrite the whole database."""


class NodeState:
    """What is so of a node now. Nothing here touches the disk."""

    def __init__(self, node: NodeService, reactor: Any, wall_clock: Callable[[], float]) -> None:
        self._node = node
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._began = 0.0
        self._began_at = 0.0
        self.is_whole = False
        """Whether all parts have started, and none has been told to stop."""

    def begin(self) -> None:
        """Note that the node starts now."""
        self._began = self._reactor.seconds()
        self._began_at = self._wall_clock()

    def health(self) -> Health:
        """Tell how the node is."""
        node = self._node
        database = replace(node.store.health(), content=node.maintenance.content)
        collectors = [service.health() for service in node.collectors]
        return Health(
            node_name=node_name(node.config),
            version=__version__,
            state=self._state(collectors),
            started_at=utc(self._began_at),
            uptime_seconds=round(self._reactor.seconds() - self._began, 3),
            now=utc(self._wall_clock()),
            warnings=self.warnings(),
            database=database,
            collectors=collectors,
            stuck_workers=node.workers.stuck_workers(),
        )

    def _state(self, collectors: list[CollectorHealth]) -> str:
        ill = (
            self._node.store.reason is not None
            or self._node.workers.stuck_workers()
            or any(_ended_badly(one) or _is_late(one) for one in collectors)
        )
        return "degraded" if ill else "ok"

    def status(self) -> str:
        """Tell in a line how the node is, every few seconds: nothing is looked up for that."""
        collectors = [service.health() for service in self._node.collectors]
        ill = [f"{one.name} {one.instance}".strip() for one in collectors if _ended_badly(one)]
        if self._node.store.reason is not None:
            ill.insert(0, "the database")
        reasons = f": {', '.join(ill[:5])}" if ill else ""
        return f"{self._state(collectors)}{reasons}; {len(collectors)} collectors"

    def dead_part(self) -> str | None:
        """Name a part that makes no progress any more; None while all live.

        A database that refuses what it is given is no dead part, and no run that takes long.
        """
        if self._node.store.committing_seconds > _LONGEST_COMMIT_SECONDS:
            return "The writer"
        for service in self._node.collectors:
            if service.overdue_seconds > _LONGEST_OVERDUE_SECONDS:
                return f"The timer of the collector {service.name}"
        return None

    def readiness(self) -> dict[str, bool]:
        """Tell of each part whether it does its work, for who sends requests here.

        A collector that fails is no reason to send them elsewhere: it is one that tells so.
        """
        node = self._node
        return {
            "node": self.is_whole,
            "database": node.store.reason is None
            and node.store.committing_seconds <= _LONGEST_COMMIT_SECONDS,
            "collectors": all(
                service.overdue_seconds <= _LONGEST_OVERDUE_SECONDS for service in node.collectors
            ),
        }

    def figures(self) -> NodeFigures:
        """Give what the metrics tell of the node."""
        node = self._node
        return NodeFigures(
            health=self.health(),
            committing_seconds=node.store.committing_seconds,
            check=node.maintenance.check,
            backup=node.backups.state(),
            lanes=node.workers.lanes(),
            streams=len(node.server.streams),
            inotify_overflows=node.watches.overflows,
        )

    def warnings(self) -> list[str]:
        """Tell what an operator should know though nothing is broken."""
        node = self._node
        warnings = self._warnings_of_access()
        for service in node.collectors:
            if isinstance(service.collector, Warned):
                warnings += service.collector.warnings
        if node.manhole is not None:
            warnings += node.manhole.warnings
        if node.store.set_aside is not None:
            warnings.append(
                f"The database was damaged: it is kept as {node.store.set_aside}, and"
                f" {_in_its_place(node.store)}"
            )
        if node.store.warning is not None:
            warnings.append(node.store.warning)
        for part in (node.retention.room, node.retention, node.backups):
            if part.warning is not None:
                warnings.append(part.warning)
        return warnings

    def _warnings_of_access(self) -> list[str]:
        listen = self._node.listen
        admission = self._node.admission
        if admission is None:
            if self._node.policy.is_open and not is_loopback(listen):
                return [
                    f"Commands are open to everyone who reaches {listen}: set auth.tokens_file or "
                    "control.enabled: false, or listen on 127.0.0.1, if that network is not "
                    "trusted."
                ]
        elif admission.trouble is not None:
            return [f"Nobody is let in: {admission.trouble}."]
        elif not admission.count:
            return [
                f"Nobody can be let in: {admission.path} holds no token; "
                "`etlmon token add` makes one."
            ]
        return []


def _in_its_place(store: StoreService) -> str:
    """Say what is in the place of a damaged database, and what to do."""
    if store.is_put_back:
        return "the one in its place has all rows, for only indexes were damaged."
    if store.why_not_put_back is not None:
        return (
            "a new one has been begun. Whether only indexes were damaged could not be found out:"
            f" {store.why_not_put_back}. When that is seen to, `etlmon restore` of that file does,"
            " and puts all its rows back; what has been stored since is kept beside it."
        )
    return "a new one has been begun; `etlmon restore` puts a copy back."


def _ended_badly(collector: CollectorHealth) -> bool:
    """Whether the last finished run failed, also while the next one is going."""
    return collector.last_error_at is not None and (
        collector.last_error_at == collector.last_run_at
    )


def _is_late(collector: CollectorHealth) -> bool:
    """Whether a whole turn has been left out, since the run before has not ended."""
    return collector.lag_seconds > collector.interval_seconds
