"""Configured paths: how many files, since when, and what a scan could not see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etlmon.contract.paths import (
    CANCEL_SCANS,
    PATH_CHILDREN,
    PATH_EXPECTATIONS,
    PATH_HISTORY,
    PATHS,
    SCAN_PATHS,
    TOP,
    PathHistoryQuery,
    PathPartsQuery,
    PathQuery,
    ScanCancelQuery,
)
from etlmon.contract.query import Page
from etlmon.records.path import (
    PathChild,
    PathExpected,
    PathPoint,
    PathStats,
    ScanAnswer,
    ScanCancelAnswer,
    ScanRequest,
    path_id,
)
from etlmon.records.top import TopJob
from etlmon.ui.format import format_bytes, format_distance, format_moment, format_seconds, visible
from etlmon.ui.keys import PATH, TABLE
from etlmon.ui.keys import PATHS as KEYS
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, DetailView, TableView, View, why_nothing
from etlmon.ui.views.generic import record_lines
from etlmon.ui.views.history import WIDTH, history_lines
from etlmon.ui.views.largest import end_after_yes, largest_lines, start_after_yes
from etlmon.ui.views.states import severity, state_piece
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table, numbers

_MOST_CHILDREN = 10


def _count(number: int | None) -> list[Piece]:
    return [("dim", "-") if number is None else ("text", f"{number:,}")]


def change_text(change: int | None) -> str:
    """Give a change of a count with its sign; empty where there is nothing to compare."""
    if change is None:
        return ""
    return "=" if change == 0 else f"{change:+,}"


class PathsView(TableView):
    """Every configured path of the node."""

    title = "Paths"
    places = (KEYS, TABLE)
    empty = "No paths are configured on this node: add paths to its node.yaml."

    def __init__(self) -> None:
        columns: list[Column[PathStats]] = [
            Column(
                "PATH",
                lambda item: [("text", visible(item.path))],
                lambda item: item.path,
                keep_end=True,
                least=12,
            ),
            numbers(
                "FILES",
                lambda item: _count(item.file_count),
                lambda item: item.file_count,
                least=10,
            ),
            numbers(
                "CHANGE",
                lambda item: [("text", change_text(item.file_count_change))],
                lambda item: item.file_count_change,
                least=6,
            ),
            Column(
                "STATUS",
                lambda item: [state_piece(item.status)],
                _severity,
                least=10,
            ),
            Column(
                "DUE",
                lambda item: (
                    [state_piece(item.expectation_state)] if item.expectation_state else []
                ),
                lambda item: severity(item.expectation_state or ""),
                least=9,
            ),
            Column(
                "SCANNED",
                lambda item: [self._when(item.collected_at)],
                lambda item: item.collected_at,
                least=11,
            ),
            numbers(
                "TOOK",
                lambda item: [("text", _duration(item))],
                lambda item: item.scan_duration_ms,
                least=6,
            ),
            Column(
                "NEXT",
                lambda item: [self._when(item.next_scan_at)],
                lambda item: item.next_scan_at,
                least=8,
            ),
            numbers(
                "DIRS",
                lambda item: _count(item.dir_count),
                lambda item: item.dir_count,
                least=6,
            ),
            Column("MESSAGE", lambda item: [self._remark(item)], least=12),
        ]
        self.widget = self.table = Table(columns, lambda item: item.path, self.empty)
        self.table.sort_by("STATUS")

    @property
    def want(self) -> Want:
        """All paths."""
        return Want(PATHS, Page(limit=1000))

    def can(self, command: str) -> bool:
        """Scan a path if there is one, end a scan that is running."""
        if command == "cancel":
            return self.table.chosen is not None and self.table.chosen.status == "SCANNING"
        return super().can("detail" if command == "scan" else command)

    def run(self, command: str, around: Around) -> bool:
        """Scan now, after yes; the rest as any table."""
        chosen = self.table.chosen
        return _scan_after_yes(command, around, chosen and chosen.path) or super().run(
            command, around
        )

    def remark(self, item: PathStats) -> Piece:
        """Give the message, which a narrow table cuts."""
        return self._remark(item)

    def _remark(self, item: PathStats) -> Piece:
        """Say how far a scan is, else why the counts are not whole."""
        if item.status == "SCANNING":
            return "text", progress_text(item, self._now)
        return _message(item, self._now)

    def detail(self, item: PathStats) -> View:
        """Give the whole of a path."""
        return PathView(item.path, self.want)


class PathView(DetailView):
    """One path: its counts, how they went, and what could not be read."""

    places = (PATH, KEYS, *DetailView.places)

    def __init__(self, path: str, want: Want) -> None:
        super().__init__()
        self.title = visible(path)
        self._path = path
        self._want = want
        self._id = path_id(path)
        self._history = Want(PATH_HISTORY, PathHistoryQuery(id=self._id, points=WIDTH))
        self._children = Want(PATH_CHILDREN, PathPartsQuery(id=self._id, limit=_MOST_CHILDREN))
        self._expected = Want(PATH_EXPECTATIONS, PathPartsQuery(id=self._id, limit=100))
        self._top = Want(TOP, PathQuery(id=self._id))
        self._scanning = self._searching = False

    @property
    def wants(self) -> tuple[Want, ...]:
        """The paths, and of this one all else that there is."""
        return (self._want, self._history, self._children, self._expected, self._top)

    def can(self, command: str) -> bool:
        """End what is running, and begin no search while one is."""
        possible = {
            "cancel": self._scanning,
            "largest": not self._searching,
            "end largest": self._searching,
        }
        return super().can(command) and possible.get(command, True)

    def run(self, command: str, around: Around) -> bool:
        """Scan this path, look for the largest below it, or end that, after yes; or scroll."""
        if command in ("largest", "end largest"):
            ask = start_after_yes if command == "largest" else end_after_yes
            if self.can(command):
                ask(around, self._path, self._id)
            return True
        return _scan_after_yes(command, around, self._path) or super().run(command, around)

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give the counts, the troubles, and all fields."""
        held = session.held(self._want)
        item = next((i for i in held.value or () if i.path == self._path), None)
        if item is None:
            return [[("text", why_nothing(session, held, "It is not configured any more."))]]
        self._scanning = item.status == "SCANNING"
        search: TopJob | None = session.held(self._top).value
        self._searching = search is not None and search.state == "running"
        lines: list[list[Piece]] = [
            [("title", self.title), ("text", "  "), state_piece(item.status)],
        ]
        if item.error_message is not None:
            lines.append([("text", "  "), ("warning", visible(item.error_message))])
        if self._scanning:
            lines.append([("text", f"  {progress_text(item, session.now)}")])
        lines.append([])
        lines.append([("text", f"  {_sentence(item)}")])
        if not item.complete and item.last_complete_at is not None:
            when, age = (
                format_moment(item.last_complete_at),
                _age(item.last_complete_at, session.now),
            )
            count = f"{item.last_complete_file_count:,} files"
            lines.append([("text", f"  The last complete scan, {when} ({age}), found {count}.")])
        for trouble in item.troubles:
            text = f"  {trouble.kind}: {trouble.count:,}, for example {visible(trouble.example)}"
            lines.append([("warning", text)])
        expected: Sequence[PathExpected] = session.held(self._expected).value or ()
        if expected:
            lines += [[], *(line for one in expected for line in expected_lines(one))]
        points: Sequence[PathPoint] = session.held(self._history).value or ()
        counts = history_lines(points, "files", lambda point: point.file_count, "{:,}".format)
        lines += [[], *counts, []]
        children: Sequence[PathChild] = session.held(self._children).value or ()
        if children:
            lines += [*_children_lines(children), []]
        lines += [*largest_lines(search, PATH.keys[0].keys[0]), []]
        return lines + record_lines(item, leave_out=("troubles",))


def _scan_after_yes(command: str, around: Around, path: str | None) -> bool:
    """Do the commands of ``KEYS``, for the chosen path or for all; False for another command."""
    if command == "scan" and path is not None:
        around.ask(f"Scan {visible(path)} now?", lambda: _scan(around, [path]))
    elif command == "scan all":
        around.ask("Scan all configured paths now?", lambda: _scan(around, None))
    elif command == "cancel" and path is not None:
        around.ask(f"End the scan of {visible(path)}?", lambda: _cancel(around, path))
    else:
        return command in ("scan", "cancel")
    return True


def _scan(around: Around, paths: list[str] | None) -> None:
    around.command(SCAN_PATHS, scan_text, body=ScanRequest(paths=paths, confirm=True))


def _cancel(around: Around, path: str) -> None:
    around.command(CANCEL_SCANS, cancel_text, query=ScanCancelQuery(path=path, confirm=True))


def scan_text(answer: ScanAnswer) -> str:
    """Put the answer to a scan command into words."""
    texts = []
    if answer.started:
        texts.append(f"Scanning {', '.join(map(visible, answer.started))}.")
    texts.extend(f"Not {visible(skip.path)}: {visible(skip.reason)}." for skip in answer.skipped)
    return " ".join(texts) or "There is nothing to scan."


def cancel_text(answer: ScanCancelAnswer) -> str:
    """Put the answer to the end of scans into words."""
    texts = []
    if answer.cancelled:
        texts.append(f"Ended the scan of {', '.join(map(visible, answer.cancelled))}.")
    if answer.not_running:
        texts.append(f"No scan of {', '.join(map(visible, answer.not_running))} was running.")
    return " ".join(texts) or "No scan was running."


def _severity(item: PathStats) -> int:
    """Give the worst of how a path was scanned and of what is expected below it."""
    states = [item.status, *([item.expectation_state] if item.expectation_state else [])]
    return min(map(severity, states))


def expected_lines(one: PathExpected) -> list[list[Piece]]:
    """Say of an expectation what must be there by when, and what is."""
    wanted = "1 file" if one.min_count == 1 else f"{one.min_count:,} files"
    said = f"  {visible(one.glob)}: {wanted} by {format_moment(one.due_at)[:16]}"
    lines: list[list[Piece]] = [[("text", "  "), state_piece(one.state), ("text", said)]]
    counts = [
        f"{count:,} {word}"
        for count, word in (
            (one.arrived_count, "arrived"),
            (one.growing_count, "growing"),
            (one.small_count, "too small"),
            (one.empty_count, "empty"),
            (one.link_count, "linked elsewhere"),
        )
        if count
    ]
    if one.arrived_at is not None:
        counts.append(f"first seen {format_moment(one.arrived_at)[:16]}")
    if one.newest_path is not None and one.newest_bytes is not None:
        counts.append(f"newest {visible(one.newest_path)}, {format_bytes(one.newest_bytes)}")
    if counts:
        lines.append([("text", f"      {', '.join(counts)}")])
    if one.error_message is not None:
        lines.append([("warning", f"      {visible(one.error_message)}")])
    if one.previous_state is not None and one.previous_due_at is not None:
        day = format_moment(one.previous_due_at)[:16]
        lines.append(
            [("dim", f"      the day before, by {day}: "), state_piece(one.previous_state)]
        )
    return lines


def progress_text(item: PathStats, now: datetime | None) -> str:
    """Say how far a running scan is: what it has counted, for how long, how fast."""
    seconds = 0.0
    if item.scan_started_at is not None and now is not None:
        seconds = max(0.0, (now - item.scan_started_at).total_seconds())
    since = f", for {format_seconds(seconds)}" if seconds >= 1 else ""
    if item.scan_waits_for is not None:
        return f"waiting{since.removeprefix(',')}: {visible(item.scan_waits_for)}"
    if item.scan_file_count is None:
        return f"a scan is running{since}"
    counted = f"{item.scan_file_count:,} files, {item.scan_dir_count or 0:,} directories so far"
    rate = f", {item.scan_file_count / seconds:,.0f} files/s" if seconds >= 1 else ""
    return f"{counted}{since}{rate}"


def _children_lines(children: Sequence[PathChild]) -> list[list[Piece]]:
    """Give the directories with most entries, as the last complete scan found them."""
    lines: list[list[Piece]] = [
        [("heading", f"    {'FILES':>11}  {'DIRS':>9}  {'OTHER':>9}  DIRECTORY")]
    ]
    for child in children:
        name = child.name
        if child.kind == "itself":
            name = "(directly in it)"
        elif name is None:
            name = f"({child.directory_count:,} more)"
        counts = f"{child.file_count:>11,}  {child.dir_count:>9,}  {child.other_count:>9,}"
        lines.append([("text", f"    {counts}  {visible(name)}")])
    when = format_moment(children[0].collected_at)
    lines.append([("dim", f"    as of the last complete scan, {when}")])
    return lines


def _sentence(item: PathStats) -> str:
    if item.file_count is None or item.dir_count is None or item.other_count is None:
        return "It has not been counted."
    return (
        f"{item.file_count:,} files, {item.dir_count:,} directories, "
        f"{item.other_count:,} other entries; scanned in {_duration(item)}."
    )


def _duration(item: PathStats) -> str:
    return "-" if item.scan_duration_ms is None else format_seconds(item.scan_duration_ms / 1000)


def _message(item: PathStats, now: datetime | None) -> Piece:
    style = "critical" if item.status == "ERROR" else "warning"
    text = visible(item.error_message or "")
    if text and item.last_complete_at is not None:
        age = _age(item.last_complete_at, now)
        text += f"; complete {age}: {item.last_complete_file_count:,} files"
    return style, text


def _age(moment: datetime, now: datetime | None) -> str:
    """Say how long ago something was; when it was where the node's time is not known."""
    if now is None:
        return format_moment(moment)
    return format_distance((moment - now).total_seconds())
