"""Lines without end: only those on the screen are looked at, and what one reads stays there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import urwid

from etlmon.ui.widgets.box import Box
from etlmon.ui.widgets.line import Piece, lines_canvas, wrapped

T = TypeVar("T")


class Scroll(Box, Generic[T]):
    """Items in the order of a number that each has; an item takes one row or more.

    ``items`` and ``number`` give what there is now. While ``follows`` the last row stands at the
    bottom; else the row at the top stays, whatever is added or taken away around it.
    """

    def __init__(
        self,
        items: Callable[[], Sequence[T]],
        number: Callable[[T], int],
        rows: Callable[[T, int], list[list[Piece]]],
    ) -> None:
        super().__init__()
        self.follows = True
        self.is_at_end = True
        """Whether the last row was on the screen when it was drawn."""
        self.one_row = True
        """Whether every item takes just one row: then none is looked at to be counted."""
        self.empty: Sequence[Piece] = ()
        self.drawn: Callable[[], None] = lambda: None
        self.top_number: int | None = None
        """The item at the top; None before the first drawing."""
        self.heading: Sequence[Piece] = ()
        self._items = items
        self._number = number
        self._rows = rows
        self._row = 0
        self._size = (80, 20)

    @property
    def height(self) -> int:
        """How many rows there were for items when it was drawn."""
        return max(1, self._size[1])

    def visible_items(self) -> Sequence[T]:
        """Give the items that are at least partly on the screen."""
        items = self._items()
        place, row = self._top(items)
        shown = -row
        end = place
        while end < len(items) and shown < self.height:
            shown += self._count(items[end])
            end += 1
        return items[place:end]

    def is_near_start(self) -> bool:
        """Whether less than a screen is above what is on the screen."""
        return self._top(self._items())[0] < self.height

    def is_near_end(self) -> bool:
        """Whether less than a screen is below what is on the screen."""
        items = self._items()
        return len(items) - self._top(items)[0] < 2 * self.height

    def move(self, command: str) -> bool:
        """Move: down, up, page down, page up, first, last; False for another command."""
        page = max(1, self.height - 1)
        steps = {"down": 1, "up": -1, "page down": page, "page up": -page}
        if command in steps:
            items = self._items()
            self._set_top(items, *self._moved(items, *self._top(items), steps[command]))
            self.follows = False
        elif command == "first":
            items = self._items()
            self._set_top(items, 0, 0)
            self.follows = False
        elif command == "last":
            self.follows = True
        else:
            return False
        self.changed()
        return True

    def show(self, number: int) -> None:
        """Show an item: where it is if it is on the screen, else a third from the top."""
        shown = self.visible_items()
        if not shown or not self._number(shown[0]) <= number <= self._number(shown[-1]):
            items = self._items()
            place = self._place(items, number)
            self._set_top(items, *self._moved(items, place, 0, -(self.height // 3)))
            self.follows = False
        self.changed()

    def stay(self) -> None:
        """Follow no more: what is at the top stays there."""
        items = self._items()
        self._set_top(items, *self._top(items))
        self.follows = False
        self.changed()

    def pressed(self, button: int, row: int) -> bool:
        """Scroll by wheel, three rows at a time."""
        if button not in (4, 5):
            return False
        for _ in range(3):
            self.move("up" if button == 4 else "down")
        return True

    def draw(self, width: int, height: int) -> urwid.Canvas:
        """Draw the heading and the rows that fit."""
        self._size = (width, max(1, height - 1))
        items = self._items()
        place, row = self._top(items)
        self._set_top(items, place, row)
        lines: list[list[Piece]] = []
        end = place
        while end < len(items) and len(lines) < row + self.height:
            lines.extend(self._rows(items[end], width))
            end += 1
        self.is_at_end = end >= len(items) and len(lines) - row <= self.height
        shown = lines[row : row + self.height]
        if not items:
            shown = [[], *wrapped([("text", "  "), *self.empty], width)][: self.height]
        shown += [[]] * (self.height - len(shown))
        self.drawn()  # what it sets is drawn with the rest
        return lines_canvas([list(self.heading), *shown][:height], width)

    def _top(self, items: Sequence[T]) -> tuple[int, int]:
        """Give the place of the item at the top, and which of its rows is the first one there."""
        bottom = self._moved(items, len(items), 0, -self.height)
        if self.follows or self.top_number is None:
            return bottom
        place = self._place(items, self.top_number)
        if place >= len(items):
            return bottom
        row = self._row if self._number(items[place]) == self.top_number else 0
        return min((place, min(row, self._count(items[place]) - 1)), bottom)

    def _set_top(self, items: Sequence[T], place: int, row: int) -> None:
        self.top_number = self._number(items[place]) if place < len(items) else None
        self._row = row

    def _place(self, items: Sequence[T], number: int) -> int:
        return bisect_left(items, number, key=self._number)

    def _moved(self, items: Sequence[T], place: int, row: int, steps: int) -> tuple[int, int]:
        """Give the place so many rows further down, or further up; not beyond the first row."""
        row += steps
        while row < 0 and place > 0:
            place -= 1
            row += self._count(items[place])
        while place < len(items) - 1 and row >= (count := self._count(items[place])):
            row -= count
            place += 1
        return place, max(0, row)

    def _count(self, item: Any) -> int:
        return 1 if self.one_row else len(self._rows(item, self._size[0]))
