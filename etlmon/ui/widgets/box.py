"""What our widgets have in common: they fill a box, and leave the keys to the screen."""

from __future__ import annotations

from typing import Any

import urwid


class Box(urwid.Widget):
    """A box widget. Keys are commands, and those are given by the screen (etlmon.ui.keys)."""

    _sizing = frozenset([urwid.BOX])
    _selectable = True

    def draw(self, width: int, height: int) -> urwid.Canvas:
        """Give the canvas of a box of this size."""
        raise AttributeError(f"{type(self).__name__} draws nothing")

    def pressed(self, button: int, row: int) -> bool:
        """Take a press of the mouse in a row; False if it means nothing here."""
        return False

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        """Draw the box (urwid's protocol)."""
        width, height = size
        return self.draw(width, height)

    def keypress(self, size: Any, key: str) -> str | None:
        """Take no key (urwid's protocol)."""
        return key

    def changed(self) -> None:
        """Have it drawn anew."""
        self._invalidate()
