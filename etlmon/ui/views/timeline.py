"""The runs of the next 24 hours: a row for each job, a column for each hour of the host's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from etlmon.records.cron import CronJob
from etlmon.ui.format import visible
from etlmon.ui.keys import IN_PART
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import TableView, View
from etlmon.ui.widgets.bar import sparkline
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table

_HOURS = 24
_HOUR = timedelta(hours=1)
_NONE = "\u00b7"


@dataclass(frozen=True)
class DayRow:
    """A job, or all of them together, and its runs in each hour; None where they are not known."""

    name: str
    runs: tuple[int | None, ...]
    job: CronJob | None = None
    windows: int = 0
    """How many jobs of it come at some moment of a window: these are not among the sums."""

    @property
    def is_window(self) -> bool:
        """Whether its runs may begin in each of these hours, and it is not known in which."""
        return self.job is not None and self.windows > 0


def day_rows(jobs: Sequence[CronJob], now: datetime) -> tuple[int, list[DayRow]]:
    """Give the first hour on the host's clock, and the rows: all jobs together, then each.

    Jobs that have no run in this time are left out, as are those whose file is ignored.
    """
    offset = _offset(jobs)
    first = _hour(now, offset)
    rows = []
    for job in jobs:
        passed = round((first - _hour(job.last_checked, offset)) / _HOUR)
        runs = [
            job.runs_by_hour[place] if 0 <= place < len(job.runs_by_hour) else None
            for place in range(passed, passed + _HOURS)
        ]
        if any(runs) and job.file_status != "ignored":
            windows = int(job.next_run_kind == "window")
            rows.append(DayRow(visible(job.command), tuple(runs), job, windows))
    sure = [row for row in rows if not row.is_window]
    sums = tuple(sum(row.runs[hour] or 0 for row in sure) for hour in range(_HOURS))
    total = DayRow("all jobs", sums, windows=len(rows) - len(sure))
    return first.hour, [total, *rows] if rows else []


class TimelineView(TableView):
    """The coming day of all jobs."""

    title = "24 hours"
    places = IN_PART
    empty = "No job runs within 24 hours, as far as the node can know."

    def __init__(self, want: Want, open_job: Callable[[CronJob], View]) -> None:
        self._want = want
        self._open_job = open_job
        self._first = -1
        self.widget = self.table = Table(
            _columns(0), lambda row: row.job and row.job.job_id, self.empty
        )

    @property
    def want(self) -> Want:
        """The jobs."""
        return self._want

    def update(self, session: Session) -> None:
        """Show the day from now on; the heading has its hours."""
        self._first, rows = day_rows(session.held(self._want).value or (), session.now)
        self.table.columns = _columns(self._first)
        self.table.empty = self.nothing(session)
        self.table.set_items(rows)

    def can(self, command: str) -> bool:
        """Open a job, not the sums; go back, whether there is a filter or not."""
        if command == "detail":
            return self.table.chosen is not None and self.table.chosen.job is not None
        return command == "back" or super().can(command)

    def remark(self, item: DayRow) -> Piece:
        """Say how many runs there are, and when most of them; or that only a window is known."""
        if item.is_window:
            hours = sum(bool(run) for run in item.runs)
            within = "this hour" if hours == 1 else f"one of {hours} hours"
            return "dim", f"{item.name}: a run may begin in {within} (~)"
        if not any(item.runs):
            return "dim", f"{item.name}: no moment is known; {item.windows:,} in windows (~)"
        most = max(run or 0 for run in item.runs)
        hour = (self._first + [run or 0 for run in item.runs].index(most)) % _HOURS
        total = sum(run or 0 for run in item.runs)
        others = f"; besides, {item.windows:,} in windows (~)" if item.windows else ""
        text = f"{item.name}: {total:,} runs; most of them in hour {hour:02}: {most:,}{others}"
        return "dim", text

    def detail(self, item: DayRow) -> View | None:
        """Give the whole of a job."""
        return None if item.job is None else self._open_job(item.job)


def _columns(first: int) -> tuple[Column[DayRow], ...]:
    hours = "".join(f"{(first + place) % _HOURS:02}  " for place in range(0, _HOURS, 2))
    return (
        Column("JOB", lambda row: [("title" if row.job is None else "text", row.name)], least=8),
        Column(hours.rstrip(), _cells, least=2 * _HOURS, most=2 * _HOURS),
    )


def _cells(row: DayRow) -> list[Piece]:
    """Give two columns of the terminal for each hour: how many runs, ``+`` for ten and more.

    ``~`` is for an hour in which a run may begin.
    """
    if row.job is None:
        marks = sparkline([run or 0 for run in row.runs], _HOURS)
        return [
            ("bar ok", f"{mark} ") if run else ("dim", f"{_NONE} ")
            for run, mark in zip(row.runs, marks, strict=True)
        ]
    cells: list[Piece] = []
    for run in row.runs:
        if run is None:
            cells.append(("dim", "? "))
        elif run == 0:
            cells.append(("dim", f"{_NONE} "))
        elif row.is_window:
            cells.append(("text", "~ "))
        else:
            cells.append(("text", f"{run} " if run < 10 else "+ "))
    return cells


def _offset(jobs: Sequence[CronJob]) -> timedelta:
    """Give what the host's clock is ahead of UTC, as the time of a job's next run tells it."""
    for job in jobs:
        if job.next_run_local is not None:
            try:
                local = datetime.fromisoformat(job.next_run_local).utcoffset()
            except ValueError:
                continue
            if local is not None:
                return local
    return timedelta()


def _hour(moment: datetime, offset: timedelta) -> datetime:
    return (moment + offset).replace(minute=0, second=0, microsecond=0)
