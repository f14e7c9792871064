"""One process or one watch: its figures, how they went, what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from etlmon.contract.processes import (
    PROCESS_EVENTS,
    PROCESS_HISTORY,
    ProcessEventsQuery,
    ProcessHistoryQuery,
)
from etlmon.records.process import ProcessEvent, ProcessSample, ProcessUsage, ProcessWatchStatus
from etlmon.ui.format import format_bytes, format_moment, format_seconds, visible
from etlmon.ui.keys import PROCESS
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, DetailView, why_nothing
from etlmon.ui.views.generic import record_lines
from etlmon.ui.views.history import WIDTH, history_lines
from etlmon.ui.views.kill import KillView, why_no_signal
from etlmon.ui.views.process_text import cpu_text, event_piece, find_process, process_state
from etlmon.ui.views.states import state_piece
from etlmon.ui.widgets.line import Piece

_EVENTS = 20


class ProcessView(DetailView):
    """One process."""

    places = (PROCESS, *DetailView.places)

    def __init__(self, item: ProcessSample, want: Want) -> None:
        super().__init__()
        self.title = f"{item.pid} {visible(item.process_name)}"
        self._identity = item.identity
        self._watch = item.watch
        self._want = want
        self._item: ProcessSample | None = item
        query = ProcessHistoryQuery(watch=item.watch or "", pid=item.pid, points=WIDTH)
        self._history = Want(PROCESS_HISTORY, query)
        self._events = Want(PROCESS_EVENTS, ProcessEventsQuery(pid=item.pid, limit=_EVENTS))

    @property
    def wants(self) -> tuple[Want, ...]:
        """The processes; of one that is watched its history and its events."""
        if self._watch is None:
            return (self._want,)
        return (self._want, self._history, self._events)

    def can(self, command: str) -> bool:
        """Send a signal to one that runs."""
        return super().can(command) and (command != "kill" or why_no_signal(self._item) is None)

    def run(self, command: str, around: Around) -> bool:
        """Open the form for a signal; or scroll."""
        if command != "kill":
            return super().run(command, around)
        why_not = why_no_signal(self._item)
        if self._item is not None and why_not is None:
            around.open(KillView(self._item, self._want, around.session))
        else:
            around.say(why_not or "")
        return True

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give figures, history, events, and all fields."""
        held = session.held(self._want)
        item = find_process(session, self._want, self._identity, self._watch)
        self._item = item
        if item is None:
            return [[("text", why_nothing(session, held, "It is not there any more."))]]
        lines: list[list[Piece]] = [[("title", self.title), ("text", "  "), process_state(item)]]
        if item.exit_reason is not None:
            lines.append([("warning", f"  ended: {visible(item.exit_reason)}")])
        share = "" if item.cpu_share is None else f", {100 * item.cpu_share:.1f}% of the host"
        memory = format_bytes(item.mem_rss_bytes)
        up = format_seconds(item.runtime_sec)
        text = f"  CPU {cpu_text(item.cpu_percent)} of a core{share}; {memory}; up {up}"
        lines += [[], [("text", text)], []]
        if self._watch is None:
            lines.append([("dim", "  No watch selects it: its history is not kept.")])
        else:
            points: Sequence[ProcessUsage] = session.held(self._history).value or ()
            lines += _went([point for point in points if point.identity == self._identity])
            events: Sequence[ProcessEvent] = session.held(self._events).value or ()
            lines += _event_lines([one for one in events if one.identity == self._identity])
        return [*lines, [], *record_lines(item)]


class WatchView(DetailView):
    """One watch: its processes together."""

    def __init__(self, watch: str, want: Want) -> None:
        super().__init__()
        self.title = visible(watch)
        self._watch = watch
        self._want = want
        self._history = Want(PROCESS_HISTORY, ProcessHistoryQuery(watch=watch, points=WIDTH))
        self._events = Want(PROCESS_EVENTS, ProcessEventsQuery(watch=watch, limit=_EVENTS))

    @property
    def wants(self) -> tuple[Want, ...]:
        """The watches, the history and the events of this one."""
        return (self._want, self._history, self._events)

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give its state, history, events, and all fields."""
        held = session.held(self._want)
        watches: Sequence[ProcessWatchStatus] = held.value or ()
        item = next((one for one in watches if one.watch == self._watch), None)
        if item is None:
            return [[("text", why_nothing(session, held, "It is not configured any more."))]]
        lines: list[list[Piece]] = [
            [("title", self.title), ("text", "  "), state_piece(item.state)],
        ]
        if item.reason is not None:
            lines.append([("warning", f"  {visible(item.reason)}")])
        points: Sequence[ProcessUsage] = session.held(self._history).value or ()
        events: Sequence[ProcessEvent] = session.held(self._events).value or ()
        return [*lines, [], *_went(points), *_event_lines(events), [], *record_lines(item)]


def _went(points: Sequence[ProcessUsage]) -> list[list[Piece]]:
    cpu = history_lines(points, "CPU of a core", lambda point: point.cpu_percent, cpu_text)
    memory = history_lines(points, "memory", lambda point: point.mem_rss_bytes, format_bytes)
    return cpu if len(points) < 2 else [*cpu, *memory]


def _event_lines(events: Sequence[ProcessEvent]) -> list[list[Piece]]:
    return [[("dim", f"  {format_moment(one.occurred_at)}  "), event_piece(one)] for one in events]
