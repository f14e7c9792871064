"""Cron: what runs next and when, how each job went, and what stands in its way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etlmon.contract.cron import CRON_JOB, CRON_JOBS, REFRESH_CRON, CronJobQuery, CronJobsQuery
from etlmon.records.cron import CronJob, CronRefreshAnswer, CronRefreshRequest, is_missed
from etlmon.ui.format import format_distance, format_moment, format_seconds, visible
from etlmon.ui.keys import CRON as KEYS
from etlmon.ui.keys import TABLE
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, DetailView, TableView, View, why_nothing
from etlmon.ui.views.cron_files import CronFilesView
from etlmon.ui.views.generic import record_lines
from etlmon.ui.views.history import WIDTH
from etlmon.ui.views.states import severity, state_piece
from etlmon.ui.views.timeline import TimelineView
from etlmon.ui.widgets.bar import sparkline
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table, numbers

_KINDS = {"on_boot": "at boot", "never": "never", "unknown": "unknown"}
_SIGNAL = 128
_MOST_SIGNALS = 64
_MOST_PAGES = 50
"""Of 1,000 jobs each: as many as a node looks at."""


def judged(job: CronJob) -> str:
    """Give the word for how a job is: what matters most of all that is known."""
    if job.file_status == "ignored":
        return "ignored"
    if is_missed(job):
        return "missed"
    if job.late_since is not None:
        return "late"
    if job.overlap:
        return "overlap"
    if job.running_pids:
        return "running"
    if job.next_run_kind in ("never", "unknown"):
        return job.next_run_kind
    if job.reason is not None:
        return "blocked"
    return "planned"


def result(job: CronJob) -> Piece:
    """Say how the last run ended, as far as it is known."""
    if job.last_exit is not None:
        if job.last_exit == 0:
            return "ok", "\u2713 exit 0"
        if _SIGNAL < job.last_exit <= _SIGNAL + _MOST_SIGNALS:
            return "critical", f"\u2717 signal {job.last_exit - _SIGNAL}"
        return "critical", f"\u2717 exit {job.last_exit}"
    if job.last_start is not None or job.last_end is not None:
        return "dim", "- not told"
    return "dim", "-"


def next_run(job: CronJob, now: datetime | None) -> Piece:
    """Give when a job runs next: hour and minute, with the day if it is another one."""
    if job.next_run is None:
        style = "warning" if job.next_run_kind == "never" else "dim"
        return style, _KINDS.get(job.next_run_kind, visible(job.next_run_kind))
    text = format_moment(job.next_run)
    is_today = now is not None and text[:10] == format_moment(now)[:10]
    shown = text[11:16] if is_today else text[5:16]
    return "text", f"from {shown}" if job.next_run_kind == "window" else shown


class CronView(TableView):
    """Every job of the node, the next one to run first."""

    title = "Cron"
    places = (KEYS, TABLE)
    empty = "The node knows no cron jobs: it has none, or cron is not enabled in its node.yaml."

    def __init__(self) -> None:
        columns: list[Column[CronJob]] = [
            Column(
                "NEXT",
                lambda job: [next_run(job, self._now)],
                lambda job: job.next_run,
                least=11,
            ),
            Column("IN", lambda job: [self._in(job)], least=9),
            Column(
                "STATE",
                lambda job: [state_piece(judged(job))],
                lambda job: severity(judged(job)),
                least=9,
            ),
            Column(
                "LAST",
                lambda job: [result(job)],
                lambda job: job.last_exit,
                largest_first=True,
                least=10,
            ),
            Column(
                "USER",
                lambda job: [("text", visible(job.user or "-"))],
                lambda job: job.user,
                least=5,
                most=12,
            ),
            Column(
                "COMMAND",
                lambda job: [("text", visible(job.command))],
                lambda job: job.command,
                least=20,
            ),
            Column("SCHEDULE", lambda job: [("text", visible(job.schedule))], least=11, most=20),
            Column(
                "BEGAN",
                lambda job: [self._when(job.last_start)],
                lambda job: job.last_start,
                largest_first=True,
                least=8,
            ),
            numbers(
                "MEDIAN",
                lambda job: [_runtime(job.median_runtime_seconds)],
                lambda job: job.median_runtime_seconds,
                least=7,
            ),
            Column(
                "FILE",
                lambda job: [("dim", _place(job))],
                lambda job: job.file,
                keep_end=True,
                least=12,
            ),
        ]
        self.widget = self.table = Table(columns, lambda job: job.job_id, self.empty)
        self.table.sort_by("NEXT")

    @property
    def want(self) -> Want:
        """All jobs."""
        return Want(CRON_JOBS, CronJobsQuery(limit=1000), _MOST_PAGES)

    def can(self, command: str) -> bool:
        """Show the coming runs if there are jobs."""
        return super().can("detail" if command == "timeline" else command)

    def run(self, command: str, around: Around) -> bool:
        """Open the files or the day; have the node look; the rest as any table."""
        if command == "files":
            around.open(CronFilesView())
        elif command == "timeline":
            around.open(TimelineView(self.want, self.detail))
        elif command == "look":
            look_after_yes(around)
        else:
            return super().run(command, around)
        return True

    def remark(self, item: CronJob) -> Piece:
        """Say what stands in the way of a job, else what it is as a whole."""
        troubles = _troubles(item)
        if troubles:
            return "warning", troubles[0]
        return "dim", f"{visible(item.schedule)}  {visible(item.command)}"

    def detail(self, item: CronJob) -> View:
        """Give the whole of a job."""
        return CronJobView(item)

    def _in(self, job: CronJob) -> Piece:
        if job.next_run is None or self._now is None:
            return "dim", ""
        return "text", format_distance((job.next_run - self._now).total_seconds())


class CronJobView(DetailView):
    """One job: when it comes, how it went, what is odd about it, all fields."""

    places = (KEYS, *DetailView.places)

    def __init__(self, job: CronJob) -> None:
        super().__init__()
        self.title = visible(job.command)[:WIDTH]
        self._want = Want(CRON_JOB, CronJobQuery(id=job.job_id))

    @property
    def wants(self) -> tuple[Want, ...]:
        """The job."""
        return (self._want,)

    def can(self, command: str) -> bool:
        """Have the node look; files and timeline are beside the table."""
        return command not in ("files", "timeline") and super().can(command)

    def run(self, command: str, around: Around) -> bool:
        """Have the node look at the crontabs, after yes; or scroll."""
        if command == "look":
            look_after_yes(around)
            return True
        return command in ("files", "timeline") or super().run(command, around)

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give what comes, what was, what is odd, and all fields."""
        held = session.held(self._want)
        job: CronJob | None = held.value
        if job is None:
            return [[("text", why_nothing(session, held, "It is not there any more."))]]
        who = f" as {visible(job.user)}" if job.user is not None else ""
        lines: list[list[Piece]] = [
            [
                ("title", visible(job.command)),
                ("text", "  "),
                state_piece(judged(job)),
                ("text", "  "),
                result(job),
            ],
            [("text", f"  {visible(job.schedule)}{who}, {_place(job)}")],
            [],
            *([("warning", f"  ! {text}")] for text in _troubles(job)),
            *([("text", f"  {text}")] for text in _coming(job, session.now)),
        ]
        for at in job.next_runs[1:]:
            away = format_distance((at - session.now).total_seconds())
            lines.append([("dim", f"    {format_moment(at)}  {away}")])
        lines += [[], *([("text", f"  {text}")] for text in _went(job))]
        if len(job.recent_runtimes_seconds) > 1:
            shown = job.recent_runtimes_seconds
            extent = f"{format_seconds(min(shown))} to {format_seconds(max(shown))}"
            lines.append([("text", "  "), ("bar ok", sparkline(shown, WIDTH))])
            lines.append([("dim", f"  its last {len(shown)} runs took {extent}")])
        if job.history_reason is not None:
            lines.append([("dim", f"  {visible(job.history_reason)}")])
        return [
            *lines,
            [],
            *record_lines(job, leave_out=("next_runs", "runs_by_hour", "recent_runtimes_seconds")),
        ]


def look_after_yes(around: Around) -> None:
    """Have the node look at its crontabs now, if the answer is yes."""
    around.ask(
        "Look at the crontabs now?",
        lambda: around.command(REFRESH_CRON, look_text, body=CronRefreshRequest(confirm=True)),
    )


def look_text(answer: CronRefreshAnswer) -> str:
    """Put the answer to a look into words."""
    if answer.started:
        return "It looks at the crontabs now."
    return f"Not now: {visible(answer.reason or 'it gives no reason')}."


def _place(job: CronJob) -> str:
    line = "" if job.line is None else f":{job.line}"
    return f"{visible(job.file)}{line}"


def _runtime(seconds: float | None) -> Piece:
    return ("dim", "-") if seconds is None else ("text", format_seconds(seconds))


def _troubles(job: CronJob) -> list[str]:
    """Give what an operator should know of a job, the worst first, a sentence each."""
    texts = []
    if job.reason is not None:
        texts.append(visible(job.reason))
    elif job.file_status == "ignored":
        texts.append(f"The daemon takes nothing from {visible(job.file)}; f says why.")
    if job.late_since is not None:
        texts.append(f"The run due {format_moment(job.late_since)} has not begun yet.")
    if job.missed_at is not None:
        texts.append(f"The run due {format_moment(job.missed_at)} did not begin.")
    if job.overlap:
        texts.append("A run began while the one before was still going.")
    texts.extend(map(visible, job.lint))
    if job.dst_risk:
        texts.append("A change of the clock within a year moves, drops or repeats a run.")
    return texts


def _coming(job: CronJob, now: datetime) -> list[str]:
    if job.next_run is None:
        how = {"on_boot": "It runs when the host has booted.", "never": "It never runs."}
        return [how.get(job.next_run_kind, "When it runs next is not known.")]
    away = format_distance((job.next_run - now).total_seconds())
    when = format_moment(job.next_run)
    if job.next_run_kind == "window":
        end = "later" if job.window_end is None else format_moment(job.window_end)
        when = f"from {when} to {end}"
    texts = [f"Next: {when}, {away}."]
    if job.next_run_local is not None:
        texts.append(f"On its host's clock that is {visible(job.next_run_local)}.")
    return texts


def _went(job: CronJob) -> list[str]:
    texts = []
    if job.last_start is not None:
        text = f"Last: {format_moment(job.last_start)}"
        if job.last_end is not None:
            took = (job.last_end - job.last_start).total_seconds()
            text += f", took {format_seconds(max(0.0, took))}"
        if job.last_exit is not None:
            text += f", exit status {job.last_exit}"
        texts.append(f"{text}.")
    elif job.last_end is not None:
        texts.append(f"Last: ended {format_moment(job.last_end)}.")
    if job.running_pids:
        texts.append(f"It runs now: process {', '.join(map(str, job.running_pids))}.")
    if job.median_runtime_seconds is not None:
        texts.append(f"Half of its runs take {format_seconds(job.median_runtime_seconds)} or less.")
    return texts or ["How it went is not known."]
