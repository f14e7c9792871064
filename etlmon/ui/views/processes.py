"""Processes: those that are watched, by watch, or all of the host; and signals to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from etlmon.contract.processes import PROCESS_WATCHES, PROCESSES, ProcessesQuery
from etlmon.contract.query import Page
from etlmon.records.process import ProcessSample, ProcessWatchStatus
from etlmon.ui.format import format_bytes, format_seconds, visible
from etlmon.ui.keys import PROCESS, TABLE
from etlmon.ui.keys import PROCESSES as KEYS
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, TableView, View
from etlmon.ui.views.kill import KillView, why_no_signal
from etlmon.ui.views.process_detail import ProcessView, WatchView
from etlmon.ui.views.process_rows import Row, Sort, by_watch, one_row_each, tree
from etlmon.ui.views.process_text import cpu_text, process_state
from etlmon.ui.views.states import severity, state_piece, state_style
from etlmon.ui.widgets.bar import bar
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table, numbers

_BAR_WIDTH = 5
_CPU_WIDTH = 5
_BYTES_WIDTH = 8
_MOST_PAGES = 20
"""Of 1,000 processes each: more than a host runs, and an end for one that says it has more."""


class ProcessesView(TableView):
    """The processes of a node."""

    title = "Processes"
    places = (PROCESS, KEYS, TABLE)
    empty = "No process is watched on this node: add process_watch to its node.yaml."

    def __init__(self) -> None:
        self._all = False
        self._as_tree = False
        self._by_watch = True
        self._heads: list[Row] = []
        self._most_bytes = 1
        columns: list[Column[Row]] = [
            Column("PROCESS", _name, _of_process(lambda one: one.process_name), least=15),
            Column("PID", _pid, _of_process(lambda one: one.pid), right=True, least=7),
            Column(
                "CPU",
                _cpu,
                _of_running(lambda one: one.cpu_percent),
                largest_first=True,
                least=_CPU_WIDTH + 1 + _BAR_WIDTH,
            ),
            Column(
                "MEMORY",
                self._memory,
                _of_running(lambda one: one.mem_rss_bytes),
                largest_first=True,
                least=_BYTES_WIDTH + 1 + _BAR_WIDTH,
            ),
            numbers(
                "UP",
                _up,
                _of_process(lambda one: one.runtime_sec),
                least=7,
            ),
            Column(
                "STATE",
                lambda row: [_state(row)],
                _of_process(lambda one: severity(_word(process_state(one)))),
                least=10,
            ),
            numbers(
                "RST",
                _restarts,
                _of_process(lambda one: one.restarts),
                least=3,
            ),
            Column("USER", _user, _of_process(lambda one: one.user), least=8, most=12),
            Column("COMMAND", lambda row: [_command(row)], least=20),
            Column("WATCH", lambda row: [("dim", visible(row.watch))], lambda row: row.watch),
        ]
        self.widget = self.table = Table(columns, lambda row: row.key, self.empty)
        self.table.arranging = self._arranged

    @property
    def want(self) -> Want:
        """The watched processes, or all."""
        return Want(PROCESSES, ProcessesQuery(limit=1000, all=self._all), _MOST_PAGES)

    @property
    def wants(self) -> tuple[Want, ...]:
        """The processes, and how their watches are."""
        return (self.want,) if self._all else (self.want, _WATCHES)

    def items(self, session: Session) -> Sequence[Row]:
        """Give the processes, and the watches where they stand above theirs."""
        samples: Sequence[ProcessSample] = session.held(self.want).value or ()
        running = (one.mem_rss_bytes for one in samples if one.status == "RUNNING")
        self._most_bytes = max(1, max(running, default=1))
        self._heads = []
        if self._all or not self._by_watch:
            return one_row_each(samples)
        held = session.held(_WATCHES)
        if held.received_at is None and held.error is None:
            return ()  # both at once: the choice begins with the worst watch
        watches: Sequence[ProcessWatchStatus] = held.value or ()
        self._heads = [Row(watch, watch.watch) for watch in watches]
        return [*self._heads, *(Row(one, one.watch or "") for one in samples)]

    def _arranged(self, rows: list[Row], order: Sort) -> list[Row]:
        if self._heads:
            return by_watch(rows, self._heads, order, as_tree=self._as_tree)
        return tree(rows, order) if self._as_tree else order(rows)

    def can(self, command: str) -> bool:
        """Send a signal to a process that runs; the watches are of those that are watched."""
        if command == "kill":
            chosen = self.table.chosen
            return chosen is not None and why_no_signal(chosen.process) is None
        if command == "toggle watches":
            return not self._all
        return super().can(command)

    def run(self, command: str, around: Around) -> bool:
        """Send signals, change what is shown; the rest as any table."""
        if command == "kill":
            self._kill(around)
        elif command == "toggle all":
            self._all = not self._all
            around.say("All processes, read now." if self._all else "Watched processes.")
        elif command == "toggle tree":
            self._as_tree = not self._as_tree
            around.say("Children are below their parents." if self._as_tree else "No tree.")
            self.table.arrange()
        elif command == "toggle watches" and not self._all:
            self._by_watch = not self._by_watch
            around.say("By watch." if self._by_watch else "In one list.")
            self.update(around.session)
        elif command == "toggle watches":
            around.say("All processes are in one list.")
        else:
            return super().run(command, around)
        return True

    def _kill(self, around: Around) -> None:
        """Open the form for the process that is seen under the cursor, or say why not."""
        chosen = self.table.chosen
        if chosen is None:
            return
        if self.table.has_slipped:
            around.say("The process that was chosen has just gone: choose another one.")
            return
        process = chosen.process
        why_not = why_no_signal(process)
        if process is None or why_not is not None:
            around.say(why_not or "")
            return
        around.open(KillView(process, self.want, around.session))

    def remark(self, row: Row) -> Piece:
        """Give what a narrow table cuts: why a watch is as it is, the command of a process."""
        return _command(row)

    def detail(self, row: Row) -> View | None:
        """Give the whole of a watch or a process."""
        if isinstance(row.of, ProcessWatchStatus):
            return WatchView(row.of.watch, _WATCHES)
        return ProcessView(row.of, self.want)

    def _memory(self, row: Row) -> list[Piece]:
        number = format_bytes(row.of.mem_rss_bytes).rjust(_BYTES_WIDTH) + " "
        if row.process is None:
            return [("title", number)]
        if row.process.status != "RUNNING":
            return [("dim", number)]
        percent = 100 * row.of.mem_rss_bytes / self._most_bytes
        return [("text", number), *bar(percent, _BAR_WIDTH, "bar ok")]


_WATCHES = Want(PROCESS_WATCHES, Page(limit=1000))


def _of_process(value: Callable[[ProcessSample], object]) -> Callable[[Row], object]:
    return lambda row: None if row.process is None else value(row.process)


def _of_running(value: Callable[[ProcessSample], object]) -> Callable[[Row], object]:
    """Give what to sort by; the last figures of what has ended are no more than a memory."""
    return _of_process(lambda one: value(one) if one.status == "RUNNING" else None)


def _name(row: Row) -> list[Piece]:
    if isinstance(row.of, ProcessWatchStatus):
        return [("title", visible(row.of.watch))]
    return [("dim", row.branch), ("text", visible(row.of.process_name))]


def _pid(row: Row) -> list[Piece]:
    if isinstance(row.of, ProcessWatchStatus):
        return [("title", f"\u00d7{row.of.process_count}")]
    return [("text", str(row.of.pid))]


def _cpu(row: Row) -> list[Piece]:
    percent = row.of.cpu_percent
    text = cpu_text(percent).rjust(_CPU_WIDTH) + " "
    if row.process is None:
        return [("title", text)]
    if percent is None or row.process.status != "RUNNING":
        return [("dim", text)]
    return [("text", text), *bar(percent, _BAR_WIDTH, "bar ok")]


def _up(row: Row) -> list[Piece]:
    return [("text", format_seconds(row.process.runtime_sec) if row.process else "")]


def _state(row: Row) -> Piece:
    if isinstance(row.of, ProcessWatchStatus):
        return state_piece(row.of.state)
    return process_state(row.of)


def _word(piece: Piece) -> str:
    return piece[1].partition(" ")[2]


def _restarts(row: Row) -> list[Piece]:
    flaps = isinstance(row.of, ProcessWatchStatus) and row.of.flapping
    return [("warning" if flaps else "text", str(row.of.restarts) if row.of.restarts else "")]


def _user(row: Row) -> list[Piece]:
    return [("text", visible((row.process.user if row.process else "") or ""))]


def _command(row: Row) -> Piece:
    if isinstance(row.of, ProcessSample):
        if row.of.exit_reason is not None:
            return "warning", f"ended: {visible(row.of.exit_reason)}"
        return "dim", visible(row.of.cmdline or "")
    watch = row.of
    notes = [] if watch.reason is None else [visible(watch.reason)]
    if watch.flapping:
        notes.append("ends and begins again and again")
    if watch.restarts:
        notes.append(f"{watch.restarts} restart{'' if watch.restarts == 1 else 's'}")
    if watch.visibility != "full":
        notes.append("some processes of the host are hidden from this node")
    style = state_style(watch.state)
    return ("dim" if style == "ok" else style), "; ".join(notes)
