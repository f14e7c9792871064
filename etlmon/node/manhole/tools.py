"""The names that there are in the console."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from etlmon.node.manhole import inside
from etlmon.node.manhole.later import Later
from etlmon.node.manhole.table import Table, Text
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.node.service import NodeService
    from etlmon.runner import CollectorService


class Collectors(Mapping[str, "CollectorService"]):
    """The collectors by their names, as they are now: collectors["disk"]. Shows what each does."""

    def __init__(self, node: NodeService) -> None:
        self._node = node

    def __getitem__(self, name: str) -> CollectorService:
        return {str(one.name): one for one in self._node.collectors}[name]

    def __iter__(self) -> Iterator[str]:
        return iter([str(one.name) for one in self._node.collectors])

    def __len__(self) -> int:
        return len(self._node.collectors)

    def __repr__(self) -> str:
        at = {}
        for frames in inside.suspended():
            # What runs a collector holds it by this name.
            owner = frames[0].f_locals.get("self")
            at[id(owner)] = inside.where(frames)
        rows = []
        for one in self._node.collectors:
            health = one.health()
            rows.append(
                (
                    one.name,
                    health.state,
                    health.runs,
                    health.errors,
                    health.skipped,
                    health.duration_ms,
                    health.next_run_at and f"{health.next_run_at:%H:%M:%S}",
                    at.get(id(one)) or (health.last_error if health.state == "error" else None),
                )
            )
        return repr(Table("collector state runs errors skipped ms next waits_at", rows))


def make_namespace(node: NodeService, reactor: Any) -> dict[str, Any]:
    """Give the names of a new session."""
    in_thread = node.in_thread

    def pending() -> Table:
        """Delayed calls: in how many seconds what will be called."""
        now = reactor.seconds()
        calls = sorted(reactor.getDelayedCalls(), key=lambda call: call.getTime())
        return Table(
            "in_seconds what",
            [(call.getTime() - now, _called(call.func)) for call in calls],
        )

    def queue() -> Table:
        """The writer's queue: what is being committed and what waits for it."""
        database = node.store.health()
        rows = [
            (one.state, one.records, one.waited_seconds, ", ".join(sorted(one.tables)))
            for one in node.store.queued()
        ]
        at = "" if database.last_error_at is None else f" at {database.last_error_at}"
        trouble = f"; last error{at}: {database.last_error}" if database.last_error else ""
        return Table(
            "state records waited_seconds tables",
            rows,
            f"{database.commits} commits, the last at {database.last_commit_at}; "
            f"{database.held_records} records held, {database.dropped_records} dropped{trouble}",
        )

    def slow() -> Table:
        """The slowest reads and commits since the node began, each kind at its slowest."""
        return Table(
            "kind seconds waited what detail",
            [
                (one.kind, one.seconds, one.waited_seconds, one.what, one.detail)
                for one in node.store.slowest.worst_first()
            ],
        )

    def deferreds() -> Table:
        """Coroutines that wait, where they wait, and how many Deferreds have not fired."""
        return inside.deferreds()

    def memory() -> Later:
        """Memory by type; takes a moment, in a thread."""
        return Later.of(in_thread(inside.memory))

    def stacks() -> Text:
        """Where each thread is."""
        return inside.stacks()

    def descriptors() -> Later:
        """Open files and sockets of the node, and how many there may be."""
        return Later.of(in_thread(inside.descriptors))

    def read(sql: str, *parameters: Any) -> Later:
        """What an SQL query gives, 100 rows at most; ? in it stand for the parameters."""

        def query(cursor: Any) -> Table:
            cursor.execute(sql, parameters)
            names = " ".join(column[0].replace(" ", "_") for column in cursor.description or ())
            return Table(names or "nothing", cursor.fetchmany(100))

        return Later.of(node.store.read(query))

    tools: dict[str, Any] = {
        "node": node,
        "store": node.store,
        "collectors": Collectors(node),
        "reactor": reactor,
    }
    functions: tuple[Callable[..., Any], ...] = (
        pending,
        deferreds,
        queue,
        slow,
        read,
        memory,
        stacks,
        descriptors,
    )
    tools |= {function.__name__: function for function in functions}
    tools["help"] = _Help(tools)
    tools["exit"] = tools["quit"] = _Exit()
    return tools


class _Help:
    """What there is, and what one thing is for."""

    def __init__(self, tools: dict[str, Any]) -> None:
        self._tools = tools

    def __call__(self, thing: Any = None) -> Text:
        if thing is not None:
            return Text(inspect.getdoc(thing) or "There is no word on it.")
        said = {
            "node": "The NodeService: node.health(), node.config, node.workers ...",
            "store": "The StoreService: store.health(), store.path ...",
            "collectors": "What each collector does now; collectors['disk'] is one of them.",
            "reactor": "Twisted's reactor.",
        }
        lines = []
        for name, tool in self._tools.items():
            if name in ("help", "exit", "quit"):
                continue
            text = said.get(name) or inspect.getdoc(tool) or ""
            lines.append(f"{name if name in said else name + '()':14} {text}")
        lines += [
            "help(x)        What x says of itself.",
            "exit()         Ends the session, and so does Ctrl-D.",
            "_ is the last result; of a Deferred the result is shown when it is there.",
            "Of each table [:3] gives the first rows: slow()[:3], memory()[:3].",
        ]
        return Text("\n".join(lines))

    def __repr__(self) -> str:
        return str(self())


class _Exit:
    """Ends the session."""

    def __call__(self) -> None:
        raise SystemExit

    def __repr__(self) -> str:
        return "exit() or Ctrl-D ends the session."


def _called(function: Any) -> str:
    while hasattr(function, "func"):
        function = function.func
    owner = getattr(function, "__self__", None)
    name = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
    label = getattr(owner, "name", None)
    return one_line(f"{name} ({label})" if isinstance(label, str) else name)
