"""A table of any length: only the rows on the screen are drawn.

The chosen row is remembered by its key, so that new data moves neither the choice nor, where it
can be helped, the rows on the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import urwid

from etlmon.ui.format import text_width
from etlmon.ui.widgets.box import Box
from etlmon.ui.widgets.line import Piece, cut, fit, lines_canvas, pieces_width, wrapped

T = TypeVar("T")

_GAP = 1
Arranging: TypeAlias = Callable[[list[T], Callable[[Sequence[T]], list[T]]], list[T]]
"""Makes rows of items, with a function that puts some of them in the chosen order."""


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column: its title, what it shows of an item, and how it sorts."""

    title: str
    show: Callable[[T], Sequence[Piece]]
    sort: Callable[[T], Any] | None = None
    """What the items are sorted by; None values come last. No sorting by it if absent."""
    largest_first: bool = False
    """Sorting by it begins with the largest."""
    right: bool = False
    keep_end: bool = False
    """Where there is no room it is cut at its beginning: for paths."""
    least: int = 4
    """It gives way no further, if it has so much to show; where there is still no room, columns
    at the right end are left out."""
    most: int = 40
    """It is wider only where there is room to spare."""


def numbers(
    title: str,
    show: Callable[[T], Sequence[Piece]],
    sort: Callable[[T], Any],
    *,
    least: int = 4,
    most: int = 40,
) -> Column[T]:
    """Give a column of numbers: they stand at its right, and sorting begins with the largest."""
    return Column(title, show, sort, largest_first=True, right=True, least=least, most=most)


class Table(Box, Generic[T]):
    """Items as rows, one of them chosen."""

    def __init__(
        self, columns: Sequence[Column[T]], key: Callable[[T], Hashable], empty: str
    ) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.filter = ""
        self.sort_column: int | None = None
        self.reverse = False
        self.empty = empty
        self.arranging: Arranging[T] | None = None
        """Makes rows of the items that the filter lets through; absent: they are sorted."""
        self.has_slipped = False
        """Whether another row has come to be the chosen one, and has not been seen yet."""
        self._key = key
        self._items: Sequence[T] = ()
        self._rows: list[T] = []
        self._cells: dict[int, list[list[Piece]]] = {}
        self._chosen = 0
        self._top = 0
        self._height = 1

    @property
    def chosen(self) -> T | None:
        """The chosen item, None if there are no rows."""
        return self._rows[self._chosen] if self._rows else None

    @property
    def items(self) -> Sequence[T]:
        """All items, also those that the filter leaves out."""
        return self._items

    @property
    def shown_rows(self) -> int:
        """How many rows the filter lets through."""
        return len(self._rows)

    def set_items(self, items: Sequence[T]) -> None:
        """Show other items; the choice stays with the key it is on, or near where it was.

        The same list as before is not put in order again: a thousand times it has not changed.
        """
        if items is self._items and self.arranging is None:
            self._cells.clear()  # ages grow
            self.changed()
            return
        self._items = items
        self.arrange()

    def arrange(self) -> None:
        """Filter and sort anew: the filter, the order or the items have changed."""
        before = None if self.chosen is None else self._key(self.chosen)
        at_top = self._top == 0
        offset = self._chosen - self._top
        self._cells.clear()
        wanted = self.filter.casefold()
        self._rows = [item for item in self._items if not wanted or wanted in self._text(item)]
        if self.arranging is None:
            self._rows = self._sorted(self._rows)
        else:
            self._rows = self.arranging(self._rows, self._sorted)
        places = [place for place, item in enumerate(self._rows) if self._key(item) == before]
        if places and self._chosen not in places:
            self._chosen = places[0]
        self._chosen = min(self._chosen, max(0, len(self._rows) - 1))
        if before is not None and not places:
            self.has_slipped = True
        # At the top one wants to see what comes in above.
        self._top = 0 if at_top else max(0, self._chosen - offset)
        self.changed()

    def _sorted(self, items: Sequence[T]) -> list[T]:
        """Give items in the order of the chosen column."""
        value = None if self.sort_column is None else self.columns[self.sort_column].sort
        if value is None:
            return list(items)
        values = [value(item) for item in items]
        known = [place for place, found in enumerate(values) if found is not None]
        known.sort(key=values.__getitem__, reverse=self.reverse)
        unknown = [item for item, found in zip(items, values, strict=True) if found is None]
        return [items[place] for place in known] + unknown

    def sort_by(self, title: str | None) -> None:
        """Sort by the column of this title; None for the order in which the items come."""
        titles = [column.title for column in self.columns]
        self.sort_column = None if title is None else titles.index(title)
        self.reverse = title is not None and self.columns[titles.index(title)].largest_first
        self.arrange()

    def sort_by_next(self) -> str:
        """Sort by the next column that can be, after the last not at all; give it in words."""
        able = [place for place, column in enumerate(self.columns) if column.sort is not None]
        here = -1 if self.sort_column is None else self.sort_column
        title = next((self.columns[place].title for place in able if place > here), None)
        self.sort_by(title)
        return "as the node gives them" if title is None else f"by {title}"

    def move(self, command: str) -> bool:
        """Move the choice: down, up, page down, page up, first, last; False for another command."""
        page = max(1, self._height - 1)
        steps = {"down": 1, "up": -1, "page down": page, "page up": -page}
        last = max(0, len(self._rows) - 1)
        if command in steps:
            self._chosen = max(0, min(last, self._chosen + steps[command]))
        elif command == "first":
            self._chosen = 0
        elif command == "last":
            self._chosen = last
        else:
            return False
        self.changed()
        return True

    def pressed(self, button: int, row: int) -> bool:
        """Choose a row by click, move by wheel."""
        if button in (4, 5):
            return self.move("up" if button == 4 else "down")
        place = self._top + row - 1
        if button == 1 and row > 0 and place < len(self._rows):
            self._chosen = place
            self.changed()
            return True
        return False

    def draw(self, width: int, height: int) -> urwid.Canvas:
        """Draw the heading and the rows that fit."""
        self.has_slipped = False
        self._height = max(1, height - 1)
        self._top = min(self._top, self._chosen, max(0, len(self._rows) - self._height))
        self._top = max(self._top, self._chosen - self._height + 1, 0)
        places = range(self._top, min(len(self._rows), self._top + self._height))
        rows = [self._row_cells(place) for place in places]
        widths = self._widths(width, rows)
        lines = [self._heading(widths)]
        for place, cells in zip(places, rows, strict=True):
            lines.append(self._line(cells, widths, chosen=place == self._chosen, width=width))
        if not rows:
            nothing = f"No row holds {self.filter}" if self.filter else self.empty
            lines += [[], *wrapped([("text", f"  {nothing}")], width)]
        lines = lines[:height] + [[]] * (height - len(lines))
        return lines_canvas(lines, width)

    def _text(self, item: T) -> str:
        cells = ("".join(text for _, text in column.show(item)) for column in self.columns)
        return " ".join(cells).casefold()

    def _row_cells(self, place: int) -> list[list[Piece]]:
        cells = self._cells.get(place)
        if cells is None:
            item = self._rows[place]
            cells = self._cells[place] = [list(column.show(item)) for column in self.columns]
        return cells

    def _widths(self, width: int, rows: Sequence[Sequence[Sequence[Piece]]]) -> list[int]:
        """Give the width of each column that has room, left to right."""
        needed, wanted, floors = [], [], []
        for place, column in enumerate(self.columns):
            title = text_width(column.title) + (2 if column.sort is not None else 0)
            content = max((pieces_width(cells[place]) for cells in rows), default=0)
            needed.append(max(title, content))
            floors.append(min(column.least, needed[-1]))
            wanted.append(min(column.most, max(column.least, needed[-1])))
        while len(floors) > 1 and sum(floors) + _GAP * (len(floors) - 1) > width:
            floors.pop()
        widths = wanted[: len(floors)]
        room = width - sum(widths) - _GAP * (len(widths) - 1)
        for place in reversed(range(len(widths))):  # give way from the right
            given = min(max(0, -room), widths[place] - floors[place])
            widths[place] -= given
            room += given
        for place, wide in enumerate(widths):  # and take what is left from the left
            taken = min(max(0, room), max(0, needed[place] - wide))
            widths[place] += taken
            room -= taken
        return widths

    def _heading(self, widths: Sequence[int]) -> list[Piece]:
        line: list[Piece] = []
        for place, (column, width) in enumerate(zip(self.columns, widths, strict=False)):
            mark = ""
            if place == self.sort_column:
                mark = " \u25be" if self.reverse else " \u25b4"
            line.append(("heading", fit(column.title + mark, width, right=column.right)))
            line.append(("text", " " * _GAP))
        return line[:-1]

    def _line(
        self,
        cells: Sequence[Sequence[Piece]],
        widths: Sequence[int],
        *,
        chosen: bool,
        width: int,
    ) -> list[Piece]:
        line: list[Piece] = []
        for column, pieces, room in zip(self.columns, cells, widths, strict=False):
            line.extend(_fit_pieces(pieces, room, column))
            line.append(("text", " " * _GAP))
        line.pop()
        if not chosen:
            return line
        line.append(("text", " " * max(0, width - pieces_width(line))))
        return [(f"chosen {style}", text) for style, text in line]


def _fit_pieces(pieces: Sequence[Piece], room: int, column: Column[Any]) -> list[Piece]:
    """Give pieces side by side, exactly ``room`` columns wide."""
    fitted: list[Piece] = []
    left = room
    for style, text in pieces:
        shown = cut(text, left, keep_end=column.keep_end)
        fitted.append((style, shown))
        left -= text_width(shown)
    space = ("text", " " * left)
    return [space, *fitted] if column.right else [*fitted, space]
