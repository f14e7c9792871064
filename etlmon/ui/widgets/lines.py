"""Lines of text that scroll."""

from __future__ import annotations

from collections.abc import Sequence

import urwid

from etlmon.ui.widgets.box import Box
from etlmon.ui.widgets.line import Piece, lines_canvas, wrapped


class Lines(Box):
    """Lines that are scrolled as a whole; what is wider than the box is wrapped.

    With ``from_end`` it is the beginning that is left out where there is no room.
    """

    def __init__(self, *, from_end: bool = False) -> None:
        super().__init__()
        self.is_seen = False
        """Whether the lines of now have been drawn."""
        self._from_end = from_end
        self._lines: Sequence[Sequence[Piece]] = ()
        self._top = 0
        self._height = 1
        self._rows = 0

    def set_lines(self, lines: Sequence[Sequence[Piece]]) -> None:
        """Show other lines; the place stays."""
        if lines != self._lines:
            self._lines = lines
            self.is_seen = False
            self.changed()

    def scroll(self, command: str) -> bool:
        """Scroll: down, up, page down, page up, first, last; False for another command."""
        page = max(1, self._height - 1)
        last = max(0, self._rows - self._height)
        steps = {"down": 1, "up": -1, "page down": page, "page up": -page}
        if command in steps:
            self._top += steps[command]
        elif command in ("first", "last"):
            self._top = 0 if command == "first" else last
        else:
            return False
        self._top = max(0, min(last, self._top))
        self.changed()
        return True

    def pressed(self, button: int, row: int) -> bool:
        """Scroll by wheel."""
        return button in (4, 5) and self.scroll("up" if button == 4 else "down")

    def draw(self, width: int, height: int) -> urwid.Canvas:
        """Draw the lines that fit."""
        rows = [row for line in self._lines for row in wrapped(line, width)]
        self._rows = len(rows)
        self._height = height
        self.is_seen = True
        last = max(0, self._rows - height)
        self._top = last if self._from_end else min(self._top, last)
        shown = rows[self._top : self._top + height]
        return lines_canvas(shown + [[]] * (height - len(shown)), width)
