"""Configured paths: how many files, since when, and what a scan could not see."""

from __future__ import annotations

from collections.abc import Sequence

from etlmon.contract import (
    CANCEL_SCANS,
    PATH_HISTORY,
    PATHS,
    SCAN_PATHS,
    Page,
    PathHistoryQuery,
    ScanCancelQuery,
)
from etlmon.records.path import (
    PathPoint,
    PathStats,
    ScanAnswer,
    ScanCancelAnswer,
    ScanRequest,
    path_id,
)
from etlmon.ui.format import format_moment, format_seconds, visible
from etlmon.ui.keys import PATHS as KEYS
from etlmon.ui.keys import TABLE
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, DetailView, TableView, View, why_nothing
from etlmon.ui.views.generic import record_lines
from etlmon.ui.views.history import WIDTH, history_lines
from etlmon.ui.views.states import severity, state_piece
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table


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
            Column(
                "FILES",
                lambda item: _count(item.file_count),
                lambda item: item.file_count,
                largest_first=True,
                right=True,
                least=7,
            ),
            Column(
                "CHANGE",
                lambda item: [("text", change_text(item.file_count_change))],
                lambda item: item.file_count_change,
                largest_first=True,
                right=True,
                least=6,
            ),
            Column(
                "STATUS",
                lambda item: [state_piece(item.status)],
                lambda item: severity(item.status),
                least=10,
            ),
            Column(
                "SCANNED",
                lambda item: [self._when(item.collected_at)],
                lambda item: item.collected_at,
                least=8,
            ),
            Column(
                "TOOK",
                lambda item: [("text", _duration(item))],
                lambda item: item.scan_duration_ms,
                largest_first=True,
                right=True,
                least=6,
            ),
            Column(
                "NEXT",
                lambda item: [self._when(item.next_scan_at)],
                lambda item: item.next_scan_at,
                least=8,
            ),
            Column(
                "DIRS",
                lambda item: _count(item.dir_count),
                lambda item: item.dir_count,
                largest_first=True,
                right=True,
                least=6,
            ),
            Column("MESSAGE", lambda item: [_message(item)], least=12),
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
        return _message(item)

    def detail(self, item: PathStats) -> View:
        """Give the whole of a path."""
        return PathView(item.path, self.want)


class PathView(DetailView):
    """One path: its counts, how they went, and what could not be read."""

    places = (KEYS, *DetailView.places)

    def __init__(self, path: str, want: Want) -> None:
        super().__init__()
        self.title = visible(path)
        self._path = path
        self._want = want
        query = PathHistoryQuery(id=path_id(path), points=WIDTH)
        self._history = Want(PATH_HISTORY, query)
        self._scanning = False

    @property
    def wants(self) -> tuple[Want, ...]:
        """The paths, and the history of this one."""
        return (self._want, self._history)

    def can(self, command: str) -> bool:
        """End a scan that is running."""
        return super().can(command) and (command != "cancel" or self._scanning)

    def run(self, command: str, around: Around) -> bool:
        """Scan this path now or end its scan, after yes; or scroll."""
        return _scan_after_yes(command, around, self._path) or super().run(command, around)

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give the counts, the troubles, and all fields."""
        held = session.held(self._want)
        item = next((i for i in held.value or () if i.path == self._path), None)
        if item is None:
            return [[("text", why_nothing(session, held, "It is not configured any more."))]]
        self._scanning = item.status == "SCANNING"
        lines: list[list[Piece]] = [
            [("title", self.title), ("text", "  "), state_piece(item.status)],
        ]
        if item.error_message is not None:
            lines.append([("text", "  "), ("warning", visible(item.error_message))])
        lines.append([])
        lines.append([("text", f"  {_sentence(item)}")])
        if not item.complete and item.last_complete_at is not None:
            when = format_moment(item.last_complete_at)
            count = f"{item.last_complete_file_count:,} files"
            lines.append([("text", f"  The last complete scan, {when}, found {count}.")])
        for trouble in item.troubles:
            text = f"  {trouble.kind}: {trouble.count:,}, for example {visible(trouble.example)}"
            lines.append([("warning", text)])
        points: Sequence[PathPoint] = session.held(self._history).value or ()
        counts = history_lines(points, "files", lambda point: point.file_count, "{:,}".format)
        lines += [[], *counts, []]
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


def _sentence(item: PathStats) -> str:
    if item.file_count is None or item.dir_count is None or item.other_count is None:
        return "It has not been counted."
    return (
        f"{item.file_count:,} files, {item.dir_count:,} directories, "
        f"{item.other_count:,} other entries; scanned in {_duration(item)}."
    )


def _duration(item: PathStats) -> str:
    return "-" if item.scan_duration_ms is None else format_seconds(item.scan_duration_ms / 1000)


def _message(item: PathStats) -> Piece:
    style = "critical" if item.status == "ERROR" else "warning"
    return style, visible(item.error_message or "")
