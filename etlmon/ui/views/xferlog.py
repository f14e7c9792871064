"""Transfers: the newest of them, what became of each, and those that come, as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from etlmon.client.http import ClientError
from etlmon.client.stream import StreamFollower
from etlmon.contract.xferlog import XFERLOG, XFERLOG_FILES, XferlogQuery
from etlmon.records.xferlog import XferlogEntry
from etlmon.ui.format import format_bytes, format_moment, format_seconds, visible
from etlmon.ui.keys import IN_PART, TABLE
from etlmon.ui.keys import XFERLOG as KEYS
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, DetailView, TableView, View, why_nothing
from etlmon.ui.views.generic import GenericTable, record_lines
from etlmon.ui.views.states import severity, state_piece
from etlmon.ui.views.xferlog_sums import SumsView, way
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table, numbers

_NEWEST = XferlogQuery(limit=500)
_MOST_CAME = 1_000
_RELIABLE_SECONDS = 3
"""Servers write whole seconds: of a shorter transfer they do not tell a rate."""


def judged(entry: XferlogEntry) -> str:
    """Give the word for how a transfer is: what became of it on the disk, if it ended well."""
    if entry.status == "complete" and entry.landing is not None:
        return entry.landing
    return entry.status


def rate(entry: XferlogEntry) -> tuple[float | None, bool]:
    """Give bytes per second, and whether the figure can be relied on."""
    if entry.rate_bytes_per_second is not None:
        return entry.rate_bytes_per_second, True
    if entry.bytes is None or not entry.transfer_time_sec:
        return None, False
    return entry.bytes / entry.transfer_time_sec, entry.transfer_time_sec >= _RELIABLE_SECONDS


def rate_piece(entry: XferlogEntry) -> Piece:
    """Give the rate; one that cannot be relied on is a little of what it was, at least."""
    figure, is_reliable = rate(entry)
    if figure is None:
        return "dim", "-"
    return ("text" if is_reliable else "dim"), f"{format_bytes(int(figure))}/s"


class XferlogView(TableView):
    """The newest transfers, all of them or those that a query narrows it to."""

    title = "Xferlog"
    empty = "There are no transfers here; L shows the logs that are read."

    def __init__(self, query: XferlogQuery = _NEWEST, title: str | None = None) -> None:
        self._query = query
        if title is not None:
            self.title = title
        self.places = (KEYS, TABLE) if title is None else (KEYS, *IN_PART)
        self._is_part = title is not None
        self._is_following = False
        self._follower: StreamFollower | None = None
        self._followed: Session | None = None
        self._came: deque[XferlogEntry] = deque(maxlen=_MOST_CAME)
        self._lost: str | None = None
        self._top: int | None = None
        columns: list[Column[XferlogEntry]] = [
            Column(
                "TIME",
                lambda entry: [self._when(entry.log_time or entry.created_at)],
                lambda entry: entry.log_time,
                largest_first=True,
                least=11,
            ),
            Column(
                "WAY",
                lambda entry: [way(entry.direction)],
                lambda entry: entry.direction,
                least=6,
            ),
            Column(
                "STATE",
                lambda entry: [state_piece(judged(entry))],
                lambda entry: severity(judged(entry)),
                least=11,
            ),
            Column(
                "FILE",
                lambda entry: [("text", _what(entry))],
                lambda entry: entry.filename,
                keep_end=True,
                least=14,
            ),
            numbers(
                "SIZE",
                lambda entry: [_size(entry.bytes)],
                lambda entry: entry.bytes,
                least=8,
            ),
            numbers(
                "RATE",
                lambda entry: [rate_piece(entry)],
                lambda entry: rate(entry)[0],
                least=10,
            ),
            Column(
                "USER",
                lambda entry: [("text", visible(entry.username or "-"))],
                lambda entry: entry.username,
                least=5,
                most=16,
            ),
            Column(
                "HOST",
                lambda entry: [("text", visible(entry.remote_host or "-"))],
                lambda entry: entry.remote_host,
                least=7,
            ),
            Column("NOTE", lambda entry: [_note(entry)], least=12, most=80),
        ]
        self.widget = self.table = Table(columns, lambda entry: entry.id, self.empty)

    @property
    def want(self) -> Want:
        """The newest transfers of the query."""
        return Want(XFERLOG, self._query)

    def items(self, session: Session) -> Sequence[XferlogEntry]:
        """Give the transfers of the list, and above them those that have come since."""
        listed: Sequence[XferlogEntry] = super().items(session)
        newest = listed[0].id if listed else 0
        while self._came and self._came[-1].id <= newest:
            self._came.pop()
        return [*self._came, *listed]

    def update(self, session: Session) -> None:
        """Show what the session holds; followed, the newest stays chosen until another one is."""
        if self._is_following and session.held(self.want).received_at is not None:
            self._follow(session)
        chosen = self.table.chosen
        super().update(session)
        if self._is_following and (chosen is None or chosen.id == self._top):
            self.table.move("first")
            self._top = None if self.table.chosen is None else self.table.chosen.id

    def left(self) -> None:
        """Close the stream."""
        if self._follower is not None and self._followed is not None:
            self._followed.unfollow(self._follower)
        self._follower = self._followed = None
        self._came.clear()
        self._lost = None

    def prompt(self) -> Sequence[Piece]:
        """Say that it is followed, beside what is to be known of the chosen row."""
        if not self._is_following:
            return ()
        if self._lost is not None:
            return [("warning", f" ~ not followed: {self._lost}")]
        chosen = self.table.chosen
        note = ("text", "") if chosen is None else self.remark(chosen)
        return [("message", " \u2026 following  "), note]

    def can(self, command: str) -> bool:
        """Narrow to a row if there is one; follow what has no end; go back from a part."""
        if command == "follow":
            return self._query.until is None
        if command in ("user", "host"):
            return self.table.chosen is not None
        return (command == "back" and self._is_part) or super().can(command)

    def run(self, command: str, around: Around) -> bool:
        """Follow, narrow, open the sums and the logs; the rest as any table."""
        chosen = self.table.chosen
        if command == "follow":
            self._switch(around)
        elif command == "summary":
            around.open(SumsView(self._query, XferlogView))
        elif command == "logs":
            around.open(_LogsView(XFERLOG_FILES, "logs"))
        elif command == "user":
            self._narrow(around, "user", chosen and chosen.username)
        elif command == "host":
            self._narrow(around, "host", chosen and chosen.remote_host)
        elif command == "file":
            self._narrow_to_file(around)
        else:
            handled = super().run(command, around)
            if command == "first" and self.table.chosen is not None:
                self._top = self.table.chosen.id
            return handled
        return True

    def remark(self, item: XferlogEntry) -> Piece:
        """Say what is wrong with a transfer, else which file it was, as a whole."""
        style, text = _note(item)
        return (style, text) if text else ("dim", _what(item))

    def detail(self, item: XferlogEntry) -> View:
        """Give the whole of a transfer."""
        return TransferView(item)

    def _switch(self, around: Around) -> None:
        if self._query.until is not None:
            around.say("This part has an end: nothing more comes to it.")
            return
        self._is_following = not self._is_following
        if self._is_following:
            self.table.sort_by(None)
            self.table.move("first")
            self._top = None if self.table.chosen is None else self.table.chosen.id
            self.update(around.session)
        else:
            self.left()
            around.say("It is not followed any more; the list is asked for as before.")

    def _follow(self, session: Session) -> None:
        """Follow the node on the screen, from the newest transfer of the list."""
        if self._followed is session:
            return
        self.left()
        listed: Sequence[XferlogEntry] = session.held(self.want).value or ()
        self._followed = session

        def tell() -> None:
            session.changed(session)

        def heard(entry: XferlogEntry) -> None:
            self._came.appendleft(entry)
            tell()

        def resynced(_reason: str) -> None:
            self._came.clear()
            session.refresh()

        def lost(error: ClientError, wait_seconds: float) -> None:
            self._lost = f"{visible(str(error))}; again in {wait_seconds:.0f} s"
            tell()

        def found() -> None:
            self._lost = None
            tell()

        after = max((entry.id for entry in listed), default=0)
        self._follower = session.follow(
            XFERLOG,
            replace(self._query, follow=True, after=after),
            heard=heard,
            resynced=resynced,
            lost=lost,
            found=found,
        )

    def _narrow(self, around: Around, name: str, value: str | None) -> None:
        if value is None:
            around.say(f"The chosen row names no {name}.")
            return
        query = replace(self._query, **{name: value})
        around.open(XferlogView(query, f"{name} {visible(value)}"))

    def _narrow_to_file(self, around: Around) -> None:
        text = self.table.filter
        if not text:
            around.say("Write a part of a name after / and keep it; F then asks for all of them.")
            return
        glob = text if any(mark in text for mark in "*?[") else f"*{text}*"
        around.open(XferlogView(replace(self._query, filename=glob), f"file {visible(glob)}"))


class _LogsView(GenericTable):
    """The logs that are read, with the way back."""

    places = IN_PART
    empty = "No transfer log is read on this node: set xferlog.path in its node.yaml."

    def can(self, command: str) -> bool:
        """Go back, whether there is a filter or not."""
        return command == "back" or super().can(command)


class TransferView(DetailView):
    """One transfer: what the log says of it, and what is on the disk."""

    def __init__(self, entry: XferlogEntry) -> None:
        super().__init__()
        self.title = f"transfer {entry.id}"
        self._entry = entry
        query = XferlogQuery(after=entry.id - 1, before=entry.id + 1, limit=1)
        self._want = Want(XFERLOG, query)

    @property
    def wants(self) -> tuple[Want, ...]:
        """The transfer alone: its landing may change yet."""
        return (self._want,)

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give what it was, what is wrong with it, and all fields."""
        held = session.held(self._want)
        if held.received_at is not None and not held.value:
            return [[("text", why_nothing(session, held, "It is not stored any more."))]]
        entry: XferlogEntry = held.value[0] if held.value else self._entry
        lines: list[list[Piece]] = [
            [("title", _what(entry))],
            [
                ("text", "  "),
                way(entry.direction),
                ("text", "  "),
                state_piece(entry.status),
                *([] if entry.landing is None else [("text", "  "), state_piece(entry.landing)]),
            ],
            [],
        ]
        if entry.direction is not None:
            lines.append([("text", f"  {_sentence(entry)}")])
        for text in (entry.reason, entry.landing_reason):
            if text is not None:
                lines.append([("warning", f"  {visible(text)}")])
        if entry.landed_path is not None:
            size = "" if entry.landed_bytes is None else f", {format_bytes(entry.landed_bytes)}"
            lines.append([("text", f"  On the disk: {visible(entry.landed_path)}{size}")])
        if entry.line is not None:
            lines.append([("dim", f"  {visible(entry.line)}")])
        return [*lines, [], *record_lines(entry, leave_out=("line",))]


def _what(entry: XferlogEntry) -> str:
    return visible(entry.filename or entry.line or entry.reason or "-")


def _size(number: int | None) -> Piece:
    return ("dim", "-") if number is None else ("text", format_bytes(number))


def _note(entry: XferlogEntry) -> Piece:
    """Say what is wrong with a transfer or not certain about it."""
    notes = [visible(text) for text in (entry.reason, entry.landing_reason) if text is not None]
    if entry.reason is None and entry.ts_quality in ("ambiguous", "skewed"):
        notes.append(f"its time is {entry.ts_quality}")
    return "warning", "; ".join(notes)


def _sentence(entry: XferlogEntry) -> str:
    size = "an unknown size" if entry.bytes is None else format_bytes(entry.bytes)
    took = ""
    if entry.transfer_time_sec is not None:
        took = f" in {format_seconds(entry.transfer_time_sec)}"
        figure, is_reliable = rate(entry)
        if figure is not None and is_reliable:
            took += f", {format_bytes(int(figure))}/s"
    when = "" if entry.log_time is None else f", ended {format_moment(entry.log_time)}"
    who = visible(entry.username or "somebody")
    return f"{who} from {visible(entry.remote_host or 'somewhere')}: {size}{took}{when}."
