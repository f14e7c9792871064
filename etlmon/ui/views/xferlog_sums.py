"""Transfers added up: by user, client, direction and hour, with the totals and the rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec.structs import replace

from etlmon.contract.xferlog import XFERLOG_SUMMARY, XferlogQuery, XferlogSummaryQuery
from etlmon.records.xferlog import XferlogSummary
from etlmon.ui.format import format_bytes, format_moment, visible
from etlmon.ui.keys import IN_PART, SUMS
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, TableView, View
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table, numbers

_GROUPS = ("hour,user,host,direction", "user", "host", "direction", "hour")
_WAYS = {
    "upload": ("text", "\u2191 up"),
    "download": ("text", "\u2193 down"),
    "delete": ("warning", "- del"),
}
_HOUR = timedelta(hours=1) - timedelta(milliseconds=1)


def way(direction: str | None) -> Piece:
    """Give a direction as a glyph and a word, as the server sees it."""
    return ("dim", "-") if direction is None else _WAYS.get(direction, ("text", visible(direction)))


def rate_text(item: XferlogSummary) -> str:
    """Give how fast transfers were, their bytes by the time that they took."""
    if not item.transfer_time_sec:
        return "-"
    return f"{format_bytes(item.bytes // item.transfer_time_sec)}/s"


class SumsView(TableView):
    """The transfers of the last day in groups, the newest hour first."""

    title = "sums"
    places = (SUMS, *IN_PART)
    empty = "No transfer ended in the last 24 hours."

    def __init__(self, query: XferlogQuery, open_part: Callable[[XferlogQuery, str], View]) -> None:
        self._query = query
        self._open_part = open_part
        self._group = 0
        self._total: Sequence[XferlogSummary] = ()
        columns: list[Column[XferlogSummary]] = [
            Column(
                "HOUR",
                lambda item: [_hour(item)],
                lambda item: item.hour,
                largest_first=True,
                least=11,
            ),
            Column(
                "USER",
                lambda item: [_or_all(item.username)],
                lambda item: item.username,
                least=5,
                most=16,
            ),
            Column(
                "HOST",
                lambda item: [_or_all(item.remote_host)],
                lambda item: item.remote_host,
                least=9,
            ),
            Column("WAY", lambda item: [way(item.direction)], lambda item: item.direction, least=6),
            numbers(
                "COUNT",
                lambda item: [("text", f"{item.count:,}")],
                lambda item: item.count,
                least=5,
            ),
            numbers(
                "FAILED",
                lambda item: [_failed(item.failures)],
                lambda item: item.failures,
                least=6,
            ),
            numbers(
                "SIZE",
                lambda item: [("text", format_bytes(item.bytes))],
                lambda item: item.bytes,
                least=8,
            ),
            numbers(
                "RATE",
                lambda item: [("text", rate_text(item))],
                lambda item: (
                    item.bytes / item.transfer_time_sec if item.transfer_time_sec else None
                ),
                least=10,
            ),
            Column(
                "LAST",
                lambda item: [self._when(item.last_arrival_at)],
                lambda item: item.last_arrival_at,
                largest_first=True,
                least=11,
            ),
        ]
        self.widget = self.table = Table(columns, _key, self.empty)

    @property
    def want(self) -> Want:
        """The groups, the first thousand."""
        return self._by(_GROUPS[self._group])

    @property
    def wants(self) -> tuple[Want, ...]:
        """The groups, and what all of them come to."""
        return (self.want, self._by("direction"))

    def _by(self, groups: str) -> Want:
        query = XferlogSummaryQuery(
            by=groups,
            limit=1000,
            user=self._query.user,
            host=self._query.host,
            filename=self._query.filename,
            direction=self._query.direction,
            since=self._query.since,
            until=self._query.until,
        )
        return Want(XFERLOG_SUMMARY, query)

    def update(self, session: Session) -> None:
        """Show the groups, and keep the totals for the line below."""
        self._total = session.held(self._by("direction")).value or ()
        super().update(session)

    def prompt(self) -> Sequence[Piece]:
        """Give the totals of each direction."""
        period = "24 h" if self._query.since is None else "in all"
        line: list[Piece] = [("title", f" {period}")]
        for item in self._total:
            style, word = way(item.direction)
            text = f"{item.count:,}, {format_bytes(item.bytes)}, {rate_text(item)}"
            line += [("text", "  "), (style, f"{word} "), ("text", text)]
            if item.failures:
                line += [("critical", f", {item.failures:,} failed")]
        return line if self._total else ()

    def can(self, command: str) -> bool:
        """Go back, whether there is a filter or not."""
        return command == "back" or super().can(command)

    def run(self, command: str, around: Around) -> bool:
        """Add up by something else; the rest as any table."""
        if command == "group":
            self._group = (self._group + 1) % len(_GROUPS)
            around.say(f"Added up by {_GROUPS[self._group].replace(',', ', ')}.")
            return True
        return super().run(command, around)

    def detail(self, item: XferlogSummary) -> View:
        """Give the transfers of a group."""
        names = []
        found = {}
        for field, value in (
            ("user", item.username),
            ("host", item.remote_host),
            ("direction", item.direction),
        ):
            if value is not None:
                found[field] = value
                names.append(visible(value))
        query = replace(self._query, **found)
        if item.hour is not None:
            query = replace(query, since=item.hour, until=item.hour + _HOUR)
            names.append(format_moment(item.hour)[5:16])
        return self._open_part(query, " ".join(names) or "part")


def _key(item: XferlogSummary) -> tuple[object, ...]:
    return item.hour, item.username, item.remote_host, item.direction


def _hour(item: XferlogSummary) -> Piece:
    return ("dim", "all") if item.hour is None else ("text", format_moment(item.hour)[5:16])


def _or_all(value: str | None) -> Piece:
    return ("dim", "all") if value is None else ("text", visible(value))


def _failed(number: int) -> Piece:
    return ("critical", f"\u2717 {number:,}") if number else ("dim", "0")
