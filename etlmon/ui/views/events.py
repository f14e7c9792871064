"""What became of watched processes, and who gave which command."""

from __future__ import annotations

from etlmon.contract.audit import AUDIT, AuditQuery
from etlmon.contract.processes import PROCESS_EVENTS, ProcessEventsQuery
from etlmon.records.audit import AuditEntry
from etlmon.records.process import ProcessEvent
from etlmon.ui.format import visible
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import TableView, View
from etlmon.ui.views.generic import RecordView
from etlmon.ui.views.process_text import event_piece, event_style
from etlmon.ui.views.states import state_piece
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table

_MOST = 1000
"""The newest, on one page."""


class ProcessEventsView(TableView):
    """Starts, exits, restarts and the like, the newest first."""

    title = "Events"
    empty = "Nothing has become of a watched process yet."

    def __init__(self) -> None:
        columns: list[Column[ProcessEvent]] = [
            Column("WHEN", lambda one: [self._when(one.occurred_at)], lambda one: one.id, least=11),
            Column(
                "WATCH", lambda one: [("text", visible(one.watch))], lambda one: one.watch, least=10
            ),
            Column("PID", _event_pid, lambda one: one.pid, right=True, least=7),
            Column(
                "PROCESS",
                lambda one: [("text", visible(one.process_name or ""))],
                lambda one: one.process_name,
                least=10,
            ),
            Column("EVENT", lambda one: [event_piece(one)], lambda one: one.event, least=30),
        ]
        self.widget = self.table = Table(columns, lambda one: one.id, self.empty)

    @property
    def want(self) -> Want:
        """The newest events."""
        return Want(PROCESS_EVENTS, ProcessEventsQuery(limit=_MOST))

    def remark(self, item: ProcessEvent) -> Piece:
        """Give the event, which a narrow table cuts."""
        return event_style(item), f"{visible(item.process_name or item.watch or 'host')}: " + (
            event_piece(item)[1]
        )

    def detail(self, item: ProcessEvent) -> View:
        """Give all fields of an event."""
        title = f"{item.event} {visible(item.process_name or item.watch)}".rstrip()
        return _one(title, self.want, item.id)


class AuditView(TableView):
    """Every command that came, the newest first."""

    title = "Audit"
    empty = "No command has come to this node yet."

    def __init__(self) -> None:
        columns: list[Column[AuditEntry]] = [
            Column(
                "WHEN", lambda one: [self._when(one.requested_at)], lambda one: one.id, least=11
            ),
            Column("WHO", lambda one: [("text", visible(one.who))], lambda one: one.who, least=8),
            Column("FROM", lambda one: [("text", visible(one.origin))], least=9, most=18),
            Column(
                "COMMAND",
                lambda one: [("text", visible(one.command))],
                lambda one: one.command,
                least=12,
            ),
            Column(
                "OUTCOME",
                lambda one: [state_piece(one.outcome)],
                lambda one: one.outcome,
                least=9,
                most=13,
            ),
            Column("DETAIL", lambda one: [_audit_detail(one)], least=20),
            Column("REASON", lambda one: [("text", visible(one.reason or ""))], least=12),
        ]
        self.widget = self.table = Table(columns, lambda one: one.id, self.empty)

    @property
    def want(self) -> Want:
        """The newest rows."""
        return Want(AUDIT, AuditQuery(limit=_MOST))

    def remark(self, item: AuditEntry) -> Piece:
        """Give what was done or why it was not, which a narrow table cuts."""
        return _audit_detail(item)

    def detail(self, item: AuditEntry) -> View:
        """Give all fields of a row."""
        return _one(f"{visible(item.command)} {item.id}", self.want, item.id)


def _one(title: str, want: Want, number: int) -> View:
    def find(session: Session) -> ProcessEvent | AuditEntry | None:
        found = session.held(want).value or ()
        return next((one for one in found if one.id == number), None)

    return RecordView(title, want, find)


def _event_pid(event: ProcessEvent) -> list[Piece]:
    return [("text", "" if event.pid is None else str(event.pid))]


def _audit_detail(entry: AuditEntry) -> Piece:
    times = f" ({entry.attempts} times)" if entry.attempts > 1 else ""
    text = entry.detail or entry.problem or entry.arguments or ""
    return ("text" if entry.outcome == "done" else "warning"), f"{visible(text)}{times}"
