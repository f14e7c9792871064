"""The nodes: which answer, how they are, and each one's collectors and database."""

from __future__ import annotations

from collections.abc import Sequence

from etlmon.records.health import Health
from etlmon.ui.format import format_bytes, format_moment, format_seconds, visible
from etlmon.ui.session import Session
from etlmon.ui.views.base import DetailView, TableView, View
from etlmon.ui.views.generic import field_piece
from etlmon.ui.views.states import state_piece
from etlmon.ui.widgets.line import Piece, fit
from etlmon.ui.widgets.table import Column, Table


def judged(session: Session) -> str:
    """Give the word for how a node is: that of the connection where it is not up, else its own."""
    if session.is_stale:
        return "stale"
    health: Health | None = session.health.value
    if session.state == "online" and health is not None:
        return health.state
    return session.state


def _of_health(session: Session) -> Health | None:
    health: Health | None = session.health.value
    return health


class NodesView(TableView):
    """All nodes of this client, one a row."""

    title = "Nodes"
    empty = "No nodes are configured."

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._sessions = sessions
        columns: list[Column[Session]] = [
            Column(
                "NODE",
                lambda item: [("text", visible(item.name))],
                lambda item: item.name,
                least=10,
                grows=True,
            ),
            Column("STATE", lambda item: [state_piece(judged(item))], judged, least=10),
            Column("LAST SEEN", lambda item: [("text", _last_seen(item))], least=9),
            Column("UP", lambda item: [("text", _uptime(item))], right=True, least=6),
            Column("COLLECTORS", lambda item: [_collectors(item)], least=10),
            Column("DATABASE", lambda item: [_database(item)], least=8),
            Column("ADDRESS", lambda item: [("dim", visible(item.address))], least=10, most=40),
            Column("NOTE", lambda item: [("warning", _note(item))], least=6, most=100),
        ]
        self.widget = self.table = Table(columns, lambda item: item.name, self.empty)

    @property
    def wants(self) -> tuple[()]:
        """Nothing more: every session holds its node's health."""
        return ()

    def items(self, session: Session) -> Sequence[Session]:
        """Give the sessions."""
        return self._sessions

    def nothing(self, session: Session) -> str:
        """Say that there are none."""
        return self.empty

    def detail(self, item: Session) -> View:
        """Give the whole of a node."""
        return NodeView(item)


class NodeView(DetailView):
    """One node: its database, its collectors with their last run and error."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.title = visible(session.name)
        self._session = session

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give what is known of the node."""
        shown = self._session
        lines: list[list[Piece]] = [
            [("title", self.title), ("text", "  "), state_piece(judged(shown))],
            [("dim", f"  {visible(shown.address)}, last seen {_last_seen(shown)}")],
        ]
        if shown.trouble is not None:
            lines.append([("critical", f"  {visible(str(shown.trouble))}")])
        health = _of_health(shown)
        if health is None:
            return lines
        about = f"etlmon {health.version}, up {format_seconds(health.uptime_seconds)}"
        lines.append([("text", f"  {visible(health.node_name)}: {visible(about)}")])
        lines.extend([("warning", f"  {visible(warning)}")] for warning in health.warnings)
        lines.extend(
            [
                (
                    "critical",
                    f"  {visible(stuck.mount_point)} hangs: worker {stuck.pid} since "
                    f"{format_moment(stuck.stuck_since)}",
                )
            ]
            for stuck in health.stuck_workers
        )
        lines += [[], [("heading", "COLLECTORS")], *_collector_lines(health)]
        lines += [[], [("heading", "DATABASE")]]
        for name in health.database.__struct_fields__:
            value = field_piece(name, getattr(health.database, name))
            lines.append([("dim", f"  {name.ljust(18)}"), value])
        return lines


def _collector_lines(health: Health) -> list[list[Piece]]:
    lines: list[list[Piece]] = []
    for collector in health.collectors:
        name = visible(f"{collector.name} {collector.instance}".strip())
        last = "-" if collector.last_run_at is None else format_moment(collector.last_run_at)[11:]
        took = (
            "-" if collector.duration_ms is None else format_seconds(collector.duration_ms / 1000)
        )
        style, word = state_piece(collector.state)
        figures = (
            f"  last {last}, took {took}, every {format_seconds(collector.interval_seconds)}; "
            f"{collector.runs:,} runs, {collector.errors:,} errors, {collector.skipped:,} skipped"
        )
        lines.append([("text", f"  {fit(name, 24)} "), (style, fit(word, 10)), ("dim", figures)])
        if collector.last_error is not None and collector.last_error_at is not None:
            when = format_moment(collector.last_error_at)
            lines.append([("warning", f"      {when}  {visible(collector.last_error)}")])
    return lines


def _last_seen(session: Session) -> str:
    return "never" if session.last_seen_at is None else format_moment(session.last_seen_at)[11:]


def _uptime(session: Session) -> str:
    health = _of_health(session)
    return "-" if health is None else format_seconds(health.uptime_seconds)


def _collectors(session: Session) -> Piece:
    health = _of_health(session)
    if health is None:
        return "dim", "-"
    bad = sum(collector.state == "error" for collector in health.collectors)
    good = len(health.collectors) - bad
    return ("critical", f"{good} ok, {bad} error") if bad else ("text", f"{good} ok")


def _database(session: Session) -> Piece:
    health = _of_health(session)
    if health is None:
        return "dim", "-"
    if health.database.state != "ok":
        return state_piece(health.database.state)
    size = health.database.size_bytes
    return "text", "-" if size is None else format_bytes(size)


def _note(session: Session) -> str:
    if session.trouble is not None:
        return visible(str(session.trouble))
    health = _of_health(session)
    return visible(health.warnings[0]) if health is not None and health.warnings else ""
