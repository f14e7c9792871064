"""Logs: each file of each, whether it is read, how far behind, how fast it grows, its gaps."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime

from etlmon.contract.logs import LOGS, PAUSE_LOG, RESUME_LOG, LogSwitchQuery
from etlmon.contract.query import Page
from etlmon.records.log import LogFile, LogSwitchAnswer, LogSwitchRequest
from etlmon.ui.format import format_bytes, format_seconds, visible
from etlmon.ui.keys import LOGS as KEYS
from etlmon.ui.keys import TABLE
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, TableView, View
from etlmon.ui.views.generic import RecordView
from etlmon.ui.views.log import LogView
from etlmon.ui.views.states import severity, state_piece
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table, numbers

_MOST_PAGES = 50
"""A pattern may match ten thousand files; those of the other logs are to be seen, too."""
WANT = Want(LOGS, Page(limit=1000), _MOST_PAGES)
_SAMPLES = 6
"""Answers over which a rate is taken: at the usual two seconds, ten."""


class Rates:
    """How many lines a second each file has given lately, by two answers or more."""

    def __init__(self) -> None:
        self._samples: deque[tuple[datetime, dict[tuple[str, str], int]]] = deque(maxlen=_SAMPLES)

    def take(self, received_at: datetime | None, files: Sequence[LogFile]) -> None:
        """Take an answer, unless it is the one before."""
        if received_at is None or (self._samples and self._samples[-1][0] == received_at):
            return
        counts = {(file.name, file.path): file.lines_total for file in files}
        self._samples.append((received_at, counts))

    def forget(self) -> None:
        """Forget all: what comes now is of another node."""
        self._samples.clear()

    def lines_per_second(self, file: LogFile) -> float | None:
        """Give the rate; None as long as there is but one answer about the file."""
        key = (file.name, file.path)
        first = next((one for one in self._samples if key in one[1]), None)
        last = next((one for one in reversed(self._samples) if key in one[1]), None)
        if first is None or last is None or last[0] <= first[0]:
            return None
        lines = last[1][key] - first[1][key]
        return max(0.0, lines / (last[0] - first[0]).total_seconds())


def rate_text(lines_per_second: float | None) -> str:
    """Give a rate with as many digits as it has a meaning for."""
    if lines_per_second is None:
        return "-"
    digits = 1 if 0 < lines_per_second < 9.95 else 0
    return f"{lines_per_second:,.{digits}f}/s"


class LogsView(TableView):
    """Every file of every log of the node."""

    title = "Logs"
    places = (KEYS, TABLE)
    empty = "No logs are configured on this node: add logs to its node.yaml."

    def __init__(self) -> None:
        self._rates = Rates()
        self._session: Session | None = None
        columns: list[Column[LogFile]] = [
            Column(
                "LOG",
                lambda item: [("text", visible(item.name))],
                lambda item: item.name,
                least=8,
            ),
            Column(
                "STATE",
                lambda item: [state_piece(item.state)],
                lambda item: severity(item.state),
                least=11,
            ),
            numbers(
                "LAG",
                lambda item: [lag_piece(item)],
                lambda item: item.lag_bytes,
                least=8,
            ),
            numbers(
                "RATE",
                lambda item: [("text", rate_text(self._rates.lines_per_second(item)))],
                self._rates.lines_per_second,
                least=7,
            ),
            numbers(
                "GAPS",
                lambda item: [gaps_piece(item)],
                lambda item: item.gaps,
                least=4,
            ),
            numbers(
                "LAST LINE",
                lambda item: [self._age(item)],
                lambda item: item.last_line_at,
                least=9,
            ),
            Column(
                "PATH",
                lambda item: [("text", visible(item.path))],
                lambda item: item.path,
                keep_end=True,
                least=12,
            ),
            numbers(
                "LINES",
                lambda item: [("text", f"{item.lines_total:,}")],
                lambda item: item.lines_total,
                least=7,
            ),
            Column("MESSAGE", lambda item: [message_piece(item)], least=12),
        ]
        self.widget = self.table = Table(columns, lambda item: (item.name, item.path), self.empty)
        self.table.sort_by("STATE")

    @property
    def want(self) -> Want:
        """All logs."""
        return WANT

    @property
    def moves(self) -> bool:
        """The age of the last lines grows."""
        return True

    def update(self, session: Session) -> None:
        """Show the files, and how fast they have grown since the answers before."""
        if session is not self._session:
            self._session = session
            self._rates.forget()
        held = session.held(self.want)
        self._rates.take(held.received_at, held.value or ())
        super().update(session)

    def can(self, command: str) -> bool:
        """Open, read about and pause a log if there is one."""
        return super().can("detail" if command in ("switch", "fields") else command)

    def run(self, command: str, around: Around) -> bool:
        """Pause or resume the chosen log, after yes; tell all about its file; the rest as any."""
        chosen = self.table.chosen
        if command == "switch":
            if chosen is not None:
                switch_after_yes(around, chosen)
        elif command == "fields":
            if chosen is not None:
                around.open(self._about(chosen))
        else:
            return super().run(command, around)
        return True

    def remark(self, item: LogFile) -> Piece:
        """Give the message, or what tells rows apart where the path has no room."""
        return message_piece(item) if item.error_message else ("dim", visible(item.path))

    def detail(self, item: LogFile) -> View:
        """Give the lines: of this file if the log has several."""
        several = sum(other.name == item.name for other in self.table.items) > 1
        return LogView(item.name, item.path if several else None, WANT, switch_after_yes)

    def _about(self, item: LogFile) -> View:
        key = (item.name, item.path)
        return RecordView(
            visible(item.name),
            WANT,
            lambda session: next((i for i in self.items(session) if (i.name, i.path) == key), None),
        )

    def _age(self, item: LogFile) -> Piece:
        if item.last_line_at is None or self._now is None:
            return "dim", "-"
        age = max(0.0, (self._now - item.last_line_at).total_seconds())
        return "text", format_seconds(round(age)) if age >= 1 else "now"


def lag_piece(item: LogFile) -> Piece:
    """Give what waits to be read: it is to be looked at only where nothing reads it."""
    if item.lag_bytes is None:
        return "dim", "-"
    style = "warning" if item.lag_bytes and item.state != "following" else "text"
    return style, format_bytes(item.lag_bytes)


def gaps_piece(item: LogFile) -> Piece:
    """Give how often something could not be read."""
    return ("warning" if item.gaps else "dim"), f"{item.gaps:,}"


def message_piece(item: LogFile) -> Piece:
    """Give why a file is not followed."""
    style = "critical" if item.state == "error" else "warning"
    return style, visible(item.error_message or "")


def switch_after_yes(around: Around, item: LogFile) -> None:
    """Pause the log, or resume it, after yes; all its files."""
    query = LogSwitchQuery(name=item.name)
    body = LogSwitchRequest(confirm=True)
    name, node = visible(item.name), visible(around.session.name)
    if item.state == "paused":
        around.ask(
            f"Have {node} read {name} again?",
            lambda: around.command(RESUME_LOG, switch_text, query=query, body=body),
        )
    else:
        around.ask(
            f"Have {node} stop reading {name}? What comes waits in its file.",
            lambda: around.command(PAUSE_LOG, switch_text, query=query, body=body),
        )


def switch_text(answer: LogSwitchAnswer) -> str:
    """Put the answer to such a command into words."""
    return f"{answer.name} is {'paused' if answer.paused else 'read again'}."
