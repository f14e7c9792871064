"""The nodes: which answer, how they are, and each one's collectors and database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etlmon.records.database import DatabaseContent
from etlmon.records.health import CollectorHealth, Health, StuckWorker
from etlmon.ui.format import format_bytes, format_moment, format_seconds, text_width, visible
from etlmon.ui.session import Session
from etlmon.ui.views.base import Around, DetailView, TableView, View, when
from etlmon.ui.views.generic import field_piece
from etlmon.ui.views.states import severity, state_piece
from etlmon.ui.widgets.line import Piece, fit
from etlmon.ui.widgets.table import Column, Table


def judged(session: Session) -> str:
    """Give the word for how a node is: that of the connection where it is not up, else its own."""
    if session.is_stale:
        return "stale"
    health: Health | None = session.health.value
    if session.state == "online" and session.trouble is not None:
        return "error"
    if session.state == "online" and health is not None:
        return health.state
    return session.state


def _of_health(session: Session) -> Health | None:
    health: Health | None = session.health.value
    return health


def storage_trouble(health: Health) -> str | None:
    """Say that and why a node does not store what it collects; None if it does."""
    database = health.database
    if database.state == "ok":
        return None
    reason = database.reason or database.last_error or "no reason given"
    lost = f"; {database.dropped_records:,} lost" if database.dropped_records else ""
    return visible(f"storage {database.state}: {reason}{lost}")


def causes(health: Health) -> list[str]:
    """Say why a node is degraded, the gravest first; empty if it is well."""
    found = []
    if (storage := storage_trouble(health)) is not None:
        found.append(storage)
    found.extend(map(_hangs, health.stuck_workers))
    found.extend(
        f"{_name(collector)}: {collector.last_error or 'error'}"
        for collector in health.collectors
        if collector.state == "error"
    )
    return [visible(text) for text in found]


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
            ),
            Column(
                "STATE",
                lambda item: [state_piece(judged(item))],
                lambda item: severity(judged(item)),
                least=10,
            ),
            Column("LAST SEEN", lambda item: [_last_seen(item)], least=9),
            Column("UP", lambda item: [("text", _uptime(item))], right=True, least=6),
            Column("COLLECTORS", lambda item: [_collectors(item)], least=14),
            Column("DATABASE", lambda item: [_database(item)], least=10),
            Column("NOTE", lambda item: [_note(item)], least=8, most=80),
            Column("ADDRESS", lambda item: [("dim", visible(item.address))], least=20),
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

    def remark(self, item: Session) -> Piece:
        """Give the note, which a narrow table cuts."""
        return _note(item)

    def detail(self, item: Session) -> View:
        """Give the whole of a node."""
        return NodeView()

    def run(self, command: str, around: Around) -> bool:
        """Choose the node whose detail is opened; the rest as any table."""
        if command == "detail" and self.table.chosen is not None:
            around.choose(self.table.chosen)
        return super().run(command, around)


class NodeView(DetailView):
    """The node on the screen: its database, its collectors with their last run and error."""

    title = "Detail"

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give what is known of the node."""
        seen = _last_seen(session)[1]
        lines: list[list[Piece]] = [
            [("title", visible(session.name)), ("text", "  "), state_piece(judged(session))],
            [("dim", f"  {visible(session.address)}, last seen {seen}")],
        ]
        if session.trouble is not None:
            lines.append([("critical", f"  {visible(str(session.trouble))}")])
        health = _of_health(session)
        if health is None:
            return lines
        about = f"etlmon {health.version}, up {format_seconds(health.uptime_seconds)}"
        lines.append([("text", f"  {visible(health.node_name)}: {visible(about)}")])
        if (storage := storage_trouble(health)) is not None:
            lines.append([("critical", f"  {storage}")])
        lines.extend([("warning", f"  {visible(warning)}")] for warning in health.warnings)
        lines.extend(
            [("critical", f"  {_hangs(stuck)} since {format_moment(stuck.stuck_since)}")]
            for stuck in health.stuck_workers
        )
        lines += [[], [("heading", "COLLECTORS")], *_collector_lines(health, session.now)]
        lines += [[], [("heading", "DATABASE")]]
        for name in health.database.__struct_fields__:
            if name == "content":
                continue
            value = field_piece(name, getattr(health.database, name))
            lines.append([("dim", f"  {name.ljust(18)}"), value])
        if (content := health.database.content) is not None:
            lines += [[], *_content_lines(content, session.now)]
        return lines


def _name(collector: CollectorHealth) -> str:
    return visible(f"{collector.name} {collector.instance}".strip())


def _hangs(stuck: StuckWorker) -> str:
    return visible(f"{stuck.mount_point} hangs: worker {stuck.pid}")


def _collector_lines(health: Health, now: datetime) -> list[list[Piece]]:
    """Give a line for each collector, and below it its newest error."""
    lines: list[list[Piece]] = []
    width = min(32, max((text_width(_name(each)) for each in health.collectors), default=0))
    for collector in health.collectors:
        last = when(collector.last_run_at, now)[1]
        due = when(collector.next_run_at, now)[1]
        took = collector.duration_ms
        style, word = state_piece(collector.state)
        figures = (
            f" last {last}, took {'-' if took is None else format_seconds(took / 1000)}, next {due}"
        )
        counts = f"; {collector.runs:,} runs"
        if collector.errors:
            counts += f", {collector.errors:,} errors"
        if collector.skipped:
            counts += f", {collector.skipped:,} skipped"
        if collector.lag_seconds >= 1:
            counts += f", {format_seconds(collector.lag_seconds)} late"
        lines.append(
            [
                ("text", f"  {fit(_name(collector), width)} "),
                (style, fit(word, 9)),
                ("text", figures),
                ("dim", counts),
            ]
        )
        if collector.last_error is not None and collector.last_error_at is not None:
            moment = when(collector.last_error_at, now)[1]
            lines.append([("warning", f"      {moment}  {visible(collector.last_error)}")])
    return lines


def _content_lines(content: DatabaseContent, now: datetime) -> list[list[Piece]]:
    """Give a line for each table that has rows, and what a day adds to it."""
    taken = when(content.taken_at, now)[1]
    a_day = format_bytes(content.bytes_last_day)
    lines: list[list[Piece]] = [
        [("heading", "TABLES"), ("dim", f"  as of {taken}; {a_day} in the last 24 h")]
    ]
    for one in content.tables:
        if one.rows:
            added = "" if one.bytes_last_day is None else format_bytes(one.bytes_last_day)
            figures = f"{one.rows:>12,} rows {format_bytes(one.size_bytes):>10} {added:>10}"
            lines.append([("dim", f"  {visible(one.table).ljust(18)}"), ("text", figures)])
    return lines


def _last_seen(session: Session) -> Piece:
    if session.last_seen_at is None:
        return "dim", "never"
    return when(session.last_seen_at, session.now)


def _uptime(session: Session) -> str:
    health = _of_health(session)
    return "-" if health is None else format_seconds(health.uptime_seconds)


def _collectors(session: Session) -> Piece:
    health = _of_health(session)
    if health is None:
        return "dim", "-"
    bad = sum(collector.state == "error" for collector in health.collectors)
    good = len(health.collectors) - bad
    return ("critical", f"{bad} error, {good} ok") if bad else ("text", f"{good} ok")


def _database(session: Session) -> Piece:
    health = _of_health(session)
    if health is None:
        return "dim", "-"
    if health.database.state != "ok":
        return state_piece(health.database.state)
    size = health.database.size_bytes
    return "text", "-" if size is None else format_bytes(size)


def _note(session: Session) -> Piece:
    """Say what is wrong with a node, else what it warns of."""
    if session.trouble is not None:
        return "critical", visible(str(session.trouble).removeprefix(f"{session.address}: "))
    health = _of_health(session)
    if health is None:
        return "text", ""
    found = causes(health)
    if found:
        return "warning", "; ".join(found)
    return "dim", visible("; ".join(health.warnings))
