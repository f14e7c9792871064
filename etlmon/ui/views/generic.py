"""Any list of the contract as a table, and any record as a page: what has no view of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import fields

from etlmon.contract.endpoint import Endpoint
from etlmon.records.base import Record
from etlmon.ui.format import format_value, heading
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import DetailView, TableView, View, why_nothing
from etlmon.ui.views.states import state_piece
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.table import Column, Table

_STATE_FIELDS = ("state", "status", "level")


def field_piece(name: str, value: Any) -> Piece:
    """Give a record's field as it stands in a table or on a page."""
    if name in _STATE_FIELDS and isinstance(value, str):
        return state_piece(value)
    return ("dim" if value is None else "text"), format_value(name, value)


def field_column(name: str, record_type: type[Record], **options: Any) -> Column[Any]:
    """Give the column of a record's field: numbers to the right, and it sorts by the value."""
    hint = next(field.type for field in fields(record_type) if field.name == name)
    numeric = any(word in str(hint) for word in ("int", "float"))
    options.setdefault("right", numeric)
    return Column(
        title=heading(name),
        show=lambda item: [field_piece(name, getattr(item, name))],
        sort=lambda item: _sortable(getattr(item, name)),
        **options,
    )


def _sortable(value: Any) -> Any:
    if isinstance(value, datetime | int | float | str) or value is None:
        return value
    return str(value)


class GenericTable(TableView):
    """A list of the contract that has no view of its own: its columns, filter, sort, detail."""

    def __init__(self, endpoint: Endpoint[Any, Any, Any], title: str) -> None:
        self.title = title
        self._endpoint = endpoint
        record_type = endpoint.item
        self._names = endpoint.columns or record_type.__struct_fields__
        first = self._names[0]
        columns = [
            field_column(name, record_type, least=12 if name == first else 4)
            for name in self._names
        ]
        self.widget = self.table = Table(columns, self._key, self.empty)

    @property
    def want(self) -> Want:
        """The list, its first thousand."""
        return Want(self._endpoint, self._endpoint.query(limit=1000))

    def _key(self, item: Record) -> Any:
        return getattr(item, "id", None) or getattr(item, self._names[0])

    def detail(self, item: Record) -> View:
        """Give all fields of a row."""
        key = self._key(item)
        return RecordView(
            format_value("", getattr(item, self._names[0])),
            self.want,
            lambda session: next((i for i in self.items(session) if self._key(i) == key), None),
        )


class RecordView(DetailView):
    """All fields of one record of a list, with what each means."""

    def __init__(self, title: str, want: Want, find: Callable[[Session], Record | None]) -> None:
        super().__init__()
        self.title = title
        self._want = want
        self._find = find

    @property
    def wants(self) -> tuple[Want, ...]:
        """The list that the record is in."""
        return (self._want,)

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give a line for each field."""
        record = self._find(session)
        if record is None:
            text = why_nothing(session, session.held(self._want), "It is not there any more.")
            return [[("text", text)]]
        return record_lines(record)


def record_lines(record: Record, leave_out: Sequence[str] = ()) -> list[list[Piece]]:
    """Give a line for each field of a record: name and value; lists of records below it."""
    names = [name for name in record.__struct_fields__ if name not in leave_out]
    width = max(map(len, names), default=0)
    lines: list[list[Piece]] = []
    for name in names:
        value = getattr(record, name)
        label: Piece = ("dim", f"  {name.ljust(width)}  ")
        if isinstance(value, list):
            lines.append([label, ("text", str(len(value)) if value else "-")])
            for item in value:
                lines.append([("text", f"    {_in_one_line(item)}")])
        elif isinstance(value, Record):
            lines.append([label])
            lines.extend([("text", "  "), *line] for line in record_lines(value))
        else:
            lines.append([label, field_piece(name, value)])
    return lines


def _in_one_line(item: Any) -> str:
    if isinstance(item, Record):
        return ", ".join(
            f"{name} {format_value(name, getattr(item, name))}" for name in item.__struct_fields__
        )
    return format_value("", item)
