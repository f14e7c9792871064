"""The files of cron: which of them the daemon takes, and why it does not take the others."""

from __future__ import annotations

from collections.abc import Sequence

from etlmon.contract.cron import CRON_FILES
from etlmon.contract.query import Page
from etlmon.records.cron import CronFile
from etlmon.ui.format import visible
from etlmon.ui.keys import IN_PART
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import DetailView, TableView, View, why_nothing
from etlmon.ui.views.generic import record_lines
from etlmon.ui.views.states import severity, state_piece
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table, numbers


def note(file: CronFile) -> Piece:
    """Say why a file is not taken, else what is odd in it or cannot be seen."""
    if file.reason is not None:
        return "warning", visible(file.reason)
    if file.lint:
        more = f" (and {len(file.lint) - 1} more)" if len(file.lint) > 1 else ""
        return "text", visible(file.lint[0]) + more
    return "dim", "This node may not read all of it." if file.visibility != "full" else ""


class CronFilesView(TableView):
    """Every file of cron, those that are ignored first."""

    title = "files"
    places = IN_PART
    empty = "The node has found no file of cron."

    def __init__(self) -> None:
        columns: list[Column[CronFile]] = [
            Column(
                "FILE",
                lambda file: [("text", visible(file.path))],
                lambda file: file.path,
                keep_end=True,
                least=18,
            ),
            Column(
                "STATUS",
                lambda file: [state_piece(file.status)],
                lambda file: severity(file.status),
                least=9,
            ),
            numbers(
                "JOBS",
                lambda file: [("text", f"{file.jobs:,}")],
                lambda file: file.jobs,
                least=6,
            ),
            Column("WHY", lambda file: [note(file)], least=24, most=80),
            Column("MODE", lambda file: [("dim", visible(file.mode or "-"))], least=4),
            Column(
                "OWNER",
                lambda file: [("dim", visible(file.owner or "-"))],
                lambda file: file.owner,
                least=5,
                most=12,
            ),
            Column(
                "CHANGED",
                lambda file: [self._when(file.changed_at)],
                lambda file: file.changed_at,
                largest_first=True,
                least=8,
            ),
        ]
        self.widget = self.table = Table(columns, lambda file: file.path, self.empty)
        self.table.sort_by("STATUS")

    @property
    def want(self) -> Want:
        """All files."""
        return Want(CRON_FILES, Page(limit=1000))

    def can(self, command: str) -> bool:
        """Go back, whether there is a filter or not."""
        return command == "back" or super().can(command)

    def remark(self, item: CronFile) -> Piece:
        """Give the reason, which a narrow table cuts."""
        return note(item)

    def detail(self, item: CronFile) -> View:
        """Give the whole of a file."""
        return CronFileView(item, self.want)


class CronFileView(DetailView):
    """One file of cron: what the daemon makes of it, and all that is odd in it."""

    def __init__(self, file: CronFile, want: Want) -> None:
        super().__init__()
        self.title = visible(file.path)
        self._path = file.path
        self._want = want

    @property
    def wants(self) -> tuple[Want, ...]:
        """The files."""
        return (self._want,)

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give its state and why, what is odd, and all fields."""
        held = session.held(self._want)
        file = next((one for one in held.value or () if one.path == self._path), None)
        if file is None:
            return [[("text", why_nothing(session, held, "It is not there any more."))]]
        lines: list[list[Piece]] = [
            [("title", self.title), ("text", "  "), state_piece(file.status)]
        ]
        if file.reason is not None:
            lines.append([("text", "  "), note(file)])
        lines += [[("text", f"  ! {visible(text)}")] for text in file.lint]
        return [*lines, [], *record_lines(file, leave_out=("lint",))]
