"""What a tool of the console found: rows for code, a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from etlmon.text import one_line

_WIDEST = 90


class Table(Sequence[tuple[Any, ...]]):
    """Rows with the names of their columns. At the prompt it shows itself."""

    def __init__(self, columns: str, rows: Sequence[tuple[Any, ...]], note: str = "") -> None:
        self.columns = tuple(columns.split())
        self.rows = list(rows)
        self.note = note

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Table(" ".join(self.columns), self.rows[place], self.note)
        return self.rows[place]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        shown = [self.columns, *(tuple(map(_cell, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        numeric = [
            all(isinstance(row[place], int | float | None) for row in self.rows)
            for place in range(len(self.columns))
        ]
        lines = [
            "  ".join(
                f"{text:>{width}}" if right else f"{text:{width}}"
                for text, width, right in zip(row, widths, numeric, strict=True)
            ).rstrip()
            for row in shown
        ]
        if not self.rows:
            lines = ["none"]
        return "\n".join([*lines, *([self.note] if self.note else [])])


class Text(str):
    """Text of several lines that shows itself at the prompt as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    text = one_line(str(value))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
