"""The terminal as the program uses it."""

from __future__ import annotations

from collections.abc import Callable

from urwid.display.common import InputClosedError
from urwid.display.raw import Screen


class Terminal(Screen):
    """A terminal that tells when it is gone: its window was closed, or its line was cut.

    Otherwise its end would be read again and again, for ever.
    """

    lost: Callable[[], None] = staticmethod(lambda: None)

    def get_available_raw_input(self) -> list[int]:
        """Give the codes that have been typed; none from a terminal that is gone."""
        try:
            return list(super().get_available_raw_input())
        except (InputClosedError, OSError):
            self.lost()
            return []
