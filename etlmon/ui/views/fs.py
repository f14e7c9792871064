"""File systems: how full, in what state, and when they will be full."""

from __future__ import annotations

from collections.abc import Sequence

from etlmon.contract.fs import (
    FILESYSTEM_HISTORY,
    FILESYSTEMS,
    FilesystemHistoryQuery,
    FilesystemsQuery,
)
from etlmon.records.disk import Filesystem, FilesystemPoint
from etlmon.ui.format import format_bytes, format_moment, format_percent, visible
from etlmon.ui.keys import FILESYSTEMS as KEYS
from etlmon.ui.keys import TABLE
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, DetailView, TableView, View, why_nothing
from etlmon.ui.views.generic import record_lines
from etlmon.ui.views.history import WIDTH, history_lines
from etlmon.ui.views.states import severity, state_piece, state_style
from etlmon.ui.widgets.bar import bar
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table, numbers

_BAR_WIDTH = 10


def judged(item: Filesystem) -> str:
    """Give the word for how a mount is: its state where that is not ok, else its level."""
    return item.level if item.state == "ok" else item.state


def _bytes(number: int | None) -> list[Piece]:
    return [("dim", "-") if number is None else ("text", format_bytes(number))]


def _used(item: Filesystem) -> list[Piece]:
    if item.used_percent is None:
        return [("dim", "-".rjust(4))]
    number = ("text", format_percent(item.used_percent).rjust(4) + " ")
    return [number, *bar(item.used_percent, _BAR_WIDTH, _bar_style(item))]


def _bar_style(item: Filesystem) -> str:
    style = state_style(item.level)
    return "text" if style == "text" else f"bar {style}"


def _key(item: Filesystem) -> tuple[str, str]:
    return item.mount_point, item.device


def note(item: Filesystem) -> Piece:
    """Say what its numbers do not: why stale or hidden, when full, inodes, read-only."""
    notes = []
    if item.reason is not None:
        notes.append(visible(item.reason))
    if item.full_at is not None:
        notes.append(f"full {format_moment(item.full_at)[:16]}")
    if item.level_by == "inodes" and item.inodes_used_percent is not None:
        notes.append(f"inodes {format_percent(item.inodes_used_percent)}")
    if item.read_only:
        notes.append("read-only")
    grave = item.state == "stale" or item.full_at is not None or item.level_by == "inodes"
    return ("warning" if grave else "dim"), ", ".join(notes)


class FilesystemsView(TableView):
    """Every mount of the node."""

    title = "File systems"
    places = (KEYS, TABLE)
    empty = "The node has not looked at its mounts yet."

    def __init__(self) -> None:
        self._hidden = False
        columns: list[Column[Filesystem]] = [
            Column(
                "MOUNT",
                lambda item: [("text", visible(item.mount_point))],
                lambda item: item.mount_point,
                keep_end=True,
                least=12,
            ),
            Column(
                "USED",
                _used,
                lambda item: item.used_percent,
                largest_first=True,
                least=5 + _BAR_WIDTH,
                most=5 + _BAR_WIDTH,
            ),
            Column(
                "STATE",
                lambda item: [state_piece(judged(item))],
                lambda item: severity(judged(item)),
                least=10,
            ),
            Column(
                "AVAIL",
                lambda item: _bytes(item.avail_bytes),
                lambda item: item.avail_bytes,
                right=True,
                least=8,
            ),
            numbers(
                "TOTAL",
                lambda item: _bytes(item.total_bytes),
                lambda item: item.total_bytes,
                least=8,
            ),
            Column("NOTE", lambda item: [note(item)], lambda item: item.full_at, least=21),
            Column("TYPE", lambda item: [("dim", visible(item.fs_type))], least=5, most=10),
            Column("DEVICE", lambda item: [("dim", visible(item.device))], least=12),
        ]
        self.widget = self.table = Table(columns, _key, self.empty)
        self.table.sort_by("STATE")

    @property
    def want(self) -> Want:
        """All mounts, hidden ones if they are to be seen."""
        return Want(FILESYSTEMS, FilesystemsQuery(limit=1000, all=self._hidden))

    def run(self, command: str, around: Around) -> bool:
        """Show or hide the hidden mounts; the rest as any table."""
        if command == "toggle hidden":
            self._hidden = not self._hidden
            around.say("Hidden mounts are shown." if self._hidden else "Hidden mounts are hidden.")
            return True
        return super().run(command, around)

    def remark(self, item: Filesystem) -> Piece:
        """Give the note, which a narrow table cuts."""
        style, text = note(item)
        return style, f"{visible(item.mount_point)}: {text}" if text else ""

    def detail(self, item: Filesystem) -> View:
        """Give the whole of a mount, and its history."""
        return FilesystemView(item, self.want)


class FilesystemView(DetailView):
    """One mount: every field, the last day as a line, when it will be full."""

    def __init__(self, item: Filesystem, want: Want) -> None:
        super().__init__()
        self.title = visible(item.mount_point)
        self._key = _key(item)
        self._want = want
        query = FilesystemHistoryQuery(mount_point=item.mount_point, points=WIDTH)
        self._history = Want(FILESYSTEM_HISTORY, query)

    @property
    def wants(self) -> tuple[Want, ...]:
        """The mounts, and the history of this one."""
        return (self._want, self._history)

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give figures, history, forecast, and all fields."""
        held = session.held(self._want)
        item = next((i for i in held.value or () if _key(i) == self._key), None)
        if item is None:
            return [[("text", why_nothing(session, held, "It is not mounted any more."))]]
        lines: list[list[Piece]] = [[("title", self.title), ("text", "  "), _state(item)]]
        if item.reason is not None:
            lines.append([("text", "  "), ("warning", visible(item.reason))])
        if item.used_percent is not None:
            used = f"  {format_percent(item.used_percent)} used"
            lines.append(
                [("text", "  "), *bar(item.used_percent, 40, _bar_style(item)), ("text", used)]
            )
        points: Sequence[FilesystemPoint] = session.held(self._history).value or ()
        went = history_lines(points, "used", lambda point: point.used_bytes, format_bytes)
        lines += [[], *went, []]
        if item.full_at is not None:
            text = f"  At this pace it is full on {format_moment(item.full_at)}."
            lines += [[("warning", text)], []]
        return lines + record_lines(item)


def _state(item: Filesystem) -> Piece:
    return state_piece(judged(item))
